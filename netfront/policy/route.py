"""Routes: which of many scopes a request belongs to, compiled so that a thousand cost about what one costs.

Host first: exact, then the longest wildcard; where any route names a request's host, those without a host are not
asked. Then path segment by segment: text, `{name}`, `*`, `**`; longer first. Then method: a route for others is
passed over, and only if no route is left the answer is that the method was wrong.

The table is a tree of dicts for each host. A request goes down it segment by segment and takes the first route on
its way back up that has its method.

Routes that depend on more than that may be passed over: whoever finds that one does not serve a request asks again
without it, and goes on to where it would have gone had the route not been there.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from netfront.policy.scope import Scope, is_text, parse_scope, with_head

__all__ = ["Match", "NotFound", "Scope", "Table", "WrongMethod", "goes_first", "parse_scope"]

V = TypeVar("V")
_EVERYTHING = (Scope(), Scope(segments=("**",)))


@dataclass(frozen=True, slots=True)
class Match(Generic[V]):
    """The route found, and what its `{name}` segments were."""

    value: V
    scope: Scope
    params: dict[str, bytes]


@dataclass(frozen=True, slots=True)
class NotFound:
    """No route at all."""


@dataclass(frozen=True, slots=True)
class WrongMethod:
    """Routes for the place, none for the method. `allow` is the value of Allow."""

    allow: bytes


class Table(Generic[V]):
    """Routes, compiled.

    Args:
        may_be_passed_over: tells of a route whether it depends on more than method, host and path.

    Attributes:
        scopes: of the routes, in the order given.
        only: what serves every request, where the one route there is has no conditions; else None. Then neither
            host nor path need be looked at.
    """

    def __init__(
        self,
        routes: Iterable[tuple[Scope, V]],
        may_be_passed_over: Callable[[V], bool] = lambda _: False,
    ) -> None:
        entries = [_Entry(scope, value) for scope, value in routes]
        standing = {entry.match.scope.host for entry in entries if not may_be_passed_over(entry.match.value)}
        self.scopes = tuple(entry.match.scope for entry in entries)
        self.only: Match[V] | None = None
        if len(entries) == 1 and entries[0].match.scope in _EVERYTHING:
            self.only = entries[0].match
        roots: dict[str, _Node[V]] = {"": _Node()}
        for entry in sorted(entries, key=lambda entry: not entry.match.scope.methods):
            _insert(roots.setdefault(entry.match.scope.host, _Node()), entry)
        anywhere = roots.pop("")
        self._anywhere = (anywhere,)
        self._open = {id(root) for host, root in roots.items() if host not in standing}
        self._below = {host[2:].encode(): root for host, root in roots.items() if host.startswith("*.")}
        self._named = {
            name: self._or_anywhere((root, *self._wild(name)))
            for name, root in ((host.encode(), root) for host, root in roots.items())
            if not name.startswith(b"*")
        }

    def find(
        self, method: bytes, host: bytes, path: bytes, passed: Collection[Scope] = ()
    ) -> Match[V] | NotFound | WrongMethod:
        """Find the route of a request.

        Args:
            host: in lower case, without port and trailing dot.
            path: in its normal form.
            passed: routes that are as if not there; a host that has no others is as if not named.
        """
        segments = path.split(b"/")
        if not segments[-1]:
            segments.pop()
        roots = self._named.get(host)
        if roots is None:
            roots = self._or_anywhere(self._wild(host)) if self._below else self._anywhere
        for root in roots:
            entry = _search(root, segments, 1, method, passed)
            if entry is not None:
                return (
                    entry.match if entry.names is None else _with_params(entry.match, entry.names, segments)
                )
        allowed = {name for root in roots for name in _allowed(root, segments, 1, passed)}
        if not allowed:
            return NotFound()
        return WrongMethod(", ".join(sorted({*with_head(allowed), "OPTIONS"})).encode())

    def _or_anywhere(self, roots: "tuple[_Node[V], ...]") -> "tuple[_Node[V], ...]":
        """Have the routes without a host asked too where those of a host may all be passed over, or there are none."""
        return (*roots, *self._anywhere) if all(id(root) in self._open for root in roots) else roots

    def _wild(self, host: bytes) -> "tuple[_Node[V], ...]":
        """Give the roots of the wildcards that a host lies below, the longest first."""
        found = []
        while b"." in host:
            host = host.partition(b".")[2]
            root = self._below.get(host)
            if root is not None:
                found.append(root)
        return tuple(found)


def goes_first(one: Scope, other: Scope) -> bool:
    """Tell whether requests of both scopes, whose hosts are the same, go to a route of the first.

    As `_search` goes: at each segment text comes first, then `{name}`, then `*`; behind the last one what must end
    there, then `**`, then a prefix.
    """
    mine, theirs = next(
        ((mine, theirs) for mine, theirs in zip(_order(one), _order(other), strict=False) if mine != theirs),
        (0, 0),
    )
    return mine < theirs


def _order(scope: Scope) -> Iterator[int]:
    for segment in scope.segments:
        if segment != "**":
            yield 0 if is_text(segment) else 2 if segment == "*" else 1
    yield 4 if scope.segments[-1:] == ("**",) else 3 if scope.is_exact else 5


class _Entry(Generic[V]):
    """A route. `methods` is None for any; `names` are its parameters by place, None if it has none."""

    __slots__ = ("match", "methods", "names")

    def __init__(self, scope: Scope, value: V) -> None:
        self.match = Match(value, scope, {})
        methods = with_head(scope.methods)
        self.methods = frozenset(method.encode() for method in methods) if methods else None
        names = [(at, name[1:-1]) for at, name in enumerate(scope.segments, 1) if name.startswith("{")]
        self.names = names or None


class _Node(Generic[V]):
    """What may follow a row of segments, and the routes that end here: exactly, with `**`, or as prefixes."""

    __slots__ = ("exact", "parameter", "prefixes", "rest", "star", "text")

    def __init__(self) -> None:
        self.text: dict[bytes, _Node[V]] = {}
        self.parameter: _Node[V] | None = None
        self.star: _Node[V] | None = None
        self.rest: list[_Entry[V]] = []
        self.prefixes: list[_Entry[V]] = []
        self.exact: list[_Entry[V]] = []


def _insert(node: _Node[V], entry: _Entry[V]) -> None:
    scope = entry.match.scope
    for segment in scope.segments:
        if segment == "**":
            node.rest.append(entry)
            return
        if is_text(segment):
            node = node.text.setdefault(segment.encode(), _Node())
        elif segment == "*":
            node.star = node = node.star or _Node()
        else:
            node.parameter = node = node.parameter or _Node()
    (node.exact if scope.is_exact else node.prefixes).append(entry)


def _search(
    node: _Node[V], segments: list[bytes], depth: int, method: bytes, passed: Collection[Scope]
) -> _Entry[V] | None:
    """Find the most specific route below a node that takes this method."""
    if depth < len(segments):
        below = node.text.get(segments[depth])
        if below is not None and (found := _search(below, segments, depth + 1, method, passed)) is not None:
            return found
        below = node.parameter
        if below is not None and (found := _search(below, segments, depth + 1, method, passed)) is not None:
            return found
        below = node.star
        if below is not None and (found := _search(below, segments, depth + 1, method, passed)) is not None:
            return found
    elif node.exact and (found := _taking(node.exact, method, passed)) is not None:
        return found
    if node.rest and (found := _taking(node.rest, method, passed)) is not None:
        return found
    return _taking(node.prefixes, method, passed) if node.prefixes else None


def _taking(entries: list[_Entry[V]], method: bytes, passed: Collection[Scope]) -> _Entry[V] | None:
    """Find the first of these routes that takes this method."""
    for entry in entries:
        if (entry.methods is None or method in entry.methods) and (
            not passed or entry.match.scope not in passed
        ):
            return entry
    return None


def _allowed(node: _Node[V], segments: list[bytes], depth: int, passed: Collection[Scope]) -> Iterator[str]:
    """Give the methods of all routes that match the path."""
    ending = [*node.rest, *node.prefixes]
    if depth < len(segments):
        for below in (node.text.get(segments[depth]), node.parameter, node.star):
            if below is not None:
                yield from _allowed(below, segments, depth + 1, passed)
    else:
        ending += node.exact
    for entry in ending:
        if entry.match.scope not in passed:
            yield from entry.match.scope.methods


def _with_params(match: Match[V], names: list[tuple[int, str]], segments: list[bytes]) -> Match[V]:
    return Match(match.value, match.scope, {name: segments[at] for at, name in names})
