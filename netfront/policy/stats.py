"""Figures about times: a histogram with percentiles, and one of the recent past.

A histogram is log-linear: each doubling of the time is cut into 32 equal parts, so that a percentile is at most
3.2 % above the true one from a microsecond to an hour, in 8 KiB whatever is recorded. It is no record of what was
measured: a sum and the largest are kept exactly, the order and the rest are not.
"""

from bisect import bisect_left
from itertools import accumulate
from math import ceil, frexp, ldexp

__all__ = ["Histogram", "RecentHistogram"]

_PARTS = 32
"""Of one doubling: the error of a percentile is one in this."""
_LEAST = ldexp(1.0, -20)
"""0.95 us: what is quicker falls into the first part, and is read as this."""
_MOST = ldexp(1.0, 12)
"""68 min: what is slower falls into the last part; `most` knows how long it was."""
_FIRST = (frexp(_LEAST)[1] + 1) * _PARTS
_SIZE = (frexp(_MOST)[1] - frexp(_LEAST)[1]) * _PARTS + 1


class Histogram:
    """Times in seconds, counted by size."""

    __slots__ = ("count", "counts", "most")

    def __init__(self) -> None:
        self.counts = [0] * _SIZE
        """By part; `edge` says where each ends."""
        self.count = 0
        self.most = 0.0
        """The longest."""

    def record(self, seconds: float) -> None:
        """Count one time. What is negative or no number counts as the shortest."""
        if _LEAST <= seconds < _MOST:
            mantissa, exponent = frexp(seconds)
            # literally _PARTS and twice that, which looked up would cost a tenth
            self.counts[exponent * 32 + int(mantissa * 64.0) - _FIRST] += 1
        elif seconds >= _MOST:
            self.counts[-1] += 1
        else:
            self.counts[0] += 1
            seconds = _LEAST
        self.count += 1
        if seconds > self.most:
            self.most = seconds

    def percentile(self, percent: float) -> float:
        """Find the time that so many percent of all did not exceed: 0.0 of none, the longest for 100."""
        rank = ceil(self.count * percent / 100.0)
        if rank >= self.count:
            return self.most
        part = bisect_left(list(accumulate(self.counts)), max(rank, 1))
        return min(edge(part), self.most)

    def merge(self, other: "Histogram") -> None:
        """Count all that the other has counted."""
        self.counts = [mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)]
        self.count += other.count
        self.most = max(self.most, other.most)


class RecentHistogram:
    """The times of about the last `span` seconds: of two generations of half a span each, the older one is dropped.

    What is asked of it is thus told of the last half span at least, of a whole one at most.
    """

    __slots__ = ("_current", "_ends", "_half", "_previous", "_started")

    def __init__(self, now: float, *, span: float = 10.0) -> None:
        self._half = span / 2.0
        self._current = Histogram()
        self._previous = Histogram()
        self._started = now
        self._ends = now + self._half

    def record(self, seconds: float, now: float) -> None:
        """Count one time."""
        if now >= self._ends:
            self._turn(now)
        self._current.record(seconds)

    def recent(self, now: float) -> Histogram:
        """Sum up what is still remembered; a copy."""
        if now >= self._ends:
            self._turn(now)
        both = Histogram()
        both.merge(self._previous)
        both.merge(self._current)
        return both

    def rate(self, now: float) -> float:
        """Tell how many a second there were; in the first second, how many at all."""
        if now >= self._ends:
            self._turn(now)
        return (self._previous.count + self._current.count) / max(now - self._started, 1.0)

    def _turn(self, now: float) -> None:
        is_next = now < self._ends + self._half
        self._previous = self._current if is_next else Histogram()
        self._started = self._ends - self._half if is_next else now - self._half
        self._current = Histogram()
        self._ends = (self._ends if is_next else now) + self._half


def edge(part: int) -> float:
    """Tell where a part of a histogram ends, in seconds."""
    doubling, step = divmod(part, _PARTS)
    return ldexp(_LEAST, doubling) * (1.0 + (step + 1) / _PARTS)
