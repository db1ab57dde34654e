"""Composed answers whose own parts are more than a limit lets through: told of at the start.

No client can do anything about such a limit: each part counts under one that does not cover the composed route, or that
goes by who asks where nobody is asked for the whole.
"""

from collections import Counter
from collections.abc import Iterable, Iterator

from netfront.cli.gate.compose import composition_of, place_of_part
from netfront.cli.gate.limit_plan import LimitPlan, SeatPlan
from netfront.cli.gate.plan import GatePlan
from netfront.cli.plan import RoutePlan, ServePlan, Settings
from netfront.cli.tables import table_of
from netfront.filters.served import Served
from netfront.policy.route import Match, Table
from netfront.policy.scope import Scope

__all__ = ["limited_parts"]

_Table = Table[Served[tuple[RoutePlan, GatePlan]]]


def limited_parts(plan: ServePlan) -> Iterator[str]:
    """Tell of each in a line."""
    routes = [route for route in plan.routes if route.kind == "http"]
    composed = [route for route in routes if route.answer is not None and route.answer.compose is not None]
    if not composed or not any(route.variants or _held(route.settings.gate) for route in routes):
        return
    table = table_of(routes, _reached)
    for route in composed:
        parts = [part for part in composition_of(route).parts if not part.place]
        gate = route.settings.gate
        whole = {one.id for one in _held(gate) if one.key.is_known_early or gate.methods}
        name = route.scope.path.removesuffix("$")
        places = [place_of_part(composition_of(route), part) for part in parts]
        first = [place for place, part in zip(places, parts, strict=True) if not part.needs]
        for limit, count in _count(table, places, whole).items():
            if isinstance(limit, LimitPlan) and count > limit.burst:
                flag = f"--limit '{limit.scope or '/'}: {limit.name}'"
                yield (
                    f"{name}: {count} of its parts come under {flag}, which lets {limit.burst} through at once; "
                    f"have it say ,burst={count}"
                )
        for seat, count in _count(table, first, whole).items():
            if isinstance(seat, SeatPlan) and count > seat.most:
                flag = f"--concurrency '{seat.scope or '/'}: {seat.name}'"
                yield f"{name}: {count} of its parts come at once under {flag}, which refuses some of them"


def _reached(route: RoutePlan, settings: Settings) -> tuple[RoutePlan, GatePlan]:
    return route, settings.gate


def _held(gate: GatePlan) -> tuple[LimitPlan | SeatPlan, ...]:
    return (*gate.limits, *gate.seats)


def _count(table: _Table, places: Iterable[Scope], whole: set[bytes]) -> Counter[LimitPlan | SeatPlan]:
    """Count by limit how many of these come under it, as many as go by one key."""
    counts: Counter[tuple[LimitPlan | SeatPlan, Scope | None]] = Counter()
    for place in places:
        method, host = place.methods[0].encode(), place.host.encode()
        path = ("/" + "/".join(place.segments)).replace("*", "x").encode()
        found = table.find(method, host, path)
        if isinstance(found, Match) and found.value.handler is not None:
            route, gate = found.value.at(method, host, (path,), ())
            for one in _held(gate):
                if one.id not in whole:
                    counts[one, route.scope if one.key.kind == "route" else None] += 1
    most: Counter[LimitPlan | SeatPlan] = Counter()
    for (one, _), count in counts.items():
        most[one] = max(most[one], count)
    return most
