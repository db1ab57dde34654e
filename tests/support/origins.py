"""Origins on loopback, one thread a connection, with raw sockets: what a test wants to happen is a script.

A script is a function of one `Connection`, run when it is accepted; it is closed when the script returns. All
that was read stays in `received`, byte for byte, so that a test can see what a proxy really sent. The scripts
here misbehave each in one way. Nothing waits longer than `PATIENCE`.
"""

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

__all__ = [
    "PATIENCE",
    "Connection",
    "Malformed",
    "Origin",
    "Script",
    "Seen",
    "answering",
    "answering_while_asked",
    "closed_port",
    "cutting",
    "early",
    "echoing",
    "full_queue",
    "interim",
    "origin",
    "resetting",
    "saying",
    "silent",
    "slowly",
    "switching",
]

PATIENCE = 10.0
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Malformed(Exception):
    """What came is no request that the strict origin would take."""


@dataclass
class Seen:
    """One request as it reached the origin. `raw` is its head and its body as framed."""

    raw: bytes
    method: bytes
    target: bytes
    version: bytes
    fields: list[tuple[bytes, bytes]]
    body: bytes = b""
    trailers: list[tuple[bytes, bytes]] = field(default_factory=list)
    is_whole: bool = False
    """Whether its body was read to its end."""

    def get(self, name: bytes) -> bytes | None:
        """Give the only value of a field (name in lower case), or None; two of them fail the test."""
        values = self.get_all(name)
        assert len(values) < 2, (name, values)
        return values[0] if values else None

    def get_all(self, name: bytes) -> list[bytes]:
        """Give all values of a field (name in lower case)."""
        return [value for key, value in self.fields if key.lower() == name]

    @property
    def host(self) -> bytes | None:
        """Its Host."""
        return self.get(b"host")


