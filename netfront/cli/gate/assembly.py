"""From a GatePlan to the filters that stand for it, and from an AnswerPlan to a handler."""

from netfront.cli.gate.guarding import AddressOf, Makers, admission, authentication, authorization
from netfront.cli.gate.limiting import Limiting
from netfront.cli.gate.plan import AnswerPlan, GatePlan
from netfront.http.message import Filter, Handler

__all__ = ["answering", "gate"]


def gate(
    plan: GatePlan, makers: Makers, address_of: AddressOf, limiting: Limiting
) -> tuple[Filter | None, ...]:
    """Give the filters before a service, in the order in which a request meets them.

    Args:
        makers: of methods of authentication, by the classes of their plans.
        address_of: tells a client's address, behind proxies that are trusted too.
        limiting: counts requests under limits.
    """
    return (
        admission(plan, address_of),  # who may not come in is not asked who they are
        *limiting.filters(plan, address_of, early=True),  # before it is known who asks: they brake guessing
        authentication(plan, makers),
        *limiting.filters(plan, address_of, early=False),
        *authorization(plan, address_of),
    )


def answering(plan: AnswerPlan) -> Handler:
    """Give what answers where a route has no pool."""
    raise NotImplementedError(plan)
