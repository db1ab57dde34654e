"""A bound on the body of requests that we answer ourselves (--max-body); forwarding has its own."""

from collections.abc import Awaitable

from netfront.http.message import Filter, Handler, Request, Response

__all__ = ["limit_body"]


def limit_body(most: int) -> Filter:
    """Make the filter: see Request.bound_body."""

    def around(then: Handler) -> Handler:
        def handle(request: Request) -> Awaitable[Response]:
            if request.body:
                request.bound_body(most)
            return then(request)

        return handle

    return around
