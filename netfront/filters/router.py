"""The router: finds the route of a request and calls what serves it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from netfront.errors import Refusal
from netfront.http.message import Handler, Request, Response
from netfront.policy.route import NotFound, Scope, Table, WrongMethod
from netfront.wire.fields import Fields
from netfront.wire.target import parse_authority

__all__ = ["Served", "host_of", "router"]

_HOSTS = 1024


@dataclass(frozen=True, slots=True)
class Served:
    """What a route leads to: a handler, and others for narrower scopes within it, the first match wins."""

    handler: Handler
    variants: tuple[tuple[tuple[Scope, ...], Handler], ...] = ()


def host_of(authority: bytes) -> bytes:
    """Give the host by which routes are found: lower case, without port and trailing dot."""
    return parse_authority(authority)[0].removesuffix(b".") if authority else b""


def router(table: Table[Served]) -> Handler:
    """Make the handler that serves every route of the table.

    No route is a Refusal with 404, no route for the method one with 405 and Allow. `OPTIONS *` asks about us, not
    about a backend, and is answered here unless one route serves everything.
    """
    only = table.only
    if only is not None and not only.value.variants:
        handler, scope = only.value.handler, only.scope

        def serve_only(request: Request) -> Awaitable[Response]:
            request.route = scope
            return handler(request)

        return serve_only
    return _finder(table)


def _finder(table: Table[Served]) -> Callable[[Request], Awaitable[Response]]:
    hosts: dict[bytes, bytes] = {}
    methods = b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"

    def serve(request: Request) -> Awaitable[Response]:
        authority = request.authority
        host = hosts.get(authority)
        if host is None:
            host = host_of(authority)
            if len(hosts) >= _HOSTS:
                hosts.clear()
            hosts[authority] = host
        target = request.target
        if target.form == "asterisk":
            return _answer(Response(200, Fields.of((b"Allow", methods)), b""))
        found = table.find(request.method, host, target.normalised)
        if isinstance(found, NotFound):
            raise Refusal(404, "no route leads there")
        if isinstance(found, WrongMethod):
            raise Refusal(405, "no route there takes this method", [(b"Allow", found.allow)])
        request.route = found.scope
        served = found.value
        for scopes, handler in served.variants:
            if all(scope.matches(request.method, host, target.normalised) for scope in scopes):
                return handler(request)
        return served.handler(request)

    return serve


async def _answer(response: Response) -> Response:
    return response
