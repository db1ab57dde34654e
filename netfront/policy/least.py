"""Picking the least loaded: the fewest requests in flight over the weight, in turn where that is the same.

The problem: requests over weight alone puts idle candidates in no order, and with few requests it is unfair to
great weights: beside one of weight 100 that has one request, an idle one of weight 1 would be the lesser one. So a
candidate's load is its requests over its weight, plus its turn: when it is due again by its weight alone, on a
clock that stands at the turn last taken. Idle candidates are thus picked by weight, and a turn never outweighs a
request between equals, because it is three quarters of one.

To look at all of 100 costs 5 us a pick. Where there are more than a few and all weigh the same, as they do but for
a slow start, they are kept in rows by their number of requests instead, in each row the one that came to it first
in front, which is its turn. A pick and the two moves of a request then cost 0.5 us whatever their number. A heap,
which would serve for all weights, costs 0.6 us for two candidates, 1.2 to 3.8 for 100.
"""

from collections.abc import Container, Iterator, Sequence
from itertools import islice
from math import inf
from typing import Generic, TypeVar

from netfront.policy.candidate import Candidate

__all__ = ["Least"]

_C = TypeVar("_C", bound=Candidate)
_FEW = 8
"""Up to so many are looked at one by one, which costs 0.15 us for 2 and 0.5 for 8."""
_TURN = 0.75
"""Of a request: under one, so that a turn cannot outweigh it; well under, because sums of turns are rounded."""


class _Turn(Generic[_C]):
    """When a candidate is due, and what a request at it weighs."""

    __slots__ = ("candidate", "due", "request")

    def __init__(self, candidate: _C, request: float, due: float) -> None:
        self.candidate = candidate
        self.request = request
        self.due = due


class Least(Generic[_C]):
    """Pick the least loaded."""

    __slots__ = ("_clock", "_counts", "_lowest", "_rows", "_turns")

    follows_load = True

    def __init__(self) -> None:
        self._turns: list[_Turn[_C]] = []
        """Where all are looked at."""
        self._clock = 0.0
        self._counts: dict[_C, int] = {}
        """Where they are kept in rows: the row of each."""
        self._rows: list[dict[_C, None]] = []
        self._lowest = 0
        """No row before this has anybody."""

    def arrange(self, candidates: Sequence[_C]) -> None:
        """Take note of who may be picked. Whose turn it is stays; newcomers come last among equals."""
        waits = dict(self._waits())
        self._turns = []
        self._clock = 0.0
        self._counts.clear()
        self._rows = [{}]
        self._lowest = 0
        if len(candidates) > _FEW and len({candidate.weight for candidate in candidates}) == 1:
            for candidate in sorted(candidates, key=lambda candidate: waits.get(candidate, 1.0)):
                self._enter(candidate)
            return
        for candidate in candidates:
            request = 1.0 / candidate.weight
            due = waits.get(candidate, 1.0) * request * _TURN
            self._turns.append(_Turn(candidate, request, due))

    def pick(self, key: bytes | None, tried: Container[_C], now: float) -> _C | None:
        """Pick the least loaded; None if all were tried."""
        if self._counts:
            return self._first_of_rows(tried)
        turns = self._turns
        if tried:
            turns = [turn for turn in turns if turn.candidate not in tried]
        clock = self._clock
        least, picked = inf, None
        for turn in turns:
            due = turn.due
            load = turn.candidate.in_flight * turn.request + (due if due > clock else clock)
            if load < least:
                least, picked = load, turn
        if picked is None:
            return None
        self._clock = max(clock, picked.due)
        picked.due = self._clock + picked.request * _TURN
        return picked.candidate

    def moved(self, candidate: _C) -> None:
        """Put a candidate where its number of requests belongs."""
        count = self._counts.get(candidate)
        if count is not None:
            del self._rows[count][candidate]
            self._enter(candidate)

    def _enter(self, candidate: _C) -> None:
        count = candidate.in_flight
        rows = self._rows
        while count >= len(rows):
            rows.append({})
        rows[count][candidate] = None
        self._counts[candidate] = count
        if count < self._lowest:
            self._lowest = count

    def _first_of_rows(self, tried: Container[_C]) -> _C | None:
        rows = self._rows
        while not rows[self._lowest]:
            self._lowest += 1
        for row in islice(rows, self._lowest, None) if tried else (rows[self._lowest],):
            for candidate in row:
                if not tried or candidate not in tried:
                    return candidate
        return None

    def _waits(self) -> Iterator[tuple[_C, float]]:
        """Tell how far off each one's turn is, from 0 for whose it is to 1."""
        for turn in self._turns:
            yield turn.candidate, max(turn.due - self._clock, 0.0) / (turn.request * _TURN)
        place = 0
        for row in self._rows:
            for candidate in row:
                yield candidate, place / len(self._counts)
                place += 1
