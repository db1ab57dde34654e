"""What is wrong with backends and the flags that say something of them, though each by itself is right."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from netfront.cli.faults import Faults
from netfront.cli.flags import ServeFlags, flag_of
from netfront.cli.listening import secure_schemes
from netfront.cli.plan import ListenerPlan, PoolPlan, RetryPlan, RoutePlan, Settings
from netfront.cli.scoped import Policy
from netfront.cli.targets import follows_name
from netfront.endpoint import Endpoint, is_loopback_name, parse_server_name

__all__ = ["check_backends"]

_FOR_SEVERAL: dict[str, Callable[[Settings], bool]] = {
    "--hedge": lambda settings: bool(settings.hedge),
    "--retry-on": lambda settings: settings.retry != RetryPlan(resets=False),
    "--retry-body": lambda settings: settings.retry_body > 0,
    "--slow-start": lambda settings: settings.balance.slow_start > 0,
}
"""Flags that do nothing where there is one backend, and whether a value asks for something. --eject-on is none of
them: that a backend is down is told even where it goes on being asked."""

_LOOPBACK = ("127.0.0.1", "::1")
_LISTENED = {"localhost": _LOOPBACK, "*": _LOOPBACK, "0.0.0.0": _LOOPBACK[:1], "::": _LOOPBACK}
"""The loopback addresses at which those hosts are reached that stand for several."""


def check_backends(
    command: str,
    flags: ServeFlags,
    policies: Iterable[Policy],
    listeners: Sequence[ListenerPlan],
    routes: Sequence[RoutePlan],
    pools: Sequence[PoolPlan],
    faults: Faults,
) -> None:
    """Find what does not fit together; all routes must have been read."""
    by_name = {pool.name: pool for pool in pools}
    _check_balancing(flags, pools, faults)
    if not flags.files:  # what stands in a file may change, and is not to be refused for what it was before
        _check_shares(policies, routes, by_name, faults)
    _check_loops(listeners, routes, by_name, faults)
    _check_alpn(listeners, routes, by_name, faults)
    _check_tls(command, flags, pools, faults)
    _check_hosts(flags, listeners, pools, faults)


def _check_balancing(flags: ServeFlags, pools: Iterable[PoolPlan], faults: Faults) -> None:
    """Refuse flags of balancing that nothing heeds."""
    pools = list(pools)
    if flags.sticky_key is not None and not any(pool.balance.lb.policy == "sticky" for pool in pools):
        faults.add("--sticky-key", "it has no effect", "no --lb is sticky")
    has_max = any(target.max for pool in pools for target in pool.targets)
    if flags.queue_timeout and pools and all(pool.balance.queue == 0 for pool in pools):
        faults.add("--queue-timeout", "it has no effect", "with --queue 0 nobody waits")
    for name in ("queue", "queue_timeout"):
        if getattr(flags, name) and not has_max:
            faults.add(flag_of(name), "it has no effect", "no target has +max=N")
    if flags.resolver is not None and not any(
        target.is_service or follows_name(target.endpoint) for pool in pools for target in pool.targets
    ):
        faults.add("--resolver", "it has no effect", "no target has a name to be resolved")


def _check_shares(
    policies: Iterable[Policy], routes: Iterable[RoutePlan], by_name: Mapping[str, PoolPlan], faults: Faults
) -> None:
    """Refuse what tells backends apart where there is but one, or where they are picked by their order alone."""
    for pool in by_name.values():
        for target in pool.targets:
            if pool.balance.lb.policy == "first" and target.weight not in (0, 1):
                what = f"{target.label}+weight={target.weight}"
                faults.add(what, "+weight has no effect", "--lb first goes by the order of backends alone")
        if pool.targets and not any(target.weight or target.is_service for target in pool.targets):
            hint = "nobody would get a request: leave it off one of them"
            faults.add(f"the backends of {pool.name}", "all are +weight=0", hint)
    for policy in policies:
        flag = policy.given.partition(" ")[0]
        wants = _FOR_SEVERAL.get(flag)
        if wants is None or not wants(policy.apply(Settings())):
            continue
        is_of_shares = flag == "--slow-start"
        met = [
            by_name[route.pool]
            for route in routes
            if route.pool is not None
            and (is_of_shares or route.kind == "http")
            and (policy.scope is None or policy.scope.meets(route.scope))
        ]
        what = flag if policy.scope is None else policy.given
        if met and all(map(_is_alone, met)):
            names = " and ".join(pool.name for pool in met)
            why = f"{names} {'has' if len(met) == 1 else 'have'} one backend alone"
            faults.add(what, "it has no effect", why, word=policy.word)
        elif (
            met and is_of_shares and all(_is_alone(pool) or pool.balance.lb.policy == "first" for pool in met)
        ):
            faults.add(what, "it has no effect", "--lb first gives no shares to grow", word=policy.word)


def _is_alone(pool: PoolPlan) -> bool:
    """Tell whether a pool has one backend for good; a name may lead to several machines."""
    return not (pool.may_have_several or any(follows_name(target.endpoint) for target in pool.targets))


def _check_loops(
    listeners: Sequence[ListenerPlan],
    routes: Iterable[RoutePlan],
    by_name: Mapping[str, PoolPlan],
    faults: Faults,
) -> None:
    """Refuse a target that is the listener it serves: what goes there as it came comes back until nothing is left."""
    for route in routes:
        for index, listener in enumerate(listeners):
            serves = listener.kind == route.kind and listener.redirects_to is None
            if not serves or route.listener not in (None, index):
                continue
            for target in by_name[route.pool].targets if route.pool is not None else ():
                is_changed = target.endpoint.base or target.host
                if not is_changed and _leads_to(listener.endpoint, target.endpoint):
                    why = "netfront itself would listen there, and forward to itself"
                    faults.add(target.label, why, "give --listen or the target another port")
            ways = route.answer.ways if route.answer is not None else ()
            for way in ways:
                if _leads_to(listener.endpoint, way.endpoint):
                    why = "netfront itself would listen there, and ask itself"
                    faults.add(
                        f"--compose {way.endpoint.url}/…", why, "name the path alone: it is asked from within"
                    )


def _check_alpn(
    listeners: Sequence[ListenerPlan],
    routes: Iterable[RoutePlan],
    by_name: Mapping[str, PoolPlan],
    faults: Faults,
) -> None:
    """Refuse to tell by a protocol's name who is offered none: where we end TLS there is nothing to choose."""
    for route in routes:
        if route.kind != "tcp" or route.pool is None:
            continue
        served = [
            one for at, one in enumerate(listeners) if one.kind == "tcp" and route.listener in (None, at)
        ]
        for target in by_name[route.pool].targets if served and all(one.tls for one in served) else ():
            if target.alpn is not None:
                why = "TLS ends at tls://, which offers no protocols: tcp:// passes it on"
                faults.add(f"{target.label}+alpn={target.alpn}", "+alpn has no effect", why)


