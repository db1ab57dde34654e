"""Framing: where a body ends, and the chunked coding (RFC 9112 §6-7).

Stricter than the standard where it leaves a choice: Transfer-Encoding beside Content-Length, a second
Content-Length though it be equal, and any transfer coding but one `chunked` are refused. What two readers could
read differently is how requests are smuggled.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from netfront.errors import BadMessage
from netfront.wire.fields import Field

__all__ = [
    "CHUNKED",
    "LENGTH",
    "NONE",
    "UNTIL_CLOSE",
    "ChunkedDecoder",
    "Framing",
    "encode_chunk",
    "encode_trailers",
    "request_framing",
    "response_framing",
]

NONE, LENGTH, CHUNKED, UNTIL_CLOSE = range(4)
_LENGTH = re.compile(rb"[0-9]{1,19}").fullmatch
_LARGEST = 2**63 - 1
"""Longer lengths overflow in whoever reads what we send on."""
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch
_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?\r\n").match
_TRAILER = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):([\t\x20-\x7e\x80-\xff]*)\r\n").match
_MOST_SIZE_LINE = 256
_MOST_EXTENSIONS = 16384
"""In one body: a flood of extensions costs its reader more than its sender (CVE-2023-39326)."""
_MOST_TRAILERS = 8192
_MOST_TRAILER_FIELDS = 32


@dataclass(frozen=True, slots=True)
class Framing:
    """How the end of a body is known. `length` counts for LENGTH only."""

    kind: int
    length: int = 0


_NO_BODY = Framing(NONE)
_IN_CHUNKS = Framing(CHUNKED)
_TO_THE_END = Framing(UNTIL_CLOSE)


def request_framing(method: bytes, minor: bytes, lengths: list[bytes], codings: list[bytes]) -> Framing:
    """Find where the body of a request ends.

    Args:
        minor: b"0" or b"1".
        lengths: the values of Content-Length.
        codings: the values of Transfer-Encoding.

    Raises:
        BadMessage: 400, or 501 for a transfer coding we do not know. RFC 9112 §6.1, §6.3, stricter.
    """
    if codings:
        _check_codings(minor, lengths, codings, unknown=501)
        return _IN_CHUNKS
    if lengths:
        return _counted(lengths)
    return _NO_BODY


def response_framing(
    method: bytes, status: int, minor: bytes, lengths: list[bytes], codings: list[bytes]
) -> Framing:
    """Find where the body of a response ends.

    Args:
        method: of the request it answers: HEAD changes the rules.

    Returns:
        NONE, LENGTH, CHUNKED or UNTIL_CLOSE.

    Raises:
        BadMessage: what follows cannot be trusted, and the connection must be closed. RFC 9112 §6.3, stricter.
    """
    if codings:
        _check_codings(minor, lengths, codings, unknown=502)
        framing = _IN_CHUNKS
    else:
        framing = _counted(lengths) if lengths else _TO_THE_END
    if status < 200 or status == 204 or status == 304 or method == b"HEAD":
        if status == 204 and (codings or framing.length > 0):
            raise BadMessage(502, "a 204 with a body")
        return _NO_BODY
    return framing


class ChunkedDecoder:
    """Decodes a chunked body (RFC 9112 §7.1); holds no more than a line between two feeds.

    Attributes:
        finished: whether the body has ended. Then `rest` is what came behind it, and `trailers` are its fields as
            (name, value) pairs.
    """

    __slots__ = (
        "_extensions",
        "_held",
        "_left",
        "_trailer_bytes",
        "_trailing",
        "finished",
        "rest",
        "trailers",
    )

    def __init__(self) -> None:
        self._held = b""
        self._left = 0
        """Bytes of the present chunk to come, its CRLF included; 0 where a size line is due."""
        self._extensions = 0
        self._trailing = False
        self._trailer_bytes = 0
        self.finished = False
        self.rest = b""
        self.trailers: list[tuple[bytes, bytes]] = []

    def feed(self, data: bytes) -> bytes:
        """Take bytes off the wire and give the content among them, perhaps none.

        Raises:
            BadMessage: 400. What follows on this connection cannot be trusted.
        """
        if self._held:
            data, self._held = self._held + data, b""
        parts: list[bytes] = []
        at = self._take_chunk(data, 0, parts) if self._left else 0
        if not self._left and not self._trailing:
            at = self._take_chunks(data, at, parts)
        if self._trailing:
            self._take_trailers(data, at)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _take_chunks(self, data: bytes, at: int, parts: list[bytes]) -> int:
        """Take chunks as long as they are whole, and the start of the next."""
        while True:
            match = _SIZE_LINE(data, at)
            if match is None:
                self._hold(data, at, _MOST_SIZE_LINE, "chunk size")
                return len(data)
            start = match.end()
            beyond = start - 2 - match.end(1)
            if beyond:
                self._count_extension(start - 2 - at, beyond)
            size = int(match[1], 16)
            if not size:
                self._trailing = True
                return start
            end = start + size
            if data[end : end + 2] != b"\r\n":
                self._left = size + 2
                return self._take_chunk(data, start, parts)
            parts.append(data[start:end])
            at = end + 2

    def _take_chunk(self, data: bytes, at: int, parts: list[bytes]) -> int:
        """Take what is there of a chunk; the CRLF behind it is checked whole."""
        size = self._left - 2
        if size > 0:
            part = data[at : at + size] if at or len(data) > size else data
            if part:
                parts.append(part)
            at += len(part)
            self._left -= len(part)
            if self._left > 2:
                return at
        end = data[at : at + 2]
        if not b"\r\n".startswith(end):
            raise BadMessage(400, "a chunk that is longer than its size")
        if len(end) < 2:
            self._held = end
            return at
        self._left = 0
        return at + 2

    def _take_trailers(self, data: bytes, at: int) -> None:
        """Take the fields behind the last chunk, and the empty line that ends them."""
        while not data.startswith(b"\r\n", at):
            match = _TRAILER(data, at)
            if match is None:
                self._hold(data, at, _MOST_TRAILERS - self._trailer_bytes, "trailer field")
                return
            self._trailer_bytes += match.end() - at
            self.trailers.append((match[1], match[2].strip(b" \t")))
            if len(self.trailers) > _MOST_TRAILER_FIELDS or self._trailer_bytes > _MOST_TRAILERS:
                raise BadMessage(400, "too many trailer fields")
            at = match.end()
        self.finished = True
        self.rest = data[at + 2 :]

    def _hold(self, data: bytes, at: int, most: int, what: str) -> None:
        """Keep a line that has not come whole; refuse one that cannot become right."""
        line = data[at : at + most + 2]
        end = line.find(b"\r")
        if b"\n" in line or 0 <= end < len(line) - 1:
            raise BadMessage(400, f"a malformed {what}")
        if len(line) - (end >= 0) > most:
            raise BadMessage(400, f"a {what} that is too long")
        self._held = line

    def _count_extension(self, line: int, size: int) -> None:
        self._extensions += size
        if line > _MOST_SIZE_LINE or self._extensions > _MOST_EXTENSIONS:
            raise BadMessage(400, "too many chunk extensions")


def encode_chunk(data: bytes) -> bytes:
    """Frame one chunk; never call it with nothing, which would end the body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def encode_trailers(trailers: Iterable[Field]) -> bytes:
    """Frame the end of a chunked body."""
    return b"0\r\n%b\r\n" % b"".join([row.raw for row in trailers])


