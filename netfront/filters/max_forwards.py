"""Max-Forwards: how often an OPTIONS or TRACE may be forwarded (RFC 9110 §7.6.2).

At zero we are whom it asks, and answer; else it goes on with one less. With every other method the field means nothing
and is passed on as it came.
"""

import re
from collections.abc import Awaitable

from netfront.errors import BadMessage
from netfront.http.message import Filter, Handler, Request, Response
from netfront.wire.fields import Fields, field

__all__ = ["max_forwards"]

_COUNTED = frozenset({b"OPTIONS", b"TRACE"})
_COUNT = re.compile(rb"[0-9]{1,9}").fullmatch
"""Of more hops than anybody has; the standard leaves us free to refuse more."""
_SECRET = re.compile(rb"auth|cookie|key|pass|secret|session|token|client-cert", re.IGNORECASE).search


def max_forwards() -> Filter:
    """Make the filter."""

    def around(then: Handler) -> Handler:
        def handle(request: Request) -> Awaitable[Response]:
            return _counted(request, then) if request.method in _COUNTED else then(request)

        return handle

    return around


async def _counted(request: Request, then: Handler) -> Response:
    values = request.fields.get_all(b"max-forwards")
    if not values or request.target.form == "asterisk":  # "*" is never forwarded
        return await then(request)
    if len(values) > 1 or _COUNT(values[0]) is None:
        raise BadMessage(400, "a malformed Max-Forwards field")
    left = int(values[0])
    if left == 0:
        return _echo(request) if request.method == b"TRACE" else Response(200, Fields(), b"")
    fewer = field(b"Max-Forwards", b"%d" % (left - 1))
    request.fields = Fields([row if row.name != b"max-forwards" else fewer for row in request.fields])
    return await then(request)


def _echo(request: Request) -> Response:
    """Answer TRACE with the request as it came, but for what could be a secret (RFC 9110 §9.3.8)."""
    lines = [b"TRACE %b HTTP/1.%b" % (request.target.raw, request.version)]
    if request.authority:
        lines.append(b"Host: %b" % request.authority)
    rows = (*request.forwarded, *request.fields)
    lines += [row.raw.rstrip(b"\r\n") for row in rows if _SECRET(row.name) is None]
    body = b"\r\n".join([*lines, b"", b""])
    return Response(200, Fields.of((b"Content-Type", b"message/http")), body)
