"""The request target, parsed once (RFC 9112 §3.2), and the forms of it by which decisions are made.

What is forwarded and what is decided by are two readings of the same bytes. `origin_form` is the target as it came.
`normalised` is its path as a server understands it: parameters cut from each segment at `;`, dot segments
resolved, slashes merged, escapes brought into one spelling. What cannot be normalised safely is refused when
somebody asks for that form, and only then: NUL, an escape that is none, a climb above the root, an overlong form of
UTF-8, a dot segment with parameters (some servers cut these before they resolve it, some behind).

A backslash, and a slash, backslash or semicolon that came encoded, is text to one server and a separator to the next:
some decode a path before they take it apart, some send it on decoded to others that do. `readings` gives the normal
form for each way to read them; a caller whose decision differs among them refuses the request.

Nothing is worked out before somebody asks, and the plain path (no `%`, `;`, `\\`, `//` or `/.`) is its own normal form.
"""

import re
from collections.abc import Iterator, Sequence
from ipaddress import AddressValueError, IPv6Address
from itertools import product
from unicodedata import combining, decimal, normalize
from urllib.parse import quote, unquote_to_bytes

from netfront.errors import BadMessage

__all__ = ["Target", "canonical", "host_of", "parse_authority", "parse_target", "read_one_way"]

_ORIGIN = re.compile(rb"/[^\x00-\x20\x7f#]*").fullmatch
_ABSOLUTE = re.compile(rb"([A-Za-z][A-Za-z0-9+.\-]*)://([^/?#\x00-\x20\x7f]*)([^\x00-\x20\x7f#]*)").fullmatch
_AUTHORITY = re.compile(
    rb"((?:[A-Za-z0-9\-._~!$&'()*+,;=]++|%[0-9A-Fa-f]{2})++|\[([0-9A-Fa-f:.]{2,45})\])(?::([0-9]{0,5}))?"
).fullmatch
_PLAIN = re.compile(rb"((?:/[A-Za-z0-9\-_~!$&'()*+,=:@][A-Za-z0-9\-._~!$&'()*+,=:@]*+)*+/?)(?:\?|\Z)").match
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_LITERAL = _UNRESERVED | frozenset(b"!$&'()*+,=:@/;")
_ENCODED_STILL = frozenset(b"/;")
_UNUSUAL = re.compile(rb"(%(?:[0-9A-Fa-f]{2})?|[^A-Za-z0-9\-._~!$&'()*+,=:@/;])").split
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})?")
_OVERLONG = re.compile(rb"%C[01]|%E0%[89]|%F0%8|%F8%8|%FC%8").search
"""Leads of UTF-8 sequences longer than needed. Other bytes that are no UTF-8 pass, as old sites have Latin-1 in paths,
but where a rule guards one: see `settled`."""
_SEPARATORS = (
    (re.compile(rb"%2[Ff]"), b"/"),
    (re.compile(rb"%3[Bb]"), b";"),
    (re.compile(rb"%5[Cc]"), b"/"),
    (re.compile(rb"\\"), b"/"),
)
"""What may be a separator, and which, in the order in which servers come to it."""
_DOUBTFUL = re.compile(rb"%2[Ff]|%3[Bb]|%5[Cc]|\\").findall
_MOST_DOUBTFUL = 256
"""Separators of that kind in a path: to read one of 8 KiB that is full of them in all ways takes 40 ms."""
_MOST_MEANT = 32
"""Normal forms of one path: rules that look at the path are asked of each. Honest ones have four."""
_MOST_READ = 24_576
"""Bytes of a path, times the ways to read each kind of separator in it: one of 8 KiB may have one kind, one of 300
bytes all four. Who mixes them in more means to be misread, or to keep us busy: 8 KiB with all four took 50 ms."""
_PARAMETERS = re.compile(rb";[^/]*")
_NOT_ASCII = re.compile(rb"[\x80-\xff]")
_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]+")
_TOO_MANY_MARKS = bytes([True]) * 31
_UNLIKE_TEXT = re.compile(rb"[%\x80-\xff]").search
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]").search
_MOVING = re.compile(rb"/(?:;|(?:\.|%2[Ee]){1,2}(?:[/;]|\Z))").search
"""Segments that are not there, or move others, once a path is resolved."""


