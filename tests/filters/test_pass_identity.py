"""Fields that tell who asks: nobody else sends them, and they say what is claimed or nothing."""

import pytest

from netfront.errors import Refusal
from netfront.filters.edit_fields import edit_requests
from netfront.filters.forwarded import forwarded
from netfront.filters.pass_identity import pass_identity
from netfront.http.message import Response
from netfront.net.stream import Facts
from netfront.policy.claims import Identity
from netfront.wire.fields import EMPTY, Edit, field
from netfront.wire.head import HeadLimits, RequestHeads, request_memory
from tests.filters.requests import asking


async def through(around, request):
    """Give the fields that came to the backend."""
    seen = []

    async def backend(request):
        seen.extend((row.name, row.value) for row in request.fields)
        return Response(203, EMPTY, b"")

    await around(backend)(request)
    return seen


def by(claims, *pairs):
    request = asking(*pairs)
    request.identity = Identity("jwt", "ann", {"sub": "ann", **claims}) if claims is not None else None
    return request


class Peer:
    told = None

    def __init__(self):
        self.facts = Facts(("192.0.2.1", 5), ("127.0.0.1", 80))


def received(lines):
    """Make the request of a head, as the server does."""
    heads = RequestHeads(HeadLimits(), request_memory())
    _, _, block, fields, _ = heads.parse(b"GET / HTTP/1.1\r\nHost: a.test\r\n" + lines + b"\r\n")
    request = asking(client=Peer())
    request.fields, request.forwarded = fields, block.forwarded
    return request


OURS = Edit(spelt=[b"x-user"])
FILTERS = {
    "of a part": edit_requests(OURS),
    "of a client": forwarded(trusted=lambda _: False, strips=OURS, via=False),
    "of a trusted proxy": forwarded(trusted=lambda _: True, strips=OURS, via=False),
}


@pytest.mark.parametrize("around", FILTERS.values(), ids=FILTERS)
async def test_what_others_send_is_taken_away(around):
    spelt = [b"X-User", b"x-user", b"X_User", b"X_USER", b"x-User", b"X.User", b"X~User", b"X!User"]
    pairs = [*((name, b"root") for name in spelt), (b"X-Users", b"1"), (b"X-User-", b"2")]
    request = asking(*pairs, client=Peer())
    request.forwarded = (field(b"X-Forwarded-For", b"192.0.2.9"),)
    came = await through(around, request)
    assert [name for name, _ in came if b"user" in name] == [b"x-users", b"x-user-"]


async def test_one_that_only_proxies_say_is_taken_away_too():
    """X-Forwarded-User is a usual name for it; a trusted proxy may have let it through from its client."""
    ours = Edit(spelt=[b"x-forwarded-user"])
    around = forwarded(trusted=lambda _: True, strips=ours, via=False)
    request = received(b"X-Forwarded-User: root\r\nX_Forwarded_User: root\r\nX-Forwarded-For: 192.0.2.9\r\n")
    came = await through(around, request)
    assert [name for name, _ in came if b"user" in name] == []
    assert (b"x-forwarded-for", b"192.0.2.9, 192.0.2.1") in came


async def test_a_connection_that_outlives_a_filter_goes_by_the_new_one():
    client = Peer()
    before = forwarded(trusted=lambda _: False, via=False)
    after = forwarded(trusted=lambda _: False, via=False, strips=OURS)
    first = asking((b"X-User", b"root"), client=client)
    assert (b"x-user", b"root") in await through(before, first)
    second = asking((b"X-User", b"root"), client=client)
    assert b"x-user" not in dict(await through(after, second))


async def test_trailers_lose_them_too():
    class Body:
        trailer_edit = None

    around = forwarded(trusted=lambda _: False, strips_trailers=OURS)
    request = asking(client=Peer())
    request.body = Body()
    await through(around, request)
    assert request.body.trailer_edit is OURS


async def test_the_backend_is_told_who_asks():
    around = pass_identity([("X-User", "sub"), ("X-Roles", "realm.roles"), ("X-None", "none")])
    request = by(
        {"realm": {"roles": ["a", "b,c", "d%2C"]}}, (b"A", b"1"), (b"X-User", b"root"), (b"x_none", b"x")
    )
    told = [(b"a", b"1"), (b"x-user", b"ann"), (b"x-roles", b"a,b%2Cc,d%252C")]
    assert await through(around, request) == told


async def test_without_an_identity_nothing_is_told():
    assert await through(pass_identity([("X-User", "sub")]), by(None, (b"A", b"1"))) == [(b"a", b"1")]


@pytest.mark.parametrize(
    "value", ["a\r\nX-Admin: 1", "a\nb", "a\0b", "", " ann", "ann ", "\tann", ["a", "b\n"], "\ud800"]
)
async def test_a_claim_that_cannot_stand_in_a_field_refuses(value):
    with pytest.raises(Refusal) as raised:
        await through(pass_identity([("X-Name", "name")]), by({"name": value}))
    assert raised.value.status == 403


async def test_other_letters_go_as_utf8():
    fields = await through(pass_identity([("X-Name", "name")]), by({"name": "Ünï"}))
    assert fields == [(b"x-name", "Ünï".encode())]


async def test_each_is_told_of_by_its_own_identity():
    around = pass_identity([("X-Name", "name")])
    names = [await through(around, by({"name": f"n{index}"})) for index in range(3000)]
    assert names == [[(b"x-name", b"n%d" % index)] for index in range(3000)]
