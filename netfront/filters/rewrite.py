"""Rewriting the target of requests on their way to a backend. What comes of it is never routed again."""

from collections.abc import Awaitable
from typing import Protocol

from netfront.errors import Refusal
from netfront.http.message import Filter, Handler, Request, Response
from netfront.policy.rewriting import Rewriting
from netfront.wire.fields import OVERRIDE
from netfront.wire.named import read_as, read_named, with_destination
from netfront.wire.target import Target

__all__ = ["Passes", "rewrite"]


class Passes(Protocol):
    """Whether a request has passed what restricts another target."""

    def __call__(
        self, request: Request, target: Target, *, is_tree: bool = False, is_written: bool = False
    ) -> bool:
        """Tell it.

        Args:
            is_tree: whether what lies below the target is meant too.
            is_written: whether it is where the request writes.
        """
        ...


def rewrite(change: Rewriting, passes: Passes | None = None) -> Filter:
    """Make the filter. A Destination is rewritten too.

    Args:
        change: gives the new target in origin-form.
        passes: whether a request has passed what restricts the new target; None where nothing restricts any. What has
            not is a Refusal with 403: a path of the client's choice must not lead round a rule.
    """

    def around(then: Handler) -> Handler:
        def handle(request: Request) -> Awaitable[Response]:
            made = Target(request.target.raw, "origin", change.of(request.target))
            if passes is not None:
                if not passes(request, made):
                    raise Refusal(403, "the path it is rewritten to is restricted")
                if (name := change.clash(request.target)) is not None:
                    raise Refusal(400, f"{name} stands in the query, and in what its path is rewritten to")
            if request.fields.kinds >> OVERRIDE & 1:
                if passes is not None:
                    _check_second(request, made, passes)
                authorities = request.authority, request.public[1]
                request.fields = with_destination(
                    request.method, request.fields, authorities, change.of_another
                )
            request.target = made
            return then(request)

        def _check_second(request: Request, made: Target, passes: Passes) -> None:
            """Refuse a second target that is restricted once it is rewritten, or of which that is not known."""
            second = read_named(request.method, request.fields).second
            if second is None:
                return
            if not second.is_written or b"/v1" in made.path:  # behind Swift's version are accounts
                raise Refusal(403, "it names what may be another path of the backend")
            if not passes(request, made, is_tree=True):
                raise Refusal(403, "the tree that it is rewritten to is restricted")
            place = change.of_another(second.targets[0])
            try:
                targets, _ = read_as(place) if place is not None else ((), None)  # None is 502, for all
            except ValueError as error:
                raise Refusal(403, "the destination is rewritten to what can be read otherwise") from error
            for target in targets:
                if not passes(request, target, is_tree=True, is_written=True):
                    raise Refusal(403, "the destination that it is rewritten to is restricted")

        return handle

    return around
