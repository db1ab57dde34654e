"""What a part gave: from its answer to a value of the whole, or the fault it failed of.

A part fails of an answer that is not 2xx, that is no JSON, or of which cannot be had what the rule picks. The value
stays as it was written wherever nothing is picked from it, byte for byte.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import parse_qsl, unquote_to_bytes

from netfront.policy.compose import Part
from netfront.policy.memory import Held
from netfront.policy.merge import Piece, kept_of
from netfront.policy.reference import Missing
from netfront.wire.coding import TooLong, UnknownCoding, codings_of, decode
from netfront.wire.fields import EMPTY, Field, Fields, field
from netfront.wire.jsontext import TooMany, check, has_numbers, parse, render

__all__ = [
    "CREDENTIALS",
    "STATUS_OF",
    "PartFault",
    "PartValue",
    "Reader",
    "body_of",
    "default_of",
    "is_readable",
    "missing_of",
    "names_of",
    "read_answer",
    "read_body",
]

_WIDEST, _VALUE = 4, 100
"""Bytes of a character where one in the string is beyond the usual 65,536, and of a value, about."""
_MOST_OF_BODY = 100_000
"""Values in the body of a composed request: anybody may send one, and reading it holds up all others meanwhile."""
CREDENTIALS = frozenset({b"www-authenticate", b"retry-after"})
"""Fields of a part's 4xx that go with its status where that is passed on."""
STATUS_OF = {"params": 400, "query": 400, "body": 400, "claims": 403}
"""What a missing value of the request's is answered with; of an earlier part it is 502."""
_JSON = re.compile(rb"(?:application|text)/(?:[a-z0-9!#$&^_.+-]+\+)?json[ \t]*(?:;(.*))?", re.DOTALL)
_CHARSET = re.compile(rb"charset[ \t]*=[ \t]*\"?([a-z0-9_.:-]+)")
_READABLE = frozenset({b"utf-8", b"utf8", b"us-ascii"})
_SPACE = b" \t\r\n"
_BOM = b"\xef\xbb\xbf"
_SAYS_NOTHING = (EMPTY,)
_MOST_GROWTH = 100
"""Times that a request's body may grow without its coding: to read it holds everybody up, and anybody may send one."""
_ALWAYS_GROWN = 1 << 20
"""Bytes that it may have then however short it was."""
_MOST_QUERY = 1000
_MOST_REMEMBERED = 1 << 16
"""Bytes of an answer and of its values that a part remembers, for ever."""


Skim = Callable[[bytes], object]


class PartFault(Exception):
    """A part failed, or the request cannot be composed for.

    Args:
        status: of the answer, where the part is required.
        why: for the client.
        told: for the log, where that is more.
        part_status: of the part's own answer; 0 where there was none.
        fields: that go with that status where it is passed on.
    """

    def __init__(
        self, status: int, why: str, *, told: str = "", part_status: int = 0, fields: Sequence[Field] = ()
    ) -> None:
        super().__init__(why)
        self.status = status
        self.why = why
        self.told = told or why
        self.part_status = part_status
        self.fields = fields

    def of_item(self, index: int) -> "PartFault":
        """Give the fault of a part that failed of one of its items."""
        why, told = f"item {index}: {self.why}", f"item {index}: {self.told}"
        return PartFault(self.status, why, told=told, part_status=self.part_status, fields=self.fields)


class PartValue:
    """What a part gave.

    Args:
        piece: as it is written into the whole.
        value: as expressions and references read it.
        sections: the fields of the answers it comes from.
        weight: bytes that are held for it beside those of the answer.
    """

    __slots__ = ("piece", "sections", "value", "weight")

    def __init__(self, piece: Piece, value: object, sections: Sequence[Fields] = (), weight: int = 0) -> None:
        self.piece = piece
        self.value = value
        self.sections = sections
        self.weight = weight


class Reader:
    """Reads the answers of one part. The bytes that came last are not read again if they come once more.

    What is remembered is never changed: expressions make new values of those they get.

    Args:
        is_read: whether other parts refer to it.
        most: bytes an answer may have without its content coding.
        skim: see `jsontext.check`.
    """

    __slots__ = ("_data", "_is_read", "_most", "_part", "_piece", "_skim", "_value", "_weight")

    def __init__(self, part: Part, *, is_read: bool, most: int, skim: Skim | None = None) -> None:
        self._skim = skim
        self._part = part
        self._is_read = is_read
        self._most = most
        self._data = b""
        self._piece: Piece = b""
        self._value: object = None
        self._weight = 0

    def read(self, status: int, fields: Fields, data: bytes, held: Held) -> PartValue:
        """Read an answer: see `read_answer`. Raises PartFault, MemoryFull, NeverFits."""
        if status == 200 and data == self._data and data and _is_json(fields) and not codings_of(fields):
            kept = kept_of(fields)
            more = self._weight + (_bytes_of(kept) if kept is not EMPTY else 0)
            if more:
                held.add(more)
            return PartValue(self._piece, self._value, (kept,), self._weight)
        value = read_answer(
            self._part,
            status,
            fields,
            data,
            held,
            is_read=self._is_read,
            most=self._most,
            skim=self._skim,
        )
        if len(data) + value.weight <= _MOST_REMEMBERED and not codings_of(fields):
            self._data, self._piece, self._value = data, value.piece, value.value
            self._weight = value.weight
        return value


