"""`--explain`: a plan in words, one layer a line, in the order in which a request meets them.

Nothing is opened, dialled or looked up, and no secret is read.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import cast

from netfront.cli.explain_backends import (
    explain_balancing,
    explain_retries,
    explain_target,
)
from netfront.cli.gate.edges import explain_edges
from netfront.cli.gate.explain import explain_gate
from netfront.cli.gate.explain_guards import explain_sessions
from netfront.cli.gate.explain_routes import explain_answer, explain_guarded, is_guarded
from netfront.cli.gate.guards import guarded
from netfront.cli.gate.notes import notes
from netfront.cli.gate.oidc import is_login
from netfront.cli.gate.passing import passes
from netfront.cli.gate.redis import explain_redis
from netfront.cli.plan import ListenerPlan, RoutePlan, ServePlan, Settings, TargetPlan
from netfront.cli.tables import table_of
from netfront.errors import BadMessage, UsageError
from netfront.filters.guard_host import names_us
from netfront.filters.meaning import check_lookalikes
from netfront.filters.router import METHODS
from netfront.filters.served import find_route, only_of, params_of
from netfront.http.message import Client, Exchange, Request
from netfront.http.outbound import Mount
from netfront.policy.rewriting import Rewriting
from netfront.policy.route import NotFound, Scope, WrongMethod
from netfront.units import render_duration, render_size
from netfront.wire.fields import EMPTY
from netfront.wire.target import Target, host_of, parse_authority, parse_target

__all__ = ["explain_plan", "explain_request"]

_REQUEST = re.compile(r"([A-Za-z]+) +(\S+)")
_NOBODY = cast(Client, None)  # nobody asks: only the target of the request is looked at


def explain_plan(plan: ServePlan) -> str:
    """Tell what a plan does."""
    rows = [row for listener in plan.listeners for row in _listener(plan, listener)]
    rows += [*_limits(plan), *explain_redis(plan.redis, plan.redis_down)]
    rows += list(_guard(plan, [target for pool in plan.pools for target in pool.targets]))
    rows += list(explain_guarded(plan))
    rows += [("note", line) for line in notes(plan)]
    for route in plan.routes:
        where = "" if route.listener is None else f" on {plan.listeners[route.listener].endpoint.url}"
        rows.append(("route", f"{_reached(route)}{where}"))
        rows += [(f"  {name}", text) for name, text in _settings(plan, route, route.settings)]
        for variant in route.variants:
            rows.append(("  within", " and ".join(map(str, variant.scopes))))
            rows += [(f"    {name}", text) for name, text in _settings(plan, route, variant.settings)]
        rows += [(f"  {name}", text) for name, text in _backends(plan, route)]
        rows += [(f"  {name}", text) for name, text in explain_answer(route)]
        rows += [("  dial", text) for text in _dialled_all(plan, route)]
    rows += [
        *(_tell(plan) if _has_http(plan) else ()),
        *(_answers(plan) if _has_http(plan) else ()),
        *explain_sessions(plan),
        *_names(plan),
        *_logs(plan),
        *_ready(plan),
        *([("files", f"{', '.join(plan.files)}, read again as they change")] if plan.files else []),
        ("stop", f"drain for {render_duration(plan.drain)}"),
    ]
    return _table(rows)


def explain_request(plan: ServePlan, text: str) -> str:
    """Tell what becomes of a request such as 'GET /api/x' or 'GET https://app.localhost/api/x'.

    Raises:
        UsageError: no such request can be sent.
    """
    if not _has_http(plan):
        raise UsageError.of(text, "nobody listens for requests", "no --listen is http:// or https://")
    match = _REQUEST.fullmatch(text)
    if match is None:
        raise UsageError.of(text, "not a request", "write a method and a path or URL: 'GET /api/x'")
    method, place = match[1].encode(), match[2].encode(errors="surrogateescape")
    try:
        target = parse_target(method, place)
        authority = target.authority or b""
        port = parse_authority(authority)[1] if authority else None
    except BadMessage as error:
        return _table([("request", text), ("answer", f"{error.status}: {error.why}")])
    index = _listener_of(plan, target.scheme, port)
    listener = plan.listeners[index]
    authority = authority or listener.endpoint.authority.encode()
    rows = [
        ("request", text),
        *_listener(plan, listener),
        *_limits(plan),
        *explain_redis(plan.redis, plan.redis_down),
    ]
    if listener.redirects_to is not None:
        return _table(rows)
    if target.scheme == b"http" and listener.tls:
        answer = "308: to https" if method in (b"GET", b"HEAD") else "400: TLS is spoken there"
        return _table([*rows, ("answer", answer)])
    if target.scheme == b"https" and not listener.tls:
        return _table([*rows, ("answer", "none: no TLS is spoken there")])
    routes = [route for route in plan.routes if route.kind == "http" and route.listener in (None, index)]
    reached = [target for route in routes for target in plan.targets(route)]
    guard = list(_guard(plan, reached)) if listener.is_loopback else []
    rows += [*guard, *_tell(plan)]
    if method == b"CONNECT":
        return _table([*rows, ("answer", "405: no tunnels are opened")])
    if guard and not names_us(plan.host.own)(authority):
        return _table([*rows, ("answer", f"421: {authority.decode('latin-1')} is no name of ours")])
    if target.form == "asterisk":
        return _table([*rows, ("answer", f"200: Allow: {METHODS.decode()}")])
    host = host_of(authority)
    if is_login(plan.routes, host, target.path):
        return _table([*rows, ("answer", "by ourselves: there a login of --oidc ends, or a session")])
    try:
        rows += [("note", line) for line in notes(plan)]
        if is_guarded(plan, host):
            rows += explain_guarded(plan)
        table = table_of(routes, lambda route, settings: (route, settings))
        passed: list[Scope] = []
        only = only_of(table) if guarded(plan.rules) is None else None
        if only is None and plan.rules and not method.isupper():
            return _table([*rows, ("answer", "400: a method in small letters, which some take for another")])
        settled = target
        if is_guarded(plan, host):
            settled = target.settled()
            check_lookalikes(table, method, host, target)
        while True:
            found = only or find_route(table, method, host, target, passed)
            if isinstance(found, NotFound):
                return _table([*rows, ("answer", "404: no route leads there")])
            if isinstance(found, WrongMethod):
                answer = "200" if method == b"OPTIONS" else "405"
                return _table([*rows, ("answer", f"{answer}: Allow: {found.allow.decode()}")])
            params = () if only else params_of(table, method, host, target, passed)
            for _, other in found.value.alternatives:
                route, _ = other.at(method, host, target.readings, params)
                rows.append(("or", f"{route.named}, where that holds"))
            if found.value.handler is not None:
                break
            passed.append(found.scope)
        route, settings = (
            found.value.handler if only else found.value.at(method, host, target.readings, params)
        )
        rows.append(("route", route.named))
        rows += _served(plan, route, settings, found.params, method, settled, authority)
    except BadMessage as error:
        return _table([*rows, ("answer", f"{error.status}: {error.why}")])
    return _table([*rows, *_answers(plan), *_logs(plan)])


def _served(
    plan: ServePlan,
    route: RoutePlan,
    settings: Settings,
    params: Mapping[str, bytes],
    method: bytes,
    target: Target,
    authority: bytes,
) -> list[tuple[str, str]]:
    """Tell what holds and what is dialled. Raises BadMessage: the target leads nowhere behind this route."""
    backends = plan.targets(route)
    dialled = [("dial", _dialled(route, settings, backend, target, authority)) for backend in backends]
    if backends and settings.gate.rewrite is not None:
        made = _rewritten(settings.gate.rewrite, target)
        if not passes(plan.rules, settings.gate, None)(_asked(method, target, authority), made):
            path = made.origin_form.decode(errors="backslashreplace")
            dialled = [("answer", f"403: the path it is rewritten to is restricted: {path}")]
        elif settings.gate.asked_again:
            dialled.insert(0, ("allow", "once more, of what it is rewritten to"))
    answer = explain_answer(route, params, settings, target)
    return [*_settings(plan, route, settings), *_backends(plan, route), *answer, *dialled]


def _has_http(plan: ServePlan) -> bool:
    return any(listener.kind == "http" for listener in plan.listeners)


def _reached(route: RoutePlan) -> str:
    """Say what comes by a route."""
    if route.kind == "udp":
        return "datagrams"
    if route.kind == "tcp":
        return f"connections for {route.scope.host}" if route.scope.host else "connections"
    return route.named


def _backends(plan: ServePlan, route: RoutePlan) -> Iterator[tuple[str, str]]:
    pool = plan.behind(route)
    return explain_balancing(pool, route.kind, plan.sticky_key) if pool is not None else iter(())


def _dialled_all(plan: ServePlan, route: RoutePlan) -> Iterator[str]:
    named = set()
    for target in plan.targets(route):
        again = ", named before: it counts once" if target.identity in named else ""
        named.add(target.identity)
        yield explain_target(target, route.kind) + again


def _listener(plan: ServePlan, listener: ListenerPlan) -> Iterator[tuple[str, str]]:
    reach = "this machine" if listener.is_loopback else "the network"
    proxied = ", connections begin with a PROXY line if the peer is trusted" if listener.accept_proxy else ""
    passed = {"tcp": ", passes bytes on", "udp": ", passes datagrams on"}.get(listener.kind, "")
    yield "listen", f"{listener.endpoint.url}, reached from {reach}{proxied}{passed}"
    if listener.redirects_to is not None:
        yield "answer", f"308: to {plan.listeners[listener.redirects_to].endpoint.url}"
    if listener.tls and plan.tls is not None:
        names = ", ".join(plan.tls.names)
        if plan.tls.is_local:
            yield "tls", f"a certificate of the local CA for localhost{', ' if names else ''}{names}"
        for certificate in plan.tls.certificates:
            opened = f", opened by {certificate.password}" if certificate.password else ""
            key = f"its key {certificate.key}" if certificate.key else "its key in the same file"
            yield (
                "tls",
                f"the certificate {certificate.cert}{', for ' if names else ''}{names}, {key}{opened}",
            )
        if plan.tls.client_ca:
            need = "may show" if plan.tls.may_come_without else "need"
            yield "tls", f"clients {need} a certificate of {plan.tls.client_ca}"


def _limits(plan: ServePlan) -> Iterator[tuple[str, str]]:
    limits = plan.limits
    kinds = {listener.kind for listener in plan.listeners}
    bytes_too, http, udp = {"http", "tcp"}, {"http"}, {"udp"}
    waiting = kinds if any(one.tls or one.accept_proxy for one in plan.listeners) else set()
    times = [
        ("head", limits.head_timeout, http),
        ("handshake", limits.handshake_timeout, waiting),
        ("idle", limits.idle_timeout, http),
        ("body", limits.body_timeout, http),
        ("send", limits.send_timeout, http),
        ("connect", limits.connect_timeout, bytes_too),
        ("read", limits.read_timeout, http),
        ("stream", limits.stream_timeout, bytes_too),
        ("backend idle", limits.backend_idle_timeout, http),
        ("udp", limits.udp_timeout, udp),
    ]
    told = [f"{name} {render_duration(seconds)}" for name, seconds, heeding in times if kinds & heeding]
    yield "time-outs", ", ".join(told)
    sizes = {"line": limits.max_line, "field": limits.max_field, "head": limits.max_head}
    most = "by descriptors" if limits.max_connections is None else str(limits.max_connections)
    bounds = [f"{name} {render_size(size)}" for name, size in sizes.items()] if kinds & http else []
    bounds += [f"{limits.max_fields} fields"] if kinds & http else []
    bounds += [f"connections {most}", f"{limits.max_per_address} of one address"] if kinds & bytes_too else []
    if any(route.answer is not None and route.answer.compose is not None for route in plan.routes):
        bounds.append(f"composed answers {render_size(plan.compose_memory)}")
    if bounds:
        yield "limits", ", ".join(bounds)


def _guard(plan: ServePlan, targets: Iterable[TargetPlan]) -> Iterator[tuple[str, str]]:
    """Where Host is replaced, a backend cannot see by which name it was called."""
    if any(target.host for target in targets) and any(listener.is_loopback for listener in plan.listeners):
        names = "".join(f", {name}" for name in plan.host.own)
        yield "guard", f"Host has to be a loopback name{names}; else 421"


def _settings(plan: ServePlan, route: RoutePlan, settings: Settings) -> Iterator[tuple[str, str]]:
    if route.kind != "http":
        return
    yield from explain_gate(settings.gate)
    if route.answer is None or route.answer.ways:
        yield "timeout", f"{render_duration(settings.timeout)} to the first byte"
    if settings.most_body is not None:
        yield "body", f"at most {render_size(settings.most_body)}; else 413"
    requests = settings.request_edits if route.answer is None else ()
    for title, edits in (("request", requests), ("response", settings.response_edits)):
        for edit in edits:
            values = ", ".join(value.decode(errors="backslashreplace") for value in edit.values)
            yield (
                title,
                f"set {edit.name.decode()}: {values}" if edit.values else f"remove {edit.name.decode()}",
            )
    if settings.gate.rewrite is not None and route.answer is None:
        yield "rewrite", f"to {settings.gate.rewrite.text}, not routed again"
    if (pool := plan.behind(route)) is not None:
        yield from explain_retries(settings, may_have_several=pool.may_have_several)


def _tell(plan: ServePlan) -> Iterator[tuple[str, str]]:
    yield from explain_edges(plan.edges)
    told = ["X-Forwarded-For, -Proto, -Host, -Port", "X-Real-IP"]
    told += ["Forwarded"] if plan.tell.forwarded else []
    told += ["Via"] if plan.tell.via else []
    trusted = f"; believed from {', '.join(plan.tell.trust_proxy)}" if plan.tell.trust_proxy else ""
    yield "tell", ", ".join(told) + trusted


def _answers(plan: ServePlan) -> Iterator[tuple[str, str]]:
    hidden = "" if plan.tell.keep_server else "Server and X-Powered-By removed; "
    yield "answer", f"{hidden}Location, Refresh and cookies name us, not the backend"
    if plan.tell.hsts is not None:
        yield "answer", f"Strict-Transport-Security for {render_duration(float(plan.tell.hsts))}"
    if plan.tell.backend:
        yield "answer", "X-Backend names the backend"


def _names(plan: ServePlan) -> Iterator[tuple[str, str]]:
    if plan.resolver is not None:
        address, port = plan.resolver
        yield "names", f"asked of {f'[{address}]' if ':' in address else address}:{port}"


def _logs(plan: ServePlan) -> Iterator[tuple[str, str]]:
    if plan.log.access_log is not None:
        where = "stdout" if plan.log.access_log == "-" else plan.log.access_log
        yield "log", f"{plan.log.access_format} to {where}"
    said = {
        "nothing but what ends the process": plan.log.quiet,
        "a line a request": plan.log.verbose,
        "the backends and what they do, where it is a terminal": plan.log.live,
        "in colour": plan.log.color is True,
        "without colour": plan.log.color is False,
        "with tracebacks": plan.debug,
    }
    if any(said.values()):
        yield "stderr", ", ".join(text for text, is_so in said.items() if is_so)
    if plan.log.json:
        yield "stdout", "a JSON object an event"


def _ready(plan: ServePlan) -> Iterator[tuple[str, str]]:
    if plan.ready.port_file is not None:
        yield "ready", f"the ports, one a line, written to {plan.ready.port_file}"
    if plan.ready.ready_fd is not None:
        yield "ready", f"the same to descriptor {plan.ready.ready_fd}, which is closed then"


def _dialled(
    route: RoutePlan, settings: Settings, backend: TargetPlan, target: Target, authority: bytes
) -> str:
    """Give the URL that is asked for at a backend, and under which Host."""
    prefix = route.scope.prefix.encode()
    if settings.gate.rewrite is not None:
        prefix, target = b"/", _rewritten(settings.gate.rewrite, target)
    outbound = target.origin_form
    if backend.endpoint.base:
        outbound = Mount(prefix, backend.endpoint.base.encode()).outbound(_asked(b"GET", target, authority))
    place = backend.endpoint
    at = f"{place.scheme}://{place.authority}" if place.host else f"{place}"
    host = backend.host or authority.decode(errors="backslashreplace") or backend.authority
    backup = ", only when the others fail" if backend.backup else ""
    return f"{at}{' ' if not place.host else ''}{outbound.decode(errors='backslashreplace')} with Host: {host}{backup}"


def _rewritten(rewriting: Rewriting, target: Target) -> Target:
    return Target(target.raw, "origin", rewriting.of(target))


def _asked(method: bytes, target: Target, authority: bytes) -> Request:
    """Make a request of which only these are looked at."""
    exchange = Exchange(0.0, _NOBODY, b"", b"", b"")
    return Request(method, target, b"HTTP/1.1", b"http", authority, EMPTY, b"", _NOBODY, exchange)


def _listener_of(plan: ServePlan, scheme: bytes | None, port: int | None) -> int:
    """Find the listener a request comes to: by port, else by scheme, else the first."""
    indices = [index for index, listener in enumerate(plan.listeners) if listener.kind == "http"]
    if port is not None:
        for index in indices:
            if plan.listeners[index].endpoint.port == port:
                return index
    serving = [index for index in indices if plan.listeners[index].redirects_to is None]
    wanted = [index for index in serving if scheme in (None, plan.listeners[index].endpoint.scheme.encode())]
    sent_on = [index for index in indices if index not in serving and scheme == b"http"]
    return (wanted or sent_on or serving)[0]


def _table(rows: Iterable[tuple[str, str]]) -> str:
    return "".join(f"{name:<13} {text}\n" for name, text in rows)
