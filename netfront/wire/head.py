"""Heads: the start line and field section of a message, parsed strictly or refused (RFC 9112 §2-5).

A head is split at CRLF; each line is looked up or matched whole by one pattern (`FieldMemory`); what the lines
mean together (Host, Connection, framing) is worked out anew for each head that differs from the last one on
its connection. Two things are remembered, each immutable and invisible in what comes out:

- *The same connection, the same section*: a client mostly repeats its fields. The next request is then one
  `endswith` and one match of the method and target before it. This is sound because that pattern admits no CR
  or LF, and the section remembered begins with the version and the CRLF that ends the request line.
- *The same backend connection, the same head*: likewise with `startswith`.

And where only plain lines differ from the last head's, what its other lines mean together holds again: they have to be
the very same `Field`s in the same order, and none of them may nominate others.

What is ambiguous is refused, never repaired: bare LF or CR, folded lines, space before a colon, a second Host.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from netfront.errors import BadMessage
from netfront.wire.fields import (
    CODING,
    CONNECTION,
    DATE,
    EXPECT,
    FORWARDED,
    HOST,
    LENGTH,
    TAKEN,
    TE,
    UPGRADE,
    Field,
    FieldMemory,
    Fields,
)
from netfront.wire.framing import Framing
from netfront.wire.target import parse_authority

__all__ = ["HeadLimits", "RequestBlock", "RequestHeads", "ResponseBlock", "ResponseHead", "ResponseHeads"]


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


class RequestBlock:
    """What the field section of a request says. Immutable.

    Args:
        fields: the end-to-end ones, without Host and without what belongs to this connection.
        host: the value of Host, validated; None only from an HTTP/1.0 client.
        keeps_alive: whether the client wants the connection kept.
    """

    __slots__ = (
        "codings",
        "expects",
        "fields",
        "forwarded",
        "host",
        "keeps_alive",
        "lengths",
        "minor",
        "nominates",
        "special",
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
        self.special = special = [row for row in rows if row.kind]
        nominated: frozenset[bytes] = _NONE
        if special:
            nominated = self._read(special, minor)
            rows = [row for row in rows if not row.kind]
        self.nominates = bool(nominated)
        if nominated:
            rows = [row for row in rows if row.name not in nominated]
        if self.host is None and minor == b"1":
            raise BadMessage(400, "no Host field")
        self.fields = Fields(rows, 0)

    def says_of(self, rows: list[Field], minor: bytes) -> "RequestBlock | None":
        """Give the block of another section if those of its lines that mean something are the very same."""
        if self.nominates or minor != self.minor or [row for row in rows if row.kind] != self.special:
            return None
        block = RequestBlock.__new__(RequestBlock)
        block.minor = minor
        block.host = self.host
        block.lengths = self.lengths
        block.codings = self.codings
        block.expects = self.expects
        block.upgrade = self.upgrade
        block.takes_trailers = self.takes_trailers
        block.forwarded = self.forwarded
        block.keeps_alive = self.keeps_alive
        block.special = self.special
        block.nominates = False
        block.fields = Fields([row for row in rows if not row.kind], 0)
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
        remembers: whether the last section is kept; the answers are the same without.
    """

    __slots__ = ("_block", "_limits", "_memory", "_remembers", "_scanned", "_section")

    def __init__(self, limits: HeadLimits, memory: FieldMemory, *, remembers: bool = True) -> None:
        self._limits = limits
        self._memory = memory
        self._remembers = remembers
        self._section: bytes | None = None
        self._block: RequestBlock | None = None
        self._scanned = 0

    def parse(self, data: bytes) -> tuple[bytes, bytes, bytes, RequestBlock, bytes] | None:
        """Read one head from the start of `data`.

        Returns:
            method, target as it came, minor version (b"0" or b"1"), what the fields say, and the bytes behind
            the head; None while the head is not whole.
        Raises:
            BadMessage: 400, 414, 417, 431 or 505.
        """
        section = self._section
        if section is not None and data.endswith(section):
            size = len(data) - len(section)
            if size <= self._limits.line and (asked := _ASKED(data, 0, size)) is not None:
                method, target = asked.groups()
                assert self._block is not None
                return method, target, b"1", self._block, b""
        if data.startswith(b"\r\n"):
            data = data[2:]  # RFC 9112 §2.2: one empty line before a request is let pass
        end = data.find(b"\r\n\r\n")
        if end < 0:
            self._check_part(data)
            return None
        self._scanned = 0
        return self._parse_whole(data, end)

    def _parse_whole(self, data: bytes, end: int) -> tuple[bytes, bytes, bytes, RequestBlock, bytes]:
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
        rows = self._memory.fields(lines)
        last = self._block
        block = (last.says_of(rows, minor) if last is not None else None) or RequestBlock(rows, minor)
        rest = data[end + 4 :]
        if (
            self._remembers
            and not rest
            and minor == b"1"
            and end - len(line) < _REMEMBERED
            and not block.lengths
            and not block.codings
        ):
            self._section = data[len(line) - len(_HTTP_11) :]
            self._block = block
        return method, target, minor, block, rest

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
    """What the field section of a response says. Immutable."""

    __slots__ = (
        "codings",
        "fields",
        "framing",
        "has_date",
        "keeps_alive",
        "lengths",
        "minor",
        "nominates",
        "special",
        "upgrade",
    )

    def __init__(self, rows: list[Field], minor: bytes) -> None:
        self.minor = minor
        self.nominates = False
        self.framing: Framing | None = None
        """How the body ends where the request was no HEAD: kept by whoever worked it out."""
        self.lengths: list[bytes] = []
        self.codings: list[bytes] = []
        self.upgrade: bytes | None = None
        self.has_date = False
        self.keeps_alive = minor == b"1"
        self.special = special = [row for row in rows if row.kind]
        kinds = 0
        if special:
            options = _NONE
            for row in special:
                kind = row.kind
                kinds |= 1 << kind
                if kind == DATE:
                    self.has_date = True
                elif kind == LENGTH:
                    self.lengths.append(row.value)
                elif kind == CODING:
                    self.codings.append(row.value)
                elif kind == CONNECTION:
                    options |= _options(row.value)
                elif kind == UPGRADE:
                    self.upgrade = row.value
            if kinds >> TAKEN:
                rows = [row for row in rows if row.kind < TAKEN]
            if options:
                rows = self._heed(options, rows, minor)
        self.fields = Fields(rows, kinds & _STAYING)

    def _heed(self, options: frozenset[bytes], rows: list[Field], minor: bytes) -> list[Field]:
        """Heed Connection; give the rows that it does not name."""
        if b"close" in options:
            self.keeps_alive = False
        elif minor == b"0":
            self.keeps_alive = b"keep-alive" in options
        nominated = options - _OWN_OPTIONS
        self.nominates = bool(nominated)
        return [row for row in rows if row.name not in nominated] if nominated else rows

    def says_of(self, rows: list[Field], minor: bytes) -> "ResponseBlock | None":
        """Give the block of another section if those of its lines that mean something are the very same."""
        if self.nominates or minor != self.minor or [row for row in rows if row.kind] != self.special:
            return None
        block = ResponseBlock.__new__(ResponseBlock)
        block.minor = minor
        block.framing = None
        block.lengths = self.lengths
        block.codings = self.codings
        block.upgrade = self.upgrade
        block.has_date = self.has_date
        block.keeps_alive = self.keeps_alive
        block.special = self.special
        block.nominates = False
        block.fields = Fields([row for row in rows if row.kind < TAKEN], self.fields.kinds)
        return block


