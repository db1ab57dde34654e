"""What stands before the service of a route, in words, in the order in which a request meets it."""

from collections.abc import Iterator

from netfront.cli.gate.edges import explain_cors
from netfront.cli.gate.explain_guards import explain_guards
from netfront.cli.gate.limits import explain_limits
from netfront.cli.gate.plan import GatePlan

__all__ = ["explain_gate"]


def explain_gate(plan: GatePlan) -> Iterator[tuple[str, str]]:
    """Tell what a request meets before the service."""
    yield from explain_cors(plan)
    guards = list(explain_guards(plan))
    auth = [at for at, (name, _) in enumerate(guards) if name == "auth"]
    first, last = (auth[0], auth[-1] + 1) if auth else (0, 0)
    yield from guards[:first]
    yield from explain_limits(plan, early=True)
    yield from guards[first:last]
    yield from explain_limits(plan, early=False)
    yield from guards[last:]
