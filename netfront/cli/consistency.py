"""What is wrong with flags together, though each by itself is right.

A flag that would do nothing is refused, as is one that contradicts another: who gave it meant something by it. A
policy whose scope no route meets guards nothing, and would leave something open.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from netfront.cli.faults import Faults
from netfront.cli.flags import ServeFlags, flag_of
from netfront.cli.gate.auth import check_auth
from netfront.cli.gate.clashes import check_clashes
from netfront.cli.gate.compose import check_compositions
from netfront.cli.gate.limits import check_limits
from netfront.cli.gate.oidc import check_oidc
from netfront.cli.gate.own_fields import one_spelling
from netfront.cli.gate.restrictions import ApiKeyPlan
from netfront.cli.gate.rules import check_rules
from netfront.cli.gate.unguarded import check_unguarded
from netfront.cli.listening import is_local_name, secure_schemes
from netfront.cli.plan import ListenerPlan, PoolPlan, RetryPlan, RoutePlan, ServePlan, Settings
from netfront.cli.scoped import Policy
from netfront.cli.targets import follows_name
from netfront.endpoint import Endpoint, is_loopback_name, parse_server_name
from netfront.policy.scope import Near, Scope

__all__ = ["find_contradictions", "refuse_local_hsts"]

_HTTP_ONLY = (
    "redirect_http", "hsts", "change_host_header", "allow_host", "header", "response_header", "keep_server",
    "forwarded", "timeout", "head_timeout", "idle_timeout", "body_timeout", "send_timeout", "read_timeout",
    "backend_idle_timeout", "max_line", "max_field", "max_head", "max_fields", "max_body", "sticky_key", "eject_on",
    "retry_on", "retry_body", "hedge", "backend_header",
    "match", "rewrite", "public", "basic", "api_key", "jwt", "oidc", "session_key", "mtls", "auth_url", "token_scope",
    "claim", "ip", "allow", "pass_identity", "limit", "concurrency", "redis", "compose_each", "compose_status",
    "compose_timeout", "compose_part", "compose_cookie", "server_timing", "cors", "secure_headers",
)  # fmt: skip
"""Flags that say something of requests, which bytes are not."""
_FORWARDING = frozenset({
    "--lb", "--health", "--health-body", "--eject-on", "--slow-start", "--queue", "--queue-timeout", "--retry-on",
    "--retry-body", "--hedge", "--header", "--rewrite",
})  # fmt: skip
"""Flags that say something of what is sent to backends, and to which."""
_HTTP_FLAGS = frozenset(map(flag_of, _HTTP_ONLY))
_TCP_ONLY = (
    "name", "client_ca", "handshake_timeout", "max_connections", "max_per_address", "connect_timeout", "stream_timeout",
    "queue", "queue_timeout",
)  # fmt: skip

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


def find_contradictions(
    command: str,
    flags: ServeFlags,
    policies: Iterable[Policy],
    listeners: Sequence[ListenerPlan],
    routes: Sequence[RoutePlan],
    pools: Sequence[PoolPlan],
    faults: Faults,
) -> None:
    """Find what does not fit together; all routes must have been read."""
    policies = list(policies)
    _check_policies(policies, routes, faults)
    if any(listener.kind == "http" for listener in listeners):
        check_unguarded(policies, routes, pools, faults)
        check_auth(flags, policies, listeners, faults)
        check_clashes(policies, routes, faults)
        check_rules(routes, faults)
        check_oidc(flags, routes, listeners, faults)
        check_limits(policies, routes, faults)
        check_compositions(flags, policies, routes, faults)
    _check_parts(routes, faults)
    if command == "gateway" and flags.request_id:
        _check_request_id(routes, faults)
    _check_http_only(command, flags, listeners, faults)
    _check_balancing(flags, pools, faults)
    if not flags.files:  # what stands in a file may change, and is not to be refused for what it was before
        _check_shares(policies, routes, pools, faults)
    _check_served(listeners, routes, faults)
    _check_loops(listeners, routes, pools, faults)
    _check_alpn(listeners, routes, pools, faults)
    _check_backend_flags(command, flags, pools, faults)
    _check_allowed_hosts(flags, listeners, pools, faults)
    _check_listening(flags, listeners, faults)


def refuse_local_hsts(plan: ServePlan, routed: Iterable[str], faults: Faults) -> None:
    """A browser that has learnt it would insist on https for every server of this machine."""
    if plan.tell.hsts is None:
        return
    if plan.tls is None:
        faults.add("--hsts", "it has no effect", "no --listen is https://")
        return
    hint = "give --cert and --key for a public name, and --name"
    names = [*plan.tls.names, *routed]
    for name in dict.fromkeys(filter(is_local_name, names)):
        faults.add("--hsts", f"{name} is a local name", hint)
    if not names and (plan.tls.is_local or all(listener.is_loopback for listener in plan.listeners)):
        faults.add("--hsts", "localhost is a local name", hint)


def _check_policies(policies: Iterable[Policy], routes: Sequence[RoutePlan], faults: Faults) -> None:
    """A policy that guards nothing is a typing error that would leave something open."""
    read = [route for route in routes if route.kind == "http"]
    near, near_read = (Near((route.scope, route.scope) for route in some) for some in (routes, read))
    near_all = Near((route.scope, route) for route in routes)
    for policy in policies:
        scope = policy.scope
        if scope is None:
            if read and not _is_heeded(policy.given.partition(" ")[0], Scope(), read):
                why = "every route is answered by ourselves"
                faults.add(policy.given, "it has no effect", why, word=policy.word)
            continue
        if not any(map(scope.meets, near.of(scope))):
            hint = f"the routes are {_scopes(routes)}"
            faults.add(policy.given, "its scope meets no route", hint, word=policy.word)
        elif read and _tells_of_requests(policy) and not any(map(scope.meets, near_read.of(scope))):
            hint = f"requests are read on the routes {_scopes(read)} alone"
            faults.add(policy.given, "its scope meets no route of requests", hint, word=policy.word)
        elif not _is_heeded(policy.given.partition(" ")[0], scope, near_all.of(scope)):
            faults.add(
                policy.given, "it has no effect", f"{scope} is answered by ourselves", word=policy.word
            )


def _is_heeded(flag: str, scope: Scope, routes: Iterable[RoutePlan]) -> bool:
    """Tell whether a flag says something of a request of this scope, which may be one that we answer ourselves."""
    if flag not in _FORWARDING and flag != "--timeout":
        return True
    asking: list[RoutePlan] = []
    takers: list[Scope] = []
    for route in routes:
        if not scope.meets(route.scope):
            continue
        # what is composed of URLs waits for each of them
        if route.answer is None or (flag == "--timeout" and route.answer.ways):
            asking.append(route)
        elif route.scope.covers(scope):
            takers.append(route.scope)
    return any(
        not any(
            route.scope.is_wider(taker)
            and (route.condition is None or route.scope.segments != taker.segments)
            for taker in takers
        )
        for route in asking
    )


def _tells_of_requests(policy: Policy) -> bool:
    return policy.given.partition(" ")[0] in _HTTP_FLAGS


def _scopes(routes: Iterable[RoutePlan]) -> str:
    return ", ".join(dict.fromkeys(str(route.scope) for route in routes))


def _check_parts(routes: Iterable[RoutePlan], faults: Faults) -> None:
    """A pool is picked from in one way: what belongs to it cannot differ between the parts of a route."""
    for route in routes:
        for variant in route.variants:
            if variant.settings.balance != route.settings.balance:
                inner = " and ".join(map(str, variant.scopes))
                what = f"{inner} is a part of the route {route.scope}"
                why = "its backends are picked, probed and ejected as those of the whole route"
                own = replace(variant.scopes[0], host=variant.scopes[0].host or route.scope.host)
                faults.add(what, why, f"give it a route of its own: {own}=TARGETS")


def _check_request_id(routes: Sequence[RoutePlan], faults: Faults) -> None:
    """What names a request is one thing everywhere: who sets it by hand has to say that we do not."""
    set_by_hand: dict[str, str] = {}
    for one in (
        one for route in routes for one in (route.settings, *(part.settings for part in route.variants))
    ):
        set_by_hand |= {f"--header {edit.name.decode()}": edit.name.decode() for edit in one.request_edits}
        set_by_hand |= {
            f"--response-header {edit.name.decode()}": edit.name.decode() for edit in one.response_edits
        }
        set_by_hand |= {f"--pass-identity {passed.name}": passed.name for passed in one.gate.passed}
        for method in one.gate.methods:
            set_by_hand |= {f"--auth-url with fields={name}": name for name in method.handed}
            if isinstance(method, ApiKeyPlan):
                set_by_hand[f"--api-key with header={method.field}"] = method.field
    for what, name in set_by_hand.items():
        if one_spelling(name) == "x-request-id":
            faults.add(what, "a gateway gives each request an id of its own", "add --no-request-id")


def _check_http_only(
    command: str, flags: ServeFlags, listeners: Sequence[ListenerPlan], faults: Faults
) -> None:
    kinds = {listener.kind for listener in listeners}
    if "http" not in kinds:
        for name in _HTTP_ONLY:
            if getattr(flags, name) not in (None, False, [], ()):
                faults.add(flag_of(name), "it has no effect", "no --listen is http:// or https://")
        for name in ("via", "request_id"):
            if not getattr(flags, name):
                faults.add(
                    f"--no-{flag_of(name)[2:]}", "it has no effect", "no --listen is http:// or https://"
                )
    if kinds == {"udp"}:
        for name in _TCP_ONLY:
            if getattr(flags, name) not in (None, False, [], ()):
                faults.add(flag_of(name), "it has no effect", "every --listen is udp://")
    if flags.udp_timeout is not None and "udp" not in kinds:
        faults.add("--udp-timeout", "it has no effect", "no --listen is udp://")


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
    policies: Iterable[Policy], routes: Iterable[RoutePlan], pools: Iterable[PoolPlan], faults: Faults
) -> None:
    """Refuse what tells backends apart where there is but one, or where they are picked by their order alone."""
    by_name = {pool.name: pool for pool in pools}
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


def _check_served(listeners: Sequence[ListenerPlan], routes: Sequence[RoutePlan], faults: Faults) -> None:
    for index, listener in enumerate(listeners):
        if listener.redirects_to is None and not any(route.listener in (None, index) for route in routes):
            hint = f"give it one: :{listener.endpoint.port}=TARGET"
            faults.add(f"--listen {listener.endpoint}", "no route belongs to it", hint)


def _check_loops(
    listeners: Sequence[ListenerPlan], routes: Iterable[RoutePlan], pools: Iterable[PoolPlan], faults: Faults
) -> None:
    """Refuse a target that is the listener it serves: what goes there as it came comes back until nothing is left."""
    targets = {pool.name: pool.targets for pool in pools}
    for route in routes:
        for index, listener in enumerate(listeners):
            serves = listener.kind == route.kind and listener.redirects_to is None
            if not serves or route.listener not in (None, index):
                continue
            for target in targets.get(route.pool or "", ()):
                is_changed = target.endpoint.base or target.host
                if not is_changed and _leads_to(listener.endpoint, target.endpoint):
                    why = "netfront itself would listen there, and forward to itself"
                    faults.add(target.label, why, "give --listen or the target another port")


def _check_alpn(
    listeners: Sequence[ListenerPlan], routes: Iterable[RoutePlan], pools: Iterable[PoolPlan], faults: Faults
) -> None:
    """Refuse to tell by a protocol's name who is offered none: where we end TLS there is nothing to choose."""
    by_name = {pool.name: pool for pool in pools}
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


