"""From what a plan says of the edges to the filters that stand outside everything else."""

import random
from collections.abc import Callable, Sequence

from netfront.cli.gate.edge_plan import CorsPlan, EdgePlan
from netfront.cli.plan import RoutePlan
from netfront.errors import BadMessage
from netfront.filters.cors import CorsRules, cors, cors_here
from netfront.filters.request_id import fresh_lines, request_id
from netfront.filters.secure_headers import secure_headers
from netfront.filters.served import find_route
from netfront.http.message import Filter, Request
from netfront.policy.route import Match, Scope, Table
from netfront.wire.target import host_of

__all__ = ["Edging"]

_Matcher = Callable[[bytes, bytes, bytes], bool]


class Edging:
    """The filters at the edge of one listener.

    Args:
        routes: those that it serves.
        trusted: whether an address is that of a proxy whose words are believed.
    """

    def __init__(self, plan: EdgePlan, routes: Sequence[RoutePlan], trusted: Callable[[str], bool]) -> None:
        self._plan = plan
        self._trusted = trusted
        self._rules: dict[CorsPlan, CorsRules] = {}
        self._routes = routes

    def outer(self) -> tuple[Filter | None, ...]:
        """Give those that stand before what answers errors, which so has their fields too."""
        lines = fresh_lines(random.Random())
        return (
            secure_headers() if self._plan.secure_headers else None,
            request_id(lines.__next__, self._trusted) if self._plan.request_id else None,
            self._cors(),
        )

    def inner(self, plan: CorsPlan | None) -> Filter | None:
        """Give the one that stands first in a route."""
        return cors_here(self._compiled(plan)) if plan is not None else None

    def _compiled(self, plan: CorsPlan) -> CorsRules:
        if plan not in self._rules:
            origins = [origin.encode() for origin in plan.origins]
            self._rules[plan] = CorsRules(origins, credentials=plan.credentials, max_age=plan.max_age)
        return self._rules[plan]

    def _cors(self) -> Filter | None:
        places: dict[Scope, _Place] = {}
        for route in self._routes:
            if route.condition is not None and route.scope in places:
                continue  # a preflight carries nothing that conditions are about
            places[route.scope] = _Place(
                route.settings.gate.cors,
                [(one.scopes, one.settings.gate.cors) for one in route.variants],
            )
        plans = {plan for place in places.values() for plan in place.plans}
        if plans <= {None}:
            return None
        table = Table(places.items())

        def rules_of(request: Request, method: bytes) -> CorsRules | None:
            try:
                host = host_of(request.authority)
                found = find_route(table, method, host, request.target)
                if not isinstance(found, Match):
                    return None
                plan = found.value.at(method, host, request.target.normalised)
            except BadMessage:
                return None  # the request goes on to be refused
            return self._compiled(plan) if plan is not None else None

        everywhere = next(iter(plans)) if len(plans) == 1 else None
        return cors(rules_of, self._compiled(everywhere) if everywhere is not None else None)


class _Place:
    """What holds in a route, and in the parts of it."""

    def __init__(
        self, plan: CorsPlan | None, variants: Sequence[tuple[tuple[Scope, ...], CorsPlan | None]]
    ) -> None:
        self.plans = [plan, *(one for _, one in variants)]
        self._plan = plan
        self._variants: list[tuple[list[_Matcher], CorsPlan | None]] = [
            ([scope.matcher() for scope in scopes], one) for scopes, one in variants
        ]

    def at(self, method: bytes, host: bytes, path: bytes) -> CorsPlan | None:
        """Give the setting for a request."""
        for matchers, plan in self._variants:
            if all(matches(method, host, path) for matches in matchers):
                return plan
        return self._plan