class Target:
    """A request target. Immutable.

    Args:
        raw: as it came.
        form: "origin", "absolute", "asterisk" or "authority".
        origin_form: what is sent on.
        scheme: of an absolute-form, in lower case; None in other forms.
        authority: of an absolute-form, to be used in place of Host (RFC 9112 §3.2.2).
    """

    __slots__ = (
        "_lookalikes",
        "_path",
        "_query",
        "_readings",
        "authority",
        "form",
        "origin_form",
        "raw",
        "scheme",
    )

    def __init__(
        self,
        raw: bytes,
        form: str,
        origin_form: bytes,
        scheme: bytes | None = None,
        authority: bytes | None = None,
    ) -> None:
        self.raw = raw
        self.form = form
        self.origin_form = origin_form
        self.scheme = scheme
        self.authority = authority
        self._path: bytes | None = None
        self._query: bytes | None
        self._readings: tuple[bytes, ...] | None = None
        self._lookalikes: tuple[Target, ...] | None = None

    @property
    def path(self) -> bytes:
        """The path as it came; the whole target in asterisk- and authority-form."""
        path = self._path
        return self._split() if path is None else path

    @property
    def query(self) -> bytes | None:
        """The query as it came, without its question mark; None where there is none."""
        if self._path is None:
            self._split()
        return self._query

    @property
    def normalised(self) -> bytes:
        """The path for decisions.

        Raises:
            BadMessage: 400, it cannot be normalised safely, in one reading or another.
        """
        return (self._readings or self.readings)[0]

    @property
    def readings(self) -> tuple[bytes, ...]:
        """The normal forms that servers may see in it, `normalised` first; mostly there is no other.

        Raises:
            BadMessage: 400, one of them cannot be normalised safely.
        """
        readings = self._readings
        if readings is None:
            plain = _PLAIN(self.origin_form)
            readings = self._readings = (plain[1],) if plain is not None else _read(self.path)
        return readings

    @property
    def resolved(self) -> bytes:
        """The path for a backend that shall see what was decided by: parameters and escapes stay as they came.

        Raises:
            BadMessage: 400, it cannot be normalised safely.
        """
        path = self.path
        if self.readings[0] == path:
            return path
        return _settle(path)

    @property
    def lookalikes(self) -> tuple["Target", ...]:
        """What some servers take it for, by habits of theirs that no other has; mostly nothing.

        Some end the path at the first `;`. Some compare letters and digits by tables of Unicode, without case, where
        `İ` and the sign for Kelvin are letters of ASCII, and `١` is a digit.

        Raises:
            BadMessage: 400, no text has so many combining characters in a row.
        """
        lookalikes = self._lookalikes
        if lookalikes is None:
            path = self.path
            cut = path.partition(b";")[0] or b"/"
            found = dict.fromkeys((cut, *_folded(path), *_folded(cut)))
            found.pop(path, None)
            lookalikes = self._lookalikes = tuple(Target(one, "origin", one) for one in found)
        return lookalikes

    @property
    def meant(self) -> tuple[bytes, ...]:
        """The normal forms of all that servers may take it for: `readings`, and those of `lookalikes`.

        Raises:
            BadMessage: 400, one of them cannot be normalised safely, or there are very many.
        """
        if _PLAIN(self.origin_form) is not None:
            return self.readings
        others = (reading for one in self.lookalikes for reading in one.readings)
        meant = tuple(dict.fromkeys((*self.readings, *others)))
        if len(meant) > _MOST_MEANT:
            raise BadMessage(400, "a path that can be read in very many ways")
        return meant

    def settled(self) -> "Target":
        """Give the target that is sent on in place of this one where a backend shall see what was decided by.

        Its path is text without controls. To some servers a line feed at the end is no part of it (`$` of a regular
        expression matches before one), and some drop what is no UTF-8: `/admin%0A` and `/ad%80min` are /admin to them.

        Raises:
            BadMessage: 400, it cannot be normalised safely.
        """
        resolved = self.resolved
        if _UNLIKE_TEXT(self.path) is not None:
            _check_text(self.path)
        if len(self.readings) > 1:
            _check_dots(resolved)
        if resolved == self.path:
            return self
        sent = resolved if self.query is None else resolved + b"?" + self.query
        return Target(self.raw, self.form, sent, self.scheme, self.authority)

    def behind(self, count: int) -> bytes:
        """Give what follows the first segments of the path, with one slash in front; empty if nothing does.

        It stays byte for byte unless dot segments make it uncertain where the first ones end.

        Raises:
            BadMessage: 400, it cannot be normalised safely: a base put before it could be climbed out of.
        """
        path = self.path
        is_plain = self.readings == (path,)
        if not is_plain and _MOVING(path) is not None:
            path = self.resolved
        at = 0
        for _ in range(count):
            while path[at : at + 1] == b"/":
                at += 1
            at = path.find(b"/", at)
            if at < 0:
                return b""
        rest = b"/" + path[at:].lstrip(b"/")
        if not is_plain:
            _read(rest)
        return rest

    def _split(self) -> bytes:
        self._path, mark, query = self.origin_form.partition(b"?")
        self._query = query if mark else None
        return self._path

    def __repr__(self) -> str:
        return f"<Target {self.raw!r}>"


