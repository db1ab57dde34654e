"""netfront as a user runs it: a process of its own, waited for, watched and ended as one would."""

import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.forked import Process, fork

__all__ = ["ROOT", "NotReady", "Running", "command", "run", "running"]

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 20.0


class NotReady(Exception):
    """It ended, or took too long, before it listened. Carries what it said on stderr."""


@dataclass
class Running:
    """A netfront that serves."""

    process: subprocess.Popen[bytes] | Process
    ports: list[int]
    told: Path
    said: Path

    @property
    def port(self) -> int:
        """The port of its first listener."""
        return self.ports[0]

    @property
    def url(self) -> str:
        """http:// on its first listener, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def stderr(self) -> str:
        """What it has written on stderr so far."""
        return self.told.read_text(errors="replace")

    @property
    def stdout(self) -> str:
        """What it has written on stdout so far."""
        return self.said.read_text(errors="replace")

    def stop(self, with_signal: int = signal.SIGTERM, patience: float = PATIENCE) -> int:
        """Send it a signal and wait until it has ended; give its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(with_signal)
        return self.process.wait(patience)


def command(*args: str) -> list[str]:
    """Give the command line that starts netfront with these arguments."""
    return [sys.executable, "-m", "netfront", *args]


def run(*args: str, patience: float = PATIENCE, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run netfront to its end, with no input."""
    return subprocess.run(
        command(*args),
        cwd=ROOT,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=patience,
        check=False,
    )


@contextmanager
def running(
    *args: str,
    ends_with: int = signal.SIGTERM,
    exit_code: int = 0,
    prefix: tuple[str, ...] = (),
    **environment: str,
) -> Iterator[Running]:
    """Run netfront as long as the block lasts.

    Args:
        args: the whole command line; `-l` with port 0 where none is given.
        ends_with: the signal that ends it. It must then exit with `exit_code`, unless the block raised.
        prefix: words before the command, such as `taskset -c 0`.

    Raises:
        NotReady: it never came to listen.
        AssertionError: it did not end as it should.
    """
    if not {"-l", "--listen"} & set(args):
        args = (*args, "-l", "http://127.0.0.1:0")
    with tempfile.TemporaryDirectory(prefix="netfront-test-") as name:
        place = Path(name)
        told, said, ports = place / "stderr", place / "stdout", place / "ports"
        reads, writes = os.pipe()
        env = {**os.environ, "XDG_DATA_HOME": str(place), **environment}
        words = [*args, "--port-file", str(ports), "--ready-fd", "{ready}"]
        with told.open("wb") as err, said.open("wb") as out:
            process = _start(words, writes, prefix, env, out.fileno(), err.fileno())
        os.close(writes)
        try:
            _wait_until_ready(process, reads, told)
            served = Running(process, [int(port) for port in ports.read_text().split()], told, said)
            yield served
        except BaseException as error:
            process.kill()
            process.wait()
            if not isinstance(error, NotReady):
                error.add_note(f"netfront said:\n{told.read_text(errors='replace')}")
            raise
        finally:
            os.close(reads)
        try:
            code = served.stop(ends_with)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"it did not end; it said:\n{served.stderr}") from None
        assert code == exit_code, f"exit {code}; it said:\n{served.stderr}"


def _start(
    words: list[str], ready: int, prefix: tuple[str, ...], env: dict[str, str], out: int, err: int
) -> subprocess.Popen[bytes] | Process:
    own_python = {
        name for name, value in env.items() if value != os.environ.get(name) and name.startswith("PYTHON")
    }
    if sys.platform == "linux" and not prefix and not own_python:
        with open(os.devnull, "rb") as nothing:
            return fork(words, ready, cwd=str(ROOT), env=env, files=(nothing.fileno(), out, err))
    return subprocess.Popen(
        [*prefix, *command(*(word.replace("{ready}", str(ready)) for word in words))],
        cwd=ROOT,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=err,
        pass_fds=(ready,),
    )


def _wait_until_ready(process: subprocess.Popen[bytes] | Process, reads: int, told: Path) -> None:
    readable, _, _ = select.select([reads], [], [], PATIENCE)
    if readable and os.read(reads, 4096):
        return
    if readable:
        process.wait(PATIENCE)
    raise NotReady(f"exit {process.poll()}:\n{told.read_text(errors='replace')}")
