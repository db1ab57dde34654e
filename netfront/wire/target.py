"""The request target, parsed once (RFC 9112 §3.2), and the normal form by which decisions are made.

What is forwarded and what is decided by are two readings of the same bytes: `origin_form` is the target as it came,
`normalised` is its path as any server might understand it: parameters after `;` cut from each segment, dot
segments resolved, unreserved characters decoded, slashes merged. What cannot be normalised safely (NUL, a climb above
the root, broken UTF-8, `.;`) is refused when somebody asks for the normal form, and only then.
"""

import re

from netfront.errors import BadMessage

__all__ = ["Target", "parse_authority", "parse_target"]

_ORIGIN = re.compile(rb"/[^\x00-\x20\x7f#]*").fullmatch
_ABSOLUTE = re.compile(rb"([A-Za-z][A-Za-z0-9+.\-]*)://([^/?#\x00-\x20\x7f]*)([^\x00-\x20\x7f#]*)").fullmatch
_AUTHORITY = re.compile(
    rb"(?:(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})+|\[[0-9A-Fa-f:.]{2,45}\])(?::([0-9]{0,5}))?"
).fullmatch
_PLAIN = re.compile(rb"%|//|/\.|;|\\").search
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})?")
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_SEPARATORS = re.compile(rb"%2[Ff]|%5[Cc]|\\")


class Target:
    """A request target. Immutable.

    Args:
        raw: as it came.
        form: "origin", "absolute", "asterisk" or "authority".
        path: the raw path; empty in asterisk- and authority-form.
        query: without its question mark; None where there is none.
        authority: of an absolute-form, to be used in place of Host (RFC 9112 §3.2.2).
        origin_form: what is sent on.
    """

    __slots__ = ("_normalised", "authority", "form", "origin_form", "path", "query", "raw", "scheme")

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
        self._normalised: bytes | None = None
        self.query: bytes | None = None
        self.path = origin_form
        if b"?" in origin_form:
            self.path, _, self.query = origin_form.partition(b"?")

    @property
    def normalised(self) -> bytes:
        """The path for decisions. Raises BadMessage: 400, it cannot be normalised safely."""
        if self._normalised is None:
            path = self.path
            self._normalised = path if _PLAIN(path) is None else _normalise(path)
        return self._normalised

    @property
    def readings(self) -> tuple[bytes, ...]:
        """The normal forms that servers may see in it: a second one where a slash or backslash came encoded."""
        first = self.normalised
        if _SEPARATORS.search(self.path) is None:
            return (first,)
        return first, _normalise(_SEPARATORS.sub(b"/", self.path))

    def __repr__(self) -> str:
        return f"<Target {self.raw!r}>"


def parse_target(method: bytes, raw: bytes) -> Target:
    """Parse a target, free of controls and spaces already.

    Raises:
        BadMessage: 400, in no form that this method allows, or with a fragment. Bytes that RFC 3986 has no place for
            (`|`, `"`, `{`, UTF-8 as it is) pass as they came: browsers send them and servers read them alike.
    """
    if _ORIGIN(raw) is not None and method != b"CONNECT":
        return Target(raw, "origin", raw)
    if raw == b"*" and method == b"OPTIONS":
        return Target(raw, "asterisk", raw)
    if method == b"CONNECT":
        parse_authority(raw)
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
        rest = b"*"
    elif not rest.startswith(b"/"):
        rest = b"/" + rest
    return Target(raw, "absolute" if rest != b"*" else "asterisk", rest, scheme, authority)


def parse_authority(value: bytes) -> tuple[bytes, int | None]:
    """Split the value of Host, or the authority of a target, into its host in lower case and its port.

    Raises:
        BadMessage: 400, malformed, empty, or with user information (RFC 9110 §4.2.4, §7.2).
    """
    match = _AUTHORITY(value)
    if match is None:
        raise BadMessage(400, "a malformed host")
    digits = match[1]
    if not digits:
        return value.rstrip(b":").lower() if digits is not None else value.lower(), None
    port = int(digits)
    if port > 65535:
        raise BadMessage(400, "a port over 65535")
    return value[: -len(digits) - 1].lower(), port


def _normalise(path: bytes) -> bytes:
    """Give a path in its normal form. Raises BadMessage: 400."""
    decoded = _decode(path)
    segments: list[bytes] = []
    parts = decoded.split(b"/")
    for index, part in enumerate(parts[1:], 1):
        segment, semicolon, _ = part.partition(b";")
        if semicolon and segment in (b".", b".."):
            raise BadMessage(400, "a dot segment with parameters")
        if segment == b"..":
            if not segments:
                raise BadMessage(400, "a path that climbs above its root")
            segments.pop()
        elif segment and segment != b".":
            segments.append(segment)
            continue
        if index == len(parts) - 1:
            segments.append(b"")
    return b"/" + b"/".join(segments)


def _decode(path: bytes) -> bytes:
    """Decode what is unreserved, and bring what stays encoded into upper case; refuse what is no path."""
    if b"%" not in path:
        return path

    def unescape(match: re.Match[bytes]) -> bytes:
        digits = match[1]
        if digits is None:
            raise BadMessage(400, "a percent sign that encodes nothing")
        value = int(digits, 16)
        if value == 0:
            raise BadMessage(400, "an encoded NUL")
        return bytes((value,)) if value in _UNRESERVED else b"%" + digits.upper()

    decoded = _ESCAPE.sub(unescape, path)
    octets = re.sub(rb"%([89A-F][0-9A-F])", lambda match: bytes((int(match[1], 16),)), decoded)
    try:
        octets.decode()
    except UnicodeDecodeError:
        raise BadMessage(400, "broken UTF-8 in a path") from None
    return decoded
