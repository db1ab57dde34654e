"""The router: finds the route of a request and calls what serves it.

A target that servers read in more than one way (see `Target.readings`) is refused where the readings lead to
different routes: a backend might serve by the one what was let through by the other.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from netfront.errors import BadMessage, Refusal
from netfront.http.message import Handler, Request, Response
from netfront.policy.route import Match, NotFound, Scope, Table, WrongMethod
from netfront.wire.fields import Fields
from netfront.wire.target import Target, parse_authority

__all__ = ["METHODS", "Served", "find_route", "host_of", "router"]

K = TypeVar("K")
V = TypeVar("V")
_Matcher = Callable[[bytes, bytes, bytes], bool]
_REMEMBERED = 2048
_LONGEST_REMEMBERED = 512
"""Bytes: with both numbers, what is remembered stays under 2 MiB."""
METHODS = b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"


class Served:
    """What a route leads to.

    Args:
        handler: serves it.
        variants: scopes, and what serves those requests of the route that lie in all of them; the first counts.
            They may restrict, so text in their paths compares without regard to ASCII case.
    """

    __slots__ = ("handler", "variants")

    def __init__(self, handler: Handler, variants: Sequence[tuple[tuple[Scope, ...], Handler]] = ()) -> None:
        self.handler = handler
        self.variants: tuple[tuple[tuple[_Matcher, ...], Handler], ...] = tuple(
            (tuple(scope.matcher(ignores_case=True) for scope in scopes), narrower)
            for scopes, narrower in variants
        )


def router(table: Table[Served]) -> Handler:
    """Make the handler that serves every route of the table.

    No route is a Refusal with 404, no route for the method one with 405 and Allow. `OPTIONS *` asks about us, not
    about a backend, and is answered here. Where one route serves everything nothing else of a request is looked at,
    and every other target passes as it is spelt.
    """
    only = table.only
    if only is not None and not only.value.variants:
        handler, scope = only.value.handler, only.scope

        def serve_only(request: Request) -> Awaitable[Response]:
            if request.target.form == "asterisk":
                return _answer(Response(200, Fields.of((b"Allow", METHODS)), b""))
            request.route = scope
            return handler(request)

        return serve_only
    return _finder(table)


def find_route(
    table: Table[V], method: bytes, host: bytes, target: Target
) -> Match[V] | NotFound | WrongMethod:
    """Find the route of a request. `host` as `host_of` gives it.

    Raises:
        BadMessage: 400, the target cannot be normalised, or its readings lead to different routes.
    """
    readings = target.readings
    found = table.find(method, host, readings[0])
    for reading in readings[1:]:
        if _place(table.find(method, host, reading)) != _place(found):
            raise BadMessage(400, "an encoded slash or a backslash that leads to different routes")
    return found


def host_of(authority: bytes) -> bytes:
    """Give the host by which routes are found: lower case, without port and trailing dot."""
    return parse_authority(authority)[0].removesuffix(b".") if authority else b""


def _finder(table: Table[Served]) -> Handler:
    """Make the handler of a table that must be searched. Where a target led is remembered: 0.1 us against 1.7."""
    known: dict[tuple[bytes, bytes, bytes], tuple[Scope, Handler, dict[str, bytes]]] = {}
    hosts: dict[bytes, bytes] = {}

    def serve(request: Request) -> Awaitable[Response]:
        target, authority = request.target, request.authority
        key = request.method, authority, target.raw
        found = known.get(key)
        if found is None:
            if target.form == "asterisk":
                return _answer(Response(200, Fields.of((b"Allow", METHODS)), b""))
            host = hosts.get(authority)
            if host is None:
                host = host_of(authority)
                _remember(hosts, authority, host, len(authority))
            found = _serving(table, request, host)
            _remember(known, key, found, len(target.raw) + len(authority))
        request.route, handler, request.params = found
        return handler(request)

    return serve


def _remember(known: dict[K, V], key: K, value: V, size: int) -> None:
    if size <= _LONGEST_REMEMBERED:
        if len(known) >= _REMEMBERED:
            known.clear()
        known[key] = value


def _serving(table: Table[Served], request: Request, host: bytes) -> tuple[Scope, Handler, dict[str, bytes]]:
    """Find what serves a request, the scope of its route, and its parameters there."""
    method, target = request.method, request.target
    found = find_route(table, method, host, target)
    if isinstance(found, Match):
        for matchers, handler in found.value.variants:
            if all(matches(method, host, target.normalised) for matches in matchers):
                return found.scope, handler, found.params
        return found.scope, found.value.handler, found.params
    if isinstance(found, WrongMethod):
        raise Refusal(405, "no route there takes this method", [(b"Allow", found.allow)])
    raise Refusal(404, "no route leads there")


def _place(found: Match[V] | NotFound | WrongMethod) -> object:
    return found.scope if isinstance(found, Match) else found


async def _answer(response: Response) -> Response:
    return response
