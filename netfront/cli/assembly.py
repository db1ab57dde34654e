"""From a plan to what serves it: the one place where everything is put together, once, at start-up.

A feature nobody asked for is not in the chain, so it costs nothing.
"""

import random
import time
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

from netfront.cli.application import App, Front
from netfront.cli.faults import Faults
from netfront.cli.plan import RoutePlan, ServePlan, Settings, TargetPlan
from netfront.cli.render import Console
from netfront.errors import BadMessage, UsageError
from netfront.filters.access_log import access_log
from netfront.filters.answer_errors import answer_errors
from netfront.filters.edit_fields import (
    ResponseEdit,
    edit_requests,
    editor,
    fields_edit,
    hide_server,
)
from netfront.filters.forwarded import forwarded
from netfront.filters.guard_host import guard_host
from netfront.filters.limit_body import limit_body
from netfront.filters.max_forwards import max_forwards
from netfront.filters.pages import Explanation, error_page
from netfront.filters.public_names import public_names
from netfront.filters.redirect import plain_on_tls, redirect
from netfront.filters.router import Served, router
from netfront.http.attempts import Dialling
from netfront.http.client import Patience
from netfront.http.forward import Hedging, forward
from netfront.http.message import Handler, Observer, Request, Response, stack
from netfront.http.outbound import Mount
from netfront.http.server import HttpServer, ServerLimits
from netfront.http.transport import Transport
from netfront.net.bind import open_sockets
from netfront.net.inbound import ends_tls, expects_proxy
from netfront.net.listen import Listener, StreamHandler
from netfront.net.logfile import LogFile
from netfront.net.pool import Member, Pool
from netfront.net.tasks import Tasks
from netfront.policy.route import Table
from netfront.wire.head import HeadLimits, request_memory
from netfront.wire.proxyline import render_v1, render_v2

if TYPE_CHECKING:
    from netfront.cli.certificates import Certificates
    from netfront.cli.filecheck import BackendContexts

__all__ = ["build"]


class _Demo:
    """The built-in origin, on a loopback port of its own."""

    def __init__(self) -> None:
        from netfront.demo.origin import ORIGIN_KINDS, demo_origin

        server = HttpServer(
            demo_origin(),
            limits=ServerLimits(),
            refuse=_refusal(explains=True),
            memory=request_memory(ORIGIN_KINDS),
        )
        sockets = open_sockets("127.0.0.1", 0, None, shown="demo:")
        self.listener = Listener("demo", sockets, server.serve, is_inner=True)


def build(plan: ServePlan, console: Console) -> App:
    """Put everything together. Raises UsageError: a file of the plan is wrong."""
    limits = plan.limits
    heads = HeadLimits(limits.max_line, limits.max_field, limits.max_head, limits.max_fields)
    trusted = _trusted(plan.tell.trust_proxy)
    certificates, contexts, logs, observers = _read_files(plan, console)
    has_demo = any(target.endpoint.is_demo for pool in plan.pools for target in pool.targets)
    demo = _Demo() if has_demo else None

    transport = Transport(idle=limits.backend_idle_timeout, limits=heads)
    tasks = Tasks()
    pools = {
        pool.name: Pool(
            pool.name, [_member(target, contexts, demo) for target in pool.targets], console.backend_changed
        )
        for pool in plan.pools
    }
    ports = [front.endpoint.port for front in plan.listeners]
    memory = request_memory()
    fronts = []
    for index, listener in enumerate(plan.listeners):
        server = HttpServer(
            _handler(plan, index, pools, transport, tasks, trusted, ports),
            limits=_server_limits(plan, heads),
            refuse=_refusal(explains=listener.is_loopback),
            observers=observers,
            scheme=b"https" if listener.tls else b"http",
            memory=memory,
        )
        fronts.append(Front(listener, server, _connection(plan, index, server, certificates, trusted, ports)))
    inner = (demo.listener,) if demo is not None else ()
    return App(
        fronts,
        pools,
        transport,
        certificates,
        logs,
        ports,
        trusted,
        tasks,
        inner,
        connect_timeout=limits.connect_timeout,
    )


def _handler(
    plan: ServePlan,
    index: int,
    pools: dict[str, Pool],
    transport: Transport,
    tasks: Tasks,
    trusted: Callable[[str], bool],
    ports: list[int],
) -> Handler:
    """The stack of one listener, in the order a request meets it."""
    listener = plan.listeners[index]
    if listener.redirects_to is not None:
        to = listener.redirects_to
        return stack(answer_errors(explains=listener.is_loopback), then=redirect(lambda: ports[to]))
    routes = [route for route in plan.routes if route.listener in (None, index)]
    replaces_host = any(
        target.host is not None for route in routes for target in plan.pool(route.pool).targets
    )

    dialling = Dialling(plan.limits.connect_timeout, _preamble, random.Random())

    def service(route: RoutePlan, settings: Settings) -> Handler:
        pool, targets = pools[route.pool], plan.pool(route.pool).targets
        mounts: dict[bytes, Mount | None] | None = None
        if any(target.endpoint.base for target in targets):
            mounts = {
                (base := target.endpoint.base.encode()): Mount(route.scope.prefix.encode(), base)
                if base
                else None
                for target in targets
            }
        answers: list[ResponseEdit] = [
            public_names
        ]  # before anything a flag adds: it looks for what the backend said
        if not plan.tell.keep_server:
            answers.append(hide_server)
        if plan.tell.hsts is not None and listener.tls:
            answers.append(
                fields_edit(editor([(b"Strict-Transport-Security", (b"max-age=%d" % plan.tell.hsts,))]))
            )
        if settings.response_edits:
            answers.append(
                fields_edit(editor([(edit.name, edit.values) for edit in settings.response_edits]))
            )
        edits = [(edit.name, edit.values) for edit in settings.request_edits]
        patience = Patience(settings.timeout, plan.limits.read_timeout, plan.limits.stream_timeout)
        return stack(
            limit_body(settings.max_body) if settings.max_body is not None else None,
            edit_requests(editor(edits)) if edits else None,  # a flag has the last word on what is told
            then=forward(
                pool,
                transport,
                dialling=dialling,
                patience=patience,
                mounts=mounts,
                edits=answers,
                hedging=Hedging(tasks.spawn) if len(targets) > 1 else None,
            ),
        )

    def served(route: RoutePlan) -> Served:
        variants = tuple((variant.scopes, service(route, variant.settings)) for variant in route.variants)
        return Served(service(route, route.settings), variants)

    table = Table([(route.scope, served(route)) for route in routes])
    shown = tuple(str(route.scope) for route in routes)
    return stack(
        answer_errors(explains=listener.is_loopback, routes=shown),
        guard_host(plan.host.own) if replaces_host and listener.is_loopback else None,
        max_forwards(),  # before we add fields of our own: TRACE shows the request as it came
        forwarded(
            trusted=trusted,
            via=plan.tell.via,
            rfc7239=plan.tell.forwarded,
            identify=_identify if plan.tls is not None and plan.tls.client_ca is not None else None,
        ),
        then=router(table),
    )