def _counted(lengths: list[bytes]) -> Framing:
    if len(lengths) > 1:
        raise BadMessage(400, "two Content-Length fields")
    return _framing_of(lengths[0])


@lru_cache(maxsize=1024)
def _framing_of(length: bytes) -> Framing:
    """Read a length; remembered, as most of them come again."""
    if _LENGTH(length) is None or (count := int(length)) > _LARGEST:
        raise BadMessage(400, "a malformed Content-Length")
    return Framing(LENGTH, count)


def _check_codings(minor: bytes, lengths: list[bytes], codings: list[bytes], *, unknown: int) -> None:
    """Let nothing pass but a lone `chunked` (RFC 9112 §6.1, §7)."""
    if lengths:
        raise BadMessage(400, "Transfer-Encoding beside Content-Length")
    if minor == b"0":
        raise BadMessage(400, "Transfer-Encoding in HTTP/1.0")
    if len(codings) > 1:
        raise BadMessage(400, "two Transfer-Encoding fields")
    coding = codings[0].lower()
    if coding == b"chunked":
        return
    names = [name.strip(b" \t") for name in coding.split(b",")]
    if b"chunked" in names[:-1] or not all(map(_TOKEN, names)):
        raise BadMessage(400, "a malformed Transfer-Encoding")
    raise BadMessage(unknown, "a transfer coding other than chunked")
