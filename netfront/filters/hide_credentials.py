"""Keeping credentials from the backend, where a flag says so: they have done their work when a request is forwarded.

It stands right before forwarding, as the parts of a composed answer are asked for with the same credentials.
"""

from collections.abc import Awaitable, Iterable, Mapping

from netfront.http.message import Filter, Handler, Request, Response
from netfront.wire.fields import Edit

__all__ = ["hide_credentials"]


def hide_credentials(fields: Mapping[str, Iterable[bytes]]) -> Filter:
    """Make the filter.

    Args:
        fields: by the kind of an identity those that go; a field that another kind was found by stays.
    """
    known: dict[str, Edit] = {}

    def edit_for(kind: str) -> Edit:
        edit = known.get(kind)
        if edit is None:
            names = [name for one in kind.split("+") for name in fields.get(one, ())]
            edit = known[kind] = Edit(
                names=names
            )  # kinds are few: those of methods, and of a route's groups together
        return edit

    def around(then: Handler) -> Handler:
        def handle(request: Request) -> Awaitable[Response]:
            if request.identity is not None:
                request.fields = request.fields.edited(edit_for(request.identity.kind))
            return then(request)

        return handle

    return around
