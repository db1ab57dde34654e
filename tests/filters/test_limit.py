"""filters/limit: who is counted by what, what is told, and what a refused request is answered."""

import json
from collections.abc import Awaitable

import pytest

from netfront.errors import Refusal
from netfront.filters.limit import Limit, limit
from netfront.filters.limit_key import limit_key
from netfront.http.message import Response
from netfront.policy.claims import Identity
from netfront.policy.limit import Counters, Rate, Spent
from netfront.policy.networks import network_of
from netfront.wire.fields import Fields
from tests.filters.requests import asking

HOUR = Rate(3600.0, 2)


def a_limit(name="2/h:header:X", rate=HOUR, key=None, id=b"1", quota=2, window=3600, **more):
    return Limit(
        id, name, rate, key or limit_key("header", "X", lambda _: b"192.0.2.1"), quota, window, **more
    )


async def answer(_):
    return Response(200, Fields.of((b"X-B", b"1")), b"ok")


def through(handler, request):
    """Step a handler that never waits."""
    coroutine = handler(request)
    if not isinstance(coroutine, Awaitable):
        return coroutine
    try:
        coroutine.__await__().send(None)
    except StopIteration as stopped:
        return stopped.value
    raise AssertionError("it waits")


@pytest.fixture(autouse=True)
def still(monkeypatch):
    monkeypatch.setattr("netfront.filters.limit.clock", lambda: 1000.0)


@pytest.fixture(params=["by itself", "together"])
def by(request):
    """Make the filter: with the way for limits that stand alone, and with that for several alone."""

    def make(limits, counters):
        return limit(limits, counters.spend, counters.spend_one if request.param == "by itself" else None)

    return make


def said(request):
    """Give what its answer says of limits."""
    fields = dict(line.split(b": ", 1) for line in request.answer_lines.splitlines())
    return fields.get(b"RateLimit"), fields.get(b"RateLimit-Policy")


def answered(handler, *pairs, whole=None):
    """Ask, perhaps for a part of what another asked for; give the answer's status and what it says is left."""
    request = asking(*pairs)
    if whole is not None:
        request.counted, request.part_of = whole.counted, object()
    response = through(handler, request)
    return response, said(request)[0], request


def test_what_is_left_is_told_on_each_answer(by):
    handler = by([a_limit()], Counters())(answer)
    _, left, request = answered(handler, (b"X", b"a"))
    assert said(request) == (b'"2/h:header:X";r=1;t=3600', b'"2/h:header:X";q=2;w=3600')
    assert answered(handler, (b"X", b"a"))[1] == b'"2/h:header:X";r=0;t=3600'
    assert answered(handler, (b"X", b"b"))[1] == left


def test_more_is_429_with_when_to_come_again(by):
    handler = by([a_limit()], Counters())(answer)
    for _ in range(3):
        refused, left, request = answered(handler, (b"X", b"a"))
    assert refused.status == 429
    assert refused.fields.get(b"retry-after") == b"3600"
    assert refused.fields.get(b"content-type") == b"application/problem+json"
    assert left == b'"2/h:header:X";r=0;t=3600'
    problem = json.loads(refused.body)
    assert problem["type"] == "https://iana.org/assignments/http-problem-types#quota-exceeded"
    assert (problem["status"], problem["violated-policies"]) == (429, ["2/h:header:X"])
    assert request.exchange.outcome == "over the limit 2/h:header:X"


def test_where_one_of_two_refuses_the_other_is_not_spent(by):
    counters = Counters()
    everybody = a_limit("9/h", Rate(400.0, 9), limit_key("", "", lambda _: None), id=b"2", quota=9)
    handler = by([everybody, a_limit()], counters)(answer)
    for _ in range(5):
        last, left, _ = answered(handler, (b"X", b"a"))
    assert last.status == 429
    assert left.startswith(b'"9/h";r=7;t=400, "2/h:header:X";r=0')
    assert json.loads(last.body)["violated-policies"] == ["2/h:header:X"]


def test_by_route_a_part_counts_with_the_whole_wherever_it_leads(by):
    per_route = a_limit(
        "1/h", Rate(3600.0, 1), limit_key("route", "", lambda _: None), id=b"3", is_of_place=True
    )
    handler = by([per_route], Counters())(answer)
    whole = asking()
    whole.route = "/home"
    assert through(handler, whole).status != 429
    for place in ("/a", "/b"):
        part = asking()
        part.route, part.counted, part.part_of = place, whole.counted, object()
        assert through(handler, part).status != 429
        assert part.answer_lines == b""
    again = asking()
    again.route = "/home"
    assert through(handler, again).status == 429


def test_a_part_is_counted_where_it_goes_by_another_key_than_the_whole(by):
    """As where the whole is asked for by nobody, and so counted by address, and the part by who asks."""
    handler = by([a_limit()], Counters())(answer)
    _, _, whole = answered(handler, (b"X", b"a"))
    for left in (b"r=1;t=3600", b"r=0;t=3600", b"r=0;t=3600"):
        response, told, _ = answered(handler, (b"X", b"b"), whole=whole)
        assert told.endswith(left)
    assert response.status == 429


