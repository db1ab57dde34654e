"""What of an app goes by signed tokens, made only where its plan has such methods: the JOSE library takes 75 ms."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from netfront.cli.gate.auth import gates
from netfront.cli.gate.guarding import Makers
from netfront.cli.gate.outward import Outward
from netfront.cli.gate.tokens import JwtPlan
from netfront.cli.plan import ServePlan

if TYPE_CHECKING:
    from netfront.cli.gate.issuers import Tokens

__all__ = ["token_makers", "tokens_of"]


def tokens_of(
    plan: ServePlan,
    outward: Outward,
    spawn: Callable[[Callable[[], Awaitable[None]]], None],
    tell: Callable[[str], None],
    kept: "Tokens | None",
) -> "Tokens | None":
    """Make what the plan needs of it; None where that is nothing.

    Raises:
        UsageError: a file of keys is wrong.
    """
    methods = [method for gate in gates(plan.routes) for group in gate.auth for method in group.methods]
    if not any(isinstance(method, JwtPlan) for method in methods):
        return None
    from netfront.cli.gate.issuers import Tokens

    return Tokens(methods, outward, spawn, tell, kept)


def token_makers(tokens: "Tokens | None") -> Makers:
    """Give what makes the methods."""
    return {JwtPlan: tokens.bearer} if tokens is not None else {}
