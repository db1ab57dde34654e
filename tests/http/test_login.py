"""Sessions: renewed once, kept while the issuer is down, ended when it says so."""

import json
import secrets

import pytest
import trio
import trio.testing

from netfront.errors import BackendError, ClientGone
from netfront.filters.hide_sessions import hide_sessions
from netfront.http.login import Login, LoginRules
from netfront.http.message import Answer
from netfront.net.lane import Signal
from netfront.policy.claims import Identity
from netfront.policy.metadata import Metadata
from netfront.policy.sealed import Sealer
from netfront.wire.fields import EMPTY
from tests.filters.requests import asking

NAME = b"abc"


class Client:
    """Somebody who waits."""

    def __init__(self):
        self.gone = Signal()

    def has_left(self):
        return self.gone.is_set


class Provider:
    metadata = Metadata(
        "https://id.test", "https://id.test/keys", "https://id.test/in", "https://id.test/token"
    )

    async def look_again(self, client):
        return True


class Stage:
    """A login whose issuer answers as it is told, when it is told."""

    def __init__(self):
        self.now = 1000.0
        self.asked = []
        self.may_answer = Signal(True)
        self.answer = Answer(200, EMPTY, json.dumps({"expires_in": 100, "refresh_token": "r2"}).encode())
        self.verified = Identity("oidc", "ada", {"sub": "ada", "role": "new"})
        rules = LoginRules("web", None, "openid", 8 * 3600.0, NAME)
        self.sealer = Sealer([b"k" * 32], secrets.token_bytes)
        self.login = Login(
            Provider(),
            lambda token, client: self.verified,
            self.post,
            rules,
            self.sealer,
            spawn=trio.lowlevel.spawn_system_task,
            random=secrets.token_bytes,
            wall=lambda: self.now,
        )

    async def post(self, url, fields, body, client):
        self.asked.append(body)
        await self.may_answer.wait_in_trio()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def cookie(self, *, due=1100.0, until=9000.0, refresh="r1", claims=None):
        held = [claims or {"sub": "ada"}, "openid", refresh, due, until]
        return b"netfront-abc-s0=" + self.sealer.seal(b"session " + NAME, held)

    async def come(self, cookie, client=None):
        """Come with a cookie; give who that is and the cookies to be set."""
        one = asking((b"Cookie", b"a=b; " + cookie), client=client or Client())
        found = self.login.session_of(one)
        if found is not None and not isinstance(found, Identity):
            found = await found
        return found, [row.value for row in one.cookies]


@pytest.fixture
def stage():
    return Stage()


async def test_a_session_that_is_not_due_asks_nobody(stage):
    found, cookies = await stage.come(stage.cookie())
    assert (found.user, cookies, stage.asked) == ("ada", [], [])


async def test_of_many_that_come_one_has_it_renewed_and_all_get_the_new_session(stage, nursery):
    cookie = stage.cookie()
    stage.now = 1200.0
    stage.may_answer.clear()
    came = []

    async def come():
        came.append(await stage.come(cookie))

    for _ in range(5):
        nursery.start_soon(come)
    await trio.testing.wait_all_tasks_blocked()
    stage.may_answer.set()
    await trio.testing.wait_all_tasks_blocked()
    assert stage.asked == [b"grant_type=refresh_token&refresh_token=r1&client_id=web"]
    assert [found.user for found, _ in came] == ["ada"] * 5
    assert all(len(cookies) == 1 for _, cookies in came)
    late = await stage.come(cookie)
    assert (late[0].user, len(late[1]), len(stage.asked)) == ("ada", 1, 1)
    renewed = late[1][0].partition(b";")[0]
    stage.now = 1350.0
    await stage.come(renewed)
    assert stage.asked[1] == b"grant_type=refresh_token&refresh_token=r2&client_id=web"


async def test_a_renewal_goes_on_when_who_began_it_leaves(stage, nursery):
    """An issuer that takes a refresh token once ends the session of who shows it twice."""
    cookie, client, left = stage.cookie(), Client(), []
    stage.now = 1200.0
    stage.may_answer.clear()

    async def come():
        try:
            await stage.come(cookie, client)
        except ClientGone:
            left.append(client)

    nursery.start_soon(come)
    await trio.testing.wait_all_tasks_blocked()
    client.gone.set()
    await trio.testing.wait_all_tasks_blocked()
    assert left == [client]
    stage.may_answer.set()
    found, cookies = await stage.come(cookie)
    assert (found.user, len(cookies), len(stage.asked)) == ("ada", 1, 1)


