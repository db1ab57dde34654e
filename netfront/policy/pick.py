"""Picking a backend: which of several gets the next request.

A picker is told who may be picked when that changes (`arrange`) and asked at each request (`pick`), so what can be
worked out once is not worked out a request: a pick costs about the same for two candidates and for a hundred. Which
are up, full or a backup is the pool's business: it arranges them in or out. `tried` is nearly always empty, and
only where it is not may all be searched.
"""

from collections.abc import Callable, Container, Sequence
from typing import Generic, Protocol, TypeVar

from netfront.policy.candidate import Candidate
from netfront.policy.chance import Chance
from netfront.policy.draws import PowerOfTwo, Random
from netfront.policy.hashed import Hashed
from netfront.policy.latency import Latency, PeakEwma
from netfront.policy.least import Least
from netfront.policy.turns import RoundRobin

__all__ = ["PICKERS", "Candidate", "PeakEwma", "Picker", "make_picker"]

PICKERS = ("rr", "least", "p2c", "latency", "random", "first", "hash")
"""The names of all pickers."""
_C = TypeVar("_C", bound=Candidate)


class Picker(Protocol[_C]):
    """One way of picking."""

    @property
    def follows_load(self) -> bool:
        """Whether `moved` must be called after each change of a candidate's in_flight."""

    def arrange(self, candidates: Sequence[_C]) -> None:
        """Take note of who may be picked, and of all weights; whose turn it is, and such, is kept."""

    def pick(self, key: bytes | None, tried: Container[_C], now: float) -> _C | None:
        """Pick one.

        Args:
            key: what `hash` goes by; None if the request has none.
            tried: those that are out of the question for this request.
        Returns:
            None if all were tried, or there is none.
        """

    def moved(self, candidate: _C) -> None:
        """Take note that the in_flight of a candidate has changed."""


def make_picker(name: str, rng: Chance) -> Picker[_C]:
    """Make a picker by its name, one of PICKERS."""
    makers: dict[str, Callable[[], Picker[_C]]] = {
        "rr": RoundRobin,
        "least": Least,
        "p2c": lambda: PowerOfTwo(rng),
        "latency": lambda: Latency(rng),
        "random": lambda: Random(rng),
        "first": _First,
        "hash": lambda: Hashed(rng),
    }
    return makers[name]()


class _First(Generic[_C]):
    """The first in the order they were given: the next one only where it is gone or was tried."""

    __slots__ = ("_candidates",)

    follows_load = False

    def __init__(self) -> None:
        self._candidates: list[_C] = []

    def arrange(self, candidates: Sequence[_C]) -> None:
        self._candidates = list(candidates)

    def pick(self, key: bytes | None, tried: Container[_C], now: float) -> _C | None:
        for candidate in self._candidates:
            if not tried or candidate not in tried:
                return candidate
        return None

    def moved(self, candidate: _C) -> None:
        pass
