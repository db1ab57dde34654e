"""Keeping credentials from the backend, where a flag says so: they have done their work when a request is forwarded.

It stands right before forwarding, as the parts of a composed answer are asked for with the same credentials.
"""

from collections.abc import Awaitable, Iterable, Mapping

from netfront.http.message import Filter, Handler, Request, Response
from netfront.policy.claims import Identity
from netfront.wire.fields import Edit

__all__ = ["Hidden", "hide_credentials", "hide_of_whole"]


class Hidden:
    """Which fields are hidden.

    Args:
        fields: by the kind of an identity those that go; a field that another kind was found by stays.
    """

    __slots__ = ("_fields", "_known")

    def __init__(self, fields: Mapping[str, Iterable[bytes]]) -> None:
        self._fields = fields
        self._known: dict[str, Edit] = {}
        """By kinds, which are few: those of methods, and of a route's groups together."""

    def edit(self, identity: Identity) -> Edit:
        """Give the edit for who was found by what their identity says."""
        edit = self._known.get(identity.kind)
        if edit is None:
            names = [name for one in identity.kind.split("+") for name in self._fields.get(one, ())]
            edit = self._known[identity.kind] = Edit(names=names)
        return edit


def hide_credentials(hidden: Hidden) -> Filter:
    """Make the filter."""

    def around(then: Handler) -> Handler:
        def handle(request: Request) -> Awaitable[Response]:
            if request.identity is not None:
                request.fields = request.fields.edited(hidden.edit(request.identity))
            return then(request)

        return handle

    return around


def hide_of_whole() -> Filter:
    """Make the filter for parts of composed answers, which carry what the whole was asked for: see PartOf."""

    def around(then: Handler) -> Handler:
        def handle(request: Request) -> Awaitable[Response]:
            part_of = request.part_of
            if part_of is not None and part_of.hides is not None:
                request.fields = request.fields.edited(part_of.hides)
            return then(request)

        return handle

    return around
