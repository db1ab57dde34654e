"""An issuer's keys: how often they are looked at, who waits for that, and what stays while it is down."""

import json

import pytest
import trio
import trio.testing

from netfront.errors import BackendError, ClientGone, Refusal
from netfront.filters.bearer import Verifier
from netfront.http.discovery import discover
from netfront.http.jwks import Issuer, lifetime
from netfront.http.message import Answer
from netfront.net.lane import Signal
from netfront.policy.metadata import read_metadata
from netfront.policy.token import TokenRefused, TokenRules, parse_keys
from netfront.wire.fields import Fields
from tests.support.issuer import Signer

URL = "https://id.test"


class Client:
    def __init__(self):
        self.gone = Signal()

    def has_left(self):
        return self.gone.is_set


class Stage:
    """An issuer whose keys are what the test says; looks take a second."""

    def __init__(self, nursery):
        self.signers = [Signer("k1", "ES256", URL)]
        self.looks = []
        self.is_down = False
        self.fields = ()
        self.told = []
        self.issuer = Issuer(
            URL,
            lambda: discover(self.get, URL),
            self.get,
            parse_keys,
            spawn=nursery.start_soon,
            tell=self.told.append,
        )
        self.verifier = Verifier(
            "jwt", self.issuer, TokenRules(audiences=frozenset({"shop"})), wall=lambda: 1_000_000.0
        )

    async def get(self, url, until, most):
        if url.endswith("openid-configuration"):
            return Answer(200, Fields(), json.dumps({"issuer": URL, "jwks_uri": f"{URL}/keys"}).encode())
        self.looks.append(trio.current_time())
        await trio.sleep(1)
        if self.is_down:
            raise BackendError("connect", retry_safe=True, why="connection refused")
        keys = json.dumps({"keys": [one.jwk for one in self.signers]}).encode()
        return Answer(200, Fields.of(*self.fields), keys)

    async def come(self, signer, client=None, iat=1_000_000):
        """Come with a token; tell who that is, or why not."""
        token = signer.token(exp=1_000_100, iat=iat)
        try:
            found = self.verifier.check(token, client or Client())
            return (await found if not hasattr(found, "user") else found).user
        except TokenRefused as error:
            return error.why

    @property
    def gaps(self):
        return [later - sooner for sooner, later in zip(self.looks, self.looks[1:], strict=False)]


async def test_who_comes_first_waits_for_the_first_look_and_there_is_one(nursery, autojump_clock):
    stage = Stage(nursery)
    came = []

    async def come():
        came.append(await stage.come(stage.signers[0]))

    async with trio.open_nursery() as own:
        for _ in range(5):
            own.start_soon(come)
    assert (came, len(stage.looks)) == (["ada"] * 5, 1)


async def test_keys_are_looked_at_as_cache_control_says_and_between_looks_nobody_waits(
    nursery, autojump_clock
):
    stage = Stage(nursery)
    stage.fields = ((b"Cache-Control", b"max-age=120"),)
    nursery.start_soon(stage.issuer.run)
    await trio.sleep(600)
    assert all(119 <= gap <= 123 for gap in stage.gaps)
    assert stage.verifier.check(stage.signers[0].token(exp=1_000_100), Client()).user == "ada"


async def test_a_token_of_a_new_key_waits_for_the_next_look_and_looks_are_ten_seconds_apart(
    nursery, autojump_clock
):
    stage = Stage(nursery)
    nursery.start_soon(stage.issuer.run)
    await trio.sleep(3)
    for round_ in range(3):
        stage.signers.insert(0, Signer(f"n{round_}", "ES256", URL))
        assert await stage.come(stage.signers[0]) == "ada"
    assert len(stage.looks) == 4
    assert all(gap >= 10 for gap in stage.gaps)


async def test_forged_keys_neither_wait_twice_nor_make_the_issuer_work(nursery, autojump_clock):
    stage = Stage(nursery)
    nursery.start_soon(stage.issuer.run)
    await trio.sleep(20)
    forged = Signer("forged", "ES256", URL)
    began = trio.current_time()
    assert await stage.come(forged) == "no known key has signed it"
    for _ in range(50):
        assert await stage.come(forged, iat=900_000) == "no known key has signed it"
    assert trio.current_time() - began < 2
    assert len(stage.looks) == 2


async def test_who_names_a_key_before_the_issuer_does_has_no_token_of_it_refused(nursery, autojump_clock):
    stage = Stage(nursery)
    nursery.start_soon(stage.issuer.run)
    await trio.sleep(20)
    new = Signer("new", "ES256", URL)
    assert await stage.come(new) == "no known key has signed it"
    stage.signers = [new, *stage.signers]
    assert await stage.come(new) == "ada"  # it waits for the next look
    assert all(gap >= 10 for gap in stage.gaps)