def parse_target(method: bytes, raw: bytes) -> Target:
    """Parse the target of a request.

    Raises:
        BadMessage: 400, in no form that this method allows, or with a control, a space or a fragment. Bytes that
            RFC 3986 has no place for (`|`, `"`, `{`, UTF-8 as it is) pass as they came: browsers send them.
    """
    if _ORIGIN(raw) is not None and method != b"CONNECT":
        return Target(raw, "origin", raw)
    if raw == b"*" and method == b"OPTIONS":
        return Target(raw, "asterisk", raw)
    if method == b"CONNECT":
        if parse_authority(raw)[1] is None:
            raise BadMessage(400, "a CONNECT without a port")
        return Target(raw, "authority", raw)
    match = _ABSOLUTE(raw)
    if match is None:
        raise BadMessage(400, "a malformed request target")
    scheme, authority, rest = match.groups()
    scheme = scheme.lower()
    if scheme not in (b"http", b"https"):
        raise BadMessage(400, "a target that is neither http nor https")
    parse_authority(authority)
    if not rest and method == b"OPTIONS":
        return Target(raw, "asterisk", b"*", scheme, authority)
    if not rest.startswith(b"/"):
        rest = b"/" + rest
    return Target(raw, "absolute", rest, scheme, authority)


def read_one_way(path: bytes) -> Target:
    """Make the target of a normal form, which is not looked into for others: that is done."""
    target = Target(path, "origin", path)
    target._readings = (path,)
    return target


def parse_authority(value: bytes) -> tuple[bytes, int | None]:
    """Split the value of Host, or the authority of a target, into its host in lower case and its port.

    Raises:
        BadMessage: 400, malformed, empty, or with user information (RFC 9110 §4.2.4, §7.2).
    """
    match = _AUTHORITY(value)
    if match is None:
        raise BadMessage(400, "a malformed host")
    host, address, digits = match.groups()
    if address is not None:
        try:
            IPv6Address(address.decode())
        except AddressValueError:
            raise BadMessage(400, "a malformed IPv6 address") from None
    if not digits:
        return host.lower(), None
    port = int(digits)
    if port > 65535:
        raise BadMessage(400, "a port over 65535")
    return host.lower(), port


def host_of(authority: bytes) -> bytes:
    """Give the host by which routes are found: lower case, without port and trailing dot, decoded, addresses short.

    Raises:
        BadMessage: 400, none, or one that servers read otherwise.
    """
    host = parse_authority(authority)[0] if authority else b""
    if host.startswith(b"["):
        return b"[%b]" % IPv6Address(host[1:-1].decode()).compressed.encode()
    if b"%" in host:
        host = unquote_to_bytes(host).lower()
        if not host.isascii():
            raise BadMessage(400, "a host that is not ASCII")  # IDNA makes other names of it
    if b"," in host:
        raise BadMessage(400, "a host that is a list")  # which some take apart in X-Forwarded-Host
    return host.rstrip(b".")


