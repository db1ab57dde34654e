"""Shapes: heads that differ only in values are read by one regular expression.

Most heads of a connection have the same lines in the same order, and only values differ: a cookie, an ETag, a length. A
*shape* is made of a head that was parsed line by line. It is the sequence of its lines, of which those that decide what
the message means (Host, Connection, Transfer-Encoding and their like) stand in it literally, and of the others the name
alone. A head of this shape means what the first one meant, except for the values that `Shape` hands out again: of
Content-Length and of the X-Forwarded fields.

This is sound by construction: the expression admits no other line, no other order and no other spelling, and each
value only as the parser would write it again (one space before it, none behind, no control character). Whatever it
does not match goes to the parser. It is made once a shape has been seen often enough to be worth a millisecond, and the
number of shapes is bounded, as clients choose them.
"""

import re
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from netfront.wire.fields import (
    CODING,
    FORWARDED,
    LENGTH,
    LITERAL,
    TAKEN,
    Field,
    Fields,
    Layout,
)

__all__ = ["SIGHTS", "Shape", "Shapes"]

B = TypeVar("B")
_VALUE = rb": (?![\t ])[\t\x20-\x7e\x80-\xff]++(?<![\t ])\r\n"
_MOST_LINES = 64
_MOST_SHAPES = 256
SIGHTS = 64
"""Heads of one shape that are parsed before its expression is made: compiling one takes 0.7 to 2 ms, parsing 64 heads
0.4 ms, so whoever invents shapes to have them compiled costs four times a plain request at worst."""


class Shape(Generic[B]):
    """The shape of a head.

    Args:
        start: the expression of the start line, CRLF included, with its own groups.
        starts: how many groups that is.
        block: what the fixed lines mean.
    """

    __slots__ = ("_forwarded", "_layout", "_length", "block", "lines", "match")

    def __init__(self, start: bytes, starts: int, rows: Sequence[Field], block: B) -> None:
        expression = [start]
        varied: list[Field] = []
        for row in rows:
            if row.kind in LITERAL:
                expression.append(re.escape(row.raw))
            else:
                expression.append(b"(" + re.escape(row.raw.partition(b":")[0]) + _VALUE + b")")
                varied.append(row)
        expression.append(b"\r\n")
        self.match: Callable[[bytes], re.Match[bytes] | None] = re.compile(b"".join(expression)).match
        self.block = block
        self.lines = len(rows)
        places = list(enumerate(varied, starts))
        self._layout = Layout([(at, row) for at, row in places if row.kind < TAKEN])
        lengths = [(at, len(row.name) + 2) for at, row in places if row.kind == LENGTH]
        self._length = lengths[0] if lengths else None
        self._forwarded = [(at, row) for at, row in places if row.kind == FORWARDED]

    def fields(self, groups: tuple[bytes, ...]) -> Fields:
        """Give the end-to-end fields of a head that matched."""
        return Fields.laid_out(self._layout, groups)

    def lengths(self, groups: tuple[bytes, ...]) -> list[bytes]:
        """Give the values of Content-Length."""
        if self._length is None:
            return []
        at, begin = self._length
        return [groups[at][begin:-2]]

    def forwarded(self, groups: tuple[bytes, ...]) -> tuple[Field, ...]:
        """Give the fields that say who the client is."""
        return tuple(
            Field(row.name, groups[at][len(row.name) + 2 : -2], groups[at], row.kind, row.key)
            for at, row in self._forwarded
        )

    @property
    def varies_meaning(self) -> bool:
        """Whether a head of this shape may mean anything but what `block` says."""
        return self._length is not None or bool(self._forwarded)


class Shapes(Generic[B]):
    """A bounded table of shapes, shared by all connections of one side.

    Args:
        start, starts: see Shape.
        sights: after how many heads of one shape its expression is made.
    """

    __slots__ = ("_known", "_sights", "_start", "_starts")

    def __init__(self, start: bytes, starts: int, *, sights: int = SIGHTS) -> None:
        self._start = start
        self._starts = starts
        self._sights = sights
        self._known: dict[tuple[bytes, ...], Shape[B] | int] = {}

    def seen(self, rows: Sequence[Field], block: B) -> Shape[B] | None:
        """Note a head that was parsed, and give its shape once there is one.

        Args:
            block: what it means. Its Connection nominates no field, or the rows do not say what becomes of them.
        """
        key = tuple([row.key for row in rows])
        known = self._known.get(key, 0)
        if isinstance(known, Shape):
            return known
        if known < 0 or len(rows) > _MOST_LINES:
            return None
        if not known and len(self._known) >= _MOST_SHAPES:
            self._known.clear()
        self._known[key] = known + 1
        if known + 1 < self._sights:
            return None
        kinds = [row.kind for row in rows]
        if b"" in key or kinds.count(LENGTH) > (CODING not in kinds):
            self._known[key] = -1
            return None
        shape = self._known[key] = Shape(self._start, self._starts, rows, block)
        return shape
