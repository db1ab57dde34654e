"""From a plan to what serves it: the one place where everything is put together, once, at start-up.

A feature nobody asked for is not in the chain, so it costs nothing.
"""

import random
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from netfront.cli.application import App
from netfront.cli.faults import Faults
from netfront.cli.figures import Figures
from netfront.cli.fronts import Front, Observers
from netfront.cli.gate.assembly import answering, gate, rewriting
from netfront.cli.gate.compose import compose_notes
from netfront.cli.gate.composing import Composing
from netfront.cli.gate.credentials import Credentials
from netfront.cli.gate.edging import Edging
from netfront.cli.gate.guarding import Makers, credentials_of, hiding, makers_of, stripping
from netfront.cli.gate.guards import guarded
from netfront.cli.gate.limiting import Limiting
from netfront.cli.gate.outward import Outward
from netfront.cli.gate.tokening import hiding_sessions, logging_in, token_makers, tokens_of
from netfront.cli.plan import Place, RoutePlan, ServePlan, Settings, places
from netfront.cli.render import Console
from netfront.cli.secrets import sticky_secret
from netfront.cli.services import Demo, Service, key_of, may_have_several, sources_of
from netfront.errors import BadMessage, UsageError, words
from netfront.filters.access_log import access_log, passage_log
from netfront.filters.answer_errors import answer_errors
from netfront.filters.edit_fields import (
    ResponseEdit,
    edit_requests,
    editor,
    fields_edit,
    hides,
)
from netfront.filters.forwarded import forwarded
from netfront.filters.guard_host import guard_host
from netfront.filters.limit_body import limit_body
from netfront.filters.max_forwards import max_forwards
from netfront.filters.name_backend import name_backend
from netfront.filters.pages import Explanation, error_page
from netfront.filters.public_names import public_names
from netfront.filters.redirect import plain_on_tls, redirect
from netfront.filters.request_key import request_key
from netfront.filters.router import METHODS, Holds, Rules, Served, may_be_passed_over, router
from netfront.http.attempts import Dialling, RetryRules
from netfront.http.client import Patience
from netfront.http.forward import Hedging, forward
from netfront.http.message import Filter, Handler, Observer, Request, Response, stack
from netfront.http.server import HttpServer, ServerLimits
from netfront.http.transport import Transport
from netfront.net.backend import Member
from netfront.net.datagram import Datagrams
from netfront.net.dial import proxy_line
from netfront.net.inbound import ends_tls, expects_proxy
from netfront.net.listen import StreamHandler, close_listeners
from netfront.net.logfile import LogFile
from netfront.net.passage import Passage
from netfront.net.passthrough import Passthrough
from netfront.net.pipe import Pipes
from netfront.net.stream import Stream
from netfront.net.tasks import Tasks
from netfront.policy.condition import Condition
from netfront.policy.networks import within
from netfront.policy.route import Table
from netfront.wire.fields import HIDDEN, ID, field
from netfront.wire.head import HeadLimits, HeadMemory, RequestBlock, request_memory

if TYPE_CHECKING:
    from netfront.cli.certificates import Certificates
    from netfront.cli.filecheck import BackendContexts

__all__ = ["build"]


@dataclass(frozen=True, slots=True)
class _Parts:
    """What the fronts are made of."""

    plan: ServePlan
    services: dict[str, Service]
    transport: Transport
    tasks: Tasks
    pipes: Pipes
    heads: HeadLimits
    memory: HeadMemory[RequestBlock]
    trusted: Callable[[str], bool]
    outward: Outward
    makers: Makers
    logging_in: Filter | None
    ports: list[int]
    certificates: "Certificates | None"
    observers: Observers
    limiting: Limiting

    def behind(self, route: RoutePlan) -> Service:
        """Give the service of a route that has a pool."""
        assert route.pool is not None
        return self.services[route.pool]


def build(plan: ServePlan, console: Console, kept: App | None = None) -> App:
    """Put everything together.

    Args:
        kept: what serves already. The new one goes on with its pools, connections and logs; nothing of it changes
            before the new one takes over.

    Raises:
        UsageError: a file of the plan is wrong.
    """
    with ExitStack() as opened:
        return _build(plan, console, kept, opened)


