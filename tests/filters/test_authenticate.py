"""Authentication: who decides, what adds up, and what a refusal says."""

import pytest

from netfront.errors import Refusal
from netfront.filters.authenticate import Answered, authenticate
from netfront.http.message import Response
from netfront.policy.claims import Identity
from netfront.wire.fields import EMPTY
from tests.filters.requests import asking


class Word:
    """A method whose credential is a field: "good" is one, "bad" is refused, "login" is answered."""

    def __init__(self, name, challenge=None, waits=False, fields=()):
        self.name = name
        self.challenge = b"%b realm" % name.title() if challenge is None else challenge
        self.waits = waits
        self.fields = fields
        self.asked = 0

    def check(self, request):
        self.asked += 1
        return self._later(request) if self.waits else self._now(request)

    async def _later(self, request):
        return self._now(request)

    def _now(self, request):
        said = request.fields.get(self.name)
        if said is None:
            return None
        if said == b"login":
            raise Answered(Response(302, EMPTY, b""))
        if said == b"no":
            raise Answered(Response(401, EMPTY, b""))
        if said == b"down":
            raise Refusal(503, "the issuer does not answer")
        if said != b"good":
            raise Refusal(401, f"{self.name.decode()} is forged", self.fields)
        return Identity(self.name.decode(), f"user of {self.name.decode()}")


async def ask(groups, *pairs):
    """Give the status, and the identity that came to the backend."""
    seen = []

    async def backend(request):
        seen.append(request.identity)
        return Response(203, EMPTY, b"")

    answer = await authenticate(groups)(backend)(asking(*pairs))
    return answer.status, seen[0] if seen else None


async def refusal(groups, *pairs):
    with pytest.raises(Refusal) as raised:
        await ask(groups, *pairs)
    return raised.value


ways = pytest.mark.parametrize("waits", [False, True])


@ways
async def test_the_first_that_finds_its_credential_decides(waits):
    one, two = Word(b"one", waits=waits), Word(b"two", waits=waits)
    assert await ask([[one, two]], (b"Two", b"good")) == (203, Identity("two", "user of two"))
    assert await ask([[one, two]], (b"One", b"good"), (b"Two", b"bad")) == (
        203,
        Identity("one", "user of one"),
    )
    assert two.asked == 1


@ways
async def test_a_bad_credential_does_not_fall_through(waits):
    one, two = Word(b"one", waits=waits), Word(b"two", waits=waits)
    refused = await refusal([[one, two]], (b"One", b"bad"), (b"Two", b"good"))
    assert (refused.status, refused.why) == (401, "one is forged")
    assert two.asked == 0


@ways
async def test_without_credentials_each_alternative_is_asked_for(waits):
    refused = await refusal([[Word(b"one", waits=waits), Word(b"two", waits=waits)]])
    assert refused.status == 401
    assert refused.fields == ((b"WWW-Authenticate", b"One realm"), (b"WWW-Authenticate", b"Two realm"))


@ways
async def test_a_bad_credential_is_answered_with_its_own_challenge_and_those_of_the_others(waits):
    told = (b"WWW-Authenticate", b'One realm, error="invalid_token"')
    group = [Word(b"one", waits=waits, fields=[told]), Word(b"two", waits=waits)]
    refused = await refusal([group], (b"One", b"bad"))
    assert refused.fields == (told, (b"WWW-Authenticate", b"Two realm"))


@ways
async def test_of_several_groups_each_must_pass(waits):
    one, two = Word(b"one", waits=waits), Word(b"two", waits=waits)
    both = Identity("one", "user of one").also(Identity("two", "user of two"))
    assert await ask([[one], [two]], (b"One", b"good"), (b"Two", b"good")) == (203, both)
    assert (both.kind, both.user) == ("one+two", "user of two")
    for missing, given in ((b"Two realm", b"One"), (b"One realm", b"Two")):
        refused = await refusal([[one], [two]], (given, b"good"))
        assert refused.fields == ((b"WWW-Authenticate", missing),)


async def test_one_that_waits_in_the_middle_loses_nobody():
    groups = [[Word(b"one")], [Word(b"two", waits=True), Word(b"three")], [Word(b"four")]]
    pairs = [(b"One", b"good"), (b"Three", b"good"), (b"Four", b"good")]
    status, identity = await ask(groups, *pairs)
    assert (status, identity.kind) == (203, "one+three+four")
    for missing in range(3):
        assert (await refusal(groups, *pairs[:missing], *pairs[missing + 1 :])).status == 401


async def test_where_nothing_can_be_asked_for_it_is_forbidden():
    silent = Word(b"one", challenge=b"")
    assert (await refusal([[silent]])).status == 403
    assert (await refusal([[silent]], (b"One", b"bad"))).status == 403


@ways
async def test_a_login_answers_and_nothing_reaches_the_backend(waits):
    assert await ask([[Word(b"one", waits=waits)]], (b"One", b"login")) == (302, None)
    groups = [[Word(b"two", waits=waits)], [Word(b"one", waits=waits)]]
    assert await ask(groups, (b"One", b"login"), (b"Two", b"good")) == (302, None)


@ways
async def test_what_cannot_be_told_now_stays_503(waits):
    refused = await refusal([[Word(b"one", waits=waits), Word(b"two")]], (b"One", b"down"), (b"Two", b"good"))
    assert (refused.status, refused.fields) == (503, ())


@pytest.mark.parametrize("others", [[], ["beside"], ["behind"]])
async def test_two_lines_of_authorization_pass_nowhere(others):
    good, other = Word(b"authorization"), Word(b"other")
    groups = {"": [[good]], "beside": [[good, other]], "behind": [[good], [other]]}["".join(others)]
    twice = [(b"Authorization", b"good"), (b"authorization", b"good")]
    assert (await refusal(groups, *twice)).status == 400
    assert (good.asked, other.asked) == (0, 0)


@ways
async def test_a_bare_401_of_another_service_says_what_the_others_would_take(waits):
    guard, key = Word(b"guard", challenge=b"", waits=waits), Word(b"key")

    async def backend(request):
        raise AssertionError("it was let in")

    response = await authenticate([[guard, key]])(backend)(asking((b"Guard", b"no")))
    assert (response.status, response.fields.get_all(b"www-authenticate")) == (401, [b"Key realm"])
    response = await authenticate([[guard]])(backend)(asking((b"Guard", b"no")))
    assert (response.status, response.fields.get_all(b"www-authenticate")) == (401, [])