def _leads_to(listener: Endpoint, target: Endpoint) -> bool:
    """Tell whether who dials this target meets this listener."""
    if listener.path is not None or target.path is not None:
        return listener.path == target.path
    if not listener.port or listener.port != target.port:
        return False
    if not is_loopback_name(target.host):
        return target.host == listener.host
    dialled = target.host if target.host in _LOOPBACK else "127.0.0.1"  # the first address of a loopback name
    return dialled in _LISTENED.get(listener.host, (listener.host,))


def _check_tls(command: str, flags: ServeFlags, pools: Iterable[PoolPlan], faults: Faults) -> None:
    """Refuse flags for TLS to backends that would do nothing, or contradict each other."""
    is_tls = any(target.tls for pool in pools for target in pool.targets)
    for name in ("backend_ca", "backend_cert", "backend_key", "backend_name", "insecure"):
        if getattr(flags, name) not in (None, False) and not is_tls:
            faults.add(flag_of(name), "it has no effect", f"no target is {secure_schemes(command)}")
    if flags.backend_name is not None:
        faults.read("--backend-name", flags.backend_name, parse_server_name, None)
        named = [target.tls.server_name for pool in pools for target in pool.targets if target.tls]
        if named and flags.backend_name not in named:
            faults.add("--backend-name", "it has no effect", "every target has a +sni of its own")
    if flags.backend_key and not flags.backend_cert:
        faults.add("--backend-key", "it has no --backend-cert", "give both")
    if flags.insecure and flags.backend_ca:
        faults.add("--insecure", "it contradicts --backend-ca", "give one of them")
    for target in (target for pool in pools for target in pool.targets):
        if target.tls is not None and target.tls.insecure and target.tls.ca and not flags.backend_ca:
            faults.add(
                f"{target.label}+ca={target.tls.ca}", "+ca has no effect", "it is not verified (insecure)"
            )


def _check_hosts(
    flags: ServeFlags,
    listeners: Iterable[ListenerPlan],
    pools: Iterable[PoolPlan],
    faults: Faults,
) -> None:
    """Refuse what is said of Host where nothing heeds it: only where it is replaced on loopback is it held to names."""
    targets = [target for pool in pools for target in pool.targets]
    if flags.change_host_header is not None and targets and all(one.endpoint.is_demo for one in targets):
        switch = "--change-host-header" if flags.change_host_header else "--no-change-host-header"
        faults.add(switch, "it has no effect", "demo: has no name that Host could be changed to")
    is_replaced = any(target.host for target in targets)
    is_loopback = any(listener.is_loopback for listener in listeners if listener.redirects_to is None)
    if flags.allow_host and not (is_replaced and is_loopback):
        faults.add(
            "--allow-host", "it has no effect", "no listener on loopback has a target whose Host is changed"
        )
