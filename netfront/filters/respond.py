"""Answers of our own: a text that is always the same, and redirects whose place depends on the path."""

from collections.abc import Callable, Mapping

from netfront.http.message import Handler, Request, Response
from netfront.wire.fields import Fields
from netfront.wire.target import Target

__all__ = ["respond", "send_elsewhere"]


def respond(status: int, fields: Fields, body: bytes) -> Handler:
    """Make the handler that gives the same answer to every request."""

    async def handle(_: Request) -> Response:
        return Response(status, fields, body)

    return handle


def send_elsewhere(status: int, place: Callable[[Target, Mapping[str, bytes]], bytes]) -> Handler:
    """Make the handler that redirects (RFC 9110 §15.4). A query goes along unless the place brings its own.

    Args:
        place: gives the URL by the target and the parameters of the route.
    """

    async def handle(request: Request) -> Response:
        location, query = place(request.target, request.params), request.target.query
        if query is not None and b"?" not in location:
            head, mark, fragment = location.partition(b"#")
            location = head + b"?" + query + mark + fragment
        return Response(status, Fields.of((b"Location", location)), b"")

    return handle
