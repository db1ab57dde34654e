"""Refusing what names a source where rules hold and the backend knows its paths by names that we do not."""

from collections.abc import Awaitable

from netfront.errors import Refusal
from netfront.http.message import Filter, Handler, Request, Response
from netfront.wire.fields import OVERRIDE
from netfront.wire.named import read_named

__all__ = ["refuse_sources"]


def refuse_sources() -> Filter:
    """Make the filter, for routes whose backends have a path of their own before what is sent to them."""

    def around(then: Handler) -> Handler:
        def handle(request: Request) -> Awaitable[Response]:
            if request.fields.kinds >> OVERRIDE & 1:
                second = read_named(request.method, request.fields).second
                if second is not None and not second.is_written:
                    raise Refusal(403, "it names what may be another path of the backend")
            return then(request)

        return handle

    return around