def _build(plan: ServePlan, console: Console, kept: App | None, opened: ExitStack) -> App:
    """Put everything together; `opened` closes what it opens, and is the app's own in the end."""
    limits = plan.limits
    heads = HeadLimits(limits.max_line, limits.max_field, limits.max_head, limits.max_fields)
    certificates, contexts, credentials, logs, observers = _read_files(plan, console, kept, opened)
    figures = kept.figures if kept is not None else None
    if kept is None and plan.log.live and sys.stderr.isatty():
        figures = Figures()
    if figures is not None:
        observers = observers.and_also(figures)
    demo = kept.demo if kept is not None else None
    if demo is None and any(target.endpoint.is_demo for pool in plan.pools for target in pool.targets):
        demo = Demo()
        opened.callback(close_listeners, (demo.listener,))
    for line in compose_notes(plan):
        console.note(line)
    services: dict[str, Service] = {}
    renewed: list[Callable[[], None]] = []
    if kept is not None:
        renewed.append(partial(kept.transport.go_by, idle=limits.backend_idle_timeout, limits=heads))
    for pool in plan.pools:
        sources = sources_of(pool, contexts, demo)
        known = kept.services.get(pool.name) if kept is not None else None
        if known is not None and known.is_kept_by(pool):
            services[pool.name] = known
            renewed.append(partial(known.change, pool, sources))
        else:
            services[pool.name] = Service(pool, sources, console, lambda: sticky_secret(plan.sticky_key))
    transport = (
        kept.transport if kept is not None else Transport(idle=limits.backend_idle_timeout, limits=heads)
    )
    outward = Outward(
        services,
        transport,
        Dialling(limits.connect_timeout, lambda request, member: b"", random.Random()),
        limits.read_timeout,
        console,
        kept.outward if kept is not None else None,
    )
    tasks = kept.tasks if kept is not None else Tasks()
    tokens = tokens_of(plan, outward, tasks, console.note, kept.tokens if kept is not None else None)
    parts = _Parts(
        plan,
        services,
        transport=transport,
        tasks=tasks,
        pipes=kept.pipes if kept is not None else Pipes(),
        heads=heads,
        memory=request_memory(),
        trusted=within(plan.tell.trust_proxy),
        outward=outward,
        logging_in=logging_in(plan, tokens),
        makers=makers_of(credentials) | token_makers(tokens, outward),
        ports=[listener.endpoint.port for listener in plan.listeners],
        certificates=certificates,
        observers=observers,
        limiting=kept.limiting
        if kept is not None
        else Limiting.of(plan.redis, plan.redis_down, console.note),
    )
    return App(
        plan,
        [_front(parts, index) for index in range(len(plan.listeners))],
        services,
        parts.transport,
        certificates,
        logs,
        parts.ports,
        parts.trusted,
        parts.tasks,
        parts.pipes,
        observers,
        opened.pop_all(),
        demo,
        figures,
        renewed,
        outward,
        credentials,
        parts.limiting,
        tokens,
    )


def _front(parts: _Parts, index: int) -> Front:
    """Make what serves one listener."""
    listener = parts.plan.listeners[index]
    routes = [
        route
        for route in parts.plan.routes
        if route.kind == listener.kind and route.listener in (None, index)
    ]
    if listener.kind == "udp":
        route = routes[0]  # a listener's own comes first
        flows = Datagrams(
            parts.behind(route).pool, idle=parts.plan.limits.udp_timeout, observers=parts.observers.udp
        )
        return Front(listener, _takes_no_connections, datagrams=flows)
    if listener.kind == "tcp":
        passthrough = Passthrough(
            [(route.scope, parts.behind(route).pool) for route in routes],
            connect_time=parts.plan.limits.connect_timeout,
            idle=parts.plan.limits.stream_timeout,
            hears=any(target.alpn for route in routes for target in parts.plan.targets(route)),
            pipes=parts.pipes,
            observers=parts.observers.tcp,
        )
        return Front(listener, _connection(parts, index, passthrough.serve), passthrough=passthrough)
    server = HttpServer(
        _handler(parts, index, routes),
        limits=_server_limits(parts.plan, parts.heads),
        refuse=_refusal(explains=listener.is_loopback),
        observers=parts.observers.exchanges,
        scheme=b"https" if listener.tls else b"http",
        memory=parts.memory,
    )
    return Front(listener, _connection(parts, index, server.serve), server=server)


async def _takes_no_connections(stream: Stream) -> None:
    """Stand where a listener takes datagrams alone."""
    stream.abort()


