"""Basic authentication: what is one, what is remembered, what is kept from the backend."""

import contextlib
from base64 import b64encode

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from netfront.errors import Refusal
from netfront.filters.basic import Basic
from netfront.policy.remembered import Remembered
from tests.filters.requests import asking


class Users:
    """Ann has "secret" and ünï has "pä:ss"; counts what it is asked for."""

    def __init__(self):
        self.remembered = Remembered(bytes(32))
        self.asked = 0
        self.known = {"ann": b"secret", "ünï": "pä:ss".encode()}

    async def are_right(self, user, password, address):
        self.asked += 1
        return self.known.get(user) == password


def credential(text, scheme=b"Basic "):
    return scheme + b64encode(text if isinstance(text, bytes) else text.encode())


def address_of(_):
    return b"192.0.2.7"


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


async def check(basic, value):
    found = basic.check(asking((b"Authorization", value)))
    return await found if hasattr(found, "__await__") else found


async def refusal(basic, value):
    with pytest.raises(Refusal) as raised:
        await check(basic, value)
    return raised.value


@pytest.mark.parametrize("scheme", [b"Basic ", b"basic ", b"BASIC ", b"Basic   "])
async def test_who_has_the_password_passes(scheme):
    identity = await check(Basic(Users(), Clock(), address_of), credential("ann:secret", scheme))
    assert (identity.kind, identity.user, identity.claims) == ("basic", "ann", {"sub": "ann"})


async def test_a_password_may_hold_colons_and_what_utf8_has():
    assert (await check(Basic(Users(), Clock(), address_of), credential("ünï:pä:ss"))).user == "ünï"


@pytest.mark.parametrize("value", [b"Bearer abc", b"Basicx YTpi", b"Digest x", b""])
async def test_another_scheme_is_not_its_credential(value):
    assert Basic(Users(), Clock(), address_of).check(asking((b"Authorization", value))) is None
    assert Basic(Users(), Clock(), address_of).check(asking()) is None


@pytest.mark.parametrize(
    "value",
    [
        b"Basic",
        b"Basic ",
        b"Basic !!!",
        b"Basic YW5uOnNlY3JldA",
        b"Basic YW5uOnNlY3JldA==x",
        b"Basic YW5uOnNlY3JldA===",
        b"Basic YW5uOnNlY3JldB==",
        b"Basic YW5u OnNlY3JldA==",
        b"Basic ann:secret",
        credential("ann"),
        credential(":secret"),
        credential(""),
        credential(b"\xff\xfe:secret"),
        credential("ann\n:secret"),
        credential("a\x00nn:secret"),
        credential("ann:" + "x" * 5000),
        b"Basic " + b"A" * 8000,
        credential("ann:wrong"),
        credential("ann:secret "),
        credential("Ann:secret"),
        credential("nobody:secret"),
    ],
)
async def test_a_bad_credential_is_401(value):
    refused = await refusal(Basic(Users(), Clock(), address_of), value)
    assert refused.status == 401
    assert "secret" not in refused.why


LINES = st.lists(st.sampled_from([*range(0x20, 0x7F), *range(0x80, 0x100)]), max_size=60).map(bytes)
"""What may stand in a field."""


@given(st.one_of(LINES, st.text(max_size=30).map(lambda text: b64encode(text.encode()))))
def test_garbage_is_refused_or_no_credential(rest):
    async def ask():
        for value in (rest, b"Basic " + rest, b"basic" + rest):
            with contextlib.suppress(Refusal):
                assert await check(Basic(Users(), Clock(), address_of), value) is None

    trio.run(ask)


async def test_a_right_one_is_remembered_for_a_while_and_a_wrong_one_is_not():
    users, now = Users(), Clock()
    basic = Basic(users, now, address_of, time=300.0)
    for _ in range(3):
        await refusal(basic, credential("ann:wrong"))
    assert users.asked == 3
    await check(basic, credential("ann:secret"))
    now.now = 299.0
    found = basic.check(asking((b"Authorization", credential("ann:secret"))))
    assert found.user == "ann"  # at once, with nothing to wait for
    assert users.asked == 4
    now.now = 300.0
    await check(basic, credential("ann:secret"))
    assert users.asked == 5


async def test_what_was_being_checked_by_an_old_file_is_not_remembered():
    users = Users()
    basic = Basic(users, Clock(), address_of)
    under_way = basic.check(asking((b"Authorization", credential("ann:secret"))))
    users.remembered = Remembered(bytes(32))
    assert (await under_way).user == "ann"
    users.known = {}
    await refusal(basic, credential("ann:secret"))


def test_the_challenge_names_where_it_holds():
    assert Basic(Users(), Clock(), address_of, realm="/a").challenge == b'Basic realm="/a", charset="UTF-8"'
