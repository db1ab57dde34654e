"""Ways to what a rule guards at a backend, by another path.

A rule is for paths as clients write them. Where two routes lead to one backend and one of them changes the path, what
follows the prefix is of the client's choice: `/=:1 /api=:1/` serves the backend's /admin as /admin and as /api/admin.
That may well be meant, and is told of; what the target of a route names itself is meant.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from netfront.cli.gate.unguarded import place_of
from netfront.cli.plan import RoutePlan, ServePlan, Settings
from netfront.cli.scoped import Policy
from netfront.policy.scope import Near, Scope, is_text

__all__ = ["open_ways"]

_Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Way:
    """How a route leads to a backend: what is below the prefix is asked for below the base."""

    route: RoutePlan
    prefix: _Path
    base: _Path


def open_ways(plan: ServePlan) -> list[str]:
    """Tell of the paths by which what is guarded elsewhere is reached without, each in a line."""
    guards = [rule for rule in plan.rules if _says_who(rule)]
    by_place: dict[object, list[_Way]] = {}
    for route in plan.routes:
        for target in plan.targets(route) if route.kind == "http" else ():
            prefix = _path(route.scope.prefix)
            way = _Way(route, prefix, _path(target.endpoint.base) if target.endpoint.base else prefix)
            by_place.setdefault(place_of(target), []).append(way)
    routes = Near((route.scope, route) for route in plan.routes if route.kind == "http")
    lines = (
        line
        for ways in by_place.values()
        if guards and any(way.base != way.prefix for way in ways)
        for line in _open(guards, routes, ways)
    )
    return list(dict.fromkeys(lines))


def _open(guards: list[Policy], routes: Near[RoutePlan], ways: list[_Way]) -> Iterator[str]:
    """Tell of the open ways at one backend."""
    by_prefix = Near((way.route.scope, way) for way in ways)
    by_base = Near((Scope(segments=way.base), way) for way in ways)
    by_scope = Near((rule.scope, rule) for rule in guards)
    for rule in guards:
        scope = rule.scope
        if scope is None or not scope.segments or rule.apply(Settings()).gate.public:
            continue
        for guarded in by_prefix.of(scope):
            if not _serves(routes, guarded.route, scope):
                continue
            path = (*guarded.base, *(_below(scope.segments, guarded.prefix) or ()))
            for way in by_base.of(Scope(segments=path)):
                rest = _below(path, way.base)
                if not rest:  # it does not lie there, or is just what the target names
                    continue
                host = way.route.scope.host or scope.host
                to = replace(scope, host=host, segments=(*way.prefix, *rest), ignores_case=False)
                if _serves(routes, way.route, to) and not _is_ruled(by_scope.of(to), to, scope):
                    yield f"{to} leads to what is guarded as {scope}, and is itself not"


def _serves(routes: Near[RoutePlan], route: RoutePlan, scope: Scope) -> bool:
    """Tell whether requests of a scope come to a route, rather than to one that is more specific."""
    scope = replace(scope, ignores_case=False)  # what other case alone leads to is not meant
    return route.scope.meets(scope) and not any(
        other.condition is None and other.scope.covers(scope) and route.scope.is_wider(other.scope)
        for other in routes.of(scope)
    )


def _is_ruled(guards: list[Policy], to: Scope, scope: Scope) -> bool:
    """Tell whether somebody has said who may come that way, other than by what is said of both."""
    return any(
        rule.scope is not None and rule.scope.covers(to) and not rule.scope.is_wider(scope) for rule in guards
    )


def _says_who(rule: Policy) -> bool:
    """Tell whether a rule says who may come in; limits do not."""
    gate = rule.apply(Settings()).gate
    return bool(gate.auth or gate.rules or gate.public)


def _path(text: str) -> _Path:
    return tuple(segment for segment in text.split("/") if segment)


def _below(path: _Path, base: _Path) -> _Path | None:
    """Give the segments that follow a base; None where they do not lie below it."""
    pairs = zip(path, base, strict=False)
    is_below = all(not is_text(one) or one.lower() == other.lower() for one, other in pairs)
    return path[len(base) :] if is_below and len(path) >= len(base) else None
