"""Keeping sessions from backends: who has the cookie of one is whoever it is of, and a backend need not be that.

It stands right before forwarding, on every route: browsers send the cookies of a host wherever they go there.
"""

from collections.abc import Awaitable, Iterable

from netfront.http.message import Filter, Handler, Request, Response
from netfront.wire.fields import Field, Fields, field

__all__ = ["hide_sessions"]


def hide_sessions(names: Iterable[bytes]) -> Filter:
    """Make the filter.

    Args:
        names: with which those of cookies begin; `__Host-` may stand before them.
    """
    begins = tuple(start + name for name in names for start in (b"", b"__Host-"))
    marks = tuple(names)

    def hidden(fields: Fields) -> Fields:
        rows: list[Field] = []
        for row in fields.rows:
            if row.name == b"cookie" and any(mark in row.value for mark in marks):
                pairs = [pair.strip(b" \t") for pair in row.value.split(b";")]
                others = [pair for pair in pairs if not pair.startswith(begins)]
                if others:
                    rows.append(field(b"Cookie", b"; ".join(others)))
            else:
                rows.append(row)
        return Fields(rows)

    def around(then: Handler) -> Handler:
        def handle(request: Request) -> Awaitable[Response]:
            for value in request.fields.get_all(b"cookie"):
                if any(mark in value for mark in marks):
                    request.fields = hidden(request.fields)
                    break
            return then(request)

        return handle

    return around
