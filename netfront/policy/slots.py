"""Who owns which part of all keys: consistent hashing by weight, in a table of fixed size.

The problem: a key is to lead to the same candidate in every process and on every machine, a newcomer is to take
only its share of the keys and each alike from everybody, one that leaves gives away only its own, and weights count
exactly, also those of a slow start, which are no whole numbers. Points on a ring fulfil that for whole weights, and
need many.

Keys fall into 8192 slots. For a slot each candidate draws a number from its own name, exponentially distributed;
the smallest over its weight owns the slot (weighted rendezvous hashing). That is a race in which the chance to win
is the share of the weight, and whoever enters or leaves it changes nothing between the others. With 100 candidates
a share is exact within a tenth or so, as with 100 points each on a ring.

A change costs a look at the slots it can concern: about a millisecond for each who comes, half of one for each who
leaves or changes weight. A look-up is an index into a list. The draws are kept, 32 KiB a candidate.
"""

from array import array
from collections.abc import Container, Iterable, Sequence
from hashlib import shake_128
from math import inf, log
from struct import unpack
from typing import Generic, TypeVar

from netfront.policy.candidate import Candidate

__all__ = ["SLOTS", "SlotTable"]

SLOTS = 8192
"""A power of two, as it is some bits of a checksum. With so many, one of 101 candidates takes 1.5 % of them only
where chance is 4.6 standard deviations off."""
_C = TypeVar("_C", bound=Candidate)


class SlotTable(Generic[_C]):
    """The owner of each slot."""

    __slots__ = ("_best", "_draws", "_weights", "owners")

    def __init__(self) -> None:
        self.owners: list[_C | None] = [None] * SLOTS
        """None only where there are no candidates."""
        self._best = [inf] * SLOTS
        """By slot: its owner's draw over its weight."""
        self._draws: dict[_C, array[float]] = {}
        self._weights: dict[_C, float] = {}

    def arrange(self, candidates: Sequence[_C]) -> None:
        """Take note of who there is and of all weights."""
        weights = {candidate: candidate.weight for candidate in candidates}
        before, self._weights = self._weights, weights
        losers = {known for known, weight in before.items() if weights.get(known, 0.0) < weight}
        winners = [candidate for candidate, weight in weights.items() if weight > before.get(candidate, 0.0)]
        for candidate in before.keys() - weights.keys():
            del self._draws[candidate]
        if losers:
            stay = [candidate for candidate in weights if candidate in before]
            self._give_away(losers, stay)
        for candidate in winners:
            if candidate not in self._draws:
                self._draws[candidate] = _draws(candidate.name)
            self._take(candidate)

    def _take(self, candidate: _C) -> None:
        """Give a candidate what it has won of everybody else."""
        best, owners, name, weight = self._best, self.owners, candidate.name, self._weights[candidate]
        for slot, draw in enumerate(self._draws[candidate]):
            time = draw / weight
            if time <= best[slot]:
                owner = owners[slot]
                if time < best[slot] or owner is None or name < owner.name:
                    best[slot] = time
                    owners[slot] = candidate

    def _give_away(self, losers: Container[_C | None], stay: Iterable[_C]) -> None:
        """Find who owns now what these have owned."""
        rows = [(candidate, self._draws[candidate], self._weights[candidate]) for candidate in stay]
        rows.sort(key=lambda row: row[0].name)
        for slot, loser in enumerate(self.owners):
            if loser in losers:
                best, owner = inf, None
                for candidate, draws, weight in rows:
                    time = draws[slot] / weight
                    if time < best:
                        best, owner = time, candidate
                self._best[slot] = best
                self.owners[slot] = owner


def _draws(name: bytes) -> "array[float]":
    """Draw for every slot from a name: the same on every machine, whatever its byte order."""
    numbers = unpack(f"<{SLOTS}I", shake_128(name).digest(4 * SLOTS))
    return array("f", [-log((number + 0.5) * 2.0**-32) for number in numbers])
