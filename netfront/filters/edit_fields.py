"""Edits of fields, by flags: of requests on their way in and of responses on their way out.

An edit is a pure function of a section, so that the section remembers what the edit made of it.
"""

from collections.abc import Awaitable, Callable, Sequence

from netfront.http.message import Filter, Handler, Request, Response
from netfront.wire.fields import HIDDEN, Fields, field

__all__ = ["Edit", "ResponseEdit", "edit_requests", "editor", "fields_edit", "hide_server"]

Edit = Callable[[Fields], Fields]
ResponseEdit = Callable[[Request, Response], None]


def editor(changes: Sequence[tuple[bytes, tuple[bytes, ...]]]) -> Edit:
    """Make the edit that replaces fields.

    Args:
        changes: (name, values): all lines of that name are replaced by these; none removes them.
    """
    names = frozenset(name.lower() for name, _ in changes)
    added = tuple(field(name, value) for name, values in changes for value in values)

    def edit(fields: Fields) -> Fields:
        kept = tuple(row for row in fields.rows if row.name not in names)
        return Fields(kept + added)

    return edit


def fields_edit(edit: Edit) -> ResponseEdit:
    """Make an edit of a section one of responses."""

    def apply(_: Request, response: Response) -> None:
        response.fields = response.fields.edited(edit)

    return apply


def hide_server(_: Request, response: Response) -> None:
    """Remove Server and X-Powered-By."""
    fields = response.fields
    if fields.kinds & _HIDDEN:
        response.fields = fields.edited(_without_hidden)


_HIDDEN = 1 << HIDDEN


def _without_hidden(fields: Fields) -> Fields:
    return Fields([row for row in fields.rows if row.kind != HIDDEN], fields.kinds & ~_HIDDEN)


def edit_requests(edit: Edit) -> Filter:
    """Make the filter that edits the fields of requests."""

    def around(then: Handler) -> Handler:
        def handle(request: Request) -> Awaitable[Response]:
            request.fields = request.fields.edited(edit)
            return then(request)

        return handle

    return around
