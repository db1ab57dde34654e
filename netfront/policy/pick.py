"""Picking a backend: which of several gets the next request."""

from collections.abc import Sequence
from typing import Protocol, TypeVar

__all__ = ["Weighted", "round_robin"]


class Weighted(Protocol):
    """What a pick looks at."""

    weight: int
    turn: int
    """The pick's own count; starts at 0."""


_B = TypeVar("_B", bound=Weighted)


def round_robin(candidates: Sequence[_B]) -> _B:
    """Pick by smooth weighted round robin: each gets its share, and no one a run of picks in a row.

    Every candidate's `turn` grows by its weight; the largest is picked and set back by the total. With weights
    5, 1, 1 the picks are a a b a c a a. Candidates all of weight 0 are picked as if they weighed 1.
    """
    total = 0
    best = candidates[0]
    for candidate in candidates:
        candidate.turn += candidate.weight
        total += candidate.weight
        if candidate.turn > best.turn:
            best = candidate
    best.turn -= total
    if not total:
        best.turn -= 1
    return best
