"""JSON (RFC 8259) that goes on as it came: numbers keep their text, and what readers read differently is refused.

A number that is only copied stays what it was: 10000000000000001 is no double, 1e400 is out of range for one, and 0.10
means to somebody that there are two digits. So a number with a fraction or an exponent becomes a `Number`, which is
the nearest double to whoever computes with it and its own text to whoever writes it; whole numbers are Python's, which
know no bounds.

Refused beside what is no JSON at all: NaN and Infinity, bytes that are not UTF-8, and more than `DEEPEST` levels; and
where it is read and not only passed on a name twice in one object, of which readers take the first, the last or both.
A byte order mark in front is passed over (§8.1).
"""

import json
import math
import re
from collections import Counter
from collections.abc import Callable
from itertools import accumulate
from json.encoder import encode_basestring

__all__ = [
    "DEEPEST",
    "MOST_VALUES",
    "Number",
    "TooMany",
    "check",
    "check_depth",
    "has_numbers",
    "parse",
    "parse_prefix",
    "quote",
    "render",
]

DEEPEST = 100
"""Levels of arrays and objects in each other. Each takes a turn of the parser's and the renderer's own stack, of which
Python gives a thousand."""
MOST_VALUES = 1_000_000
_LONGEST_WHOLE = 40
"""Digits of a whole number that is kept as one: reading and writing it takes quadratic time."""
_LITTLE = 16384
"""Bytes of a text in which not even that takes a millisecond."""
_LONG = re.compile(rb"(?<![0-9])[0-9]{%d}" % (_LONGEST_WHOLE + 1)).search
_BOM = b"\xef\xbb\xbf"
_NUMBER = re.compile(rb"[0-9](?:[.eE]|(?<=-0))|(?<![0-9])[0-9]{%d}" % _LONGEST_WHOLE).search
"""Finds numbers whose text says more than their value; also such text in strings, which costs time and no more."""
_NO_BRACKETS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[^\[\]{}"]+', re.DOTALL)
"""Possessive, as what may be gone back to is remembered: 117 bytes for each of a long string."""
_STEPS = {0x5B: 1, 0x7B: 1, 0x5D: -1, 0x7D: -1}


class TooMany(ValueError):
    """It has more values than are read."""


class _NotJson(ValueError):
    """Said by ourselves, and not by Python's reading of a number."""


class Number(float):
    """A number with its text."""

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> "Number":
        """Make it of a JSON number."""
        number = super().__new__(cls, text)
        number.text = text
        return number


Number.__name__ = "float"  # jmespath goes by the names of types


def parse(data: bytes, *, most: int = MOST_VALUES) -> object:
    """Read a JSON text.

    Args:
        most: values in it, about: commas in strings count too. A million take 0.7 s and 100 MB, whatever they are.
    Raises:
        ValueError: in a few words, why it is none, or too many.
    """
    data = data.removeprefix(_BOM)
    if sum(map(data.count, (b",", b"[", b"{"))) > most:
        raise TooMany(f"it has more than {most:,} values")
    check_depth(data)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise ValueError("it is not UTF-8") from error
    if b"-0" not in data and (len(data) <= _LITTLE or _LONG(data) is None):
        try:
            return _decode(_QUICK, text)
        except _NotJson:
            raise
        except ValueError:  # a whole number of more digits than Python reads at once
            pass
    return _decode(_EXACT, text)


def check(data: bytes, skim: Callable[[bytes], object] | None = None) -> None:
    """Refuse what is no JSON, for whoever passes it on byte for byte and reads nothing of it.

    Names that are there twice are not looked for: that takes as long again, and whoever reads it gets what was said.

    Args:
        skim: a reader that makes nothing of what it reads, and raises ValueError where that may be no JSON: then it is
            read here. Values and their end cost ten times as much.
    Raises:
        ValueError: in a few words, why it is none.
    """
    check_depth(data)
    data = data.removeprefix(_BOM)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise ValueError("it is not UTF-8") from error
    if skim is not None:
        try:
            skim(data)
            return
        except ValueError:
            pass
    try:
        _decode(_CHECKING, text)
    except _NotJson:
        raise
    except ValueError:  # a whole number of more digits than Python reads at once
        parse(data)


def parse_prefix(text: str, start: int) -> tuple[object, int]:
    """Read the JSON value that begins at a place of a text; give it, and where it ends.

    Raises:
        ValueError: there is none.
    """
    try:
        value, end = _EXACT.raw_decode(text, start)
    except json.JSONDecodeError as error:
        raise ValueError(error.msg[:1].lower() + error.msg[1:]) from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    check_depth(text[start:end].encode(errors="surrogatepass"))
    return value, end


def has_numbers(data: bytes) -> bool:
    """Tell whether a text may hold a `Number`: else its values need no `render` of that care."""
    return _NUMBER(data) is not None


def quote(text: str) -> bytes:
    """Write a string."""
    return _encoded(encode_basestring(text))


def render(value: object, *, plain: bool = False) -> bytes:
    """Write a value, keys in their order and nothing between.

    Args:
        plain: there is no `Number` in it, and no float that is not finite: that is five times as quick.
    """
    if plain:
        return _encoded(_encode(value))
    out: list[str] = []
    _write(value, out.append)
    return _encoded("".join(out))


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode(errors="backslashreplace")  # half a pair of surrogates: as the escape it came as


def _write(value: object, add: Callable[[str], None]) -> None:
    if isinstance(value, str):
        add(encode_basestring(value))
    elif isinstance(value, Number):
        add(value.text)
    elif value is None:
        add("null")
    elif isinstance(value, bool):
        add("true" if value else "false")
    elif isinstance(value, int):
        add(int.__repr__(value))
    elif isinstance(value, float):
        add(float.__repr__(value) if math.isfinite(value) else "null")
    elif isinstance(value, dict):
        mark = "{"
        for key, item in value.items():
            add(mark + encode_basestring(key) + ":")
            _write(item, add)
            mark = ","
        add("}" if value else "{}")
    else:
        assert isinstance(value, (list, tuple)), type(value)
        mark = "["
        for item in value:
            add(mark)
            _write(item, add)
            mark = ","
        add("]" if value else "[]")


def check_depth(data: bytes) -> None:
    """Refuse what is nested more than `DEEPEST` levels deep. Raises ValueError."""
    if data.count(b"[") + data.count(b"{") <= DEEPEST:
        return
    brackets = _NO_BRACKETS.sub(b"", data)
    if max(accumulate(map(_STEPS.__getitem__, brackets)), default=0) > DEEPEST:
        raise ValueError(f"it is nested more than {DEEPEST} levels deep")


def _decode(decoder: json.JSONDecoder, text: str) -> object:
    try:
        return decoder.decode(text)
    except json.JSONDecodeError as error:
        raise _NotJson(f"it is no JSON from byte {len(text[: error.pos].encode())} on") from error
    except RecursionError as error:  # unbalanced: what closes first counts for nothing with us
        raise _NotJson("it is nested too deeply") from error


def _whole(text: str) -> float:
    return Number(text) if text == "-0" or len(text) > _LONGEST_WHOLE else int(text)


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    made = dict(pairs)
    if len(made) < len(pairs):
        left = Counter(name for name, _ in pairs)
        twice = next(name for name, _ in pairs if left[name] > 1)
        raise _NotJson(f"it has the name {json.dumps(twice[:64])} twice in one object")
    return made


def _constant(text: str) -> object:
    raise _NotJson(f"it has {text}, which is no JSON")


_EXACT = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=Number, parse_int=_whole, parse_constant=_constant
)
_QUICK = json.JSONDecoder(object_pairs_hook=_object, parse_float=Number, parse_constant=_constant)
"""Whole numbers by the C code's own hand: half the time where there are many."""
_CHECKING = json.JSONDecoder(parse_constant=_constant)
_encode = json.JSONEncoder(
    ensure_ascii=False, separators=(",", ":"), check_circular=False, allow_nan=False
).encode
