"""X-Request-Id: one name for a request in every log it comes to.

A trusted proxy has given it one already, which is kept; what anybody else sends is replaced, or they could have their
requests filed under another's. The backend is told it, the answer carries it, and so does the log.

A traceparent is passed on as it came and none is made up: a trace begins where its spans are reported.
"""

import re
from collections.abc import Awaitable, Callable

from netfront.http.message import Filter, Handler, Request, Response
from netfront.wire.fields import Edit

__all__ = ["drop_request_id", "request_id"]

_ID = re.compile(rb"[!-~]{1,200}").fullmatch
_DROPPED = Edit(names=(b"x-request-id", b"x_request_id"))
"""Where a backend is CGI the two are one."""


def request_id(make: Callable[[], bytes], trusted: Callable[[str], bool]) -> Filter:
    """Make the filter.

    Args:
        make: gives a new one.
        trusted: whether an address is that of a proxy whose words are believed.
    """

    def around(then: Handler) -> Handler:
        def handle(request: Request) -> Awaitable[Response]:
            name = None
            if trusted(request.client.facts.direct[0]):
                name = request.fields.get(b"x-request-id")
            if name is None or _ID(name) is None:
                name = make()
            request.id = request.exchange.id = name
            line = b"X-Request-Id: %b\r\n" % name
            request.lines += line
            request.answer_lines += line
            request.fields = request.fields.edited(_DROPPED)
            return then(request)

        return handle

    return around


def drop_request_id(_: Request, response: Response) -> None:
    """Take out of a backend's answer what it calls the request: the answer says that already."""
    response.fields = response.fields.edited(_DROPPED)