def is_readable(status: int, fields: Fields) -> bool:
    """Tell by the head of an answer whether it may be a part: else nobody need wait for its body."""
    return (200 <= status < 300 and status != 206) and (status in (201, 202, 204, 205) or _is_json(fields))


def missing_of(missing: Missing) -> PartFault:
    """Give the fault of a value that is not there."""
    return PartFault(STATUS_OF.get(missing.source, 502), missing.why)


def read_answer(
    part: Part,
    status: int,
    fields: Fields,
    data: bytes,
    held: Held,
    *,
    is_read: bool,
    most: int,
    skim: Skim | None = None,
) -> PartValue:
    """Read the answer of a part.

    Args:
        held: counts `data` already, and here what comes of it: values before they are made, a longer piece when it is.
        is_read: whether other parts refer to it; else its value is None.
        most: bytes it may have without its content coding.
        skim: see `jsontext.check`.
    Raises:
        PartFault: it is none, or nothing that can be used.
        MemoryFull, NeverFits: it takes too much.
    """
    came = len(data)
    if not 200 <= status < 300 or status == 206:
        passed = [field(row.raw.partition(b":")[0], row.value) for row in fields if row.name in CREDENTIALS]
        raise PartFault(502, f"it answered {status}", part_status=status, fields=passed)
    if status in (204, 205) or (not data and status in (201, 202)):
        data = b"null"
    else:
        data = _content(status, fields, data, most)
    if part.pick is None and part.name is not None and not is_read:
        try:
            check(data, skim)
        except ValueError as error:
            raise PartFault(502, str(error), part_status=status) from error
        return _counted(data.removeprefix(_BOM).strip(_SPACE), None, 0, fields, came, held)
    weight = _weight(data, math.inf)
    held.add(weight)
    is_kept = False
    try:
        piece, value = _made(part, status, data)
        is_kept = is_read
    finally:
        if not is_kept:
            held.free(weight)
    if is_read:
        return _counted(piece, value, weight, fields, came, held)
    return _counted(piece, None, 0, fields, came, held)


def _counted(piece: Piece, value: object, weight: int, fields: Fields, came: int, held: Held) -> PartValue:
    """Give what a part gave, once what it is longer by than the answer is counted, and what is kept of the fields."""
    kept = kept_of(fields)
    more = (len(piece) if isinstance(piece, bytes) else _size(piece)) - came
    if kept is EMPTY and more <= 0:
        return PartValue(piece, value, _SAYS_NOTHING, weight)
    grown = max(more, 0)
    held.add(grown + _bytes_of(kept))
    return PartValue(piece, value, (kept,), grown + weight)


def _bytes_of(fields: Fields) -> int:
    return sum(_VALUE + len(row.raw) for row in fields.rows)


def _made(part: Part, status: int, data: bytes) -> tuple[Piece, object]:
    """Make the piece and the value of a part's content. Raises PartFault."""
    try:
        value = parse(data)
    except ValueError as error:
        raise PartFault(502, str(error), part_status=status) from error
    if part.pick is None and not part.is_spread:
        return data.removeprefix(_BOM).strip(_SPACE), value
    is_plain = not has_numbers(data)
    if part.pick is not None:
        is_plain = is_plain and part.pick.is_plain
        try:
            value = part.pick.run(value)
        except ValueError as error:
            why = "what is picked from it cannot be had"
            raise PartFault(502, why, told=f"its pick: {error}", part_status=status) from error
    if not part.is_spread:
        return render(value, plain=is_plain), value
    if not isinstance(value, dict):
        raise PartFault(502, "it is no object that could be spread", part_status=status)
    return _pairs(value, is_plain), value


def default_of(part: Part) -> PartValue:
    """Give what stands in place of a part that is missing."""
    value = parse(part.default)
    if not part.is_spread:
        return PartValue(part.default, value)
    return PartValue(_pairs(value, False) if isinstance(value, dict) else (), value)


def body_of(part: Part, names: Mapping[str, object]) -> bytes:
    """Make the body that a part is sent.

    Raises:
        PartFault: it cannot be made.
    """
    assert part.body is not None
    document = {
        name: _flat(names[name]) if name == "query" else names[name] for name in part.body.names or ()
    }
    try:
        return render(part.body.run(document))
    except ValueError as error:
        status = 502 if part.needs else 400
        raise PartFault(status, "what it is sent cannot be made", told=f"its body: {error}") from error


