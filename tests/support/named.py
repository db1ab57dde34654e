"""Backends with names: origins in this process that say who they are, go down and come up again on the same port."""

import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from tests.support.client import Answer, Client, connect
from tests.support.origins import PATIENCE, Origin, Script, Seen, answering, origin

__all__ = ["Named", "Tally", "ask", "get", "named", "named_in_a_row", "tally", "until"]


class Named:
    """A backend that answers every request with its name."""

    def __init__(self, name: str, holder: socket.socket, stack: ExitStack) -> None:
        self.name = name
        self._holder = holder
        self._stack = stack
        self._up = ExitStack()
        self.origin: Origin | None = None
        self.seen: list[Seen] = []
        """What came before it was last taken down."""

    @property
    def port(self) -> int:
        """Its port, up or down."""
        port: int = self._holder.getsockname()[1]
        return port

    @property
    def host(self) -> str:
        """Its address."""
        host: str = self._holder.getsockname()[0]
        return host

    @property
    def place(self) -> str:
        """Itself as a target."""
        return f"{self.host}:{self.port}"

    @property
    def label(self) -> str:
        """How netfront calls it by itself."""
        return f"http://{self.place}"

    @property
    def requests(self) -> list[Seen]:
        """All requests that came so far."""
        return self.seen + (self.origin.requests if self.origin is not None else [])

    def answers(self, seen: Seen) -> bytes:
        """Give its usual answer."""
        name = self.name.encode()
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(name), name)

    def up(self, script: Script | None = None) -> "Named":
        """Listen, and play this script; else answer with its name."""
        self.down()
        self.origin = self._up.enter_context(
            origin(script or answering(self.answers), host=self.host, port=self.port, expect_faults=True)
        )
        return self

    def play(self, script: Script | None = None) -> Origin:
        """Go over to a script, or back to answering, without being down; cuts its connections."""
        assert self.origin is not None
        self.seen += self.origin.requests
        self.origin.start_anew(script or answering(self.answers))
        return self.origin

    def down(self) -> None:
        """Cut all connections and refuse new ones."""
        if self.origin is not None:
            self.seen += self.origin.requests
        self._up.close()
        self.origin = None


@contextmanager
def named(count: int = 3, *, ports: Sequence[int] = (), hosts: Sequence[str] = ()) -> Iterator[list[Named]]:
    """Run backends a, b, c, ..., each of which answers with its name.

    Args:
        ports, hosts: of each; with hosts alone all have the same port.
    """
    port = 0
    with ExitStack() as stack:
        made = []
        for index in range(count):
            # bound and never listening, it keeps the port for one that is down
            holder = stack.enter_context(socket.socket())
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            host = hosts[index] if hosts else "127.0.0.1"
            holder.bind((host, ports[index] if ports else port))
            if hosts and not ports:
                port = holder.getsockname()[1]
            backend = Named("abcdefghijklmnopqrstuvwxyz"[index], holder, stack)
            stack.callback(backend.down)
            made.append(backend.up())
        yield made


@contextmanager
def named_in_a_row(count: int) -> Iterator[list[Named]]:
    """Run backends on ports that follow each other."""
    for first in range(21000, 29000, count):
        try:
            stack = ExitStack()
            made = stack.enter_context(named(count, ports=range(first, first + count)))
        except OSError:
            stack.close()
            continue
        with stack:
            yield made
        return
    raise OSError("no ports in a row are free")


def get(
    client: Client, target: bytes = b"/", *fields: bytes, method: bytes = b"GET", body: bytes = b""
) -> Answer:
    """Ask on a connection that is kept, and read the answer."""
    if body:
        fields = (*fields, b"Content-Length: %d" % len(body))
    lines = [b"%b %b HTTP/1.1" % (method, target), b"Host: localhost", *fields]
    client.send(b"\r\n".join(lines) + b"\r\n\r\n" + body)
    return client.read_answer(method)


def ask(port: int, target: bytes = b"/", *fields: bytes, method: bytes = b"GET", body: bytes = b"") -> Answer:
    """Ask once, on a connection of its own."""
    with connect(port) as client:
        return get(client, target, *fields, method=method, body=body)


class Tally(Counter[str]):
    """How often each backend answered; what was no 200 counts under its status."""


def tally(port: int, count: int, target: bytes = b"/", *fields: bytes) -> Tally:
    """Ask so often on one connection."""
    with connect(port) as client:
        answers = [get(client, target, *fields) for _ in range(count)]
    return Tally(answer.body.decode() if answer.status == 200 else str(answer.status) for answer in answers)


def until(is_so: Callable[[], object], patience: float = PATIENCE) -> None:
    """Ask again and again until something holds; for what only another process knows. Raises TimeoutError."""
    end = time.monotonic() + patience
    while not is_so():
        if time.monotonic() > end:
            raise TimeoutError("it never came to that")
        time.sleep(0.01)
