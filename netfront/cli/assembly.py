"""From a plan to what serves it: the one place where everything is put together, once, at start-up.

A feature nobody asked for is not in the chain, so it costs nothing. What a request meets is listed in stacking.py.
"""

import random
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

from netfront.cli.application import App
from netfront.cli.faults import Faults
from netfront.cli.figures import Figures
from netfront.cli.fronts import Front, Observers
from netfront.cli.gate.credentials import Credentials
from netfront.cli.gate.guarding import credentials_of, makers_of
from netfront.cli.gate.limiting import Limiting
from netfront.cli.gate.notes import notes
from netfront.cli.gate.outward import Outward
from netfront.cli.gate.tokening import logging_in, token_makers, tokens_of
from netfront.cli.parts import Parts
from netfront.cli.plan import ServePlan
from netfront.cli.render import Console
from netfront.cli.secrets import sticky_secret
from netfront.cli.services import Demo, Service, sources_of
from netfront.cli.stacking import handler_of
from netfront.errors import BadMessage, UsageError, words
from netfront.filters.access_log import access_log, passage_log
from netfront.filters.pages import Explanation, error_page
from netfront.filters.redirect import plain_on_tls
from netfront.filters.request_key import request_key
from netfront.filters.router import METHODS
from netfront.http.attempts import Dialling
from netfront.http.message import Observer, Response
from netfront.http.server import HttpServer, ServerLimits
from netfront.http.transport import Transport
from netfront.net.bind import raise_descriptor_limit
from netfront.net.datagram import Datagrams, flows_for
from netfront.net.inbound import ends_tls, expects_proxy
from netfront.net.listen import StreamHandler, close_listeners
from netfront.net.logfile import LogFile
from netfront.net.passage import Passage
from netfront.net.passthrough import Passthrough
from netfront.net.pipe import Pipes
from netfront.net.stream import Stream
from netfront.net.tasks import Tasks
from netfront.policy.networks import within
from netfront.policy.shared import Shared
from netfront.wire.fields import field
from netfront.wire.head import HeadLimits, request_memory

if TYPE_CHECKING:
    from netfront.cli.certificates import Certificates
    from netfront.cli.filecheck import BackendContexts

__all__ = ["build"]


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
    certificates, contexts, credentials = _read_files(plan, console, kept)
    figures = kept.figures if kept is not None else None
    if kept is None and plan.log.live and sys.stderr.isatty():
        figures = Figures()
    demo = kept.demo if kept is not None else None
    if demo is None and any(target.endpoint.is_demo for pool in plan.pools for target in pool.targets):
        demo = Demo()
        opened.callback(close_listeners, (demo.listener,))
    services: dict[str, Service] = {}
    secret = partial(sticky_secret, plan.sticky_key)
    renewed: list[Callable[[], None]] = []
    if kept is not None:
        renewed.append(partial(kept.transport.go_by, idle=limits.backend_idle_timeout, limits=heads))
    for pool in plan.pools:
        sources = sources_of(pool, contexts, demo)
        known = kept.services.get(pool.name) if kept is not None else None
        if known is not None:
            known.make_ready(pool, secret)
            services[pool.name] = known
            renewed.append(partial(known.change, pool, sources))
        else:
            services[pool.name] = Service(pool, sources, console, secret)
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
    limiting = kept.limiting if kept is not None else Limiting.of(plan.redis, plan.redis_down, console.note)
    composed = kept.composed if kept is not None else Shared(plan.compose_memory)
    renewed.append(partial(composed.change, plan.compose_memory))
    logs, observers = _open_logs(plan, console, kept, opened)  # made if they are not there: after all is read
    if figures is not None:
        observers = observers.and_also(figures)
    for line in notes(plan):
        console.note(line)
    trusted = within(plan.tell.trust_proxy)
    address_of = request_key("ip", trusted=trusted if plan.tell.trust_proxy else None)
    parts = Parts(
        plan,
        services,
        transport=transport,
        tasks=tasks,
        pipes=kept.pipes if kept is not None else Pipes(),
        heads=heads,
        memory=request_memory(),
        trusted=trusted,
        address_of=address_of,
        outward=outward,
        logging_in=logging_in(plan, tokens, address_of, limiting),
        makers=makers_of(credentials, address_of) | token_makers(plan, tokens, outward),
        ports=[listener.endpoint.port for listener in plan.listeners],
        certificates=certificates,
        observers=observers,
        limiting=limiting,
        composed=composed,
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
        parts.composed,
        tokens,
    )


