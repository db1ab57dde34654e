"""The table of routes that a router goes by, of what a plan says of each."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from netfront.cli.gate.passing import rules_of
from netfront.cli.plan import Place, RoutePlan, Settings, places
from netfront.filters.served import Holds, Served, may_be_passed_over
from netfront.policy.condition import Condition
from netfront.policy.route import Table

__all__ = ["table_of"]

H = TypeVar("H")


def table_of(routes: Iterable[RoutePlan], serve: Callable[[RoutePlan, Settings], H]) -> Table[Served[H]]:
    """Make the table.

    Args:
        serve: gives what serves a route where these settings hold.
    """

    def of_route(route: RoutePlan) -> Served[H]:
        variants = [
            (variant.scopes, serve(route, variant.settings), rules_of(variant.settings))
            for variant in route.variants
        ]
        return Served(serve(route, route.settings), variants, rules=rules_of(route.settings))

    def of_place(place: Place) -> Served[H]:
        others = [(_holds(other.condition), of_route(other)) for other in place.others if other.condition]
        if place.plain is None:
            return Served(None, alternatives=others)
        plain = of_route(place.plain)
        plain.alternatives = tuple(others)
        return plain

    return Table([(place.scope, of_place(place)) for place in places(routes)], may_be_passed_over)


def _holds(condition: Condition) -> Holds:
    return lambda request: condition.holds(request.fields, request.target.query)
