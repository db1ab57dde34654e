"""The stack of a listener of requests: what one meets, from the client to what answers it."""

import random
from collections.abc import Sequence

from netfront.cli.gate.assembly import answering, gate, rewriting
from netfront.cli.gate.composing import Composing
from netfront.cli.gate.edging import Edging
from netfront.cli.gate.guarding import hiding, stripping
from netfront.cli.gate.guards import guarded
from netfront.cli.gate.tokening import hiding_sessions
from netfront.cli.parts import Parts
from netfront.cli.plan import Place, RoutePlan, Settings, places
from netfront.cli.services import key_of, may_have_several
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
from netfront.filters.public_names import public_names
from netfront.filters.redirect import redirect
from netfront.filters.request_key import request_key
from netfront.filters.router import Holds, Rules, Served, may_be_passed_over, router
from netfront.http.attempts import Dialling, RetryRules
from netfront.http.client import Patience
from netfront.http.forward import Hedging, forward
from netfront.http.message import Handler, Request, stack
from netfront.net.backend import Member
from netfront.net.dial import proxy_line
from netfront.net.tasks import Tasks
from netfront.policy.condition import Condition
from netfront.policy.route import Table
from netfront.wire.fields import HIDDEN, ID

__all__ = ["handler_of"]


def handler_of(parts: Parts, index: int, routes: Sequence[RoutePlan]) -> Handler:
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
