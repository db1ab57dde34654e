"""Picking by chance: any by weight, or the less loaded of two."""

from bisect import bisect
from collections.abc import Container, Sequence
from itertools import accumulate
from typing import Generic, TypeVar

from netfront.policy.candidate import Candidate
from netfront.policy.chance import Chance

__all__ = ["PowerOfTwo", "Random"]

_C = TypeVar("_C", bound=Candidate)


class Random(Generic[_C]):
    """Any, by weight."""

    __slots__ = ("_candidates", "_last", "_rng", "_sums", "_total")

    follows_load = False

    def __init__(self, rng: Chance) -> None:
        self._rng = rng
        self.arrange(())

    def arrange(self, candidates: Sequence[_C]) -> None:
        """Take note of who may be picked."""
        self._candidates = list(candidates)
        self._sums = list(accumulate(candidate.weight for candidate in candidates))
        self._total = self._sums[-1] if candidates else 0.0
        self._last = len(candidates) - 1

    def pick(self, key: bytes | None, tried: Container[_C], now: float) -> _C | None:
        """Draw one."""
        if tried:
            return self._pick_untried(tried)
        if not self._candidates:
            return None
        return self._candidates[bisect(self._sums, self._rng.random() * self._total, 0, self._last)]

    def moved(self, candidate: _C) -> None:
        """Nothing is kept."""

    def _pick_untried(self, tried: Container[_C]) -> _C | None:
        untried = [candidate for candidate in self._candidates if candidate not in tried]
        if not untried:
            return None
        sums = list(accumulate(candidate.weight for candidate in untried))
        return untried[bisect(sums, self._rng.random() * sums[-1], 0, len(untried) - 1)]


class PowerOfTwo(Generic[_C]):
    """The less loaded of two that are drawn by weight."""

    __slots__ = ("_candidates", "_equal", "_rng", "_sums")

    follows_load = False

    def __init__(self, rng: Chance) -> None:
        self._rng = rng
        self.arrange(())

    def arrange(self, candidates: Sequence[_C]) -> None:
        """Take note of who may be picked."""
        self._candidates = list(candidates)
        self._sums = list(accumulate(candidate.weight for candidate in candidates))
        self._equal = len({candidate.weight for candidate in candidates}) <= 1

    def pick(self, key: bytes | None, tried: Container[_C], now: float) -> _C | None:
        """Draw two and pick one."""
        candidates, sums = self._candidates, self._sums
        if tried:
            candidates = [candidate for candidate in candidates if candidate not in tried]
            sums = list(accumulate(candidate.weight for candidate in candidates))
        count = len(candidates)
        if count < 2:
            return candidates[0] if candidates else None
        draw = self._rng.random
        if self._equal:
            first = int(draw() * count)
            second = int(draw() * (count - 1))
            one, other = candidates[first], candidates[second + (second >= first)]
            return one if one.in_flight <= other.in_flight else other
        last = count - 1
        first = bisect(sums, draw() * sums[last], 0, last)
        one = candidates[first]
        # the second out of all but the first: its part is left out of the line on which the point falls
        point = draw() * (sums[last] - one.weight)
        if point >= sums[first] - one.weight:
            point += one.weight
        second = bisect(sums, point, 0, last)
        other = candidates[second if second != first else first - 1]
        if not one.in_flight and not other.in_flight:
            return one
        # a half, for what is about to come: else a candidate of small weight would be the better one whenever idle
        if (one.in_flight + 0.5) * other.weight <= (other.in_flight + 0.5) * one.weight:
            return one
        return other

    def moved(self, candidate: _C) -> None:
        """Nothing is kept."""
