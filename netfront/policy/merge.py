"""How parts become one answer: its document, and what it says of caching.

The document has the keys in the order the parts were written, each with the value as it came; what is spread into the
root gives its keys where it stands. A key that an earlier part gave already is left out, and told. Nothing depends on
which part came first.

The answer lasts as long as the part that lasts least, and is for as few as the part that is for fewest (RFC 9111 §5.2).
A part that says nothing, beside others that say something, is fresh for no time. What a part's answer was chosen by
(Vary), the whole was chosen by too, but for what we ask of every part alike.
"""

from collections.abc import Iterable, Sequence
from email.utils import parsedate_to_datetime

from netfront.wire.fields import EMPTY, Fields
from netfront.wire.jsontext import quote

__all__ = ["Piece", "cookies_of", "kept_of", "merge", "missing_of", "strictest", "tells", "varying"]

Piece = bytes | Sequence[tuple[str, bytes]]
"""A value as it is written, or what is spread into the root: keys and values."""

_OURS = frozenset({b"accept", b"accept-encoding"})
_TELLING = frozenset({b"cache-control", b"expires", b"pragma", b"vary", b"set-cookie"})
_MISSING = b"netfront-missing"
_TELLING_MORE = _TELLING | {_MISSING}
_KEPT = _TELLING_MORE | {b"age", b"date"}
_MOST_SECONDS = 2**31
_LET_SHARE = frozenset({b"public", b"s-maxage", b"must-revalidate"})
_TO_ALL = (b"must-revalidate", b"proxy-revalidate", b"no-transform", b"must-understand")
"""Directives that hold for the whole as soon as one part has them."""


def merge(parts: Iterable[tuple[str | None, Piece]]) -> tuple[bytes, list[str]]:
    """Make the document.

    Args:
        parts: key and value of each, in order; without a key its keys and values are spread.
    Returns:
        the document, and the keys that were there already.
    """
    written: dict[str, bytes] = {}
    clashes: dict[str, None] = {}
    for name, piece in parts:
        pairs: Sequence[tuple[str, bytes]]
        if isinstance(piece, bytes):
            assert name is not None
            pairs = ((name, piece),)
        else:
            pairs = piece
        for key, value in pairs:
            if key in written:
                clashes[key] = None
            else:
                written[key] = value
    document = b",".join([b"%b:%b" % (quote(key), value) for key, value in written.items()])
    return b"{%b}" % document, list(clashes)


def kept_of(section: Fields) -> Fields:
    """Give what is kept of the fields of a part's answer: of caching, of cookies and of what is missing."""
    if not section.has_any(_TELLING_MORE):
        return EMPTY
    return Fields([row for row in section.rows if row.name in _KEPT])


def missing_of(section: Fields) -> list[str]:
    """Give the parts that an answer says it comes without, as one that was composed itself does."""
    value = section.get(_MISSING) or b""
    return [name.strip() for name in value.decode("latin-1").split(",") if name.strip()]


def tells(sections: Iterable[Fields]) -> bool:
    """Tell whether any of the answers says something of caching, or sets a cookie: mostly none does."""
    return any(section.has_any(_TELLING) for section in sections)


