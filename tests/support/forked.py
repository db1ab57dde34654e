"""Starting netfront from a process that has imported it already: 15 ms of CPU a start in place of 220.

Most of the suite's time was the start of netfront. Here a process imports it once and then forks for each start; what
runs in the fork is `netfront.__main__.main` with the words, the environment, the directory and the files that it is
given, in a process of its own, which ends as any other. It is a child of whoever asks, as processes whose parent has
ended go to their nearest subreaper (prctl(2)). What is not Linux, what sets Python's own variables and what runs under
another command starts from nothing: see `netfront.running`. So does all that runs to its end, see `netfront.run`.
"""

import ctypes
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

__all__ = ["Process", "fork"]

_ROOT = Path(__file__).resolve().parents[2]
_SUBREAPER = 36
"""PR_SET_CHILD_SUBREAPER."""
_IMPORTED = (
    "netfront.__main__", "netfront.cli.app", "netfront.cli.assembly", "netfront.cli.certificates",
    "netfront.cli.explain", "netfront.cli.live", "netfront.cli.supervise", "netfront.net.devcert", "netfront.net.tls",
)  # fmt: skip
_server: socket.socket | None = None


class Process:
    """A forked process, as far as tests ask for subprocess.Popen."""

    def __init__(self, pid: int, args: list[str]) -> None:
        self.pid = pid
        self.args = args
        self.returncode: int | None = None
        self._ended = os.pidfd_open(pid)

    def poll(self) -> int | None:
        """Give its exit code; None as long as it runs."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
                os.close(self._ended)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended; give its exit code. Raises subprocess.TimeoutExpired."""
        if self.poll() is None:
            select.select([self._ended], [], [], timeout)
            if self.poll() is None:
                raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, which: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, which)

    def terminate(self) -> None:
        """Send it SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send it SIGKILL."""
        self.send_signal(signal.SIGKILL)


def fork(
    args: list[str], ready: int, *, cwd: str, env: dict[str, str], files: tuple[int, int, int]
) -> Process:
    """Run netfront.

    Args:
        args: its words; "{ready}" stands for the number that the descriptor `ready` has there.
        files: its stdin, stdout and stderr.
    """
    server = _running_server()
    message = json.dumps({"args": args, "cwd": cwd, "env": env}).encode()
    socket.send_fds(server, [message], [*files, ready])
    said = server.recv(64)
    if not said:
        raise RuntimeError("the process that forks has ended")
    return Process(int(said), ["netfront", *args])


def _running_server() -> socket.socket:
    """Give the socket of the process that forks, started where there is none yet; it ends with ours."""
    global _server
    if _server is None:
        if ctypes.CDLL(None, use_errno=True).prctl(_SUBREAPER, 1, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "prctl")
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno())],
                cwd=_ROOT,
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
            )
        _server = ours
    return _server


def _serve(control: socket.socket) -> list[str] | None:
    """Fork for each request that comes. In the fork give its words; None at the end of all."""
    for name in _IMPORTED:
        import_module(name)
    while True:
        message, files, _, _ = socket.recv_fds(control, 1 << 20, 4)
        if not message:
            return None
        tells, told = os.pipe()
        between = os.fork()
        if not between:
            pid = os.fork()
            if pid:
                os.write(told, b"%d" % pid)
                os._exit(0)
            os.close(tells)
            os.close(told)
            control.close()
            return _become(json.loads(message), files)
        os.close(told)
        os.waitpid(between, 0)  # then its child is a child of who asks
        pid = os.read(tells, 64)
        os.close(tells)
        for file in files:
            os.close(file)
        control.send(pid)


def _become(asked: dict[str, object], files: list[int]) -> list[str]:
    """Take on the directory, the environment and the files of a request; give its words."""
    for number, file in enumerate(files[:3]):
        os.dup2(file, number)
        os.close(file)
    os.chdir(str(asked["cwd"]))
    os.environ.clear()
    os.environ.update(asked["env"])
    time.tzset()
    return [word.replace("{ready}", str(files[3])) for word in asked["args"]]


if __name__ == "__main__":
    words = _serve(socket.socket(fileno=int(sys.argv[1])))
    if words is not None:
        from netfront.__main__ import main

        sys.argv = ["netfront", *words]
        sys.exit(main())
