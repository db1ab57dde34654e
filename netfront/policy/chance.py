"""Chance, as decisions take it: handed in, so that a test can seed or dictate it."""

from typing import Protocol

__all__ = ["Chance"]


class Chance(Protocol):
    """What is used of a `random.Random`."""

    def random(self) -> float:
        """Draw a number from 0 up to but not including 1."""
