"""Keeping sessions from backends: who has the cookie of one is whoever it is of, and a backend need not be that.

It stands right before forwarding, on every route: browsers send the cookies of a host wherever they go there.
"""

from collections.abc import Awaitable, Callable, Iterable

from netfront.http.message import Filter, Handler, Request, Response
from netfront.wire.fields import Field, Fields, field

__all__ = ["hide_sessions", "without_sessions"]


def without_sessions(names: Iterable[bytes]) -> Callable[[Fields], Fields]:
    """Make the function that takes sessions out of a request's fields.

    Args:
        names: with which those of cookies begin; `__Host-` may stand before them.
    """
    begins = tuple(start + name for name in names for start in (b"", b"__Host-"))
    marks = tuple(names)

    def edited(fields: Fields) -> Fields:
        if not any(mark in value for value in fields.get_all(b"cookie") for mark in marks):
            return fields
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

    return edited


def hide_sessions(names: Iterable[bytes]) -> Filter:
    """Make the filter. See `without_sessions`."""
    edited = without_sessions(names)

    def around(then: Handler) -> Handler:
        def handle(request: Request) -> Awaitable[Response]:
            request.fields = edited(request.fields)
            return then(request)

        return handle

    return around
