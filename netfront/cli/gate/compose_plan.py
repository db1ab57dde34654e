"""Compositions as pure data: the rule, and what holds where."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from netfront.policy.compose import Composition

__all__ = ["USUAL", "ComposePlan", "ComposeSettings"]


@dataclass(frozen=True, slots=True)
class ComposePlan:
    """An answer made of several.

    Args:
        tells_time: what each part took, in Server-Timing.
    """

    composition: "Composition"
    tells_time: bool = False


DEFAULT_MEMORY = 256 << 20
"""Bytes held for all answers that are being composed."""


@dataclass(frozen=True, slots=True)
class ComposeSettings:
    """How answers are composed in a scope.

    Args:
        each: of a part for each item, requests at once.
        passes_status: the 4xx of a required part is the answer's.
        timeout: seconds for all parts together.
        most_part: bytes of a part.
        cookies: names of those that parts may set.
    """

    each: int = 16
    passes_status: bool = False
    timeout: float = 30.0
    most_part: int = 8 << 20
    cookies: tuple[str, ...] = ()


USUAL = ComposeSettings()
"""Where no flag says otherwise."""
