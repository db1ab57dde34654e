"""The rule of a composition: what it says, what is wrong with it and where, and what waits for what."""

import pytest

from netfront.errors import UsageError
from netfront.policy.compose import clashes_of, draw, parse_composition

HOME = "/home = user:/users/me + orders:/orders?u={user.id} + ads?:/ads/top"


def part_of(text, at=0):
    return parse_composition(text).parts[at]


def test_a_rule_is_read():
    composition = parse_composition(HOME)
    assert str(composition.scope) == "GET /home$"
    assert [part.label for part in composition.parts] == ["user", "orders", "ads"]
    assert [part.needs for part in composition.parts] == [(), (0,), ()]
    assert [part.is_optional for part in composition.parts] == [False, False, True]
    assert composition.parts[2].default == b"null"


@pytest.mark.parametrize(
    ("text", "scope"),
    [
        ("/home = a:/a", "GET /home$"),
        ("/home=a:/a", "GET /home$"),
        ("GET,POST shop.test/home = a:/a", "GET,POST shop.test/home$"),
        ("/home = a:POST /a < body", "POST,PUT,PATCH /home$"),
        ("/home$ = a:/a/{query.x}", "GET /home$"),
        ("/u/{id} = a:/a/{params.id}", "GET /u/{id}$"),
    ],
)
def test_the_path_is_exact_and_the_method_get_unless_the_body_is_taken(text, scope):
    assert str(parse_composition(text).scope) == scope


@pytest.mark.parametrize(
    ("text", "method", "place", "target", "body", "pick"),
    [
        ("/h = a:/x?y=a+b", "GET", "", "/x?y=a+b", None, None),
        ("/h = a: /x", "GET", "", "/x", None, None),
        ("/h = a:PUT /x < {a: query.a}", "PUT", "", "/x", "{a: query.a}", None),
        ("/h = a:/x | b", "GET", "", "/x", None, "b"),
        ("/h = a:POST /x < (query | b) | c | d", "POST", "", "/x", "(query | b)", "c | d"),
        ("/h = a:/x | [?b == 'x + y | z'] | \"k + l\"", "GET", "", "/x", None, "[?b == 'x + y | z'] | \"k + l\""),
        ("/h = a:/x | not_null(b, `{\"c\": \" + \"}`)", "GET", "", "/x", None, 'not_null(b, `{"c": " + "}`)'),
        ("/h = a:/x | b || c", "GET", "", "/x", None, "b || c"),
        ("/h = a:/x | 'it\\'s + x'", "GET", "", "/x", None, "'it\\'s + x'"),
        ("/h = a:https://api.test/v1/x", "GET", "https://api.test", "/v1/x", None, None),
        ("/h = a:http://api.test:81?q={query.a}", "GET", "http://api.test:81", "/?q={query.a}", None, None),
        ("/h = a:DELETE https://api.test", "DELETE", "https://api.test", "/", None, None),
    ],
)  # fmt: skip
def test_a_part_is_read(text, method, place, target, body, pick):
    part = part_of(text)
    assert (part.method, part.place, part.target.text) == (method, place, target)
    assert (part.body and part.body.text, part.pick and part.pick.text) == (body, pick)


@pytest.mark.parametrize(
    ("given", "default"),
    [
        ("?", b"null"),
        ("?=null", b"null"),
        ("?=[]", b"[]"),
        ("?=0.10", b"0.10"),
        ('?={"a": [1, " + x:/y"]}', b'{"a": [1, " + x:/y"]}'),
        ('?="it\'s: + "', b'"it\'s: + "'),
    ],
)
def test_a_default_is_one_json_value_as_it_was_written(given, default):
    composition = parse_composition(f"/h = a{given}:/x + b:/y")
    assert composition.parts[0].default == default
    assert len(composition.parts) == 2


