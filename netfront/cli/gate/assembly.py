"""From a GatePlan to the filters that stand for it, and from an AnswerPlan to a handler."""

from collections.abc import Sequence

from netfront.cli.gate.composing import Composing
from netfront.cli.gate.guarding import (
    AddressOf,
    Makers,
    ParamsAt,
    admission,
    authentication,
    authorization,
    authorization_again,
)
from netfront.cli.gate.limiting import Limiting
from netfront.cli.gate.passing import passes
from netfront.cli.gate.plan import AnswerPlan, GatePlan
from netfront.cli.plan import Settings
from netfront.cli.scoped import Policy
from netfront.filters.edit_fields import ResponseEdit, edit_responses
from netfront.filters.respond import respond, send_elsewhere
from netfront.filters.rewrite import rewrite
from netfront.http.message import Filter, Handler, stack
from netfront.policy.guards import Guards
from netfront.wire.fields import Fields

__all__ = ["answering", "gate", "rewriting"]


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


def rewriting(
    plan: GatePlan,
    rules: Sequence[Policy],
    guards: Guards | None,
    address_of: AddressOf,
    params_at: ParamsAt,
) -> tuple[Filter | None, Filter | None]:
    """Give the filter before a pool that changes what is sent there, and the one of the rules that ask for that.

    They are the last that look at the target, so that nobody else sees the result.
    """
    if plan.rewrite is None:
        return None, None
    return rewrite(plan.rewrite, passes(rules, plan, guards) if rules else None), authorization_again(
        plan, address_of, params_at
    )


def answering(
    plan: AnswerPlan, settings: Settings, edits: Sequence[ResponseEdit], composing: Composing
) -> Handler:
    """Give what answers where a route has no pool.

    Args:
        edits: made to its answers, as to those of backends.
    """
    return stack(edit_responses(edits) if edits else None, then=_answerer(plan, settings, composing))


def _answerer(plan: AnswerPlan, settings: Settings, composing: Composing) -> Handler:
    if plan.compose is not None:
        return composing.handler(plan.compose, settings)
    if plan.redirect is not None:
        return send_elsewhere(plan.redirect.status, plan.redirect.place)
    assert plan.respond is not None
    text = plan.respond.text.encode(errors="surrogateescape")
    fields = Fields.of((b"Content-Type", plan.respond.content_type.encode())) if text else Fields()
    return respond(plan.respond.status, fields, text)
