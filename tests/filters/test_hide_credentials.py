"""Credentials are kept from the backend by how who asks was found."""

import pytest

from netfront.filters.hide_credentials import Hidden, hide_credentials
from netfront.http.message import Response
from netfront.policy.claims import Identity
from netfront.wire.fields import EMPTY
from tests.filters.requests import asking


@pytest.mark.parametrize(
    ("kind", "left"),
    [
        ("basic", [b"x-key", b"a"]),
        ("api-key", [b"authorization", b"a"]),
        ("jwt", [b"authorization", b"x-key", b"a"]),
        ("jwt+basic", [b"x-key", b"a"]),
        ("basic+api-key", [b"a"]),
        (None, [b"authorization", b"x-key", b"a"]),
    ],
)
async def test_what_was_shown_goes_and_the_rest_stays(kind, left):
    seen = []

    async def backend(request):
        seen.extend(row.name for row in request.fields)
        return Response(203, EMPTY, b"")

    request = asking((b"Authorization", b"x"), (b"X-Key", b"y"), (b"A", b"1"))
    request.identity = Identity(kind, "ann") if kind is not None else None
    hidden = Hidden({"basic": [b"authorization"], "api-key": [b"x-key"]})
    await hide_credentials(hidden)(backend)(request)
    assert seen == left
