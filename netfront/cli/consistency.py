"""What is wrong with flags together, though each by itself is right.

A flag that would do nothing is refused, as is one that contradicts another: who gave it meant something by it. A
policy whose scope no route meets guards nothing, and would leave something open.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from netfront.cli.consistency_backends import check_backends
from netfront.cli.faults import Faults
from netfront.cli.flags import ServeFlags, flag_of
from netfront.cli.gate.auth import check_auth
from netfront.cli.gate.clashes import check_clashes
from netfront.cli.gate.compose import check_compositions
from netfront.cli.gate.edges import check_cors
from netfront.cli.gate.limits import check_limits
from netfront.cli.gate.oidc import check_oidc
from netfront.cli.gate.own_fields import one_spelling
from netfront.cli.gate.restrictions import ApiKeyPlan
from netfront.cli.gate.rules import check_rules
from netfront.cli.gate.unguarded import check_unguarded
from netfront.cli.listening import is_local_name
from netfront.cli.plan import ListenerPlan, PoolPlan, RoutePlan, ServePlan
from netfront.cli.scoped import Policy
from netfront.policy.scope import Near, Scope

__all__ = ["find_contradictions", "refuse_local_hsts"]

_HTTP_ONLY = (
    "redirect_http", "hsts", "change_host_header", "allow_host", "header", "response_header", "keep_server",
    "forwarded", "timeout", "head_timeout", "idle_timeout", "body_timeout", "send_timeout", "read_timeout",
    "backend_idle_timeout", "max_line", "max_field", "max_head", "max_fields", "max_body", "sticky_key", "eject_on",
    "retry_on", "retry_body", "hedge", "backend_header",
    "match", "rewrite", "public", "basic", "api_key", "jwt", "oidc", "session_key", "mtls", "auth_url", "token_scope",
    "claim", "ip", "allow", "pass_identity", "limit", "concurrency", "redis", "compose_each", "compose_status",
    "compose_timeout", "compose_part", "compose_memory", "compose_cookie", "server_timing", "cors", "secure_headers",
)  # fmt: skip
"""Flags that say something of requests, which bytes are not."""
_FORWARDING = frozenset({
    "--lb", "--health", "--health-body", "--eject-on", "--slow-start", "--queue", "--queue-timeout", "--retry-on",
    "--retry-body", "--hedge", "--header", "--rewrite", "--pass-identity",
})  # fmt: skip
"""Flags that say something of what is sent to backends, and to which."""
_HTTP_FLAGS = frozenset(map(flag_of, _HTTP_ONLY))
_TCP_ONLY = (
    "name", "client_ca", "handshake_timeout", "max_connections", "max_per_address", "connect_timeout", "stream_timeout",
    "queue", "queue_timeout",
)  # fmt: skip


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
        check_cors(routes, faults)
        check_oidc(flags, routes, listeners, faults)
        check_limits(policies, routes, faults)
        check_compositions(flags, policies, routes, faults)
    _check_parts(routes, faults)
    if command == "gateway" and flags.request_id:
        _check_request_id(routes, faults)
    _check_http_only(command, flags, listeners, faults)
    _check_served(listeners, routes, faults)
    check_backends(command, flags, policies, listeners, routes, pools, faults)
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


def _check_served(listeners: Sequence[ListenerPlan], routes: Sequence[RoutePlan], faults: Faults) -> None:
    for index, listener in enumerate(listeners):
        if listener.redirects_to is None and not any(route.listener in (None, index) for route in routes):
            hint = f"give it one: :{listener.endpoint.port}=TARGET"
            faults.add(f"--listen {listener.endpoint}", "no route belongs to it", hint)


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