def _handler(parts: _Parts, index: int, routes: Sequence[RoutePlan]) -> Handler:
    """The stack of one listener, in the order a request meets it."""
    plan, transport, tasks = parts.plan, parts.transport, parts.tasks
    listener = plan.listeners[index]
    if listener.redirects_to is not None:
        to = listener.redirects_to
        return stack(answer_errors(explains=listener.is_loopback), then=redirect(lambda: parts.ports[to]))
    replaces_host = any(target.host is not None for route in routes for target in plan.targets(route))

    address_of = request_key("ip", trusted=parts.trusted if plan.tell.trust_proxy else None)
    dialling = Dialling(plan.limits.connect_timeout, _preamble, random.Random())
    hides_sessions = hiding_sessions(plan)
    edging = Edging(plan.edges, routes, parts.trusted)
    composing = Composing(lambda request: ours(request), parts.outward, tasks.begin)

    def service(route: RoutePlan, settings: Settings) -> Handler:
        return stack(
            edging.inner(settings.gate.cors),
            *gate(settings.gate, parts.makers, address_of, parts.limiting),
            limit_body(settings.most_body) if settings.most_body is not None else None,
            then=answering(route.answer, settings, edits_of(settings), composing)
            if route.answer is not None
            else forwarding(route, settings),
        )

    def edits_of(settings: Settings) -> list[ResponseEdit]:
        """What flags add to answers, wherever these come from."""
        edits: list[ResponseEdit] = []
        if plan.tell.hsts is not None and listener.tls:
            edits.append(
                fields_edit(editor([(b"Strict-Transport-Security", (b"max-age=%d" % plan.tell.hsts,))]))
            )
        if settings.response_edits:
            edits.append(fields_edit(editor([(edit.name, edit.values) for edit in settings.response_edits])))
        return edits

    def forwarding(route: RoutePlan, settings: Settings) -> Handler:
        behind, pool = parts.behind(route), plan.behind(route)
        assert pool is not None
        answers: list[ResponseEdit] = [
            public_names
        ]  # before anything a flag adds: it looks for what the backend said
        hidden = (not plan.tell.keep_server) << HIDDEN | plan.edges.request_id << ID
        if hidden:
            answers.append(hides(hidden))
        answers += edits_of(settings)
        if behind.stickiness is not None:
            answers.append(behind.stick)
        if plan.tell.backend:
            answers.append(name_backend)
        edits = [(edit.name, edit.values) for edit in settings.request_edits]
        patience = Patience(settings.timeout, plan.limits.read_timeout, plan.limits.stream_timeout)
        return stack(
            hiding(settings.gate),
            hides_sessions,
            rewriting(settings.gate, plan.rules),
            edit_requests(editor(edits)) if edits else None,  # a flag has the last word on what is told
            then=forward(
                behind.pool,
                transport,
                dialling=dialling,
                patience=patience,
                # a rewritten path has none any more
                prefix=b"/" if settings.gate.rewrite is not None else route.scope.prefix.encode(),
                edits=answers,
                retry=RetryRules(settings.retry.resets, settings.retry.statuses, settings.retry_body),
                hedging=_hedging(settings, tasks) if may_have_several(pool) else None,
                key=key_of(
                    behind.plan.balance.lb,
                    behind.stickiness,
                    parts.trusted if plan.tell.trust_proxy else None,
                ),
            ),
        )

    def served(route: RoutePlan) -> Served:
        variants = tuple(
            (variant.scopes, service(route, variant.settings), _rules(variant.settings))
            for variant in route.variants
        )
        return Served(service(route, route.settings), variants, rules=_rules(route.settings))

    def placed(place: Place) -> Served:
        others = [(_holds(other.condition), served(other)) for other in place.others if other.condition]
        if place.plain is None:
            return Served(None, alternatives=others)
        plain = served(place.plain)
        plain.alternatives = tuple(others)
        return plain

    table = Table([(place.scope, placed(place)) for place in places(routes)], may_be_passed_over)
    shown = tuple(route.named for route in routes)
    ours = stack(
        stripping(plan),  # of what tells who asks: no client says that itself
        then=router(table, guarded=guarded(plan.rules)),
    )
    return stack(
        *edging.outer(),  # so that a 401, 429 or 502 has their fields too, and preflights need no credentials
        answer_errors(explains=listener.is_loopback, routes=shown),
        guard_host(plan.host.own) if replaces_host and listener.is_loopback else None,
        max_forwards(),  # before we add fields of our own: TRACE shows the request as it came
        forwarded(
            trusted=parts.trusted,
            via=plan.tell.via,
            rfc7239=plan.tell.forwarded,
            identify=_identify if plan.tls is not None and plan.tls.client_ca is not None else None,
        ),
        parts.logging_in,  # where logins end has no route of its own
        then=ours,
    )


def _rules(settings: Settings) -> Rules:
    return Rules(settings.gate.restrictions, settings.gate.asks_for_path)


def _holds(condition: Condition) -> Holds:
    return lambda request: condition.holds(request.fields, request.target.query)