def _preamble(request: Request, member: Member) -> bytes:
    """Make the PROXY line that opens a connection on which a client is spoken for."""
    if not member.proxy:
        return b""
    facts = request.client.facts
    ends = (facts.peer, facts.local) if facts.peer[0] else (None, None)
    return render_v1(*ends) if member.proxy == 1 else render_v2(*ends)


def _identify(der: bytes) -> tuple[bytes, bytes]:
    from netfront.net.tls import client_fields

    return client_fields(der)


def _connection(
    plan: ServePlan,
    index: int,
    server: HttpServer,
    certificates: "Certificates | None",
    trusted: Callable[[str], bool],
    ports: list[int],
) -> StreamHandler:
    """What stands before HTTP on a connection of this listener."""
    listener, timeout = plan.listeners[index], plan.limits.handshake_timeout
    handler: StreamHandler = server.serve
    if listener.tls and certificates is not None:
        context = certificates.context
        handler = ends_tls(context, handler, timeout=timeout, plain=plain_on_tls(lambda: ports[index]))
    if listener.accept_proxy:
        handler = expects_proxy(trusted, handler, timeout=timeout)
    return handler


def _refusal(*, explains: bool) -> Callable[[BadMessage], Response]:
    def refuse(error: BadMessage) -> Response:
        return error_page(error.status, Explanation(error.why) if explains else None, None)

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


def _member(target: TargetPlan, contexts: "BackendContexts", demo: _Demo | None) -> Member:
    endpoint = target.endpoint
    if endpoint.is_demo and demo is not None:
        endpoint = replace(endpoint, scheme="http", host="127.0.0.1", port=demo.listener.port)
    return Member(
        endpoint,
        target.label,
        target.authority.encode(),
        host=target.host.encode() if target.host is not None else None,
        base=target.endpoint.base.encode(),
        weight=target.weight,
        backup=target.backup,
        tls=contexts[target.tls] if target.tls is not None else None,
        server_name=target.tls.server_name if target.tls is not None else None,
        proxy=target.proxy,
    )


def _read_files(
    plan: ServePlan, console: Console
) -> tuple["Certificates | None", "BackendContexts", list[LogFile], tuple[Observer, ...]]:
    """Read and open every file of the plan. Raises UsageError: of all that is wrong with any of them."""
    faults = Faults()
    certificates = None
    contexts: BackendContexts = {}
    logs: list[LogFile] = []
    observers: tuple[Observer, ...] = ()
    if plan.tls is not None:
        from netfront.cli.certificates import Certificates

        hosts = [route.scope.host for route in plan.routes if route.scope.host]
        try:
            certificates = Certificates(plan.tls, hosts, console.note)
        except UsageError as error:
            faults.take(error)
    if any(target.tls is not None for pool in plan.pools for target in pool.targets):
        from netfront.cli.filecheck import backend_contexts, spoken_to_backends

        contexts = backend_contexts(spoken_to_backends(plan), faults)
    try:
        logs, observers = _observers(plan, console)
    except OSError as error:
        faults.add(f"--access-log {plan.log.access_log}", (error.strerror or str(error)).lower())
    faults.raise_any()
    return certificates, contexts, logs, observers


def _observers(plan: ServePlan, console: Console) -> tuple[list[LogFile], tuple[Observer, ...]]:
    logs, observers = [], []
    if plan.log.access_log is not None:
        path = None if plan.log.access_log == "-" else plan.log.access_log
        log = LogFile(path, console.note)
        logs.append(log)
        observers.append(access_log(plan.log.access_format, log.write, lambda _: time.time(), time.gmtime))
    if plan.log.verbose:
        observers.append(console.exchange)
    return logs, tuple(observers)


def _trusted(networks: tuple[str, ...]) -> Callable[[str], bool]:
    """Make the test whether an address lies in one of the networks; remembered for a bounded number of them."""
    parsed = [ip_network(network, strict=False) for network in networks]
    if not parsed:
        return lambda _: False

    @lru_cache(maxsize=4096)
    def is_trusted(address: str) -> bool:
        try:
            ip = ip_address(address)
        except ValueError:
            return False
        mapped = getattr(ip, "ipv4_mapped", None)
        return any((mapped or ip) in network for network in parsed)

    return is_trusted
