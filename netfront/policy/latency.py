"""Picking the quickest: the peak EWMA of latency, times the requests that would be at it, over the weight.

A latency rises at once to what was seen and comes down slowly, so that trouble is believed at once and recovery
only when it lasts. Whoever is not picked is not measured either, so what is known of it must fade: one that is idle
counts by what it had, less the more the longer its last pick is ago, until it is the quickest and is tried by one
request.

Comparing costs 0.25 us a candidate, so of many only four are compared: three drawn, and the one that was picked
last, which makes up for the drawing (who is the quickest stays found as long as it is).
"""

from collections.abc import Container, Sequence
from math import exp, inf
from typing import Generic, TypeVar

from netfront.policy.candidate import Candidate
from netfront.policy.chance import Chance

__all__ = ["Latency", "PeakEwma"]

_C = TypeVar("_C", bound=Candidate)
_LOOKS = 4
"""How many are compared; all, if there are no more."""
_DECAY = 10.0
"""Seconds in which what is known loses two thirds of its weight."""
_AWAY = 64
"""How many are remembered that may not be picked, beside as many as may."""
_UNKNOWN = 3600.0
"""The latency of who has a request and never answered one: it gets no second before it has."""


class PeakEwma:
    """A moving average of times that jumps to each peak.

    Args:
        decay: seconds in which what is known loses two thirds of its weight.
    """

    __slots__ = ("_at", "_decay", "peak")

    def __init__(self, *, decay: float = _DECAY) -> None:
        self._decay = decay
        self._at = -inf
        self.peak = 0.0
        """As of the last record; 0.0 before the first. What `Candidate.latency` is to say."""

    def record(self, seconds: float, now: float) -> None:
        """Take one time into account."""
        if seconds < self.peak:
            weight = exp((self._at - now) / self._decay)
            seconds += (self.peak - seconds) * weight
        self.peak = seconds
        self._at = now

    def value(self, now: float) -> float:
        """Tell what is left of it: it fades to nothing while nothing is recorded."""
        return self.peak * exp((self._at - now) / self._decay)


class Latency(Generic[_C]):
    """Pick the quickest."""

    __slots__ = ("_candidates", "_last", "_picked_at", "_rng")

    follows_load = False

    def __init__(self, rng: Chance) -> None:
        self._rng = rng
        self._candidates: list[_C] = []
        self._picked_at: dict[_C, float] = {}
        self._last: _C | None = None

    def arrange(self, candidates: Sequence[_C]) -> None:
        """Take note of who may be picked."""
        self._candidates = list(candidates)
        known = self._picked_at
        for candidate in candidates:
            known.setdefault(candidate, -inf)
        if (
            len(known) > 2 * len(candidates) + _AWAY
        ):  # who is away for a moment, being full, is no stranger after it
            self._picked_at = {candidate: known[candidate] for candidate in candidates}
        if self._last not in self._candidates:
            self._last = None

    def pick(self, key: bytes | None, tried: Container[_C], now: float) -> _C | None:
        """Pick the quickest; None if all were tried."""
        candidates = self._candidates
        if tried:
            candidates = [candidate for candidate in candidates if candidate not in tried]
        if len(candidates) > _LOOKS:
            candidates = self._drawn(candidates, tried)
        least, picked = inf, None
        for candidate in candidates:
            seconds, in_flight = candidate.latency, candidate.in_flight
            if not in_flight:
                seconds *= exp((self._picked_at[candidate] - now) / _DECAY)
            elif not seconds:
                seconds = _UNKNOWN
            cost = seconds * (in_flight + 1) / candidate.weight
            if cost < least:
                least, picked = cost, candidate
        if picked is not None:
            self._picked_at[picked] = now
            self._last = picked
        return picked

    def moved(self, candidate: _C) -> None:
        """Nothing is kept."""

    def _drawn(self, candidates: Sequence[_C], tried: Container[_C]) -> list[_C]:
        """Draw whom to compare; one may come twice, which harms nobody."""
        draw, count = self._rng.random, len(candidates)
        drawn = [candidates[int(draw() * count)] for _ in range(_LOOKS - 1)]
        if self._last is not None and (not tried or self._last not in tried):
            drawn.append(self._last)
        return drawn
