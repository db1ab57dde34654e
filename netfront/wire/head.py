"""Heads: the start line and field section of a message, parsed strictly or refused (RFC 9112 §2-5).

A head is split at CRLF; each line is looked up or matched whole by one pattern (`FieldMemory`); what the lines
mean together (Host, Connection, framing) is worked out from those that mean anything. Three things are remembered, each
immutable and invisible in what comes out:

- *The same connection, the same section*: a client mostly repeats its fields. The next request is then one
  `endswith` and one match of the method and target before it. This is sound because that pattern admits no CR
  or LF, and the section remembered begins with the version and the CRLF that ends the request line.
- *The same backend connection, the same head*: likewise with `startswith`.
- *The same shape* (wire.shape): the lines are the same but for the values of those that mean nothing to us.

What is ambiguous is refused, never repaired: bare LF or CR, folded lines, space before a colon, a second Host.
"""

import re
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from functools import lru_cache
from typing import Generic, TypeVar

from netfront.errors import BadMessage
from netfront.wire.fields import (
    CODING,
    CONNECTION,
    DATE,
    EXPECT,
    FORWARDED,
    HOST,
    LENGTH,
    REQUEST_KINDS,
    RESPONSE_KINDS,
    TAKEN,
    TE,
    UPGRADE,
    Field,
    FieldMemory,
    Fields,
)
from netfront.wire.framing import Framing
from netfront.wire.shape import SIGHTS, Shape, Shapes
from netfront.wire.target import parse_authority

__all__ = [
    "HeadLimits",
    "HeadMemory",
    "RequestBlock",
    "RequestHeads",
    "ResponseBlock",
    "ResponseHead",
    "ResponseHeads",
    "request_memory",
    "response_memory",
]

B = TypeVar("B")


@dataclass(frozen=True, slots=True)
class HeadLimits:
    """How large a head may be, in bytes and fields. The defaults are nginx's and HAProxy's (FIELD of 2026)."""

    line: int = 8192
    field: int = 8192
    head: int = 32768
    fields: int = 100

    @property
    def cookie(self) -> int:
        """A Cookie line may be twice as long: browsers send several KiB of them."""
        return 2 * self.field

    @property
    def least(self) -> int:
        """Bytes of a head that cannot be too large in any part."""
        return min(self.line, self.field, self.head)


class HeadMemory(Generic[B]):
    """What the heads of many connections have in common: lines, and shapes unless nothing is to be remembered.

    Attributes:
        latest: the section that some connection remembered last, and what it says: a new connection begins with it,
            as a client that opens many mostly says the same on each.
    """

    __slots__ = ("latest", "lines", "shapes")

    def __init__(self, lines: FieldMemory, shapes: Shapes[B] | None) -> None:
        self.lines = lines
        self.shapes = shapes
        self.latest: tuple[bytes, B, Fields] | None = None


_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_ASKED = re.compile(rb"(" + _TOKEN + rb") ([^\x00-\x20\x7f]+)").fullmatch
_REQUEST_LINE = re.compile(rb"(" + _TOKEN + rb") ([^\x00-\x20\x7f]+) HTTP/(\d)\.(\d)").fullmatch
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9]\d\d)(?: ([\t\x20-\x7e\x80-\xff]*))?").fullmatch
_LONE_BREAK = re.compile(rb"(?<!\r)\n|\r(?!\n|\Z)").search
_BEGINS_METHOD = re.compile(_TOKEN + rb"(?: |\Z)|\r\Z").match
"""Or half of the empty line that may stand before."""
_IS_TOKEN = re.compile(_TOKEN).fullmatch
_REMEMBERED = 4096
"""Longest section kept on a connection: an idle one should cost little."""
_HTTP_11 = b" HTTP/1.1"
_REQUEST_START = rb"(" + _TOKEN + rb"+) ([^\x00-\x20\x7f]++) HTTP/1\.1\r\n"
_RESPONSE_START = rb"(HTTP/1\.1 [1-9]\d\d(?: [\t\x20-\x7e\x80-\xff]*+)?)\r\n"


def request_memory(
    kinds: Mapping[bytes, int] = REQUEST_KINDS, *, remembers: bool = True, sights: int = SIGHTS
) -> HeadMemory["RequestBlock"]:
    """Make a memory of request heads; what comes out of them is the same if it remembers nothing.

    Args:
        sights: after how many heads of one shape it is remembered.
    """
    return HeadMemory(
        FieldMemory(kinds, remembers=remembers),
        Shapes(_REQUEST_START, 2, sights=sights) if remembers else None,
    )


def response_memory(*, remembers: bool = True, sights: int = SIGHTS) -> HeadMemory["ResponseBlock"]:
    """Make a memory of response heads; see `request_memory`."""
    lines = FieldMemory(RESPONSE_KINDS, remembers=remembers)
    return HeadMemory(lines, Shapes(_RESPONSE_START, 1, sights=sights) if remembers else None)


