"""From a GatePlan to the filters that stand for it, and from an AnswerPlan to a handler."""

from netfront.cli.gate.plan import AnswerPlan, GatePlan
from netfront.http.message import Filter, Handler

__all__ = ["answering", "gate"]


def gate(plan: GatePlan) -> tuple[Filter | None, ...]:
    """Give the filters before a service, in the order in which a request meets them."""
    return ()


def answering(plan: AnswerPlan) -> Handler:
    """Give what answers where a route has no pool."""
    raise NotImplementedError(plan)