class Connection:
    """One accepted connection, in the hand of a script."""

    def __init__(self, sock: socket.socket, owner: "Origin") -> None:
        self.socket = sock
        self.origin = owner
        self.received = bytearray()
        self.requests: list[Seen] = []
        self.ended = threading.Event()
        """Set when the script has returned and the socket is closed."""
        self._at = 0
        sock.settimeout(PATIENCE)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def receive(self, most: int = 65536) -> bytes:
        """Read from the socket once; b"" is the end, a reset too."""
        try:
            data = self.socket.recv(most)
        except ConnectionError:
            return b""
        self.received += data
        return data

    def read_line(self) -> bytes:
        """Read up to CRLF and give the line without it.

        Raises:
            EOFError: the client ended.
        """
        while (end := self.received.find(b"\n", self._at)) < 0:
            if not self.receive():
                raise EOFError("ended within a line")
        line = bytes(self.received[self._at : end + 1])
        self._at = end + 1
        if not line.endswith(b"\r\n") or b"\r" in line[:-2]:
            raise Malformed(f"a line that does not end in CRLF alone: {line!r}")
        return line[:-2]

    def read_exactly(self, size: int) -> bytes:
        """Read so many bytes. Raises EOFError."""
        while len(self.received) - self._at < size:
            if not self.receive():
                raise EOFError("ended within a body")
        data = bytes(self.received[self._at : self._at + size])
        self._at += size
        return data

    def forget(self) -> None:
        """Drop the bytes that were read so far: for bodies too large to keep."""
        del self.received[: self._at]
        self._at = 0

    def read_fields(self) -> list[tuple[bytes, bytes]]:
        """Read field lines up to the empty one."""
        fields = []
        while line := self.read_line():
            name, colon, value = line.partition(b":")
            if not colon or not name or name.strip() != name or line[:1] in b" \t":
                raise Malformed(f"not a field line: {line!r}")
            fields.append((name, value.strip(b" \t")))
        return fields

    def read_head(self) -> Seen:
        """Read the head of a request. Raises EOFError, Malformed."""
        start = self._at
        parts = self.read_line().split(b" ")
        if len(parts) != 3 or not all(parts):
            raise Malformed(f"not a request line: {parts!r}")
        seen = Seen(b"", parts[0], parts[1], parts[2], self.read_fields())
        seen.raw = bytes(self.received[start : self._at])
        self.requests.append(seen)
        self.origin.note(seen)
        return seen

    def read_body(self, seen: Seen) -> bytes:
        """Read the body of a request by its framing, strictly: what is ambiguous is Malformed."""
        start = self._at
        lengths, codings = seen.get_all(b"content-length"), seen.get_all(b"transfer-encoding")
        if len(lengths) + len(codings) > 1:
            raise Malformed(f"framed twice: {lengths!r} {codings!r}")
        if codings:
            if codings[0] != b"chunked":
                raise Malformed(f"unknown coding: {codings[0]!r}")
            seen.body = b"".join(iter(self.read_chunk, b""))
            seen.trailers = self.read_fields()
        elif lengths:
            if not lengths[0].isdigit():
                raise Malformed(f"not a length: {lengths[0]!r}")
            seen.body = self.read_exactly(int(lengths[0]))
        seen.raw += bytes(self.received[start : self._at])
        seen.is_whole = True
        return seen.body

    def read_chunk(self) -> bytes:
        """Read one chunk; b"" is the last, whose trailers follow."""
        line = self.read_line()
        if not line or line.strip(b"0123456789abcdefABCDEF"):
            raise Malformed(f"not a chunk size: {line!r}")
        size = int(line, 16)
        data = self.read_exactly(size)
        if size and self.read_exactly(2) != b"\r\n":
            raise Malformed("a chunk longer than its size")
        return data

    def read_request(self) -> Seen:
        """Read a whole request. Raises EOFError, Malformed."""
        seen = self.read_head()
        self.read_body(seen)
        return seen

    def wait_until_gone(self, patience: float = PATIENCE) -> float:
        """Read until the client ends or resets; give the seconds it took. Raises TimeoutError."""
        start = time.perf_counter()
        self.socket.settimeout(patience)
        while self.receive():
            pass
        return time.perf_counter() - start

    def send(self, data: bytes) -> None:
        """Send all of it."""
        self.socket.sendall(data)

    def send_eof(self) -> None:
        """End our sending and go on reading. Raises ConnectionResetError where the client has reset."""
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError as error:
            raise ConnectionResetError("reset before our end") from error

    def reset(self) -> None:
        """Close with a reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


Script = Callable[[Connection], None]


class Origin:
    """A listening socket and what came to it."""

    def __init__(self, script: Script, sock: socket.socket) -> None:
        self.script = script
        self.connections: list[Connection] = []
        self.requests: list[Seen] = []
        self.faults: list[BaseException] = []
        """What a script raised, but for the client's going."""
        self._socket = sock
        self._changed = threading.Condition()
        self._closing = False

    @property
    def port(self) -> int:
        """Its port on 127.0.0.1."""
        port: int = self._socket.getsockname()[1]
        return port

    @property
    def url(self) -> str:
        """Its URL, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    def note(self, seen: Seen) -> None:
        """Keep a request."""
        with self._changed:
            self.requests.append(seen)
            self._changed.notify_all()

    def wait_until(self, is_so: Callable[["Origin"], bool], patience: float = PATIENCE) -> None:
        """Wait until something holds, looked at whenever something came. Raises TimeoutError."""
        with self._changed:
            if not self._changed.wait_for(lambda: is_so(self), patience):
                raise TimeoutError(f"it never came to that: {len(self.requests)} requests so far")

    def wait_requests(self, count: int, patience: float = PATIENCE) -> list[Seen]:
        """Wait until so many requests' heads have come, and give them."""
        self.wait_until(lambda me: len(me.requests) >= count, patience)
        return self.requests

    def wait_connections(self, count: int, patience: float = PATIENCE) -> list[Connection]:
        """Wait until so many connections have come, and give them."""
        self.wait_until(lambda me: len(me.connections) >= count, patience)
        return self.connections

    def forget(self) -> None:
        """Forget the requests so far."""
        with self._changed:
            self.requests = []

    def start_anew(self, script: Script) -> None:
        """Cut all connections, forget all of them and all requests, and play another script from here on."""
        with self._changed:
            self.script = script
            before, self.connections = self.connections, []
            self.requests, self.faults = [], []
        self._cut(before)
        for connection in before:
            connection.ended.wait(1)
        self.forget()

    def serve(self) -> None:
        """Accept until closed."""
        while True:
            try:
                sock, _ = self._socket.accept()
            except OSError:
                return
            connection = Connection(sock, self)
            with self._changed:
                if self._closing:
                    sock.close()
                    return
                self.connections.append(connection)
                self._changed.notify_all()
            threading.Thread(target=self._play, args=(connection,), daemon=True).start()

    def _play(self, connection: Connection) -> None:
        try:
            self.script(connection)
        except (EOFError, ConnectionError, TimeoutError):
            pass
        except BaseException as fault:
            if not self._closing and connection in self.connections:
                self.faults.append(fault)
        finally:
            connection.socket.close()
            connection.ended.set()
            with self._changed:
                self._changed.notify_all()

    def close(self) -> None:
        """Stop listening and cut all connections."""
        with self._changed:
            self._closing = True
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._socket.close()
        self._cut(self.connections)

    def _cut(self, connections: list[Connection]) -> None:
        for connection in connections:
            try:
                connection.socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


