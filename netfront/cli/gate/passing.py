"""Whether a request that passed the restrictions of one place has passed those of another."""

from collections.abc import Sequence
from functools import lru_cache, reduce

from netfront.cli.gate.plan import GatePlan
from netfront.cli.plan import Settings
from netfront.cli.scoped import Policy
from netfront.filters.meaning import methods_done, methods_meant
from netfront.filters.rewrite import Passes
from netfront.filters.served import Rules
from netfront.http.message import Request
from netfront.policy.guards import Guards
from netfront.wire.fields import OVERRIDE
from netfront.wire.target import Target, host_of

__all__ = ["passes", "rules_of"]

_REMEMBERED = 1024
"""Requests whose verdict is known at a place, each of at most so many bytes: it is half a MiB at most."""
_LONGEST_REMEMBERED = 512


def rules_of(settings: Settings) -> Rules:
    """Give what restricts where settings hold, for the readings of a path to be compared by."""
    gate = settings.gate
    return Rules(
        gate.restrictions,
        params=gate.params_asked,
        by_method=gate.asks("method"),
        by_query=gate.asks("query"),
        is_open=not gate.is_guarded,
        without_limits=(*gate.auth, *gate.rules),
    )


def passes(rules: Sequence[Policy], passed: GatePlan, guards: Guards | None) -> Passes:
    """Make the test whether a request that has passed these restrictions has passed those of another target too.

    It is a matter of methods, authority and path alone, so the verdict is remembered: 0.7 us against 6 for one rule and
    18 for a hundred.

    Args:
        rules: from the least to the most specific.
        guards: which paths are guarded; None where none is.
    Raises (the test): BadMessage: 400, the target cannot be normalised.
    """
    matchers = [(rule.scope.matcher() if rule.scope is not None else None, rule) for rule in rules]

    def decide(method: bytes, authority: bytes, readings: tuple[bytes, ...], is_counted: bool = True) -> bool:
        host = host_of(authority)
        for path in readings:
            met = [rule for matches, rule in matchers if matches is None or matches(method, host, path)]
            there = reduce(lambda settings, rule: rule.apply(settings), met, Settings()).gate
            if not passed.covers(there if is_counted else there.uncounted):
                return False
        return True

    remembered = lru_cache(maxsize=_REMEMBERED)(decide)

    def test(request: Request, target: Target, *, is_tree: bool = False, is_written: bool = False) -> bool:
        authority, readings = request.authority, target.meant
        host = host_of(authority) if is_tree else b""
        if is_tree and guards is not None and any(guards.lies_below(host, path) for path in readings):
            return False
        size = len(request.method) + len(authority) + sum(map(len, readings))
        decided = remembered if size <= _LONGEST_REMEMBERED else decide
        if not request.fields.kinds >> OVERRIDE & 1:
            return decided(request.method, authority, readings)
        # limits are for what is served, and not for what that reads or writes beside it
        served = () if is_written else methods_meant(request)
        done = methods_meant(request, is_written=True) if is_written else methods_done(request)
        return all(decided(one, authority, readings) for one in served) and all(
            decided(one, authority, readings, False) for one in done
        )

    return test