def _front(parts: Parts, index: int) -> Front:
    """Make what serves one listener."""
    listener = parts.plan.listeners[index]
    routes = [
        route
        for route in parts.plan.routes
        if route.kind == listener.kind and route.listener in (None, index)
    ]
    if listener.kind == "udp":
        route = routes[0]  # a listener's own comes first
        listeners = sum(one.kind == "udp" for one in parts.plan.listeners)
        flows = Datagrams(
            parts.behind(route).pool,
            idle=parts.plan.limits.udp_timeout,
            most_flows=flows_for(raise_descriptor_limit(), listeners),
            observers=parts.observers.udp,
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
        handler_of(parts, index, routes),
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


def _connection(parts: Parts, index: int, handler: StreamHandler) -> StreamHandler:
    """Put before a connection's handler what stands there on this listener."""
    plan, certificates = parts.plan, parts.certificates
    listener, timeout = plan.listeners[index], plan.limits.handshake_timeout
    turned_away = parts.observers.turned_away
    if listener.tls and certificates is not None:
        plain = plain_on_tls(lambda: parts.ports[index]) if listener.kind == "http" else _nothing_on_tls
        handler = ends_tls(
            certificates.context, handler, timeout=timeout, plain=plain, turned_away=turned_away
        )
    if listener.accept_proxy:
        handler = expects_proxy(parts.trusted, handler, timeout=timeout, turned_away=turned_away)
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
    plan: ServePlan, console: Console, kept: App | None
) -> tuple["Certificates | None", "BackendContexts", Credentials | None]:
    """Read the files of the plan. Raises UsageError: of all that is wrong with any of them."""
    faults = Faults()
    certificates = None
    contexts: BackendContexts = {}
    credentials = None
    if plan.tls is not None:
        from netfront.cli.certificates import Certificates

        hosts = [route.scope.host for route in plan.routes if route.scope.host]
        known = kept.certificates if kept is not None else None
        try:
            is_known = known is not None and known.plan == plan.tls
            tell = console.note if kept is None else None
            certificates = known if is_known else Certificates(plan.tls, hosts, tell)
        except UsageError as error:
            faults.take(error)
    if any(target.tls is not None for pool in plan.pools for target in pool.targets):
        from netfront.cli.filecheck import backend_contexts, spoken_to_backends

        contexts = backend_contexts(spoken_to_backends(plan), faults)
    try:
        credentials = credentials_of(plan, console.note, kept.credentials if kept is not None else None)
    except UsageError as error:
        faults.take(error)
    faults.raise_any()
    return certificates, contexts, credentials


def _open_logs(
    plan: ServePlan, console: Console, kept: App | None, opened: ExitStack
) -> tuple[list[LogFile], Observers]:
    """Open the logs. Raises UsageError."""
    known = kept.logs if kept is not None else []
    try:
        logs, observers = _observers(plan, console, known)
    except OSError as error:
        raise UsageError.of(f"--access-log {plan.log.access_log}", words(error)) from error
    for log in logs:
        if log not in known:
            opened.callback(log.close)
    return logs, observers


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
    if not plan.log.verbose:
        return logs, Observers(tuple(exchanges), tuple(tcp), tuple(udp))
    exchanges.append(console.exchange)
    tcp.append(console.passage)
    udp.append(console.passage)
    return logs, Observers(tuple(exchanges), tuple(tcp), tuple(udp), console.turned_away)


def _wall(_: float) -> float:
    return time.time()
