"""Picking by key: the same key leads to the same candidate, unless that one has more than its share to do.

A key falls into a slot, and the slot's owner is picked (see slots.py). Where that one was tried or is at its bound,
the key goes on to the next slots, whose owners are any: so what one candidate cannot take is spread over all
others, where the next point on a ring would get it whole, and each key still falls back to the same one. The bound
is 1.25 times the share of all requests in flight, this one included, rounded up: ceil(1.25 * (in flight + 1) *
weight / weights). There is always someone below it; only where all of those were tried does a request go to one at
its bound, the least loaded.
"""

from collections.abc import Container, Sequence
from typing import Generic, TypeVar
from zlib import crc32

from netfront.policy.candidate import Candidate
from netfront.policy.chance import Chance
from netfront.policy.draws import PowerOfTwo
from netfront.policy.slots import SLOTS, SlotTable

__all__ = ["Hashed"]

_C = TypeVar("_C", bound=Candidate)
_BOUND = 1.25
_SPREAD = 0x9E3779B97F4A7C15
"""2**64 over the golden ratio: the upper bits of its product with a checksum are even for keys that are alike."""
_PROBES = 32
"""Slots gone to before all candidates are searched: one in five leads below a bound, so hardly ever are 32 in vain."""


class Hashed(Generic[_C]):
    """Pick by key; what has none goes to the less loaded of two."""

    __slots__ = ("_candidates", "_counts", "_keyless", "_slots", "_total", "_weights")

    follows_load = True

    def __init__(self, rng: Chance) -> None:
        self._keyless: PowerOfTwo[_C] = PowerOfTwo(rng)
        self._slots: SlotTable[_C] = SlotTable()
        self._candidates: list[_C] = []
        self._counts: dict[_C, int] = {}
        """The requests of each that are in the total."""
        self._total = 0
        self._weights = 0.0

    def arrange(self, candidates: Sequence[_C]) -> None:
        """Take note of who may be picked, and of all weights: a millisecond for each that is new."""
        self._keyless.arrange(candidates)
        self._slots.arrange(candidates)
        self._candidates = list(candidates)
        self._counts = {candidate: candidate.in_flight for candidate in candidates}
        self._total = sum(self._counts.values())
        self._weights = sum(candidate.weight for candidate in candidates)

    def pick(self, key: bytes | None, tried: Container[_C], now: float) -> _C | None:
        """Pick the key's own, or its next; None if all were tried."""
        if key is None:
            return self._keyless.pick(key, tried, now)
        owners, weights = self._slots.owners, self._weights
        slot = crc32(key) * _SPREAD >> 51 & SLOTS - 1
        bound = _BOUND * (self._total + 1)
        owner = owners[slot]
        if owner is None:
            return None
        if owner.in_flight * weights < bound * owner.weight and (not tried or owner not in tried):
            return owner
        for _ in range(_PROBES):
            slot = slot + 1 & SLOTS - 1
            owner = owners[slot]
            if owner and owner.in_flight * weights < bound * owner.weight and owner not in tried:
                return owner
        untried = [candidate for candidate in self._candidates if candidate not in tried]
        return min(untried, key=lambda candidate: candidate.in_flight / candidate.weight, default=None)

    def moved(self, candidate: _C) -> None:
        """Take a change into the total."""
        before = self._counts.get(candidate)
        if before is not None:
            self._counts[candidate] = candidate.in_flight
            self._total += candidate.in_flight - before