class RequestBlock:
    """What the field section of a request means to us. Immutable.

    Args:
        rows: all fields of the section.
        minor: b"0" or b"1", of the version.

    Attributes:
        host: the value of Host, validated; None only from an HTTP/1.0 client.
        keeps_alive: whether the client wants the connection kept.
        nominated: names that Connection gives to this connection alone.
    """

    __slots__ = (
        "codings",
        "expects",
        "forwarded",
        "host",
        "keeps_alive",
        "lengths",
        "minor",
        "nominated",
        "takes_trailers",
        "upgrade",
    )

    def __init__(self, rows: list[Field], minor: bytes) -> None:
        self.minor = minor
        self.host: bytes | None = None
        self.lengths: list[bytes] = []
        self.codings: list[bytes] = []
        self.expects = False
        self.upgrade: bytes | None = None
        self.takes_trailers = False
        self.forwarded: tuple[Field, ...] = ()
        self.keeps_alive = minor == b"1"
        self.nominated = self._read([row for row in rows if row.kind], minor)
        if self.host is None and minor == b"1":
            raise BadMessage(400, "no Host field")

    def fields(self, rows: list[Field]) -> Fields:
        """Give the end-to-end fields: without Host and without what belongs to this connection."""
        nominated = self.nominated
        if nominated:
            return Fields([row for row in rows if row.kind < TAKEN and row.name not in nominated])
        return Fields([row for row in rows if row.kind < TAKEN])

    def varied(self, lengths: list[bytes], forwarded: tuple[Field, ...]) -> "RequestBlock":
        """Give the block of a section that differs in these values alone."""
        block = copy(self)
        block.lengths = lengths
        block.forwarded = forwarded
        return block

    def _read(self, special: list[Field], minor: bytes) -> frozenset[bytes]:
        """Read the fields that are not for the other side; give the names that Connection nominates."""
        options = _NONE
        forwarded: list[Field] = []
        protocols: list[bytes] = []
        for row in special:
            kind = row.kind
            if kind == HOST:
                if self.host is not None:
                    raise BadMessage(400, "two Host fields")
                _check_host(row.value)
                self.host = row.value
            elif kind == CONNECTION:
                options |= _options(row.value)
            elif kind == LENGTH:
                self.lengths.append(row.value)
            elif kind == CODING:
                self.codings.append(row.value)
            elif kind == FORWARDED:
                forwarded.append(row)
            elif kind == EXPECT:
                if row.value.lower() != b"100-continue":
                    raise BadMessage(417, "an expectation other than 100-continue")
                self.expects = minor == b"1"
            elif kind == UPGRADE:
                protocols += [protocol.strip(b" \t") for protocol in row.value.split(b",")]
            elif kind == TE:
                codings = row.value.lower().split(b",")
                self.takes_trailers |= any(coding.strip(b" \t") == b"trailers" for coding in codings)
        self.forwarded = tuple(forwarded)
        if b"close" in options:
            self.keeps_alive = False
        elif minor == b"0":
            self.keeps_alive = b"keep-alive" in options
        if b"upgrade" in options and minor == b"1":
            wanted = [
                protocol for protocol in protocols if protocol and not protocol.lower().startswith(b"h2")
            ]
            self.upgrade = b", ".join(wanted) or None
        return options - _OWN_OPTIONS


_NONE: frozenset[bytes] = frozenset()
_STAYING = (1 << TAKEN) - 1


@lru_cache(maxsize=1024)
def _check_host(value: bytes) -> None:
    """Refuse a malformed Host; remembered, as one client repeats it."""
    parse_authority(value)


@lru_cache(maxsize=256)
def _status_line(line: bytes) -> tuple[bytes, int, bytes]:
    """Read a status line: minor version, status, reason (RFC 9112 §4)."""
    match = _STATUS_LINE(line)
    if match is None:
        raise BadMessage(502, "a malformed status line")
    minor, status, reason = match.groups()
    return minor, int(status), reason or b""


_OWN_OPTIONS = frozenset({b"close", b"keep-alive", b"upgrade", b"te", b"http2-settings"})


@lru_cache(maxsize=256)
def _options(value: bytes) -> frozenset[bytes]:
    """Split a Connection field (RFC 9110 §7.6.1)."""
    options = frozenset(option.strip(b" \t") for option in value.lower().split(b",")) - {b""}
    for option in options:
        if _IS_TOKEN(option) is None:
            raise BadMessage(400, "a malformed Connection field")
    return options