async def test_what_the_issuer_says_anew_of_a_user_counts(stage):
    stage.now = 1200.0
    stage.answer = Answer(200, EMPTY, b'{"id_token": "x"}')
    found, _ = await stage.come(stage.cookie())
    assert found.claims["role"] == "new"
    stage.verified = Identity("oidc", "eve", {"sub": "eve"})
    assert (await stage.come(stage.cookie(refresh="r9")))[0] is None


async def test_an_issuer_that_is_down_ends_no_session(stage):
    stage.now = 1200.0
    for answer in (BackendError("connect", retry_safe=True, why="refused"), Answer(500, EMPTY, b"")):
        stage.answer = answer
        cookie = stage.cookie(refresh=repr(answer))
        for _ in range(3):
            found, cookies = await stage.come(cookie)
            assert (found.user, cookies) == ("ada", [])
    assert len(stage.asked) == 2
    stage.now += 31.0
    await stage.come(cookie)
    assert len(stage.asked) == 3


async def test_what_the_issuer_has_ended_has_ended(stage):
    stage.now = 1200.0
    stage.answer = Answer(400, EMPTY, b'{"error": "invalid_grant"}')
    assert await stage.come(stage.cookie()) == (None, [])


async def test_no_session_outlasts_its_time(stage):
    cookie = stage.cookie(until=9000.0, refresh=None)
    stage.now = 8999.0
    assert (await stage.come(cookie))[0].user == "ada"
    stage.now = 9000.0
    assert (await stage.come(cookie))[0] is None
    stage.now = 8900.0
    found, cookies = await stage.come(stage.cookie(due=1.0))
    assert found.user == "ada"
    assert b"Max-Age=100;" in cookies[0]


@pytest.mark.parametrize(
    "cookie", [b"netfront-abc-s0=", b"netfront-abc-s0=x", b"netfront-abc-s0=" + b"A" * 80]
)
async def test_a_cookie_that_is_not_ours_is_nobody(stage, cookie):
    assert await stage.come(cookie) == (None, [])


async def test_what_is_sealed_for_one_purpose_opens_for_no_other(stage):
    sealed = stage.sealer.seal(b"login " + NAME, [{"sub": "eve"}, "", None, 9e9, 9e9])
    assert await stage.come(b"netfront-abc-s0=" + sealed) == (None, [])


@pytest.mark.parametrize(
    ("came", "goes"),
    [
        ((b"a=b; netfront-abc-s0=x; c=d",), [b"a=b; c=d"]),
        ((b"__Host-netfront-abc-s1=x", b"e=f"), [b"e=f"]),
        ((b"netfront-abd-s0=x; my-netfront-abc=y",), [b"netfront-abd-s0=x; my-netfront-abc=y"]),
        ((), []),
    ],
)
async def test_no_backend_sees_a_session(came, goes):
    async def handler(request):
        return request

    one = asking((b"X", b"y"), *[(b"Cookie", value) for value in came])
    passed = await hide_sessions([b"netfront-abc"])(handler)(one)
    assert passed.fields.get_all(b"cookie") == goes
    assert passed.fields.get(b"x") == b"y"


@pytest.mark.parametrize(
    ("groups", "refresh", "has_groups", "is_renewable"),
    [
        (100, secrets.token_hex(50), True, True),
        (400, secrets.token_hex(2000), False, True),
        (0, secrets.token_hex(6000), True, False),
        (0, secrets.token_hex(15_000), True, False),
        (0, "\ud800", True, True),
    ],
    ids=["fits", "groups", "refresh", "long refresh", "no text"],
)
async def test_what_finds_no_room_in_cookies_is_left_out(stage, groups, refresh, has_groups, is_renewable):
    claims = {"sub": "ada", "groups": [secrets.token_hex(20) for _ in range(groups)], "name": "Ada"}
    stage.verified = Identity("oidc", "ada", claims)
    said = {"expires_in": 100, "refresh_token": refresh, "id_token": "a"}
    stage.answer = Answer(200, EMPTY, json.dumps(said).encode())
    stage.now = 1200.0
    found, lines = await stage.come(stage.cookie())
    cookies = [line.partition(b";")[0] for line in lines]
    assert (found.user, sum(map(len, cookies)) < 12_000) == ("ada", True)
    found, _ = await stage.come(b"; ".join(cookies))
    assert found.claims == (claims if has_groups else {"sub": "ada", "name": "Ada"})
    stage.now = 2000.0
    stage.asked.clear()
    found, _ = await stage.come(b"; ".join(cookies))
    assert (found.user, bool(stage.asked)) == ("ada", is_renewable)