def _check_backend_flags(command: str, flags: ServeFlags, pools: Iterable[PoolPlan], faults: Faults) -> None:
    """Refuse flags for TLS to backends that would do nothing, or contradict each other."""
    is_tls = any(target.tls for pool in pools for target in pool.targets)
    for name in ("backend_ca", "backend_cert", "backend_key", "backend_name", "insecure"):
        if getattr(flags, name) not in (None, False) and not is_tls:
            faults.add(flag_of(name), "it has no effect", f"no target is {secure_schemes(command)}")
    if flags.backend_name is not None:
        faults.read("--backend-name", flags.backend_name, parse_server_name, None)
    if flags.backend_key and not flags.backend_cert:
        faults.add("--backend-key", "it has no --backend-cert", "give both")
    if flags.insecure and flags.backend_ca:
        faults.add("--insecure", "it contradicts --backend-ca", "give one of them")
    for target in (target for pool in pools for target in pool.targets):
        if target.tls is not None and target.tls.insecure and target.tls.ca and not flags.backend_ca:
            faults.add(
                f"{target.label}+ca={target.tls.ca}", "+ca has no effect", "it is not verified (insecure)"
            )


def _check_listening(flags: ServeFlags, listeners: Sequence[ListenerPlan], faults: Faults) -> None:
    """Refuse flags for listeners of a kind that is not there."""
    waits = any(
        one.tls or one.accept_proxy or one.kind == "udp" for one in listeners
    )  # of udp alone it is told
    if flags.handshake_timeout and not waits:
        faults.add("--handshake-timeout", "it has no effect", "neither TLS nor a PROXY line is waited for")
    for name in ("accept_proxy", "trust_proxy"):
        if getattr(flags, name) and all(listener.endpoint.path is not None for listener in listeners):
            faults.add(
                flag_of(name),
                "it has no effect",
                "who comes to a unix: socket has no address to be trusted by",
            )


def _check_allowed_hosts(
    flags: ServeFlags,
    listeners: Iterable[ListenerPlan],
    pools: Iterable[PoolPlan],
    faults: Faults,
) -> None:
    """Refuse names for a guard that is not there: only where Host is replaced on loopback has it to be one of ours."""
    is_replaced = any(target.host for pool in pools for target in pool.targets)
    is_loopback = any(listener.is_loopback for listener in listeners if listener.redirects_to is None)
    if flags.allow_host and not (is_replaced and is_loopback):
        faults.add(
            "--allow-host", "it has no effect", "no listener on loopback has a target whose Host is changed"
        )