async def test_that_a_key_was_not_there_is_forgotten_with_the_next_look(nursery, autojump_clock):
    stage = Stage(nursery)
    nursery.start_soon(stage.issuer.run)
    await trio.sleep(20)
    new, other = Signer("new", "ES256", URL), Signer("other", "ES256", URL)
    assert await stage.come(new) == "no known key has signed it"
    await trio.sleep(20)
    assert await stage.come(other) == "no known key has signed it"
    stage.signers = [new, *stage.signers]
    assert await stage.come(new, iat=900_000) == "ada"
    assert all(gap >= 10 for gap in stage.gaps)


async def test_a_look_that_began_before_a_token_came_may_have_missed_its_key(nursery, autojump_clock):
    stage = Stage(nursery)
    nursery.start_soon(stage.issuer.run)
    await trio.sleep(20)
    came = []

    async def forge():
        await stage.come(Signer("forged", "ES256", URL))

    async with trio.open_nursery() as own:
        own.start_soon(forge)
        await trio.testing.wait_all_tasks_blocked()
        old, new = stage.signers, Signer("new", "ES256", URL)
        came.append(stage.come(new))
        await trio.sleep(0.5)
        stage.signers = [new, *old]
    assert await came[0] == "ada"


async def test_while_it_is_down_its_last_keys_stay_and_it_is_told_once(nursery, autojump_clock):
    stage = Stage(nursery)
    nursery.start_soon(stage.issuer.run)
    await trio.sleep(3)
    stage.is_down = True
    await trio.sleep(1000)
    assert stage.verifier.check(stage.signers[0].token(exp=1_000_100), Client()).user == "ada"
    assert stage.told == ["https://id.test: connection refused, its last keys stay"]
    with pytest.raises(Refusal) as raised:
        await stage.come(Signer("new", "ES256", URL))
    assert raised.value.status == 503
    stage.is_down = False
    await trio.sleep(30)
    assert stage.told[1:] == ["https://id.test answers"]
    assert all(gap >= 10 for gap in stage.gaps)


async def test_without_any_keys_nobody_waits_long(nursery, autojump_clock):
    stage = Stage(nursery)
    stage.is_down = True
    nursery.start_soon(stage.issuer.run)
    await trio.sleep(3)
    began = trio.current_time()
    with pytest.raises(Refusal):
        await stage.come(stage.signers[0])
    assert trio.current_time() - began < 2


async def test_what_a_withdrawn_key_signed_is_verified_anew(nursery, autojump_clock):
    stage = Stage(nursery)
    nursery.start_soon(stage.issuer.run)
    await trio.sleep(3)
    old = stage.signers[0]
    token = old.token(exp=1_000_100)
    assert stage.verifier.check(token, Client()).user == "ada"
    stage.signers = [Signer("k2", "ES256", URL)]
    await trio.sleep(400)
    with pytest.raises(TokenRefused):
        await stage.verifier.check(token, Client())


async def test_who_leaves_waits_no_more_and_the_look_goes_on(nursery, autojump_clock):
    stage = Stage(nursery)
    client = Client()

    async def leave():
        await trio.sleep(0.5)
        client.gone.set()

    nursery.start_soon(leave)
    with pytest.raises(ClientGone):
        await stage.come(stage.signers[0], client)
    await trio.sleep(1)
    assert stage.issuer.keys is not None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"max-age=600", 600),
        (b"public, MAX-AGE=600", 600),
        (b"max-age=1", 60),
        (b"max-age=999999999999", 3600),
        (b"no-store", 60),
        (b"max-age=x", 300),
        (b"private", 300),
    ],
)
def test_cache_control_counts_within_bounds(value, seconds):
    assert lifetime([value]) == seconds


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"[]",
        b"{}",
        b'{"issuer": "https://evil.test", "jwks_uri": "https://id.test/k"}',
        b'{"issuer": "https://id.test"}',
        b'{"issuer": "https://id.test", "jwks_uri": "http://id.test/k"}',
        b'{"issuer": "https://id.test", "jwks_uri": 5}',
        b'{"issuer": "https://id.test", "jwks_uri": "https://id.test/k", "token_endpoint": "file:///etc/passwd"}',
        b"[" * 100_000,
    ],
)
def test_metadata_that_is_none_or_leads_elsewhere_is_refused(said):
    with pytest.raises(ValueError):
        read_metadata(said, URL)


def test_a_slash_at_the_end_makes_no_difference():
    said = b'{"issuer": "https://id.test/", "jwks_uri": "https://id.test/k"}'
    assert read_metadata(said, URL).issuer == "https://id.test/"
