"""Whose turn it is: smooth weighted round robin that costs the same for two candidates and for a hundred.

The problem: with weights 5, 1, 1 every candidate is to get its share, evenly spread, whatever happens in between.
The usual smooth round robin adds up the weights of all at every pick; a queue ordered by the next due time alone is
quick, but gives a a a a a b c.

Where all weights are equal, turns go round a ring. Else each candidate has
turns of one over its weight, one after the other, on a clock that goes on by one over the sum of weights a pick. A
turn may be taken once it has begun, and of those that have begun the one that ends first is taken: a b a a c a a.
Thus nobody is ever a whole pick ahead of its share or behind it, in any order of weights (WF2Q, Bennett and Zhang
1996, for packets of one size). Two heaps hold the turns that are to begin and those that have begun.

What must survive a change of candidates is how far each is into its turn. A newcomer waits for a turn of its own,
as if it had just been picked: one that leaves after each pick and comes back is not favoured, and one that was away
has nothing to catch up. Who was passed over because it had been tried is next, once: a turn never begins in the
past.
"""

from collections.abc import Callable, Container, Iterator, Sequence
from heapq import heapify, heappop, heappush
from itertools import cycle, repeat
from typing import Generic, TypeVar

from netfront.policy.candidate import Candidate

__all__ = ["RoundRobin"]

_C = TypeVar("_C", bound=Candidate)
_NOBODY = repeat(None).__next__
_Turn = tuple[float, int, float, _C]
"""When it begins, or ends where it has begun; the candidate's place, to decide between equals; its length; whose."""


class RoundRobin(Generic[_C]):
    """Pick each in turn, as often as its weight says.

    Attributes:
        next_one: picks whose turn it is, in a third of the time; gives None where weights differ, or nobody is there.
    """

    __slots__ = ("_begun", "_clock", "_size", "_step", "_waiting", "next_one")

    follows_load = False

    def __init__(self) -> None:
        self.next_one: Callable[[], _C | None] = _NOBODY
        self._size = 0
        """Of the ring, where all weights are equal; else the two heaps are in use."""
        self._waiting: list[_Turn[_C]] = []
        self._begun: list[_Turn[_C]] = []
        self._clock = 0.0
        self._step = 0.0

    def arrange(self, candidates: Sequence[_C]) -> None:
        """Take note of who may be picked. Whose turn it is stays; newcomers come last."""
        waits = dict(self._waits())
        stays = any(candidate in waits for candidate in candidates)
        waits_of = [waits.get(candidate, 1.0) if stays else 0.0 for candidate in candidates]
        weights = [candidate.weight for candidate in candidates]
        self._go_round([])
        self._waiting.clear()
        self._begun.clear()
        self._clock = 0.0
        if not candidates or min(weights) == max(weights):
            order = sorted(range(len(candidates)), key=waits_of.__getitem__)
            self._go_round([candidates[place] for place in order])
            return
        self._step = 1.0 / sum(weights)
        for place, candidate in enumerate(candidates):
            length = 1.0 / weights[place]
            self._waiting.append((waits_of[place] * length, place, length, candidate))
        heapify(self._waiting)

    def pick(self, key: bytes | None, tried: Container[_C], now: float) -> _C | None:
        """Pick whose turn it is; None if all were tried."""
        if tried:
            return self._pick_untried(tried)
        if (one := self.next_one()) is not None:
            return one
        self._begin()
        if not self._begun:
            return None
        ends, place, length, picked = heappop(self._begun)
        clock = self._clock
        heappush(self._waiting, (ends if ends > clock else clock, place, length, picked))
        self._clock = clock + self._step
        return picked

    def moved(self, candidate: _C) -> None:
        """Load does not count."""

    def _pick_untried(self, tried: Container[_C]) -> _C | None:
        order = self._order()
        for place, picked in enumerate(order):
            if picked not in tried:
                self._go_round([*order[:place], *order[place + 1 :], picked])
                return picked
        self._begin()
        for heap in (self._begun, self._waiting):
            for turn in sorted(heap):
                at, place, length, picked = turn
                if picked not in tried:
                    heap.remove(turn)
                    heapify(heap)
                    if heap is self._waiting:
                        self._clock = at
                        at += length
                    heappush(self._waiting, (max(at, self._clock), place, length, picked))
                    self._clock += self._step
                    return picked
        return None

    def _go_round(self, order: Sequence[_C]) -> None:
        """Let these have their turns in this order, again and again."""
        self._size = len(order)
        self.next_one = cycle(order).__next__ if order else _NOBODY

    def _order(self) -> list[_C]:
        """Tell whose turn it is in the ring, one after the other."""
        return [one for _ in range(self._size) if (one := self.next_one()) is not None]

    def _begin(self) -> None:
        """Let the turns begin that are due; if none has begun, the next one, at once."""
        waiting, begun = self._waiting, self._begun
        if waiting and not begun and waiting[0][0] > self._clock:
            self._clock = waiting[0][0]
        while waiting and waiting[0][0] <= self._clock:
            begins, place, length, candidate = heappop(waiting)
            heappush(begun, (begins + length, place, length, candidate))

    def _waits(self) -> Iterator[tuple[_C, float]]:
        """Tell how long each has to wait for its turn to begin, in lengths of it: less than nothing if it has begun."""
        for place, candidate in enumerate(self._order()):
            yield candidate, place / self._size
        for begins, _, length, candidate in self._waiting:
            yield candidate, (begins - self._clock) / length
        for ends, _, length, candidate in self._begun:
            yield candidate, max((ends - self._clock) / length - 1.0, -1.0)
