"""Ways around what guards requests: a tcp:// or udp:// listener passes bytes on that nobody reads.

Who gives a rule without a scope means everything; only requests can be guarded, so beside such a listener the rule is
to say that it is for requests, as every scope does. A way to the very place that a rule guards is refused in any case.
"""

from collections.abc import Iterable, Sequence

from netfront.cli.faults import Faults
from netfront.cli.gate.guards import gates_as_written
from netfront.cli.gate.plan import GatePlan
from netfront.cli.plan import PoolPlan, RoutePlan, Settings, TargetPlan
from netfront.cli.scoped import Policy
from netfront.endpoint import is_loopback_name
from netfront.policy.scope import Scope

__all__ = ["asks_who", "check_unguarded", "place_of"]

_ELSEWHERE = "serve that {kind}:// by another netfront, if it is to be open"


def check_unguarded(
    policies: Iterable[Policy], routes: Sequence[RoutePlan], pools: Iterable[PoolPlan], faults: Faults
) -> None:
    """Refuse routes of bytes that who gave the rules would take for guarded."""
    blind = [route for route in routes if route.kind != "http"]
    if not blind:
        return
    read = [route.scope for route in routes if route.kind == "http"]
    for policy in policies:
        if not asks_who(policy.apply(Settings()).gate):
            continue
        if policy.scope is None:
            why = f"it cannot guard {blind[0].kind}://, whose bytes nobody reads"
            faults.add(policy.given, why, f"for requests alone write '/: {policy.word}'", word=policy.word)
        elif any(map(policy.scope.meets, read)) and (beside := _of_host(policy.scope, blind)) is not None:
            why = f"it cannot guard the {beside.kind}:// route {beside.scope}, whose bytes nobody reads"
            faults.add(policy.given, why, _ELSEWHERE.format(kind=beside.kind), word=policy.word)
    _check_places(routes, pools, faults)


def _check_places(routes: Sequence[RoutePlan], pools: Iterable[PoolPlan], faults: Faults) -> None:
    """Refuse backends of guarded routes that a connection reaches without them."""
    targets = {pool.name: pool.targets for pool in pools}
    guarded: dict[object, RoutePlan] = {}
    for route, gate in gates_as_written(routes):
        if asks_who(gate):
            for target in targets.get(route.pool or "", ()):
                guarded.setdefault(place_of(target), route)
    for target in (one for route in routes if route.kind == "tcp" for one in targets[route.pool or ""]):
        beside = guarded.pop(place_of(target), None)
        if beside is not None:
            why = f"tcp:// leads to it past what guards the route {beside.named}"
            faults.add(target.label, why, _ELSEWHERE.format(kind="tcp"))


def asks_who(gate: GatePlan) -> bool:
    """Tell whether it asks who comes. Limits do not count: they are of requests, and say so."""
    return bool(gate.auth or gate.rules)


def _of_host(scope: Scope, blind: Iterable[RoutePlan]) -> RoutePlan | None:
    """Find the route of bytes whose name lies in the host of a scope."""
    if not scope.host:
        return None
    host = Scope(host=scope.host)
    return next((route for route in blind if route.scope.host and host.meets(route.scope)), None)


def place_of(target: TargetPlan) -> object:
    """Give what is alike for two targets that are dialled alike."""
    endpoint = target.endpoint
    if endpoint.path is not None:
        return endpoint.path
    return "localhost" if is_loopback_name(endpoint.host) else endpoint.host.lower(), endpoint.port
