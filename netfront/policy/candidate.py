"""What a picker may look at of a backend."""

from collections.abc import Hashable
from typing import Protocol

__all__ = ["Candidate"]


class Candidate(Hashable, Protocol):
    """A backend as a picker sees it. Compared and hashed as the object that it is."""

    @property
    def name(self) -> bytes:
        """What stays the same everywhere and always, and no two have: keys are hashed by it."""

    @property
    def weight(self) -> float:
        """Its share, over the sum of all; more than 0. A change is told by `arrange`."""

    @property
    def in_flight(self) -> int:
        """Requests at it. A change is told by `moved` where a picker follows load."""

    @property
    def latency(self) -> float:
        """Peak EWMA in seconds as of its last answer; 0.0 before the first."""
