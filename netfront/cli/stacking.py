"""The stack of a listener of requests: what one meets, from the client to what answers it."""

import random
from collections.abc import Sequence

from netfront.cli.gate.assembly import answering, gate, rewriting
from netfront.cli.gate.composing import Composing
from netfront.cli.gate.edging import Edging
from netfront.cli.gate.guarding import hiding, hiding_of_whole, stripped
from netfront.cli.gate.guards import guards_of
from netfront.cli.gate.plan import AnswerPlan
from netfront.cli.gate.tokening import hiding_sessions
from netfront.cli.parts import Parts
from netfront.cli.plan import LbPlan, RoutePlan, Settings
from netfront.cli.secrets import field_values
from netfront.cli.services import Service, key_of
from netfront.cli.tables import table_of
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
from netfront.filters.meaning import methods_meant, targets_meant
from netfront.filters.name_backend import name_backend
from netfront.filters.public_names import public_names
from netfront.filters.redirect import redirect
from netfront.filters.refuse_sources import refuse_sources
from netfront.filters.router import router
from netfront.filters.served import Params, rules_met
from netfront.http.attempts import Dialling, RetryRules
from netfront.http.client import Patience
from netfront.http.forward import Hedging, forward
from netfront.http.message import Handler, Request, stack
from netfront.net.backend import Member
from netfront.net.dial import proxy_line
from netfront.net.tasks import Tasks
from netfront.policy.memory import Held
from netfront.wire.fields import HIDDEN, ID, Edit
from netfront.wire.target import host_of

__all__ = ["handler_of"]


def handler_of(parts: Parts, index: int, routes: Sequence[RoutePlan]) -> Handler:
    """The stack of one listener, in the order a request meets it."""
    plan, listener = parts.plan, parts.plan.listeners[index]
    if listener.redirects_to is not None:
        to = listener.redirects_to
        return stack(answer_errors(explains=listener.is_loopback), then=redirect(lambda: parts.ports[to]))
    replaces_host = any(target.host is not None for route in routes for target in plan.targets(route))
    edging = Edging(plan.edges, routes, parts.trusted)
    strips = stripped(plan)
    return stack(
        *edging.outer(),  # so that a 401, 429 or 502 has their fields too, and preflights need no credentials
        answer_errors(explains=listener.is_loopback, routes=tuple(route.named for route in routes)),
        guard_host(plan.host.own) if replaces_host and listener.is_loopback else None,
        max_forwards(),  # before we add fields of our own: TRACE shows the request as it came
        forwarded(
            trusted=parts.trusted,
            address_of=parts.address_of,
            via=plan.tell.via,
            rfc7239=plan.tell.forwarded,
            identify=_identify if plan.tls is not None and plan.tls.client_ca is not None else None,
            strips=strips.fields,
            strips_trailers=strips.trailers,
        ),
        parts.logging_in,  # where logins end has no route of its own
        then=_Services(parts, edging, routes, strips.fields, tells_hsts=listener.tls).ours,
    )