def strictest(sections: Sequence[Fields], *, is_personal: bool = False, is_authorized: bool = False) -> bytes:
    """Give the value of Cache-Control for an answer made of these; empty where none of them says anything.

    Args:
        is_personal: whether the answer depends on who asks, beyond what they say by themselves.
        is_authorized: whether the request has an Authorization: a shared cache keeps no answer to it that does not say
            that it may (RFC 9111 §3.5), so where one part does not, none of the others says so for it.
    """
    said = [_said(section) for section in sections]
    if not any(said):
        return b""
    if any(b"no-store" in one for one in said):
        return b"no-store"
    words = []
    is_shared = not is_authorized or all(not _LET_SHARE.isdisjoint(one) for one in said)
    if is_personal or not is_shared or any(b"private" in one for one in said):
        words.append(b"private")
    elif all(b"public" in one for one in said):
        words.append(b"public")
    if any(b"no-cache" in one for one in said):
        words.append(b"no-cache")
    own = [_left(one, b"max-age") for one in said]
    words.append(b"max-age=%d" % min(own))
    if b"private" not in words and any(b"s-maxage" in one for one in said):
        shared = min(_left(one, b"s-maxage" if b"s-maxage" in one else b"max-age") for one in said)
        words.append(b"s-maxage=%d" % shared)
    words += [name for name in _TO_ALL if any(name in one for one in said)]
    if all(b"immutable" in one for one in said):
        words.append(b"immutable")
    for name in (b"stale-while-revalidate", b"stale-if-error"):
        if all(name in one for one in said):
            words.append(b"%b=%d" % (name, min(_left(one, name) for one in said)))
    return b", ".join(words)


def varying(sections: Iterable[Fields]) -> bytes:
    """Give the value of Vary for an answer made of these; empty for none."""
    names: dict[bytes, None] = {}
    for section in sections:
        for row in section.rows:
            if row.name == b"vary":
                for name in row.value.lower().split(b","):
                    names[name.strip(b" \t")] = None
    if b"*" in names:
        return b"*"
    return b", ".join(name for name in names if name and name not in _OURS)


def cookies_of(sections: Iterable[Fields], names: frozenset[bytes]) -> list[bytes]:
    """List the cookies of these names that the answers set; of one that several set, the first."""
    found: dict[bytes, bytes] = {}
    for section in sections:
        for value in section.get_all(b"set-cookie"):
            name = value.partition(b"=")[0].strip(b" \t")
            if name in names:
                found.setdefault(name, value)
    return list(found.values())


def _said(section: Fields) -> dict[bytes, bytes]:
    """Give what an answer says of caching: directives with their values, max-age less what has passed of it."""
    values = section.get_all(b"cache-control")
    said: dict[bytes, bytes] = {}
    for value in values:
        for word in _words(value):
            name, _, argument = word.partition(b"=")
            said.setdefault(name.strip(b" \t").lower(), argument.strip(b' \t"'))
    said.pop(b"", None)
    if not values and b"no-cache" in (section.get(b"pragma") or b"").lower():
        said[b"no-cache"] = b""
    if b"max-age" not in said and (lifetime := _expires(section)) is not None:
        said[b"max-age"] = b"%d" % lifetime
    age = _seconds(section.get(b"age") or b"0")
    if age:
        for name in (b"max-age", b"s-maxage"):
            if name in said:
                said[name] = b"%d" % max(_seconds(said[name]) - age, 0)
    return said


def _words(value: bytes) -> list[bytes]:
    """Split a list at its commas, but for those in quotes."""
    if b'"' not in value:
        return value.split(b",")
    words, quoted = [b""], False
    for piece in value.split(b'"'):
        pieces = [piece] if quoted else piece.split(b",")
        words[-1] += pieces[0]
        words += pieces[1:]
        quoted = not quoted
    return words


def _left(said: dict[bytes, bytes], name: bytes) -> int:
    return _seconds(said.get(name, b"0"))


def _seconds(text: bytes) -> int:
    """Read delta-seconds (RFC 9111 §1.2.2); what is none is no time."""
    return min(int(text), _MOST_SECONDS) if text.isdigit() and len(text) < 20 else 0


def _expires(section: Fields) -> int | None:
    expires = section.get(b"expires")
    if expires is None:
        return None
    try:
        date = parsedate_to_datetime((section.get(b"date") or b"").decode("latin-1"))
        until = parsedate_to_datetime(expires.decode("latin-1"))
        return min(max(int((until - date).total_seconds()), 0), _MOST_SECONDS)
    except (TypeError, ValueError):  # no date, or of two zones of which one has no name
        return 0
