"""The pools of ways out: part of a plan, as those of routes are.

TLS is verified against --backend-ca or the system's store. --insecure and --backend-name are for backends, and hold for
nobody who says who a client is.
"""

from collections.abc import Iterable

from netfront.cli.argv import path_of
from netfront.cli.flags import ServeFlags
from netfront.cli.gate.auth import gates
from netfront.cli.gate.way import Way
from netfront.cli.plan import BackendTlsPlan, PoolPlan, RoutePlan, TargetPlan

__all__ = ["outward_pool", "outward_pools", "ways_of"]


def ways_of(routes: Iterable[RoutePlan]) -> list[Way]:
    """List the ways out that routes and their variants have."""
    ways: list[Way] = []
    for route in routes:
        if route.answer is not None:
            ways += route.answer.ways
        for gate in gates([route]):
            ways += gate.ways
            ways += [way for method in gate.methods for way in method.ways]
    return list(dict.fromkeys(ways))


def outward_pools(ways: Iterable[Way], flags: ServeFlags) -> tuple[PoolPlan, ...]:
    """Make the pools of these ways, one for each place."""
    tls = BackendTlsPlan(
        "", ca=path_of(flags.backend_ca), cert=path_of(flags.backend_cert), key=path_of(flags.backend_key)
    )
    return tuple(outward_pool(way, tls) for way in {way.pool: way for way in ways}.values())


def outward_pool(way: Way, tls: BackendTlsPlan) -> PoolPlan:
    """Make the pool of one way.

    Args:
        tls: how TLS is spoken, whoever is asked.
    """
    endpoint = way.endpoint
    spoken = None
    if endpoint.scheme == "https":
        spoken = BackendTlsPlan(endpoint.host, ca=tls.ca, cert=tls.cert, key=tls.key)
    target = TargetPlan(endpoint=endpoint, label=endpoint.url, authority=endpoint.authority, tls=spoken)
    return PoolPlan(way.pool, (target,))
