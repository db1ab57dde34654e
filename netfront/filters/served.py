"""What the routes of a table lead to, and by which rules: looked up by method, host and target, of no request.

Routes may ask for more than a method and a place (`Served.alternatives`). Then what is found is a row of places: those
whose condition holds are tried in order, and a place of which no condition holds counts as not there.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

from netfront.errors import BadMessage
from netfront.http.message import Request
from netfront.policy.route import Match, NotFound, Scope, Table, WrongMethod
from netfront.wire.target import Target

__all__ = [
    "Holds",
    "Met",
    "Params",
    "Rules",
    "Served",
    "find_route",
    "may_be_passed_over",
    "only_of",
    "params_of",
    "rules_met",
]

V = TypeVar("V")
H = TypeVar("H")
Holds = Callable[[Request], bool]
_Matcher = Callable[[bytes, bytes, bytes], bool]
Params = Mapping[str, bytes]
"""The `{name}` segments of a path at a route."""


class Rules(NamedTuple):
    """What restricts at a place, to be compared: places with equal rules let the same requests in.

    Args:
        params: the segments of the path that they ask for by name, so that others may be another verdict; None: any.
        by_method, by_query: likewise for the method and the query.
        is_open: whether nothing restricts.
        without_limits: what of `restricts` is no limit, () for nothing; None where all of it is none.
    """

    restricts: object = None
    params: frozenset[str] | None = frozenset()
    by_method: bool = False
    by_query: bool = False
    is_open: bool = False
    without_limits: object = None

    @property
    def keeps_out(self) -> object:
        """What asks who comes, or what they are; () for nothing."""
        return self.restricts if self.without_limits is None else self.without_limits

    def are_asked_alike(self, one: Params, other: Params) -> bool:
        """Tell whether both have the same segments, of those that they ask for."""
        if self.params is None:
            return one == other
        return all(one.get(name) == other.get(name) for name in self.params)


_NO_RULES = Rules(is_open=True)


class Met(NamedTuple):
    """Rules that a request meets, and what it calls the segments of its path there."""

    rules: Rules
    params: Params

    def lets_in_all(self, other: "Met", *, is_counted: bool) -> bool:
        """Tell whether whoever passes the other has passed this.

        Args:
            is_counted: whether limits are restrictions too.
        """
        mine, theirs = self.rules, other.rules
        if mine.is_open:
            return True
        is_same = mine == theirs if is_counted else mine.keeps_out in ((), theirs.keeps_out)
        return is_same and mine.are_asked_alike(self.params, other.params)


class Served(Generic[H]):
    """What a route leads to.

    Args:
        handler: serves it; None where it has alternatives alone.
        variants: scopes, what serves those requests of the route that lie in all of them, and its rules; the first
            counts.
        rules: where no variant counts.
        alternatives: what serves in place of it the requests of which a condition holds; the first counts.
    """

    __slots__ = ("_by_text", "_loose", "alternatives", "handler", "rules", "variants")

    def __init__(
        self,
        handler: H | None,
        variants: Sequence[tuple[tuple[Scope, ...], H, Rules]] = (),
        *,
        rules: Rules = _NO_RULES,
        alternatives: "Sequence[tuple[Holds, Served[H]]]" = (),
    ) -> None:
        self.handler = handler
        self.rules = rules
        self.alternatives = tuple(alternatives)
        self.variants = tuple(variants)
        rows: list[tuple[str | None, tuple[tuple[_Matcher, ...], H, Rules]]] = [
            (
                next((scope.first for scope in scopes if scope.first is not None), None),
                (tuple(scope.matcher() for scope in scopes), narrower, restricting),
            )
            for scopes, narrower, restricting in variants
        ]
        texts = {text for text, _ in rows if text is not None}
        self._loose = tuple(row for text, row in rows if text is None)
        self._by_text = {
            wanted.encode(): tuple(row for text, row in rows if text in (None, wanted)) for wanted in texts
        }
        """The variants that a path can lie in, by the text that it begins with: a thousand cost what one costs."""

    def at(self, method: bytes, host: bytes, readings: Sequence[bytes], params: Sequence[Params]) -> H:
        """Give what serves a request here.

        Args:
            readings: of its path.
            params: of each of them; where there is one they are not looked at.
        Raises:
            BadMessage: 400, the readings meet different rules.
        """
        handler, rules = self._at(method, host, readings[0])
        for at, reading in enumerate(readings[1:], 1):
            is_alike = rules.are_asked_alike(params[at], params[0])
            if not is_alike or self._at(method, host, reading)[1] != rules:
                raise BadMessage(400, "an encoded separator or a backslash that meets different rules")
        return handler

    def met_at(self, method: bytes, host: bytes, path: bytes, params: Params) -> Iterator[Met]:
        """Give the rules of all that may serve a request here."""
        if self.handler is not None:
            yield Met(self._at(method, host, path)[1], params)
        for _, other in self.alternatives:
            yield from other.met_at(method, host, path, params)

    def _at(self, method: bytes, host: bytes, path: bytes) -> tuple[H, Rules]:
        variants = self._loose
        if self._by_text:
            variants = self._by_text.get(path[1:].partition(b"/")[0].lower(), variants)
        for matchers, handler, rules in variants:
            if all(matches(method, host, path) for matches in matchers):
                return handler, rules
        assert self.handler is not None
        return self.handler, self.rules


def only_of(table: Table[Served[H]]) -> Match[Served[H]] | None:
    """Give the one route there is, where it serves everything in one way: then nothing of a request is looked at."""
    only = table.only
    if only is None or only.value.handler is None or only.value.variants or only.value.alternatives:
        return None
    rules = only.value.rules
    return None if rules.params != frozenset() or rules.by_method or rules.by_query else only


def may_be_passed_over(served: Served[H]) -> bool:
    """Tell whether what a route leads to depends on more than method and place."""
    return served.handler is None


def find_route(
    table: Table[V], method: bytes, host: bytes, target: Target, passed: Collection[Scope] = ()
) -> Match[V] | NotFound | WrongMethod:
    """Find the route of a request.

    Args:
        host: as `host_of` gives it.
        passed: routes of the table that are as if not there; see Table.find.
    Raises:
        BadMessage: 400, the target cannot be normalised, or its readings lead to different routes.
    """
    readings = target.readings
    found = table.find(method, host, readings[0], passed)
    for reading in readings[1:]:
        if _place(table.find(method, host, reading, passed)) != _place(found):
            raise BadMessage(400, "an encoded separator or a backslash that leads to different routes")
    return found


def params_of(
    table: Table[V], method: bytes, host: bytes, target: Target, passed: Collection[Scope] = ()
) -> list[Params]:
    """Give what each reading of a target calls its segments at its route; see `find_route`."""
    found = (table.find(method, host, reading, passed) for reading in target.readings)
    return [one.params if isinstance(one, Match) else {} for one in found]


def rules_met(table: Table[Served[H]], method: bytes, host: bytes, target: Target) -> list[Met] | None:
    """Give the rules of all that may serve a request, in each reading of its target; None where nothing does."""
    met: list[Met] | None = None
    passed: list[Scope] = []
    while isinstance(found := find_route(table, method, host, target, passed), Match):
        served, readings = found.value, target.readings
        params = [found.params] if len(readings) == 1 else params_of(table, method, host, target, passed)
        met = met or []
        for path, named in zip(readings, params, strict=True):
            met += served.met_at(method, host, path, named)
        if served.handler is not None:
            break
        passed.append(found.scope)
    return met


def _place(found: Match[V] | NotFound | WrongMethod) -> object:
    return found.scope if isinstance(found, Match) else found