class _Services:
    """What serves the routes of one listener.

    Args:
        strips: takes from requests what is ours alone to say.
        tells_hsts: whether browsers may be told to come by TLS alone: they must have come so.
    """

    def __init__(
        self,
        parts: Parts,
        edging: Edging,
        routes: Sequence[RoutePlan],
        strips: Edit | None,
        *,
        tells_hsts: bool,
    ) -> None:
        plan = parts.plan
        self._plan = plan
        self._parts = parts
        self._edging = edging
        self._hsts = plan.tell.hsts if tells_hsts else None
        self._trusted = parts.trusted if plan.tell.trust_proxy else None
        self._address_of = parts.address_of
        self._dialling = Dialling(plan.limits.connect_timeout, _preamble, random.Random())
        self._hides_sessions = hiding_sessions(plan)
        self._hides_of_whole = hiding_of_whole(plan)
        self._composing = Composing(
            lambda request: self._for_parts(request),
            parts.outward,
            parts.tasks.begin,
            self._hold,
            plan.limits.body_timeout,
        )
        self._guards = guards_of(plan.rules)
        self._table = table_of(routes, self._service)
        self.ours: Handler = router(
            self._table,
            guards=self._guards,
            is_ruled=bool(plan.rules),
            wants_host=any(rule.scope is not None and rule.scope.host for rule in plan.rules),
        )
        """Finds the route of a request, and serves it."""
        self._for_parts = stack(edit_requests(strips) if strips is not None else None, then=self.ours)
        """The same for what netfront asks itself for an answer of several: who asks is told each route by itself."""

    def _hold(self, request: Request) -> Held:
        """Count what a composed request holds."""
        parts, whole = self._parts, request.part_of
        address = parts.address_of(request) or b""
        return Held(parts.composed, address, whole=whole.held if whole is not None else None)

    def _params_at(self, request: Request) -> list[Params]:
        """Give what the segments of a request's paths are called at the routes that it leads to now, if to any."""
        host = host_of(request.authority)
        found: list[Params] = []
        for method in methods_meant(request):
            for target in targets_meant(request):
                met = rules_met(self._table, method, host, target) or ()
                found += [one.params for one in met if one.params not in found]
        return found

    def _service(self, route: RoutePlan, settings: Settings) -> Handler:
        return stack(
            self._edging.inner(settings.gate.cors),
            *gate(settings.gate, self._parts.makers, self._address_of, self._parts.limiting),
            then=self._answering(route.answer, settings)
            if route.answer is not None
            else self._forwarding(route, settings),
        )

    def _answering(self, plan: AnswerPlan, settings: Settings) -> Handler:
        return stack(
            limit_body(settings.most_body) if settings.most_body is not None else None,
            then=answering(plan, settings, self._edits_of(settings), self._composing),
        )

    def _forwarding(self, route: RoutePlan, settings: Settings) -> Handler:
        plan, parts = self._plan, self._parts
        behind, pool = parts.behind(route), plan.behind(route)
        assert pool is not None
        edits = [(edit.name, field_values(edit)) for edit in settings.request_edits]
        has_base = any(target.endpoint.base not in ("", "/") for target in plan.targets(route))
        return stack(
            refuse_sources() if plan.rules and has_base else None,
            *rewriting(settings.gate, plan.rules, self._guards, self._address_of, self._params_at),
            hiding(settings.gate),
            self._hides_of_whole,
            self._hides_sessions,
            edit_requests(editor(edits)) if edits else None,  # a flag has the last word on what is told
            then=forward(
                behind.pool,
                parts.transport,
                dialling=self._dialling,
                patience=Patience(settings.timeout, plan.limits.read_timeout, plan.limits.stream_timeout),
                # a rewritten path has none any more
                prefix=b"/" if settings.gate.rewrite is not None else route.scope.prefix.encode(),
                edits=self._backend_edits(behind, pool.balance.lb, settings),
                retry=RetryRules(settings.retry.resets, settings.retry.statuses, settings.retry_body),
                hedging=_hedging(settings, parts.tasks) if pool.may_have_several else None,
                key=key_of(pool.balance.lb, behind.stickiness, self._trusted),
                most_body=settings.most_body,
                learns_latency=pool.balance.lb.policy == "latency",
            ),
        )

    def _backend_edits(self, behind: Service, lb: LbPlan, settings: Settings) -> list[ResponseEdit]:
        """Give what is done to the answers of backends.

        Args:
            lb: how the pool will pick: on a reload it picks as before until all is put together.
        """
        tell = self._plan.tell
        hidden = (not tell.keep_server) << HIDDEN | self._plan.edges.request_id << ID
        return [
            public_names,  # before anything a flag adds: it looks for what the backend said
            *([hides(hidden)] if hidden else ()),
            *self._edits_of(settings),
            *([behind.stick] if lb.policy == "sticky" else ()),
            *([name_backend] if tell.backend else ()),
        ]

    def _edits_of(self, settings: Settings) -> list[ResponseEdit]:
        """Give what flags add to answers, wherever these come from."""
        changes = [(edit.name, edit.values) for edit in settings.response_edits]
        hsts = [] if self._hsts is None else [(b"Strict-Transport-Security", (b"max-age=%d" % self._hsts,))]
        return [fields_edit(editor(some)) for some in (hsts, changes) if some]


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