class ResponseHead:
    """One response head. Immutable."""

    __slots__ = ("block", "minor", "reason", "status")

    def __init__(self, minor: bytes, status: int, reason: bytes, block: ResponseBlock) -> None:
        self.minor = minor
        self.status = status
        self.reason = reason
        self.block = block


class ResponseHeads:
    """Reads the response heads of one backend connection."""

    __slots__ = ("_head", "_limits", "_memory", "_raw", "_remembers", "_scanned")

    def __init__(self, limits: HeadLimits, memory: FieldMemory, *, remembers: bool = True) -> None:
        self._limits = limits
        self._memory = memory
        self._remembers = remembers
        self._raw: bytes | None = None
        self._head: ResponseHead | None = None
        self._scanned = 0

    def parse(self, data: bytes) -> tuple[ResponseHead, bytes] | None:
        """Read one head from the start of `data`; give it and the bytes behind it, or None while not whole.

        Raises:
            BadMessage: the backend speaks nonsense, or too much of it.
        """
        raw = self._raw
        if raw is not None and data.startswith(raw):
            assert self._head is not None
            return self._head, data[len(raw) :]
        end = data.find(b"\r\n\r\n")
        if end < 0:
            self._check_part(data)
            return None
        self._scanned = 0
        lines = data[:end].split(b"\r\n")
        minor, status, reason = _status_line(lines.pop(0))
        _check_size(lines, end, self._limits)
        rows = self._memory.fields(lines)
        last = self._head.block if self._head is not None else None
        block = (last.says_of(rows, minor) if last is not None else None) or ResponseBlock(rows, minor)
        head = ResponseHead(minor, status, reason, block)
        if self._remembers and end < _REMEMBERED:
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