def test_spreads_are_told_apart():
    labels = [part.label for part in parse_composition("/h = ...:/a + b:/b + ...?:/c").parts]
    assert labels == ["...1", "b", "...2"]
    assert part_of("/h = ...:/a").label == "..."


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("/home", "no '=' between the path and the parts"),
        ("/home = ", "column 8: there are no parts"),
        ("/home = user", "column 13: the end where a ':' should be"),
        ("/home = user:", "column 14: the end where a path or a URL should be"),
        ("/home = user:/u + ", "column 19: a part is missing behind '+'"),
        ("/home = user:/u +b:/c", "column 17: '+' where ' < ', ' | ' or ' + ' should be"),
        ("/home = a:/u b:/c", "column 14: 'b' where ' < ', ' | ' or ' + ' should be"),
        ("/home = a:/x + a:/y", "column 16: a second part named a"),
        ("/home = a?={x:/u", "column 12: a default is one JSON value: expecting property name"),
        ("/home = body:/x", "column 9: body is no name for a part"),
        ("/home = 1:/x", "column 9: '1' begins no part"),
        ("/home = a:post /x", "column 11: 'post' is no method"),
        ("/home = a:HEAD /x", "column 11: HEAD gives no part"),
        ("/home = a:foo", "column 11: 'f' where a path or a URL should be"),
        ("/home = a:/x < {a: query.b}", "column 16: a GET carries no body"),
        ("/home = a:/x | {id: ", "column 16: '{' is never closed"),
        ("/home = a:/x | 'abc", "column 16: ' is never closed"),
        ("/home = a:/x | foo bar", "column 20: JMESPath: 'bar' is not expected here"),
        ("/home = a:/x | nope(a)", "column 16: JMESPath: there is no function nope()"),
        ("/home = a:/x | length(a, b)", "column 16: JMESPath: length() takes 1 values, not 2"),
        ("/home = a:/x | ", "column 16: an expression is missing"),
        ("/** = a:/x", "column 2: the path of a composition is exact"),
        ("/x = a:/x/../y", "column 8: a dot segment in a target"),
        ("/x = a:/x/%2e%2E/y", "column 8: a dot segment in a target"),
        ("/x = a:/x/..;a=b/y", "column 8: a dot segment in a target"),
        ("HEAD /x = a:/y", "HEAD is no method that is composed for"),
        ("GET,OPTIONS /x = a:/y", "OPTIONS is no method that is composed for"),
        ("/x = a:/a/b+b:/a/c", "column 12: parts stand apart by ' + '"),
        ("/x = a:/a+...?:http://b/c", "column 10: parts stand apart by ' + '"),
        ("/x = a:/x#f", "column 10: '#' stands in no target"),
        ("/x = a:/x/{a b}", "column 13: ' ' within a reference"),
        ("/x = a:/x/{", "column 12: a reference begins with a name"),
        ("/x = a:/x/{query}", "column 12: which of query?"),
        ("/x = a:/x/{query.a.b}", "column 12: a query's value is one text"),
        ("/x = a:http://{query.h}/x", "column 8: references stand in the path and query of a URL alone"),
        ("/x = ...?=3:/b", "column 6: what is spread is an object"),
        ("/x = ...[]:/x", "column 9: '[' where a ':' should be"),
        ("GET /x = a:/x/{body.id}", "a part takes the body, and GET has none"),
        ("/x = " + " + ".join(f"p{at}:/x" for at in range(33)), "column 284: more than 32 parts"),
        ("/x = a:/a + b:POST /b < @", "column 25: a body names what it takes"),
    ],
)
def test_what_is_wrong_is_told_with_its_column(text, message):
    with pytest.raises(UsageError) as caught:
        parse_composition(text)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("/h = user:/u/{x.id}", "column 15: there is no part named x"),
        ("/h = a:/u/{b.id} + b:/c", "column 12: b is no earlier part"),
        ("/h = a:/u/{a.id}", "column 12: a is no earlier part"),
        ("/h = a:POST /x < {a: b.c} + b:/x", "column 22: b is no earlier part"),
        ("/h = a:POST /x < {a: zz}", "column 22: there is no part named zz"),
        ("/x = a:/x/{params.id}", "column 12: the path has no {id}"),
    ],
)
def test_a_part_that_refers_to_a_later_or_missing_one_is_refused(text, message):
    with pytest.raises(UsageError) as caught:
        parse_composition(text)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("/h = a[]:/x", "column 6: a[] does not say for each of what"),
        ("/h = a:/x + b:/x/{a[].id}", "column 19: '[]' in a part that is asked once"),
        ("/h = a:/x + b[]:/x/{a[].id}/{a.y[].c}", "column 30: a part runs over one array"),
        ("/h = a:/x + b[]:/x/{a[].b[].c}", "column 26: a second '[]' in one reference"),
    ],
)
def test_for_each_of_what_has_to_be_said_once(text, message):
    with pytest.raises(UsageError) as caught:
        parse_composition(text)
    assert message in str(caught.value)


def test_parts_wait_for_those_that_their_bodies_and_targets_name():
    parts = parse_composition(
        "POST /h = a:/a + b:/b + c:POST /c/{b.id} < {x: a.x, y: body.y} + d:/d/{claims.sub}"
    ).parts
    assert [part.needs for part in parts] == [(), (), (0, 1), ()]
    assert [sorted(part.takes) for part in parts] == [[], [], ["body"], ["claims"]]


def test_the_graph_is_drawn():
    parts = parse_composition(
        "/h = a:/a + b:/b + c[]:/c/{a.x[].i} + d?=0:/d/{c[0].y}/{b.z} + e:/e/{a.z}"
    ).parts
    assert draw(parts) == [
        "a: GET /a",
        "├─ c: GET /c/{a.x[].i} (for each of {a.x[].i})",
        "│  └─ d: GET /d/{c[0].y}/{b.z} (also after b; else 0)",
        "└─ e: GET /e/{a.z}",
        "b: GET /b",
    ]


def test_clashes_are_known_where_keys_are():
    parts = parse_composition("/h = a:/a + ...:/b | {a: x, b: y} + ...:/c | {b: z} + ...:/d + c:/e").parts
    assert clashes_of(parts) == [("a", "a", "...1"), ("b", "...1", "...2")]