@contextmanager
def origin(
    script: Script, *, host: str = "127.0.0.1", port: int = 0, expect_faults: bool = False
) -> Iterator[Origin]:
    """Run an origin that plays `script` on each connection.

    Args:
        host: a loopback address of IPv4.
        port: 0 for a free one.
        expect_faults: do not fail when a script raised; the test looks at `faults` itself.
    """
    sock = socket.create_server((host, port), backlog=512)
    served = Origin(script, sock)
    thread = threading.Thread(target=served.serve, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        served.close()
        thread.join(PATIENCE)
    if served.faults and not expect_faults:
        raise served.faults[0]


@contextmanager
def closed_port() -> Iterator[int]:
    """Give a port that refuses connections, kept from others as long as the block lasts."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


@contextmanager
def full_queue() -> Iterator[int]:
    """Give a port whose accept queue is full: connections to it are neither taken nor refused."""
    with socket.socket() as sock, ExitStack() as waiting:
        sock.bind(("127.0.0.1", 0))
        sock.listen(0)
        for _ in range(3):
            client = waiting.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(sock.getsockname())
        yield sock.getsockname()[1]


# -- scripts ------------------------------------------------------------------------------------------------


def answering(response: bytes | Callable[[Seen], bytes] = OK, *, times: int | None = None) -> Script:
    """Read whole requests strictly and answer each.

    Args:
        response: bytes as they are sent, or a function of the request that gives them.
        times: close the connection after so many, without having said so.
    """

    def play(connection: Connection) -> None:
        count = 0
        while times is None or count < times:
            seen = connection.read_request()
            connection.send(response(seen) if callable(response) else response)
            count += 1

    return play


def saying(response: bytes) -> Script:
    """Answer one request with these bytes and close, in order: what was sent arrives."""

    def play(connection: Connection) -> None:
        connection.read_request()
        connection.send(response)
        connection.send_eof()
        connection.wait_until_gone()

    return play


def echoing() -> Script:
    """Answer with the request's body, by length."""
    return answering(
        lambda seen: b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(seen.body), seen.body)
    )


def answering_while_asked(size: int) -> Script:
    """Send so many bytes and take as many, both at once; the last byte comes when both is done.

    No answer is whole before its question, else the question's rest may be cut.
    """

    def play(connection: Connection) -> None:
        seen = connection.read_head()

        def answer() -> None:
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
            connection.send(bytes(size - 1))

        answering = threading.Thread(target=answer)
        answering.start()
        connection.forget()
        left = int(seen.get(b"content-length") or 0) - len(connection.received)  # some came with the head
        while left:
            left -= len(connection.socket.recv(1 << 20))
        answering.join()
        connection.send(bytes(1))
        connection.wait_until_gone()

    return play


def silent(connection: Connection) -> None:
    """Read a request and never answer."""
    connection.read_request()
    connection.wait_until_gone(60)


def cutting(part: bytes) -> Script:
    """Send a part of an answer, then close as if all were well."""

    def play(connection: Connection) -> None:
        connection.read_request()
        connection.send(part)

    return play


def resetting(part: bytes = b"") -> Script:
    """Send a part of an answer, wait for nothing, and reset."""

    def play(connection: Connection) -> None:
        connection.read_request()
        if part:
            connection.send(part)
        connection.reset()

    return play


def slowly(response: bytes, pause: float = 0.002) -> Script:
    """Answer byte by byte."""

    def play(connection: Connection) -> None:
        while True:
            connection.read_request()
            for index in range(len(response)):
                connection.send(response[index : index + 1])
                time.sleep(pause)

    return play


def early(response: bytes) -> Script:
    """Answer after the head, while the body is still to come; then read what comes."""

    def play(connection: Connection) -> None:
        connection.read_head()
        connection.send(response)
        connection.wait_until_gone()

    return play


def interim(*heads: bytes, then: bytes = OK) -> Script:
    """Send interim answers after the head, read the body, then answer."""

    def play(connection: Connection) -> None:
        while True:
            seen = connection.read_head()
            for head in heads:
                connection.send(head)
            connection.read_body(seen)
            connection.send(then)

    return play


def switching(protocol: bytes = b"echo", *, greeting: bytes = b"", reply: bytes | None = None) -> Script:
    """Switch protocols when asked to and then echo; half-closes are passed back.

    Args:
        greeting: sent in one piece with the 101.
        reply: the head of the answer in place of the usual 101.
    """
    head = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %b\r\n\r\n" % protocol

    def play(connection: Connection) -> None:
        connection.read_head()
        connection.send((head if reply is None else reply) + greeting)
        while data := connection.receive():
            connection.send(data)
        connection.send_eof()

    return play