def names_of(
    takes: frozenset[str],
    params: Mapping[str, bytes],
    path: bytes,
    query: bytes | None,
    claims: Mapping[str, object],
) -> dict[str, object]:
    """Give what parts take of a request, by the reserved names, but for its body.

    Values of a query that are not UTF-8 have surrogates, which refuse where one is taken (see `_text` in reference.py):
    the others may be of old clients and somebody else's.

    Raises:
        PartFault: the path is not text, or the query has too many fields.
    """
    names: dict[str, object] = {}
    try:
        if "params" in takes:
            if b";" in path:
                raise PartFault(400, "a path with parameters, which no part would be told of")
            names["params"] = {name: unquote_to_bytes(value).decode() for name, value in params.items()}
        if "query" in takes:
            values: dict[str, list[str]] = {}
            pairs = parse_qsl(
                (query or b"").decode(errors="surrogateescape"),
                keep_blank_values=True,
                errors="surrogateescape",
                max_num_fields=_MOST_QUERY,
            )
            for name, value in pairs:
                values.setdefault(name, []).append(value)
            names["query"] = values
    except ValueError as error:
        raise PartFault(400, "a path or query that is not UTF-8, or has too many fields") from error
    if "claims" in takes:
        names["claims"] = dict(claims)
    return names


def read_body(fields: Fields, data: bytes, *, most: int, weigh: Callable[[int], None]) -> object:
    """Read the body of the composed request.

    A content type that is not JSON's, or none, from a page says that nobody asked us whether that page may send it: no
    preflight came before it, whatever its bytes look like.

    Args:
        most: bytes it may have without its content coding.
        weigh: told of the bytes that its values take, about, before they are made; what it raises ends that.
    Raises:
        PartFault: it is no JSON.
    """
    if fields.get(b"origin") is not None and not _is_json(fields):
        raise PartFault(400, "a body that does not say it is JSON: send Content-Type: application/json")
    try:
        codings = codings_of(fields)
        text = (
            decode(data, codings, most=min(most, max(_ALWAYS_GROWN, _MOST_GROWTH * len(data))))
            if codings
            else data
        )
        weigh(_weight(text, _MOST_OF_BODY))
        return parse(text, most=_MOST_OF_BODY)
    except (TooLong, TooMany) as error:
        raise PartFault(413, f"the body is too much to be read: {error}") from error
    except UnknownCoding as error:
        raise PartFault(415, f"the body cannot be read: {error}") from error
    except ValueError as error:
        why = "there is no body, and a part takes it" if not data else f"the body is no JSON: {error}"
        raise PartFault(400, why) from error


def _weight(text: bytes, most: float) -> int:
    """Give the bytes that the values of a JSON text take, about, of which no more than so many are made."""
    values = min(sum(map(text.count, (b",", b"[", b"{"))), most)
    return len(text) * (1 if text.isascii() else _WIDEST) + _VALUE * int(values)


def _size(piece: Sequence[tuple[str, bytes]]) -> int:
    return sum(_VALUE + len(key) + len(text) for key, text in piece)


def _content(status: int, fields: Fields, data: bytes, most: int) -> bytes:
    """Give the content of an answer that says it is JSON."""
    if not _is_json(fields):
        kind = fields.get(b"content-type") or b""
        shown = kind[:64].decode("latin-1") or "nothing that says what it is"
        raise PartFault(502, f"it answered with {shown}, which is no JSON", part_status=status)
    codings = codings_of(fields)
    if not codings:
        return data
    try:
        return decode(data, codings, most=most)
    except ValueError as error:
        raise PartFault(502, str(error), part_status=status) from error


def _is_json(fields: Fields) -> bool:
    kind = fields.get(b"content-type") or b""
    if kind == b"application/json":
        return True
    match = _JSON.fullmatch(kind.lower())
    charset = _CHARSET.search(match[1] or b"") if match is not None else None
    return match is not None and (charset is None or charset[1] in _READABLE)


def _pairs(value: Mapping[str, object], is_plain: bool) -> list[tuple[str, bytes]]:
    return [(key, render(one, plain=is_plain)) for key, one in value.items()]


def _flat(values: object) -> dict[str, str]:
    """Give the first value of each name of a query. Raises PartFault: one is not text."""
    assert isinstance(values, dict)
    flat = {name: several[0] for name, several in values.items()}
    try:
        "".join((*flat, *flat.values())).encode()
    except UnicodeEncodeError as error:
        raise PartFault(400, "a query that is not UTF-8, and what a part is sent takes it") from error
    return flat
