"""`--explain`: what guards a route of a gateway, in the order in which a request meets it."""

from collections.abc import Iterator

from netfront.cli.gate.auth import EVERYTHING, methods_of
from netfront.cli.gate.plan import GatePlan
from netfront.cli.gate.restrictions import AddressPlan, AuthGroup
from netfront.cli.plan import ServePlan
from netfront.policy.scope import Scope

__all__ = ["explain_guards", "explain_sessions"]


def explain_guards(gate: GatePlan) -> Iterator[tuple[str, str]]:
    """Tell who may pass, and what the backend is told of them."""
    for scope in gate.public:
        yield "public", f"by --public {scope}: no authentication or authorization of wider scopes"
    addresses = [rule for rule in gate.rules if isinstance(rule, AddressPlan)]
    for address in addresses:
        yield "allow", f"{address.shown}; else 403{_from(address.scope)}"
    for group in gate.auth:
        yield "auth", f"{_alternatives(group)}{_from(group.scope)}"
    for rule in gate.rules:
        if rule not in addresses:
            yield "allow", f"{rule.shown}; else 403{_from(rule.scope)}"
    if gate.passed:
        told = ", ".join(f"{one.name} is {one.claim}" for one in gate.passed)
        yield "tell", f"{told}; clients cannot send them"


def explain_sessions(plan: ServePlan) -> Iterator[tuple[str, str]]:
    """Tell what seals the sessions of logins."""
    if any(method.kind == "oidc" for method in methods_of(plan.routes)):
        yield "sessions", f"sealed by {plan.session_key or 'a key of the data directory'}"


def _alternatives(group: AuthGroup) -> str:
    return "; or ".join(method.shown for method in group.methods)


def _from(scope: Scope) -> str:
    return f" ({scope})" if scope != EVERYTHING else ""