class RequestHeads:
    """Reads the request heads of one connection.

    Args:
        memory: shared by all connections.
    """

    __slots__ = (
        "_block",
        "_fields",
        "_least",
        "_limits",
        "_match",
        "_memory",
        "_scanned",
        "_section",
        "_shape",
    )

    def __init__(self, limits: HeadLimits, memory: HeadMemory[RequestBlock]) -> None:
        self._limits = limits
        self._least = limits.least
        self._memory = memory
        self._section: bytes | None = None
        self._block: RequestBlock
        self._fields: Fields
        if memory.latest is not None:
            self._section, self._block, self._fields = memory.latest
        self._shape: Shape[RequestBlock] | None = None
        self._scanned = 0

    def parse(self, data: bytes) -> tuple[bytes, bytes, RequestBlock, Fields, bytes] | None:
        """Read one head from the start of `data`.

        Returns:
            method, target as it came, what the fields mean to us, the end-to-end fields, and the bytes behind the
            head; None while the head is not whole.
        Raises:
            BadMessage: 400, 414, 417, 431 or 505.
        """
        section = self._section
        if section is not None and data.endswith(section) and len(data) <= self._least:
            asked = _ASKED(data, 0, len(data) - len(section))
            if asked is not None:
                self._scanned = 0
                method, target = asked.groups()
                return method, target, self._block, self._fields, b""
        shape = self._shape
        if shape is not None and (match := shape.match(data)) is not None:
            size = match.end()
            if size <= self._least:
                self._scanned = 0
                return self._shaped(shape, match.groups(), data, size)
        if data.startswith(b"\r\n"):
            data = data[2:]  # RFC 9112 §2.2: one empty line before a request is let pass
        end = data.find(b"\r\n\r\n")
        if end < 0:
            self._check_part(data)
            return None
        self._scanned = 0
        return self._parse_whole(data, end)

    def _shaped(
        self, shape: Shape[RequestBlock], parts: tuple[bytes, ...], data: bytes, size: int
    ) -> tuple[bytes, bytes, RequestBlock, Fields, bytes]:
        method, target = parts[0], parts[1]
        block, fields = shape.block, shape.fields(parts)
        if shape.varies_meaning:
            block = block.varied(shape.lengths(parts), shape.forwarded(parts))
        if size < len(data):
            return method, target, block, fields, data[size:]
        if size < _REMEMBERED and not block.lengths and not block.codings:
            self._section = data[len(method) + 1 + len(target) :]
            self._block = block
            self._fields = fields
        return method, target, block, fields, b""

    def _parse_whole(self, data: bytes, end: int) -> tuple[bytes, bytes, RequestBlock, Fields, bytes]:
        limits = self._limits
        lines = data[:end].split(b"\r\n")
        line = lines.pop(0)
        if len(line) > limits.line:
            raise BadMessage(414, f"a request line of over {limits.line} bytes")
        match = _REQUEST_LINE(line)
        if match is None:
            raise BadMessage(400, "a malformed request line")
        method, target, major, minor = match.groups()
        if major != b"1" or minor not in b"01":
            raise BadMessage(505, f"HTTP/{major.decode()}.{minor.decode()}")
        _check_size(lines, end, limits)
        rows = self._memory.lines.fields(lines)
        block = RequestBlock(rows, minor)
        fields = block.fields(rows)
        rest = data[end + 4 :]
        shapes = self._memory.shapes
        if shapes is not None and minor == b"1":
            if not block.nominated:
                self._shape = shapes.seen(rows, block)
            if not rest and end - len(line) < _REMEMBERED and not block.lengths and not block.codings:
                self._section = section = data[len(line) - len(_HTTP_11) :]
                self._block = block
                self._fields = fields
                self._memory.latest = section, block, fields
        return method, target, block, fields, rest

    def _check_part(self, data: bytes) -> None:
        """Refuse early what no further byte can mend."""
        limits = self._limits
        if _BEGINS_METHOD(data) is None and data:
            raise BadMessage(400, "not an HTTP request")
        if _LONE_BREAK(data, max(0, self._scanned - 1)) is not None:
            raise BadMessage(400, "a line break that is not CRLF")
        self._scanned = len(data)
        if len(data) > limits.line and data.find(b"\r\n", 0, limits.line + 2) < 0:
            raise BadMessage(414, f"a request line of over {limits.line} bytes")
        if len(data) > limits.head:
            raise BadMessage(431, f"a head of over {limits.head} bytes")


def _check_size(lines: list[bytes], size: int, limits: HeadLimits) -> None:
    """Hold the field lines of a head against the limits (RFC 6585 §5)."""
    if size > limits.head:
        raise BadMessage(431, f"a head of over {limits.head} bytes")
    if len(lines) > limits.fields:
        raise BadMessage(431, f"over {limits.fields} fields")
    if size > limits.field:
        for line in lines:
            if len(line) > limits.field and not (
                len(line) <= limits.cookie and line[:7].lower() == b"cookie:"
            ):
                raise BadMessage(431, f"a field of over {limits.field} bytes")


