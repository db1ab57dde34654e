"""Other ways to what a rule guards at a backend, that nothing guards.

A rule is for paths as clients write them. Where two routes lead to one backend and one of them changes the path, what
follows the prefix is of the client's choice: `/=:1 /api=:1/` serves the backend's /admin as /admin and as /api/admin.
That may well be meant, and is told of; what the target of a route names itself is meant. Routes that rewrite are not
looked at, nor are backends that are reached under two names.
"""

from collections.abc import Iterator, Sequence
from itertools import islice, zip_longest
from typing import NamedTuple

from netfront.cli.gate.unguarded import asks_who, place_of
from netfront.cli.plan import RoutePlan, ServePlan, Settings
from netfront.cli.scoped import Policy
from netfront.cli.tables import table_of
from netfront.errors import BadMessage
from netfront.filters.served import Served
from netfront.policy.route import Match, Table
from netfront.policy.scope import Near, Scope, is_text, with_head
from netfront.wire.target import canonical

__all__ = ["open_ways"]

_MOST_LOOKED_AT = 10_000
"""Pairs of a rule and a way past it: 0.1 s; where a plan has more, the rest is not looked at."""

_Path = tuple[str, ...]
_Table = Table[Served[tuple[RoutePlan, Settings]]]


class _Lead(NamedTuple):
    """How a route leads to a backend: what is below the prefix is asked for below the base."""

    route: RoutePlan
    prefix: _Path
    base: _Path | None
    """None where the path goes on as it came."""


def open_ways(plan: ServePlan) -> list[str]:
    """Tell of each such way in a line."""
    gates = [(rule, rule.apply(Settings()).gate) for rule in plan.rules]
    public = {rule for rule, gate in gates if gate.public}
    guards = [rule for rule, gate in gates if asks_who(gate) or gate.public]
    if not guards:
        return []
    routes = [route for route in plan.routes if route.kind == "http"]
    by_place: dict[object, list[_Lead]] = {}
    for route in routes:
        for target in plan.targets(route):
            base = _base(target.endpoint.base) if target.endpoint.base else None
            lead = _Lead(route, _path(route.scope.prefix), base)
            by_place.setdefault(place_of(target), []).append(lead)
    if not any(lead.base is not None for leads in by_place.values() for lead in leads):
        return []
    table = table_of(routes, lambda route, settings: (route, settings))
    pairs = (
        (rule.scope, guarded, way)
        for leads in by_place.values()
        if len(leads) > 1
        for rule in guards
        if rule.scope is not None and rule not in public
        for guarded in leads
        if rule.scope.meets(guarded.route.scope)
        for way in leads
        if guarded.base is not None or way.base is not None
    )
    by_scope = Near((rule.scope, rule) for rule in guards)
    looked_at = islice(pairs, _MOST_LOOKED_AT)
    return list(dict.fromkeys(line for pair in looked_at for line in _open(table, by_scope, *pair)))


def _open(table: _Table, guards: Near[Policy], scope: Scope, guarded: _Lead, way: _Lead) -> Iterator[str]:
    """Tell of the way, if it leads past a rule of that scope on the guarded one."""
    at = _within(scope, guarded.route.scope)
    if not _serves(table, guarded.route, at):
        return
    path = at.segments if guarded.base is None else (*guarded.base, *at.segments[len(guarded.prefix) :])
    if way.base is not None:
        if len(path) <= len(way.base) or not _is_below(path, way.base):
            return  # it does not lie there, or is just what the target names
        path = (*_within(way.route.scope, Scope()).segments, *path[len(way.base) :])
    host = _within(way.route.scope, Scope()).host or at.host
    to = Scope(at.methods, host, path)
    if (to.host, to.segments) == (at.host, at.segments) or not _serves(table, way.route, to):
        return
    if not any(
        rule.scope is not None and rule.scope.covers(to) and not rule.scope.is_wider(scope)
        for rule in guards.of(to)
    ):
        yield f"{to} leads to what is guarded as {scope}, and is not guarded by that"


def _within(scope: Scope, other: Scope) -> Scope:
    """Give a scope within both, each of whose segments is one; a `{name}` stands for itself."""
    pairs = zip_longest(scope.segments, other.segments, fillvalue="*")
    segments = tuple(one if is_text(one) or other in ("*", "**") else other for one, other in pairs)
    methods = scope.methods or other.methods
    if scope.methods and other.methods:
        methods = tuple(sorted(with_head(scope.methods) & with_head(other.methods)))
    host = max(scope.host, other.host, key=lambda host: (bool(host), not host.startswith("*"), len(host)))
    return Scope(methods, host.replace("*", "x"), segments)


def _serves(table: _Table, route: RoutePlan, scope: Scope) -> bool:
    """Tell whether requests of a scope come to a route, and go on from there as they came."""
    method, host = (scope.methods or ("GET",))[0].encode(), scope.host.encode()
    path = "/".join(("", *scope.segments)).encode() or b"/"
    found = table.find(method, host, path)
    if not isinstance(found, Match):
        return False
    others = [other for _, other in found.value.alternatives]
    served: Sequence[Served[tuple[RoutePlan, Settings]]] = [*others, found.value]
    reached = [one.at(method, host, (path,), ()) for one in served if one.handler is not None]
    return any(there is route and settings.gate.rewrite is None for there, settings in reached)


def _base(text: str) -> _Path:
    try:
        return _path(canonical(text.encode()).decode())
    except BadMessage:  # no request has such a path
        return _path(text)


def _path(text: str) -> _Path:
    return tuple(segment for segment in text.split("/") if segment)


def _is_below(path: _Path, base: _Path) -> bool:
    return all(
        not is_text(one) or one.lower() == other.lower() for one, other in zip(path, base, strict=False)
    )
