"""Fields: the header section of a message, as values that never change.

A `Field` is one line; `Fields` is a row of them that remembers its rendered bytes, so that a section nobody
edits is written without being rendered again. An edit makes a new one, and is itself remembered on the
section it edited: the same section through the same edit costs one comparison.

What a field means to a proxy is its `kind`, looked up once by name. Kinds from `TAKEN` on never reach a
filter or the other side: they belong to one connection (RFC 9110 §7.6.1), or say how the message is framed,
or are ours to say (X-Forwarded-*, Client-Cert).
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import itemgetter

from netfront.errors import BadMessage

__all__ = [
    "CODING",
    "CONNECTION",
    "COOKIE",
    "CREDENTIALS",
    "DATE",
    "DESTINATION",
    "EMPTY",
    "EXPECT",
    "FORWARDED",
    "HIDDEN",
    "HOP",
    "HOST",
    "ID",
    "IDENTITY",
    "LENGTH",
    "LITERAL",
    "LOCATION",
    "OVERRIDE",
    "PLAIN",
    "REQUEST_KINDS",
    "RESPONSE_KINDS",
    "SEVERAL",
    "TAKEN",
    "TE",
    "TRAILER_REFUSED",
    "UPGRADE",
    "Edit",
    "Field",
    "FieldMemory",
    "Fields",
    "Layout",
    "dashed",
    "field",
    "is_source",
    "stays",
    "trailer_fields",
]

PLAIN = 0
DATE, HIDDEN, LOCATION, COOKIE, ID, CREDENTIALS, OVERRIDE = 1, 2, 3, 4, 5, 6, 8
"""Kinds that stay in the section but that somebody asks for: Date; Server and X-Powered-By; fields that may
name the backend; Set-Cookie; X-Request-Id, in the spelling too that is the same to CGI; Authorization; what some
frameworks heed in place of the request line."""
SEVERAL = 1 << 7
"""Beside the bits of kinds: there are several fields of CREDENTIALS, of those that were received."""
TAKEN = 10
HOST, LENGTH, CODING, CONNECTION, EXPECT, UPGRADE, TE, HOP, FORWARDED, IDENTITY, _LOOKALIKE = range(10, 21)
LITERAL = frozenset({HOST, CODING, CONNECTION, EXPECT, UPGRADE, TE})
"""Kinds of which each byte decides what a message means."""

_HOP_BY_HOP = (b"keep-alive", b"proxy-connection", b"http2-settings")
_IDS = (b"x-request-id", b"x_request_id")
_OVERRIDES = (
    b"x-original-url", b"x-rewrite-url", b"x-override-url", b"x-original-uri", b"x-waws-unencoded-url",
    b"unencoded-url", b"x-http-destinationurl", b"x-original-path", b"x-rewrite-path", b"x-http-path-override",
    b"x-http-method-override", b"x-http-method", b"x-method-override", b"x-original-method",
    # of Swift: where the paths of others begin, and what is linked to, put together of others, or kept elsewhere
    b"destination-account", b"x-copy-from-account", b"x-symlink-target-account", b"x-symlink-target",
    b"x-object-manifest", b"x-versions-location", b"x-history-location", b"x-oss-symlink-target",
)  # fmt: skip
DESTINATION = b"destination"
"""Where COPY and MOVE write (RFC 4918 §10.3)."""
_COPY_FROM = b"x-copy-from"
_SOURCES = (b"-copy-source", b"-rename-source", b"-move-source")
"""How fields end in which stores of objects are told what to copy or move: x-amz-copy-source, x-ms-rename-source."""
_OF_THE_WAY = (
    b"x-real-ip", b"x-scheme",
    b"script-name", b"path-info", b"x-script-name", b"daphne-root-path",  # where an application begins in a path
    b"x-sendfile-type", b"x-accel-mapping",  # what a proxy does with the name of a file
)  # fmt: skip
"""What only a proxy says: servers go by it (gunicorn heeds SCRIPT_NAME of a peer on loopback, and cuts it off)."""
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
    **dict.fromkeys(_OF_THE_WAY, FORWARDED),
    b"client-cert": IDENTITY,
    b"client-cert-chain": IDENTITY,
    b"x-client-subject": IDENTITY,
    b"authorization": CREDENTIALS,
    **dict.fromkeys(_IDS, ID),
    **dict.fromkeys((*_OVERRIDES, DESTINATION, _COPY_FROM), OVERRIDE),
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
    **dict.fromkeys(_IDS, ID),
}
TRAILER_REFUSED = frozenset(
    {*REQUEST_KINDS, *RESPONSE_KINDS, b"content-encoding", b"content-type", b"content-range", b"trailer"}
    | {b"cookie", b"cache-control", b"max-forwards"}
)
"""Fields that a trailer section may not carry (RFC 9110 §6.5.1): framing, routing, authentication, handling, and the
name of the request, which is settled with its head."""


def stays(name: bytes) -> bool:
    """Tell whether a field of a request, by its name in lower case, stays in the section for whoever looks for it."""
    kind = REQUEST_KINDS.get(name, PLAIN)
    return kind in (PLAIN, CREDENTIALS, OVERRIDE) and not name.startswith(b"x-forwarded-")


_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):([\t\x20-\x7e\x80-\xff]*)").fullmatch
_LONGEST_REMEMBERED = 2048
_GENERATION_BYTES = 1 << 20
_SIGHTS = 8192
_NAMES = 1024
_LONGEST_NAME = 64
_NAMES_ASKED = 64
_SPACE = 0x20


class Field:
    """One field line. `name` is in lower case; `raw` is the line as we write it, CRLF included.

    `key` is what a head's shape (wire.shape) goes by: the whole line where each byte of it counts, else its name as it
    came; empty where the line came in another spelling than `raw`.
    """

    __slots__ = ("key", "kind", "name", "raw", "value")

    def __init__(self, name: bytes, value: bytes, raw: bytes, kind: int, key: bytes = b"") -> None:
        self.name = name
        self.value = value
        self.raw = raw
        self.kind = kind
        self.key = key

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


def dashed(name: bytes) -> bytes:
    """Give, of a name in lower case, the one spelling of all that a backend may take for the same.

    CGI and WSGI read X_User as X-User; for PHP `.` is `_` too, and some servers make that of all punctuation.
    """
    return name.translate(_DASHES)


_DASHES = bytes(byte if chr(byte).isalnum() and byte < 0x80 else 0x2D for byte in range(256))


class Edit:
    """A change to a section: which rows it drops, and which it adds at the end. Known again by identity.

    Args:
        names: in lower case; all rows of these names go.
        spelt: rows go whose name is one of these to some backend, as `dashed` gives them.
        kept: names that stay nevertheless.
        every: all rows go.
        kinds: all rows of these go, a bit each (`1 << HIDDEN`); never those that are PLAIN.
    """

    __slots__ = ("added", "added_kinds", "drops", "every", "kept", "kinds", "names", "spelt", "tail")

    def __init__(
        self,
        *,
        names: Iterable[bytes] = (),
        spelt: Iterable[bytes] = (),
        kept: Iterable[bytes] = (),
        every: bool = False,
        kinds: int = 0,
        added: Iterable[Field] = (),
    ) -> None:
        self.names = frozenset(names)
        self.spelt = frozenset(spelt)
        self.kept = frozenset(kept)
        self.every = every
        self.kinds = kinds
        self.added = tuple(added)
        drops = self.names, self.spelt, self.kept, every, kinds
        self.drops = drops if self.names or self.spelt or every or kinds else None
        self.tail = b"".join([row.raw for row in self.added])
        self.added_kinds = _kinds(self.added)

    def adding(self, added: Iterable[Field]) -> "Edit":
        """Give the edit that drops the same, and adds these."""
        return Edit(
            names=self.names,
            spelt=self.spelt,
            kept=self.kept,
            every=self.every,
            kinds=self.kinds,
            added=added,
        )

    def keeps(self, row: Field) -> bool:
        """Tell whether a row stays."""
        if self.every or row.name in self.names or (row.kind != PLAIN and self.kinds >> row.kind & 1):
            return False
        return not self.spelt or row.name in self.kept or dashed(row.name) not in self.spelt


class Layout:
    """Which parts of a head of known shape make up a section: (place among the parts, a row like the one there)."""

    __slots__ = ("_found", "_narrowed", "kinds", "names", "places", "take")

    def __init__(self, places: Sequence[tuple[int, Field]]) -> None:
        self.places = places
        self.kinds = _kinds([row for _, row in places])
        self.names = frozenset([row.name for _, row in places])
        self.take: Callable[[tuple[bytes, ...]], Iterable[bytes]]
        if len(places) > 1:
            self.take = itemgetter(*[at for at, _ in places])
        else:
            only = [at for at, _ in places]
            self.take = lambda parts: [parts[at] for at in only]
        self._narrowed: dict[object, Layout] = {}
        """By what an edit drops; the edits are those of flags, so they are few."""
        self._found: dict[bytes, tuple[int, ...]] = {}

    def at(self, name: bytes) -> tuple[int, ...]:
        """Give the places of all parts of this name. What is asked for is remembered: filters ask for few names."""
        found = self._found.get(name)
        if found is None:
            found = tuple([at for at, row in self.places if row.name == name])
            if len(self._found) < _NAMES_ASKED:
                self._found[name] = found
        return found

    def without(self, edit: Edit) -> "Layout":
        """Give what an edit leaves of it."""
        if edit.drops is None:
            return self
        known = self._narrowed.get(edit.drops)
        if known is None:
            known = Layout([place for place in self.places if edit.keeps(place[1])])
            self._narrowed[edit.drops] = known
        return known


class Fields:
    """A row of fields: immutable, and remembers how it is written and what the last edit made of it.

    A section of a head whose shape is known (`laid_out`) is not taken apart until somebody looks at a field.

    Args:
        kinds: where they are known already.
    """

    __slots__ = (
        "_added", "_added_kinds", "_edit", "_edited", "_layout", "_parts", "_rendered", "_rows", "_tail", "kinds",
    )  # fmt: skip
    _layout: Layout
    _parts: tuple[bytes, ...]
    _added: tuple[Field, ...]
    _tail: bytes
    _added_kinds: int
    _edited: "Fields"

    def __init__(self, rows: Iterable[Field] = (), kinds: int = -1) -> None:
        self._rows: tuple[Field, ...] | None = tuple(rows)
        self._rendered: bytes | None = None
        self.kinds = kinds if kinds >= 0 else _kinds(self._rows)
        """The kinds among the fields, a bit each (`1 << HIDDEN`), and SEVERAL: whether there is work for a filter."""
        self._edit: Edit | None = None

    @classmethod
    def laid_out(
        cls,
        layout: Layout,
        parts: tuple[bytes, ...],
        added: tuple[Field, ...] = (),
        tail: bytes = b"",
        added_kinds: int = 0,
    ) -> "Fields":
        """Make a section of the parts of a head, which are field lines with their CRLF.

        Args:
            added: further fields, and how they are written together.
            added_kinds: the kinds among those, or more.
        """
        section = cls.__new__(cls)
        section._layout = layout
        section._parts = parts
        section._added = added
        section._tail = tail
        section._rows = section._rendered = section._edit = None
        section._added_kinds = added_kinds
        section.kinds = layout.kinds | added_kinds
        return section

    @classmethod
    def of(cls, *pairs: tuple[bytes, bytes]) -> "Fields":
        """Make a section from (name, value) pairs."""
        return cls([field(name, value) for name, value in pairs])

    @property
    def rows(self) -> tuple[Field, ...]:
        """The fields, in order."""
        rows = self._rows
        if rows is None:
            parts = self._parts
            laid = [
                Field(row.name, parts[at][len(row.name) + 2 : -2], parts[at], row.kind, row.key)
                for at, row in self._layout.places
            ]
            rows = self._rows = (*laid, *self._added)
        return rows

    @property
    def rendered(self) -> bytes:
        """The field lines as they are written, without the empty line that ends them."""
        rendered = self._rendered
        if rendered is None:
            if self._rows is None:
                rendered = b"".join(self._layout.take(self._parts)) + self._tail
            else:
                rendered = b"".join([row.raw for row in self._rows])
            self._rendered = rendered
        return rendered

    def get(self, name: bytes) -> bytes | None:
        """Give the value of the first field of this name (lower case), or None."""
        rows = self._rows
        if rows is None:
            for at in self._layout.at(name):
                return self._parts[at][len(name) + 2 : -2]
            rows = self._added
        for row in rows:
            if row.name == name:
                return row.value
        return None

    def get_all(self, name: bytes) -> list[bytes]:
        """Give the values of every field of this name (lower case), in order."""
        rows, values = self._rows, []
        if rows is None:
            values = [self._parts[at][len(name) + 2 : -2] for at in self._layout.at(name)]
            rows = self._added
        for row in rows:
            if row.name == name:
                values.append(row.value)
        return values

    def has_any(self, names: frozenset[bytes]) -> bool:
        """Tell whether there is a field of any of these names (lower case); takes nothing apart."""
        rows = self._rows
        if rows is None:
            if not names.isdisjoint(self._layout.names):
                return True
            rows = self._added
        return any(row.name in names for row in rows)

    def plus(self, *added: Field) -> "Fields":
        """Give the section with these fields at its end."""
        return self.edited(Edit(added=added))

    def edited(self, edit: Edit) -> "Fields":
        """Give the section as an edit leaves it; the last one is remembered."""
        if self._edit is not edit:
            if self._rows is None:
                added, tail = edit.added, edit.tail
                if self._added:
                    added = (*[row for row in self._added if edit.keeps(row)], *added)
                    tail = b"".join([row.raw for row in added])
                kinds = self._added_kinds | edit.added_kinds
                self._edited = Fields.laid_out(self._layout.without(edit), self._parts, added, tail, kinds)
            else:
                rows = self._rows
                if edit.drops is None:
                    self._edited = Fields(rows + edit.added, self.kinds | edit.added_kinds)
                else:
                    self._edited = Fields((*[row for row in rows if edit.keeps(row)], *edit.added))
            self._edit = edit
        return self._edited

    def __iter__(self) -> Iterator[Field]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return f"Fields{self.rows!r}"


def _kinds(rows: Iterable[Field]) -> int:
    kinds = 0
    for row in rows:
        if row.kind:
            if row.kind == CREDENTIALS and kinds >> CREDENTIALS & 1:
                kinds |= SEVERAL
            kinds |= 1 << row.kind
    return kinds


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
        self._names: dict[bytes, tuple[bytes, int, bytes]] = {}
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
        lower, kind, spelt = self._names.get(name) or self._name(name)
        if len(rest) == len(value) + 1 and rest[0] == _SPACE and value:
            return Field(lower, value, line + b"\r\n", kind, line if kind in LITERAL else spelt)
        return Field(lower, value, b"%b: %b\r\n" % (name, value), kind)

    def _name(self, name: bytes) -> tuple[bytes, int, bytes]:
        """Tell a name in lower case, its kind, and the name itself; remembered for a bounded number of them."""
        lower = name.lower()
        kind = self._kinds.get(lower, PLAIN)
        if kind == PLAIN and self._asks:
            kind = _kind_of_spelling(lower)
        if kind == _LOOKALIKE:
            raise BadMessage(400, "a framing field spelt with an underscore")
        if self._remembers and len(name) <= _LONGEST_NAME:
            if len(self._names) >= _NAMES:
                self._names.clear()
            self._names[name] = lower, kind, name
        return lower, kind, name


def is_source(name: bytes) -> bool:
    """Tell whether a field, by its name as `dashed` gives it, names what is to be copied or moved."""
    return name == _COPY_FROM or (name.startswith(b"x-") and name.endswith(_SOURCES))


def _kind_of_spelling(lower: bytes) -> int:
    """Tell the kind of a request field whose name some backends read as another (see `dashed`)."""
    spelt = dashed(lower)
    if spelt.startswith(b"x-forwarded-"):
        return FORWARDED
    kind = OVERRIDE if is_source(spelt) else REQUEST_KINDS.get(spelt, PLAIN)
    if kind in (LENGTH, CODING, HOST):
        return _LOOKALIKE if b"_" in lower else PLAIN
    return kind


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