class ResponseBlock:
    """What the field section of a response means to us, its Content-Length left out. Immutable.

    Args:
        rows: all fields of the section.
        minor: b"0" or b"1", of the version.
    """

    __slots__ = ("codings", "has_date", "keeps_alive", "kinds", "minor", "nominated", "upgrade")

    def __init__(self, rows: list[Field], minor: bytes) -> None:
        self.minor = minor
        self.codings: list[bytes] = []
        self.upgrade: bytes | None = None
        self.nominated: frozenset[bytes] = _NONE
        self.keeps_alive = minor == b"1"
        kinds = 0
        options = _NONE
        for row in rows:
            kind = row.kind
            if kind:
                kinds |= 1 << kind
                if kind == CODING:
                    self.codings.append(row.value)
                elif kind == CONNECTION:
                    options |= _options(row.value)
                elif kind == UPGRADE:
                    self.upgrade = row.value
        self.kinds = kinds
        self.has_date = bool(kinds & 1 << DATE)
        if options:
            if b"close" in options:
                self.keeps_alive = False
            elif minor == b"0":
                self.keeps_alive = b"keep-alive" in options
            self.nominated = options - _OWN_OPTIONS

    def fields(self, rows: list[Field]) -> Fields:
        """Give the end-to-end fields."""
        nominated = self.nominated
        if self.kinds >> TAKEN:
            rows = [row for row in rows if row.kind < TAKEN]
        if nominated:
            return Fields([row for row in rows if row.name not in nominated])
        return Fields(rows, self.kinds & _STAYING)


class ResponseHead:
    """One response head. Immutable.

    Args:
        lengths: the values of Content-Length.

    Attributes:
        framing: how the body ends where the request was no HEAD: kept by whoever worked it out.
    """

    __slots__ = ("block", "fields", "framing", "lengths", "reason", "status")

    def __init__(
        self, status: int, reason: bytes, block: ResponseBlock, fields: Fields, lengths: list[bytes]
    ) -> None:
        self.status = status
        self.reason = reason
        self.block = block
        self.fields = fields
        self.lengths = lengths
        self.framing: Framing | None = None


class ResponseHeads:
    """Reads the response heads of one backend connection.

    Args:
        memory: shared by all connections.
    """

    __slots__ = ("_head", "_least", "_limits", "_memory", "_raw", "_scanned", "_shape")

    def __init__(self, limits: HeadLimits, memory: HeadMemory[ResponseBlock]) -> None:
        self._limits = limits
        self._least = limits.least
        self._memory = memory
        self._raw: bytes | None = None
        self._head: ResponseHead
        self._shape: Shape[ResponseBlock] | None = None
        self._scanned = 0

    def parse(self, data: bytes) -> tuple[ResponseHead, bytes] | None:
        """Read one head from the start of `data`; give it and the bytes behind it, or None while not whole.

        Raises:
            BadMessage: the backend speaks nonsense, or too much of it.
        """
        raw = self._raw
        if raw is not None and data.startswith(raw):
            self._scanned = 0
            return self._head, data[len(raw) :]
        shape = self._shape
        if shape is not None and (match := shape.match(data)) is not None:
            size = match.end()
            if size <= self._least:
                self._scanned = 0
                parts = match.groups()
                _, status, reason = _status_line(parts[0])
                head = ResponseHead(status, reason, shape.block, shape.fields(parts), shape.lengths(parts))
                if size < _REMEMBERED:
                    self._raw, self._head = data[:size], head
                return head, data[size:]
        end = data.find(b"\r\n\r\n")
        if end < 0:
            self._check_part(data)
            return None
        self._scanned = 0
        lines = data[:end].split(b"\r\n")
        minor, status, reason = _status_line(lines.pop(0))
        _check_size(lines, end, self._limits)
        rows = self._memory.lines.fields(lines)
        block = ResponseBlock(rows, minor)
        lengths = [row.value for row in rows if row.kind == LENGTH] if block.kinds & 1 << LENGTH else []
        head = ResponseHead(status, reason, block, block.fields(rows), lengths)
        shapes = self._memory.shapes
        if shapes is not None:
            if minor == b"1" and not block.nominated:
                self._shape = shapes.seen(rows, block)
            if end < _REMEMBERED:
                self._raw, self._head = data[: end + 4], head
        return head, data[end + 4 :]

    def _check_part(self, data: bytes) -> None:
        if not b"HTTP/1.".startswith(data[:7]):
            raise BadMessage(502, "not an HTTP response")
        if _LONE_BREAK(data, max(0, self._scanned - 1)) is not None:
            raise BadMessage(502, "a line break that is not CRLF")
        self._scanned = len(data)
        if len(data) > self._limits.head:
            raise BadMessage(502, f"a head of over {self._limits.head} bytes")
