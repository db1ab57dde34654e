"""What a gateway has beside forwarding, as pure data: part of the ServePlan (cli/plan.py)."""

from dataclasses import dataclass

__all__ = ["NO_GATE", "AnswerPlan", "GatePlan"]


@dataclass(frozen=True, slots=True)
class GatePlan:
    """What stands before the service of a route, as the flags of all scopes come together there."""


NO_GATE = GatePlan()
"""Nothing stands there."""


@dataclass(frozen=True, slots=True)
class AnswerPlan:
    """What netfront answers by itself where a route has no pool."""