def canonical(path: bytes) -> bytes:
    """Bring the escapes of a path into one spelling: what may stand as it is does, all else is encoded in upper case.

    Reserved characters but `/` and `;` are decoded too, as servers do: `/a%21` and `/a!` are one path to them.

    Raises:
        BadMessage: 400, NUL, an escape that is none, or an overlong form of UTF-8.
    """
    pieces = _UNUSUAL(path)
    pieces[1::2] = map(_SPELT.__getitem__, pieces[1::2])
    spelt = b"".join(pieces)
    if _OVERLONG(spelt) is not None:
        raise BadMessage(400, "an overlong form of UTF-8 in a path")
    return spelt


class _Spelling(dict[bytes, bytes]):
    """How each escape, and each byte that is none of a path's, is written; there are some seven hundred."""

    def __missing__(self, found: bytes) -> bytes:
        if found == b"%":
            raise BadMessage(400, "a percent sign that encodes nothing")
        value = int(found[1:], 16) if found[0] == 0x25 else found[0]
        if value == 0:
            raise BadMessage(400, "an encoded NUL")
        is_literal = value in _LITERAL and value not in _ENCODED_STILL
        self[found] = spelt = bytes((value,)) if is_literal else b"%%%02X" % value
        return spelt


_SPELT = _Spelling()


def _unescape(match: re.Match[bytes]) -> bytes:
    """Decode what is unreserved and nothing else (RFC 3986 §6.2.2.2)."""
    value = int(match[1], 16)
    return bytes((value,)) if value in _UNRESERVED else match[0]


def _read(path: bytes) -> tuple[bytes, ...]:
    """Give the normal form of a path for each way to read its doubtful separators: all as text comes first.

    A server that decodes separators may resolve the dots beside them, or take these for names: both are readings.
    What is forwarded in its place is read likewise: segments that went with the dots may have had separators in them,
    and without those the rest climbs higher (`/x/a%2fb/../%2f..%2fy` is `/x/y`, and `/y` once it is settled).
    """
    if len(_DOUBTFUL(path)) > _MOST_DOUBTFUL:
        raise BadMessage(400, "too many encoded separators in a path")
    doubtful = [(text, separator) for text, separator in _SEPARATORS if text.search(path) is not None]
    if len(path) * 3 ** len(doubtful) > _MOST_READ:
        raise BadMessage(400, "too many kinds of encoded separators in so long a path")
    found = dict.fromkeys(_each_way(path, doubtful))
    if doubtful:
        found |= dict.fromkeys(_each_way(_settle(path), doubtful))
    return tuple(found)


def _each_way(path: bytes, doubtful: Sequence[tuple[re.Pattern[bytes], bytes]]) -> Iterator[bytes]:
    for choice in product((False, True), repeat=len(doubtful)):
        chosen = [pair for pair, separates in zip(doubtful, choice, strict=True) if separates]
        for read in _substituted(path, chosen):
            spelt = canonical(read)
            yield _resolve(spelt, cuts=True)
            if chosen and b".." in spelt:
                yield _resolve(spelt, cuts=True, moves=False)


def _substituted(path: bytes, chosen: Sequence[tuple[re.Pattern[bytes], bytes]]) -> dict[bytes, None]:
    """Put these separators in, and give all that comes of it: parameters are cut before that, between, or after it.

    Tomcat cuts them, decodes, and resolves; so `/x/a;%2fb/..%2fy` is `/x/y` to it, and `/x/a/y` to who decodes first.
    """
    found = {path: None}
    for text, separator in chosen:
        found |= {_PARAMETERS.sub(b"", read): None for read in found}
        found = {text.sub(separator, read): None for read in found}
    return found


