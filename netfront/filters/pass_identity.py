"""Telling the backend who asks: fields of our own, which no client can send itself.

`pass_identity` stands behind authentication and adds them, each with a claim, where there is one. From every client's
request they were taken before all routes (see filters/forwarded), in every spelling that a backend may take for the
same (see `dashed`).
"""

from collections.abc import Awaitable, Sequence

from netfront.errors import Refusal
from netfront.http.message import Filter, Handler, Request, Response
from netfront.policy.claims import Identity, claim, texts
from netfront.wire.fields import Edit, Field, dashed, field

__all__ = ["pass_identity"]

_REMEMBERED = 1024


def pass_identity(pairs: Sequence[tuple[str, str]]) -> Filter:
    """Make the filter that tells who asks.

    A claim that is an array has its values with commas between them, and a comma or per cent sign within one as %2C
    or %25, so that nobody gets a role more by the name of another. One that cannot stand in a field refuses.

    Args:
        pairs: of a field and the claim whose value it gets.
    """
    known: dict[int, tuple[Identity, Edit]] = {}
    ours = Edit(spelt=[dashed(name.lower().encode()) for name, _ in pairs])

    def edit_for(identity: Identity) -> Edit:
        """Make the edit for an identity, and remember it: remembered credentials give the same one again."""
        rows = [row for name, wanted in pairs if (row := _row(name, wanted, identity)) is not None]
        edit = ours.adding(rows)
        if len(known) >= _REMEMBERED:
            known.clear()
        known[id(identity)] = identity, edit
        return edit

    def around(then: Handler) -> Handler:
        def handle(request: Request) -> Awaitable[Response]:
            identity = request.identity
            if identity is not None:
                entry = known.get(id(identity))
                edit = entry[1] if entry is not None and entry[0] is identity else edit_for(identity)
                request.fields = request.fields.edited(edit)
            return then(request)

        return handle

    return around


def _row(name: str, wanted: str, identity: Identity) -> Field | None:
    value = claim(identity.claims, wanted)
    several = isinstance(value, (list, tuple, frozenset))
    said = [one.replace("%", "%25").replace(",", "%2C") if several else one for one in texts(value)]
    if not said:
        return None
    try:
        text = ",".join(said).encode()
        row = field(name.encode(), text)
    except ValueError as error:
        raise Refusal(403, f"the claim {wanted} cannot stand in a field ({identity.user})") from error
    if row.value != text or not text:  # space around it is no part of a field's value
        raise Refusal(403, f"the claim {wanted} is empty, or has space around it ({identity.user})")
    return row
