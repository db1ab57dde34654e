"""Whether a request that passed the restrictions of one place has passed those of another."""

from collections.abc import Callable, Sequence
from functools import reduce

from netfront.cli.gate.plan import GatePlan
from netfront.cli.plan import Settings
from netfront.cli.scoped import Policy
from netfront.filters.router import host_of
from netfront.http.message import Request
from netfront.wire.target import Target

__all__ = ["passes"]


def passes(rules: Sequence[Policy], passed: GatePlan) -> Callable[[Request, Target], bool]:
    """Make the test whether a request that has passed these restrictions has passed those of another target too.

    Args:
        rules: from the least to the most specific.
    Raises (the test): BadMessage: 400, the target cannot be normalised.
    """
    matchers = [(rule.scope.matcher() if rule.scope is not None else None, rule) for rule in rules]

    def test(request: Request, target: Target) -> bool:
        method, host = request.method, host_of(request.authority)
        for path in target.readings:
            met = [rule for matches, rule in matchers if matches is None or matches(method, host, path)]
            if not passed.covers(reduce(lambda settings, rule: rule.apply(settings), met, Settings()).gate):
                return False
        return True

    return test