def _settle(path: bytes) -> bytes:
    """Resolve a path with nothing decoded but what is unreserved, and no parameters cut.

    Bytes that are no ASCII are encoded: some servers take two of them for spaces, and end the target there.
    """
    return _resolve(_NOT_ASCII.sub(_encode, _ESCAPE.sub(_unescape, path)), cuts=False)


def _check_dots(path: bytes) -> None:
    """Refuse a resolved path that has dot segments to whoever decodes its separators. Raises BadMessage."""
    decoded = unquote_to_bytes(path).replace(b"\\", b"/")
    if any(segment.partition(b";")[0] in (b".", b"..") for segment in decoded.split(b"/")):
        raise BadMessage(400, "a dot segment beside an encoded separator")


def _folded(path: bytes) -> list[bytes]:
    """Give a path with other characters in place of those that are not ASCII.

    They are those of ASCII that are like them, those of lower and of upper case, and composed ones. What is ASCII
    stays: who goes by case does so there too.
    """
    if _UNLIKE_TEXT(path) is None:
        return []
    text = unquote_to_bytes(path).decode(errors="replace")
    if text.isascii():
        return []
    _check_marks(text)
    forms = (
        _BEYOND_ASCII.sub(_like, text),
        _BEYOND_ASCII.sub(_lower, text),
        _BEYOND_ASCII.sub(_upper, text),
        normalize("NFC", text),
    )
    return [quote(form, safe="/").encode() for form in forms if form != text]


def _check_marks(text: str) -> None:
    """Refuse a text that takes long to be normalised: that is quadratic in the marks of one letter.

    Text for streams has at most 30 (UAX #15, D3). A path of 8 KiB of them took 104 ms. Raises BadMessage.
    """
    if _TOO_MANY_MARKS in bytes(map(bool, map(combining, text))):
        raise BadMessage(400, "more combining characters in a path than a letter has")


def _like(match: re.Match[str]) -> str:
    return "".join(map(_FOLDS.__getitem__, match[0]))


def _lower(match: re.Match[str]) -> str:
    return match[0].lower()


def _upper(match: re.Match[str]) -> str:
    return match[0].upper()


class _Folds(dict[str, str]):
    """What of ASCII is like a character: itself where nothing is."""

    def __missing__(self, char: str) -> str:
        forms = char.lower(), char.upper().lower(), normalize("NFKC", char).lower()
        digit = str(decimal(char, ""))
        like = next((form for form in (digit, *map(_bare, forms)) if form and form.isascii()), char)
        if len(self) >= _MOST_FOLDS:
            self.clear()
        self[char] = found = char if char.isascii() else like
        return found


def _bare(text: str) -> str:
    return "".join(char for char in text if not combining(char))


_MOST_FOLDS = 4096
_FOLDS = _Folds()


def _check_text(path: bytes) -> None:
    """Refuse what is no text. Raises BadMessage."""
    decoded = unquote_to_bytes(path)
    if _CONTROL(decoded) is not None:
        raise BadMessage(400, "an encoded control character in a path")
    try:
        decoded.decode()
    except UnicodeDecodeError:
        raise BadMessage(400, "a path that is not UTF-8") from None


def _encode(match: re.Match[bytes]) -> bytes:
    return b"%%%02X" % match[0][0]


def _resolve(path: bytes, *, cuts: bool, moves: bool = True) -> bytes:
    """Resolve dot segments and merge slashes.

    Args:
        path: with what is unreserved decoded.
        cuts: whether parameters are cut from the segments.
        moves: whether `..` does what it says, or is a name like others.
    """
    kept: list[bytes] = []
    is_open = False
    for part in path.split(b"/")[1:]:
        name, semicolon, _ = part.partition(b";")
        is_open = name in (b"", b".") or (moves and name == b"..")
        if not is_open:
            kept.append(name if cuts else part)
            continue
        if name and semicolon:
            raise BadMessage(400, "a dot segment with parameters")
        if name == b"..":
            if not kept:
                raise BadMessage(400, "a path that climbs above its root")
            kept.pop()
    if is_open:
        kept.append(b"")
    return b"/" + b"/".join(kept)
