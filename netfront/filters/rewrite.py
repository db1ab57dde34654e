"""Rewriting the target of requests on their way to a backend. What comes of it is never routed again."""

from collections.abc import Awaitable, Callable

from netfront.errors import Refusal
from netfront.http.message import Filter, Handler, Request, Response
from netfront.policy.rewriting import Rewriting
from netfront.wire.fields import OVERRIDE
from netfront.wire.named import read_named, with_destination
from netfront.wire.target import Target

__all__ = ["rewrite"]


def rewrite(change: Rewriting, passes: Callable[[Request, Target], bool] | None = None) -> Filter:
    """Make the filter. A Destination is rewritten too.

    Args:
        change: gives the new target in origin-form.
        passes: whether a request has passed what restricts the new target; None where nothing restricts any. What has
            not is a Refusal with 403: a path of the client's choice must not lead round a rule.
    """

    def around(then: Handler) -> Handler:
        def handle(request: Request) -> Awaitable[Response]:
            def check(made: bytes) -> Target:
                target = Target(request.target.raw, "origin", made)
                if passes is not None and not passes(request, target):
                    raise Refusal(403, "the path it is rewritten to is restricted")
                return target

            def moved(target: Target) -> bytes | None:
                made = change.of_another(target)
                return None if made is None else check(made).origin_form

            made = check(change.of(request.target))
            if request.fields.kinds >> OVERRIDE & 1:
                second = read_named(request.method, request.fields).second if passes is not None else None
                if second is not None and not second.is_written:
                    raise Refusal(403, "it names a source by what may be a path of the backend")
                request.fields = with_destination(request.method, request.fields, request.authority, moved)
            request.target = made
            return then(request)

        return handle

    return around
