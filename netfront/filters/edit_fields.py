"""Edits of fields, by flags: of requests on their way in and of responses on their way out.

What an edit makes of a section is remembered with it.
"""

from collections.abc import Awaitable, Callable, Sequence

from netfront.http.message import Filter, Handler, Request, Response
from netfront.wire.fields import Edit, field

__all__ = ["ResponseEdit", "edit_requests", "edit_responses", "editor", "fields_edit", "hides"]

ResponseEdit = Callable[[Request, Response], None]


def editor(changes: Sequence[tuple[bytes, tuple[bytes, ...]]]) -> Edit:
    """Make the edit that replaces fields.

    Args:
        changes: (name, values): all lines of that name are replaced by these; none removes them.
    """
    return Edit(
        names=[name.lower() for name, _ in changes],
        added=[field(name, value) for name, values in changes for value in values],
    )


def fields_edit(edit: Edit) -> ResponseEdit:
    """Make an edit of a section one of responses."""

    def apply(_: Request, response: Response) -> None:
        response.fields = response.fields.edited(edit)

    return apply


def hides(kinds: int) -> ResponseEdit:
    """Make the edit that removes what stands among a backend's fields of these kinds, a bit each (`1 << HIDDEN`)."""
    without = Edit(kinds=kinds)

    def apply(_: Request, response: Response) -> None:
        fields = response.fields
        if fields.kinds & kinds:
            response.fields = fields.edited(without)

    return apply


def edit_requests(edit: Edit) -> Filter:
    """Make the filter that edits the fields of requests."""

    def around(then: Handler) -> Handler:
        def handle(request: Request) -> Awaitable[Response]:
            request.fields = request.fields.edited(edit)
            return then(request)

        return handle

    return around


def edit_responses(edits: Sequence[ResponseEdit]) -> Filter:
    """Make the filter that edits responses, where forward does not do it by itself."""

    def around(then: Handler) -> Handler:
        async def handle(request: Request) -> Response:
            response = await then(request)
            for edit in edits:
                edit(request, response)
            return response

        return handle

    return around
