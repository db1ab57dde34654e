"""A raw client: sends bytes as they are, and reads answers so strictly that a sloppy one fails the test."""

import re
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

__all__ = ["Answer", "Client", "NotWhole", "Unlawful", "connect", "converse", "parse_answers"]

PATIENCE = 10.0
_STATUS_LINE = re.compile(rb"HTTP/1\.1 ([1-9]\d\d) ([\t\x20-\x7e\x80-\xff]*)").fullmatch
_FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):([\t\x20-\x7e\x80-\xff]*)").fullmatch
_SIZE = re.compile(rb"[0-9A-Fa-f]{1,16}").fullmatch


class NotWhole(Exception):
    """The connection ended, or nothing came for too long, before the answer was whole."""


class Unlawful(Exception):
    """What came is no HTTP/1.1 response."""


@dataclass
class Answer:
    """One response. `interim` holds the heads of the 1xx before it; `framing` is how its end was known."""

    status: int
    reason: bytes
    fields: list[tuple[bytes, bytes]]
    body: bytes = b""
    trailers: list[tuple[bytes, bytes]] = field(default_factory=list)
    interim: "list[Answer]" = field(default_factory=list)
    framing: str = "none"

    def get(self, name: bytes) -> bytes | None:
        """Give the only value of a field (name in lower case), or None; two of them fail the test."""
        values = self.get_all(name)
        assert len(values) < 2, (name, values)
        return values[0] if values else None

    def get_all(self, name: bytes) -> list[bytes]:
        """Give all values of a field (name in lower case)."""
        return [value for key, value in self.fields if key.lower() == name]

    @property
    def closes(self) -> bool:
        """Whether it says that the connection will close."""
        return b"close" in (self.get(b"connection") or b"").lower()


