"""A bound on the body of requests, for the scopes that have one (--max-body)."""

from collections.abc import Awaitable

from netfront.errors import BadMessage
from netfront.http.message import Filter, Handler, Request, Response

__all__ = ["limit_body"]


def limit_body(most: int) -> Filter:
    """Make the filter: 413 for a body that says it is longer, or turns out to be (RFC 9110 §15.5.14)."""

    def around(then: Handler) -> Handler:
        def handle(request: Request) -> Awaitable[Response]:
            body = request.body
            if body:
                length = len(body) if isinstance(body, bytes) else body.length
                if length is not None and length > most:
                    raise BadMessage(413, f"a body of over {most} bytes")
                if not isinstance(body, bytes):
                    body.limit = most if body.limit is None else min(most, body.limit)
            return then(request)

        return handle

    return around