def test_a_part_is_not_counted_under_what_the_whole_was_counted_under(by):
    counters = Counters()
    whole, part = a_limit(), a_limit("1/h", Rate(3600.0, 1), id=b"2")
    _, _, request = answered(by([whole], counters)(answer), (b"X", b"a"))
    both = by([whole, part], counters)(answer)
    _, left, within = answered(both, (b"X", b"a"), whole=request)
    assert left == b'"1/h";r=0;t=3600'
    assert len({*within.counted}) == 2
    assert answered(by([whole], counters)(answer), (b"X", b"a"))[1].endswith(b"r=0;t=3600")


def test_whatever_comes_of_it_the_answer_says_what_is_left(by):
    async def fail(_):
        raise Refusal(401, "no credentials")

    request = asking()
    with pytest.raises(Refusal):
        through(by([a_limit()], Counters())(fail), request)
    assert said(request)[0] == b'"2/h:header:X";r=1;t=3600'


def test_a_count_that_has_to_be_waited_for_is():
    async def slow(keys, rates, now):
        return Spent(False, [7200.0])

    assert through(limit([a_limit()], slow)(answer), asking()).status == 429


@pytest.mark.parametrize(
    ("address", "same"),
    [
        (b"192.0.2.7", b"::ffff:192.0.2.7"),
        (b"192.0.2.7", b"192.0.2.7:8080"),
        (b"2001:db8::1", b"2001:db8:0:0:ffff::2"),
        (b"2001:db8::1", b"[2001:db8::9]:443"),
        (b"fe80::1", b"fe80::1%eth0"),
    ],
)
def test_addresses_of_one_client_are_one_key(address, same):
    assert network_of(address) == network_of(same)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b"192.0.2.7", b"192.0.2.8"),
        (b"2001:db8::1", b"2001:db8:0:1::1"),
        (b"unknown", b"192.0.2.7"),
        (b"", b"0.0.0.0"),
        (b"x" * 40, b"x" * 41),
    ],
)
def test_addresses_of_two_clients_are_two_keys(one, other):
    assert network_of(one) != network_of(other)


def test_networks_are_as_large_as_asked_for():
    assert network_of(b"192.0.2.7", 24) == network_of(b"192.0.2.200", 24) != network_of(b"192.0.3.7", 24)
    assert network_of(b"2001:db8:1::1", 32, 32) == network_of(b"2001:db8:2::1", 32, 32)


WHO = Identity("jwt", "ada", {"sub": "ada", "org": "x", "roles": ["a", "b"]})
KEYED = Identity("api-key", "shop", {"sub": "shop"}, key="shop")


@pytest.mark.parametrize(
    ("kind", "name", "identity", "key"),
    [
        ("user", "", WHO, b"=ada"),
        ("user", "", None, network_of(b"192.0.2.1")),
        ("key", "", KEYED, b"=shop"),
        ("key", "", WHO, network_of(b"192.0.2.1")),
        ("claim", "org", WHO, b"=x"),
        ("claim", "roles", WHO, b"=a\0b"),
        ("claim", "team", WHO, network_of(b"192.0.2.1")),
        ("cookie", "s", None, b"=1"),
        ("cookie", "t", None, network_of(b"192.0.2.1")),
        ("header", "x-a", None, b"=2"),
        ("header", "X-B", None, network_of(b"192.0.2.1")),
        ("route", "", None, b"=/a"),
        ("ip", "", None, network_of(b"192.0.2.1")),
        ("", "", None, b""),
    ],
)
def test_who_lacks_a_key_goes_by_address(kind, name, identity, key):
    request = asking((b"Cookie", b"s=1"), (b"X-A", b"2"))
    request.identity, request.route = identity, "/a"
    assert limit_key(kind, name, lambda _: b"192.0.2.1")(request) == key


@pytest.mark.parametrize(("kind", "name"), [("cookie", "s"), ("header", "X-A")])
def test_what_comes_twice_is_no_key(kind, name):
    """Which of them a backend heeds is not known: by another one before it a limit would be dodged."""
    request = asking((b"Cookie", b"s=1; s=2"), (b"X-A", b"2"), (b"X-A", b"3"))
    assert limit_key(kind, name, lambda _: b"192.0.2.1")(request) == network_of(b"192.0.2.1")


def test_a_value_that_looks_like_an_address_is_no_address():
    assert limit_key("header", "x", lambda _: b"")(asking((b"X", b"192.0.2.1"))) != network_of(b"192.0.2.1")


def test_long_values_make_short_keys():
    key = limit_key("header", "x", lambda _: b"")
    assert len(key(asking((b"X", b"v" * 4000)))) < 20
    assert key(asking((b"X", b"v" * 4000))) != key(asking((b"X", b"v" * 4001)))