class Client:
    """One connection to a server."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self._held = b""

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.socket.sendall(data)

    def send_eof(self) -> None:
        """End our sending and go on reading."""
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Close with a reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def receive(self, most: int = 65536) -> bytes:
        """Give what was read and not used yet, or read once; b"" is the end. A reset raises."""
        if self._held:
            data, self._held = self._held, b""
            return data
        return self.socket.recv(most)

    def put_before_reading(self, size: int) -> Answer:
        """Send a body of so many bytes, and read nothing before all of it has left."""
        self.send(b"PUT / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(size >> 20):
            self.send(bytes(1 << 20))
        return self.read_answer(b"PUT")

    def read_answer(self, method: bytes = b"GET") -> Answer:
        """Read one response and the interim ones before it.

        Raises:
            NotWhole: ended, reset or fell silent before.
            Unlawful: it is none.
        """
        before: list[Answer] = []
        while True:
            answer = self._read_head()
            if answer.status >= 200 or answer.status == 101:
                break
            before.append(answer)
        answer.interim = before
        self._read_body(answer, method)
        return answer

    def read_head(self) -> Answer:
        """Read the head of a response only."""
        return self._read_head()

    def read_some(self, size: int) -> bytes:
        """Read exactly so many bytes of a body. Raises NotWhole."""
        return self._exactly(size)

    def read_chunk(self) -> bytes:
        """Read one chunk of a chunked body; b"" is the last, without its trailers."""
        line = self._line()
        if _SIZE(line) is None:
            raise Unlawful(f"not a chunk size: {line!r}")
        size = int(line, 16)
        data = self._exactly(size)
        if size and self._exactly(2) != b"\r\n":
            raise Unlawful("a chunk longer than its size")
        return data

    def read_to_end(self) -> bytes:
        """Read all up to the end. Raises NotWhole on a reset or silence."""
        parts = []
        while data := self._more():
            parts.append(data)
        return b"".join(parts)

    def ends(self) -> bool:
        """Tell whether the server closes or resets, with nothing more sent. Raises NotWhole on silence."""
        if self._held:
            return False
        try:
            return not self.socket.recv(1)
        except ConnectionError:
            return True
        except TimeoutError as error:
            raise NotWhole("the connection stays open") from error

    def _more(self) -> bytes:
        try:
            return self.receive()
        except TimeoutError as error:
            raise NotWhole("nothing came for too long") from error
        except ConnectionError as error:
            raise NotWhole("reset") from error

    def _fill(self) -> None:
        held, self._held = self._held, b""
        try:
            more = self._more()
        finally:
            self._held = held
        if not more:
            raise NotWhole(f"ended after {held[-80:]!r}")
        self._held = held + more

    def _line(self) -> bytes:
        while (end := self._held.find(b"\n")) < 0:
            self._fill()
        line, self._held = self._held[: end + 1], self._held[end + 1 :]
        if not line.endswith(b"\r\n") or b"\r" in line[:-2]:
            raise Unlawful(f"a line that does not end in CRLF alone: {line!r}")
        return line[:-2]

    def _exactly(self, size: int) -> bytes:
        parts = []
        while size > 0:
            if not self._held:
                self._fill()
            part, self._held = self._held[:size], self._held[size:]
            size -= len(part)
            parts.append(part)
        return b"".join(parts)

    def _fields(self) -> list[tuple[bytes, bytes]]:
        fields = []
        while line := self._line():
            match = _FIELD(line)
            if match is None:
                raise Unlawful(f"not a field line: {line!r}")
            fields.append((match[1], match[2].strip(b" \t")))
        return fields

    def _read_head(self) -> Answer:
        line = self._line()
        match = _STATUS_LINE(line)
        if match is None:
            raise Unlawful(f"not a status line: {line!r}")
        return Answer(int(match[1]), match[2], self._fields())

    def _read_body(self, answer: Answer, method: bytes) -> None:
        lengths, codings = answer.get_all(b"content-length"), answer.get_all(b"transfer-encoding")
        if len(lengths) + len(codings) > 1:
            raise Unlawful(f"framed twice: {lengths!r} {codings!r}")
        if answer.status in (101, 204) and lengths + codings:
            raise Unlawful(f"a {answer.status} with framing")
        if method == b"HEAD" or answer.status in (101, 204, 304):
            return
        if codings:
            if codings[0] != b"chunked":
                raise Unlawful(f"unknown coding: {codings[0]!r}")
            answer.framing = "chunked"
            answer.body = b"".join(iter(self.read_chunk, b""))
            answer.trailers = self._fields()
        elif lengths:
            if not lengths[0].isdigit():
                raise Unlawful(f"not a length: {lengths[0]!r}")
            answer.framing = "length"
            answer.body = self._exactly(int(lengths[0]))
        else:
            answer.framing = "close"
            answer.body = self.read_to_end()


@contextmanager
def connect(port: int, patience: float = PATIENCE) -> Iterator[Client]:
    """Connect to 127.0.0.1; each wait is at most `patience`."""
    with socket.create_connection(("127.0.0.1", port), timeout=patience) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield Client(sock)


def converse(
    port: int, data: bytes, *, half_close: bool = False, patience: float = PATIENCE
) -> tuple[bytes, str]:
    """Send bytes and read all that comes.

    Args:
        half_close: end our sending behind them.

    Returns:
        The bytes that came, and how it ended: "closed", "reset" or "open" (nothing more within `patience`).
    """
    parts = []
    with connect(port, patience) as client:
        ended = "closed"
        try:
            client.send(data)
            if half_close:
                client.send_eof()
        except ConnectionError:
            ended = "reset"
        try:
            while more := client.socket.recv(65536):
                parts.append(more)
        except TimeoutError:
            ended = "open"
        except ConnectionError:
            ended = "reset"
    return b"".join(parts), ended


def parse_answers(data: bytes, methods: list[bytes]) -> list[Answer]:
    """Read bytes that were received up to the close as responses to these methods, as many as there are.

    Raises:
        Unlawful: something is left over, or is no response.
        NotWhole: the last one was cut.
    """
    ours, theirs = socket.socketpair()
    with ours, theirs:
        client = Client(ours)
        client._held = data
        theirs.close()
        answers = []
        for method in methods:
            if not client._held:
                break
            answers.append(client.read_answer(method))
        if client._held:
            raise Unlawful(f"more than was asked for: {client._held[:80]!r}")
        return answers
