"""Fields: the header section of a message, as values that never change.

A `Field` is one line; `Fields` is a row of them that remembers its rendered bytes, so that a section nobody
edits is written without being rendered again. An edit makes a new one, and is itself remembered on the
section it edited: the same section through the same edit costs one comparison.

What a field means to a proxy is its `kind`, looked up once by name. Kinds from `TAKEN` on never reach a
filter or the other side: they belong to one connection (RFC 9110 §7.6.1), or say how the message is framed,
or are ours to say (X-Forwarded-*, Client-Cert).
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping

from netfront.errors import BadMessage

__all__ = [
    "CODING",
    "CONNECTION",
    "COOKIE",
    "DATE",
    "EMPTY",
    "EXPECT",
    "FORWARDED",
    "HIDDEN",
    "HOP",
    "HOST",
    "IDENTITY",
    "LENGTH",
    "LOCATION",
    "PLAIN",
    "REQUEST_KINDS",
    "RESPONSE_KINDS",
    "TAKEN",
    "TE",
    "TRAILER_REFUSED",
    "UPGRADE",
    "Field",
    "FieldMemory",
    "Fields",
    "field",
    "trailer_fields",
]

PLAIN = 0
DATE, HIDDEN, LOCATION, COOKIE = 1, 2, 3, 4
"""Kinds that stay in the section but that somebody asks for: Date; Server and X-Powered-By; fields that may
name the backend; Set-Cookie."""
TAKEN = 10
HOST, LENGTH, CODING, CONNECTION, EXPECT, UPGRADE, TE, HOP, FORWARDED, IDENTITY, _LOOKALIKE = range(10, 21)

_HOP_BY_HOP = (b"keep-alive", b"proxy-connection", b"http2-settings")
REQUEST_KINDS: Mapping[bytes, int] = {
    b"host": HOST,
    b"content-length": LENGTH,
    b"transfer-encoding": CODING,
    b"connection": CONNECTION,
    b"expect": EXPECT,
    b"upgrade": UPGRADE,
    b"te": TE,
    **dict.fromkeys(_HOP_BY_HOP, HOP),
    b"proxy-authorization": HOP,
    b"proxy": HOP,  # not a field of HTTP, but an environment variable in CGI: CVE-2016-5385
    b"forwarded": FORWARDED,
    b"x-real-ip": FORWARDED,
    b"client-cert": IDENTITY,
    b"client-cert-chain": IDENTITY,
    b"x-client-subject": IDENTITY,
}
RESPONSE_KINDS: Mapping[bytes, int] = {
    b"content-length": LENGTH,
    b"transfer-encoding": CODING,
    b"connection": CONNECTION,
    b"upgrade": UPGRADE,
    **dict.fromkeys(_HOP_BY_HOP, HOP),
    b"proxy-authenticate": HOP,
    b"date": DATE,
    b"server": HIDDEN,
    b"x-powered-by": HIDDEN,
    b"location": LOCATION,
    b"content-location": LOCATION,
    b"refresh": LOCATION,
    b"set-cookie": COOKIE,
}
TRAILER_REFUSED = frozenset(
    {*REQUEST_KINDS, *RESPONSE_KINDS, b"content-encoding", b"content-type", b"content-range", b"trailer"}
    | {b"authorization", b"cookie", b"cache-control", b"max-forwards"}
)
"""Fields that a trailer section may not carry (RFC 9110 §6.5.1): framing, routing, authentication, handling."""

_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):([\t\x20-\x7e\x80-\xff]*)").fullmatch
_LONGEST_REMEMBERED = 2048
_GENERATION_BYTES = 1 << 20
_SIGHTS = 8192
_NAMES = 1024
_LONGEST_NAME = 64
_SPACE = 0x20


class Field:
    """One field line. `name` is in lower case; `raw` is the line as we write it, CRLF included."""

    __slots__ = ("kind", "name", "raw", "value")

    def __init__(self, name: bytes, value: bytes, raw: bytes, kind: int) -> None:
        self.name = name
        self.value = value
        self.raw = raw
        self.kind = kind

    def __repr__(self) -> str:
        return f"<{self.name.decode('latin-1')}: {self.value.decode('latin-1')}>"


def field(name: bytes, value: bytes) -> Field:
    """Make a field of our own, or one given on the command line.

    Raises:
        ValueError: a byte that cannot stand in a field (RFC 9110 §5.1, §5.5).
    """
    raw = b"%b: %b" % (name, value)
    if _LINE(raw) is None:
        raise ValueError(f"not a field: {raw!r}")
    return Field(name.lower(), value.strip(b" \t"), raw + b"\r\n", PLAIN)


class Fields:
    """A row of fields: immutable, and remembers how it is written and what the last edit made of it.

    Args:
        kinds: where they are known already.
    """

    __slots__ = ("_edit", "_edited", "_rendered", "kinds", "rows")

    def __init__(self, rows: Iterable[Field] = (), kinds: int = -1) -> None:
        self.rows: tuple[Field, ...] = tuple(rows)
        self._rendered: bytes | None = None
        if kinds < 0:
            kinds = 0
            for row in self.rows:
                if row.kind:
                    kinds |= 1 << row.kind
        self.kinds = kinds
        """The kinds among the fields, a bit each (`1 << HIDDEN`): whether there is work for a filter at all."""
        self._edit: object = None
        self._edited: Fields | None = None

    @classmethod
    def of(cls, *pairs: tuple[bytes, bytes]) -> "Fields":
        """Make a section from (name, value) pairs."""
        return cls([field(name, value) for name, value in pairs])

    @property
    def rendered(self) -> bytes:
        """The field lines as they are written, without the empty line that ends them."""
        rendered = self._rendered
        if rendered is None:
            rendered = self._rendered = b"".join([row.raw for row in self.rows])
        return rendered

    def get(self, name: bytes) -> bytes | None:
        """Give the value of the first field of this name (lower case), or None."""
        for row in self.rows:
            if row.name == name:
                return row.value
        return None

    def get_all(self, name: bytes) -> list[bytes]:
        """Give the values of every field of this name (lower case), in order."""
        return [row.value for row in self.rows if row.name == name]

    def plus(self, *added: Field) -> "Fields":
        """Give the section with these fields at its end."""
        return Fields(self.rows + added, self.kinds)

    def edited(self, edit: Callable[["Fields"], "Fields"]) -> "Fields":
        """Give `edit(self)`, remembered: `edit` must be pure, and is known again by identity."""
        if self._edit is not edit:
            self._edited = edit(self)
            self._edit = edit
        assert self._edited is not None
        return self._edited

    def __iter__(self) -> Iterator[Field]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return f"Fields{self.rows!r}"


EMPTY = Fields()


class FieldMemory:
    """A bounded table from a raw field line to its `Field`: what a line means does not depend on the others.

    A line is kept from its second sight on, so a stream of lines that never come back displaces nothing, in
    two generations of `_GENERATION_BYTES` each. With `remembers=False` every line is parsed: the same answers,
    which a test shows.
    """

    def __init__(self, kinds: Mapping[bytes, int], *, remembers: bool = True) -> None:
        self._kinds = kinds
        self._asks = kinds is REQUEST_KINDS
        self._remembers = remembers
        self._recent: dict[bytes, Field] = {}
        self._older: dict[bytes, Field] = {}
        self._recent_bytes = 0
        self._names: dict[bytes, tuple[bytes, int]] = {}
        self._seen: set[int] = set()

    def fields(self, lines: list[bytes]) -> list[Field]:
        """Parse field lines, each without its CRLF.

        Raises:
            BadMessage: 400, a line that is no field line (RFC 9112 §5), folded ones included.
        """
        known = list(map(self._recent.get, lines))
        while None in known:
            at = known.index(None)
            known[at] = self._look(lines[at])
        return known  # type: ignore[return-value]  # None is in it no more

    def _look(self, line: bytes) -> Field:
        known = self._older.get(line)
        if known is None:
            known = self._parse(line)
            if not self._remembers or len(line) > _LONGEST_REMEMBERED:
                return known
            sight = hash(line)
            if sight not in self._seen:
                if len(self._seen) >= _SIGHTS:
                    self._seen.clear()
                self._seen.add(sight)
                return known
        self._recent[line] = known
        self._recent_bytes += len(line)
        if self._recent_bytes > _GENERATION_BYTES:
            self._older, self._recent, self._recent_bytes = self._recent, {}, 0
        return known

    def _parse(self, line: bytes) -> Field:
        match = _LINE(line)
        if match is None:
            raise BadMessage(400, "a malformed field line")
        name, rest = match.groups()
        value = rest.strip(b" \t")
        lower, kind = self._names.get(name) or self._name(name)
        is_canonical = len(rest) == len(value) + 1 and rest[0] == _SPACE
        raw = line + b"\r\n" if is_canonical else b"%b: %b\r\n" % (name, value)
        return Field(lower, value, raw, kind)

    def _name(self, name: bytes) -> tuple[bytes, int]:
        """Tell a name in lower case and its kind; remembered for a bounded number of them."""
        lower = name.lower()
        kind = self._kinds.get(lower, PLAIN)
        if kind == PLAIN and self._asks:
            kind = _kind_of_spelling(lower)
        if kind == _LOOKALIKE:
            raise BadMessage(400, "a framing field spelt with an underscore")
        if self._remembers and len(name) <= _LONGEST_NAME:
            if len(self._names) >= _NAMES:
                self._names.clear()
            self._names[name] = lower, kind
        return lower, kind


def _kind_of_spelling(lower: bytes) -> int:
    """Tell the kind of a request field whose name only some backends read as another (CGI: `_` is `-`)."""
    dashed = lower.replace(b"_", b"-")
    if dashed.startswith(b"x-forwarded-"):
        return FORWARDED
    kind = REQUEST_KINDS.get(dashed, PLAIN) if dashed is not lower else PLAIN
    return _LOOKALIKE if kind in (LENGTH, CODING, HOST) else kind


def trailer_fields(pairs: Iterable[tuple[bytes, bytes]], *, asks: bool) -> Fields:
    """Make the trailer section to be forwarded: those fields that may stand in one (RFC 9110 §6.5.1).

    Args:
        asks: whether they belong to a request; then also nothing is let through that claims who the client is.
    """
    kept = []
    for name, value in pairs:
        lower = name.lower()
        if lower not in TRAILER_REFUSED and not (asks and _kind_of_spelling(lower)):
            kept.append(field(name, value))
    return Fields(kept) if kept else EMPTY
