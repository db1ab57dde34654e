"""X-Request-Id: one name for a request in every log it comes to.

A trusted proxy has given it one already, which is kept; what anybody else sends is replaced, or they could have their
requests filed under another's. The backend is told it, the answer carries it, and so does the log.

A traceparent is passed on as it came and none is made up: a trace begins where its spans are reported.
"""

import re
from collections.abc import Callable

from netfront.http.message import Filter, Handler, Request, Response
from netfront.wire.fields import PLAIN, Edit, Field

__all__ = ["request_id"]

_ID = re.compile(rb"[!-~]{1,200}").fullmatch
_NAMES = (b"x-request-id", b"x_request_id")
"""Where a backend is CGI the two are one."""


def request_id(make: Callable[[], bytes], trusted: Callable[[str], bool]) -> Filter:
    """Make the filter.

    Args:
        make: gives a new one.
        trusted: whether an address is that of a proxy whose words are believed.
    """
    pattern = Edit(names=_NAMES)

    def around(then: Handler) -> Handler:
        async def handle(request: Request) -> Response:
            name = None
            if trusted(request.client.facts.direct[0]):
                name = request.fields.get(b"x-request-id")
            if name is None or _ID(name) is None:
                name = make()
            request.id = request.exchange.id = name
            row = Field(b"x-request-id", name, b"X-Request-Id: %b\r\n" % name, PLAIN)
            edit = pattern.adding(row)
            request.fields = request.fields.edited(edit)
            response = await then(request)
            response.fields = response.fields.edited(edit)
            return response

        return handle

    return around