def _hedging(settings: Settings, tasks: Tasks) -> Hedging | None:
    """Say how late answers are hedged: by four times p99 unless a percentile was given."""
    if settings.hedge is None:
        return None
    return Hedging(tasks.spawn, settings.hedge)


def _preamble(request: Request, member: Member) -> bytes:
    """Make the PROXY line that opens a connection on which a client is spoken for."""
    return proxy_line(member, request.client.facts)


def _identify(der: bytes) -> tuple[bytes, bytes]:
    from netfront.net.tls import client_fields

    return client_fields(der)


def _connection(parts: _Parts, index: int, handler: StreamHandler) -> StreamHandler:
    """Put before a connection's handler what stands there on this listener."""
    plan, certificates = parts.plan, parts.certificates
    listener, timeout = plan.listeners[index], plan.limits.handshake_timeout
    if listener.tls and certificates is not None:
        plain = plain_on_tls(lambda: parts.ports[index]) if listener.kind == "http" else _nothing_on_tls
        handler = ends_tls(certificates.context, handler, timeout=timeout, plain=plain)
    if listener.accept_proxy:
        handler = expects_proxy(parts.trusted, handler, timeout=timeout)
    return handler


def _nothing_on_tls(_: bytes) -> bytes:
    """Say nothing to who speaks no TLS where bytes are passed on: nobody knows their protocol."""
    return b""


def _refusal(*, explains: bool) -> Callable[[BadMessage], Response]:
    def refuse(error: BadMessage) -> Response:
        # RFC 9110 §15.5.6: a 405 says what is allowed; the one that comes here refuses CONNECT
        added = [field(b"Allow", METHODS)] if error.status == 405 else []
        return error_page(error.status, Explanation(error.why) if explains else None, None, *added)

    return refuse


def _server_limits(plan: ServePlan, heads: HeadLimits) -> ServerLimits:
    limits = plan.limits
    return ServerLimits(
        head_time=limits.head_timeout,
        idle_time=limits.idle_timeout,
        body_time=limits.body_timeout,
        send_time=limits.send_timeout,
        head=heads,
    )


def _read_files(
    plan: ServePlan, console: Console, kept: App | None, opened: ExitStack
) -> tuple["Certificates | None", "BackendContexts", Credentials | None, list[LogFile], Observers]:
    """Read and open every file of the plan. Raises UsageError: of all that is wrong with any of them."""
    faults = Faults()
    certificates = None
    contexts: BackendContexts = {}
    credentials = None
    logs: list[LogFile] = []
    observers = Observers()
    if plan.tls is not None:
        from netfront.cli.certificates import Certificates

        hosts = [route.scope.host for route in plan.routes if route.scope.host]
        known = kept.certificates if kept is not None else None
        try:
            is_known = known is not None and known.plan == plan.tls
            certificates = known if is_known else Certificates(plan.tls, hosts, console.note)
        except UsageError as error:
            faults.take(error)
    if any(target.tls is not None for pool in plan.pools for target in pool.targets):
        from netfront.cli.filecheck import backend_contexts, spoken_to_backends

        contexts = backend_contexts(spoken_to_backends(plan), faults)
    try:
        credentials = credentials_of(plan, console.note, kept.credentials if kept is not None else None)
    except UsageError as error:
        faults.take(error)
    try:
        known_logs = kept.logs if kept is not None else []
        logs, observers = _observers(plan, console, known_logs)
        for log in logs:
            if log not in known_logs:
                opened.callback(log.close)
    except OSError as error:
        faults.add(f"--access-log {plan.log.access_log}", words(error))
    faults.raise_any()
    return certificates, contexts, credentials, logs, observers


def _observers(
    plan: ServePlan, console: Console, known: Sequence[LogFile]
) -> tuple[list[LogFile], Observers]:
    logs: list[LogFile] = []
    exchanges: list[Observer] = []
    tcp: list[Callable[[Passage], None]] = []
    udp: list[Callable[[Passage], None]] = []
    if plan.log.access_log is not None:
        path = None if plan.log.access_log == "-" else plan.log.access_log
        log = next((one for one in known if one.path == path), None) or LogFile(path, console.note)
        logs.append(log)
        shape = plan.log.access_format
        exchanges.append(access_log(shape, log.write, _wall, time.gmtime))
        for kind, passages in (("tcp", tcp), ("udp", udp)):
            passages.append(passage_log(shape, kind, log.write, _wall, time.gmtime))
    if plan.log.verbose:
        exchanges.append(console.exchange)
        tcp.append(console.passage)
        udp.append(console.passage)
    return logs, Observers(tuple(exchanges), tuple(tcp), tuple(udp))


def _wall(_: float) -> float:
    return time.time()
