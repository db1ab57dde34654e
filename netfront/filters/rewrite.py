"""Rewriting the target of requests on their way to a backend. What comes of it is never routed again."""

from collections.abc import Awaitable, Callable

from netfront.errors import Refusal
from netfront.http.message import Filter, Handler, Request, Response
from netfront.wire.target import Target

__all__ = ["rewrite"]


def rewrite(
    change: Callable[[Target], bytes], passes: Callable[[Request, Target], bool] | None = None
) -> Filter:
    """Make the filter.

    Args:
        change: gives the new target in origin-form.
        passes: whether a request has passed what restricts the new target; None where nothing restricts any. What has
            not is a Refusal with 403: a path of the client's choice must not lead round a rule.
    """

    def around(then: Handler) -> Handler:
        def handle(request: Request) -> Awaitable[Response]:
            target = request.target
            made = Target(target.raw, "origin", change(target))
            if passes is not None and not passes(request, made):
                raise Refusal(403, "the path it is rewritten to is restricted")
            request.target = made
            return then(request)

        return handle

    return around
