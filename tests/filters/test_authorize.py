"""Authorization: each rule by itself, and all of them together."""

import pytest

from netfront.errors import Refusal
from netfront.filters.authorize import authorize, needs_address, needs_claim, needs_expression, needs_scopes
from netfront.http.message import Response
from netfront.policy.claims import Identity
from netfront.policy.expression import Expression
from netfront.policy.networks import within
from netfront.wire.fields import EMPTY
from tests.filters.requests import asking

ANN = Identity(
    "jwt", "ann", {"sub": "ann", "roles": ["a", "b"], "r": {"x": 1, "on": True}}, frozenset({"read", "write"})
)


def by(identity, *pairs, **how):
    request = asking(*pairs, **how)
    request.identity = identity
    return request


@pytest.mark.parametrize(
    ("names", "passes"),
    [(["read"], True), (["read", "write"], True), (["read", "admin"], False), (["READ"], False)],
)
def test_all_scopes_must_be_there(names, passes):
    rule = needs_scopes(names)
    assert (rule(by(ANN)) is None) is passes
    assert rule(by(None))
    assert rule(by(Identity("basic", "ann")))


@pytest.mark.parametrize(
    ("name", "value", "passes"),
    [
        ("sub", "ann", True),
        ("roles", "b", True),
        ("r.x", "1", True),
        ("r.on", "true", True),
        ("roles", "a,b", False),
        ("roles", "['a', 'b']", False),
        ("sub", "Ann", False),
        ("r", "{}", False),
        ("none", "None", False),
        ("none", "", False),
    ],
)
def test_a_claim_has_a_value_or_holds_it(name, value, passes):
    assert (needs_claim(name, value)(by(ANN)) is None) is passes
    assert needs_claim(name, value)(by(None))


@pytest.mark.parametrize(
    ("address", "passes"),
    [
        (b"10.1.2.3", True),
        (b"::ffff:10.1.2.3", True),
        (b"11.1.2.3", False),
        (b"10.1.2.3, 11.0.0.1", False),
        (b"\xff", False),
        (b"", False),
        (None, False),
    ],
)
def test_an_address_lies_in_a_network(address, passes):
    rule = needs_address(within(["10.0.0.0/8"]), lambda _: address)
    assert (rule(by(None)) is None) is passes


def expressed(text, request, address=b"10.0.0.1"):
    expression = Expression(text)
    return needs_expression(
        expression.refuses,
        expression.uses,
        lambda _: address,
        lambda: 1_764_000_000.0,
        text=text,
        asked=expression.names_read("query"),
    )(request)


@pytest.mark.parametrize(
    "text",
    [
        '"a" in claims.roles && claims.r.x == 1',
        'user == "ann" && "read" in scopes',
        'method == "POST" && path == "/a%20b/c"',
        'params.id == "a b/é"',
        'query.q == "x y" && query.e == "" && query.a == "é"',
        'headers["x-a"] == "1, 2" && headers.host == "a.test" && headers["x-u"] == "ü" && headers["x-l"] == "\xff"',
        'ip == "10.0.0.1"',
        'now > timestamp("2025-01-01T00:00:00Z") && now < timestamp("2026-01-01T00:00:00Z")',
    ],
)
def test_an_expression_reads_the_request(text):
    target = b"/a%20b//c?q=x+y&e=&a=%C3%A9&d=1&d=2"
    request = by(
        ANN,
        (b"X-A", b"1"),
        (b"x-a", b"2"),
        (b"X-U", "ü".encode()),
        (b"X-L", b"\xff"),
        method=b"POST",
        target=target,
    )
    request.params = {"id": b"a%20b%2F%C3%A9"}
    assert expressed(text, request) is None


def test_a_parameter_that_is_no_text_is_400():
    request = by(ANN)
    request.params = {"id": b"%FF"}
    with pytest.raises(Refusal) as raised:
        expressed('params.id != "x"', request)
    assert raised.value.status == 400


def test_an_expression_sees_a_mapped_address_as_ipv4():
    assert expressed('ip == "10.0.0.1"', by(None), b"::ffff:10.0.0.1") is None


def test_what_an_expression_cannot_tell_refuses():
    assert expressed("claims.nothing == 1", by(ANN))
    assert expressed('user == "ann"', by(None))
    assert "ann" in expressed('user == "bob"', by(ANN))


@pytest.mark.parametrize(
    "query",
    [
        b"role=user&role=admin", b"role=user&r%6Fle=admin", b"role=%FF", b"role=user&x=1;role=admin",
        b"role=user;role=a",
        b"role=user&%20role=admin", b"role=user&role[]=admin", b"role=user&role%00=admin", b"role=user&ROLE=admin",
        b"role=user&[role]=admin", b"role=user&]role=admin", b"role=user&[]role=admin", b"role=user&%5Brole%5D=admin",
    ],
)  # fmt: skip
def test_a_query_that_can_be_read_two_ways_is_400(query):
    texts = ('query.role != "admin"', 'query["role"] != "admin"')
    for text in texts if query == b"role=%FF" else (*texts, 'query.all(k, query[k] != "admin")'):
        with pytest.raises(Refusal) as raised:
            expressed(text, by(ANN, target=b"/?" + query))
        assert raised.value.status == 400


@pytest.mark.parametrize(
    "query", [b"full[]=1", b"Full=1", b"a;full=1", b"[full]=1", b"full[0]=1", b"%20full=1"]
)
def test_a_name_that_some_take_for_one_that_is_asked_for_is_400(query):
    with pytest.raises(Refusal) as raised:
        expressed('!("full" in query) || user == "root"', by(ANN, target=b"/?" + query))
    assert raised.value.status == 400


@pytest.mark.parametrize("query", [b"user_id=1&user.id=2", b"user_id=1&user+id=2", b"user_id=1&user[id]=2"])
def test_names_that_are_joined_otherwise_are_alike(query):
    text = 'query.user_id == "1"'
    if b"[" in query:
        assert expressed(text, by(ANN, target=b"/?" + query)) is None
        return
    with pytest.raises(Refusal):
        expressed(text, by(ANN, target=b"/?" + query))


def test_text_that_nobody_asks_for_may_be_latin():
    assert expressed('!("role" in query)', by(ANN, target=b"/?q=%E4&%E4=1")) is None


@pytest.mark.parametrize("query", [b"role=user", b"role=user&x=1&x=2", b"x=1;2&role=user;y", b"&&role=user&"])
def test_names_that_nobody_asks_for_may_come_twice(query):
    assert expressed('query.role == "user" || query.role == "user;y"', by(ANN, target=b"/?" + query)) is None


def test_where_any_name_is_asked_for_each_comes_once():
    assert expressed("query.all(k, query[k] != '')", by(ANN, target=b"/?a=1&b=2;c")) is None
    with pytest.raises(Refusal):
        expressed("query.all(k, query[k] != '')", by(ANN, target=b"/?a=1&b=2;a"))


async def ask(rules, request):
    async def backend(_):
        return Response(203, EMPTY, b"")

    return (await authorize(rules)(backend)(request)).status


async def test_all_rules_must_hold():
    assert await ask([needs_scopes(["read"]), needs_claim("sub", "ann")], by(ANN)) == 203
    for rules in (
        [needs_scopes(["no"]), needs_claim("sub", "ann")],
        [needs_scopes(["read"]), needs_claim("sub", "b")],
    ):
        with pytest.raises(Refusal) as raised:
            await ask(rules, by(ANN))
        assert raised.value.status == 403
