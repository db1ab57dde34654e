"""Answers of our own: a text that is always the same, and redirects whose place depends on the path."""

from collections.abc import Callable, Mapping, Sequence

from netfront.http.message import Handler, Request, Response
from netfront.wire.fields import Fields

__all__ = ["respond", "send_elsewhere"]

Edit = Callable[[Request, Response], None]


def respond(status: int, fields: Fields, body: bytes, *, edits: Sequence[Edit] = ()) -> Handler:
    """Make the handler that gives the same answer to every request.

    Args:
        edits: made to each answer, as to those of backends.
    """

    async def handle(request: Request) -> Response:
        response = Response(status, fields, body)
        for edit in edits:
            edit(request, response)
        return response

    return handle


def send_elsewhere(
    status: int, place: Callable[[Mapping[str, bytes]], bytes], *, edits: Sequence[Edit] = ()
) -> Handler:
    """Make the handler that redirects (RFC 9110 §15.4). A query goes along unless the place brings its own.

    Args:
        place: gives the URL by the parameters of the route.
        edits: made to each answer, as to those of backends.
    """

    async def handle(request: Request) -> Response:
        location, query = place(request.params), request.target.query
        if query is not None and b"?" not in location:
            head, mark, fragment = location.partition(b"#")
            location = head + b"?" + query + mark + fragment
        response = Response(status, Fields.of((b"Location", location)), b"")
        for edit in edits:
            edit(request, response)
        return response

    return handle
