"""Expressions: the column of a fault, and that whatever is not true refuses."""

from datetime import UTC, datetime

import pytest

from netfront.errors import UsageError
from netfront.policy.expression import Expression

VALUES = {
    "claims": {"groups": ["admin"], "level": 3, "deep": {"x": 1.5}, "none": None, "big": 10**30},
    "user": "ann",
    "scopes": ["read"],
    "method": "GET",
    "path": "/a/b",
    "params": {"id": "7"},
    "query": {"q": "1"},
    "headers": {"x-a": "1"},
    "ip": "10.0.0.1",
    "now": datetime(2026, 11, 25, 12, tzinfo=UTC),
}


@pytest.mark.parametrize(
    "text",
    [
        '"admin" in claims.groups',
        "claims.level >= 3 && claims.deep.x < 2",
        'user == "ann" || claims.nothing',
        '"read" in scopes && method == "GET" && path.startsWith("/a/")',
        'params.id == "7" && query.q == headers["x-a"]',
        '!has(claims.headers) || claims.headers["X-A"] == "B" || claims . headers [ "X" ] == ""',
        '["x"].exists(headers, headers == "x")',
        '!("X" in scopes) && !user.matches("^[B-Z]+$") && user != "headers[\'X\']"',
        'ip.startsWith("10.") && now > timestamp("2026-01-01T00:00:00Z") && now.getHours() == 12',
        'claims.groups.exists(group, group.matches("^adm"))',
        "has(claims.deep.x) && !has(claims.nothing) && size(claims.groups) == 1",
        "type(user) == string",
        "true",
    ],
)
def test_what_is_true_passes(text):
    assert Expression(text).refuses(VALUES) is None


@pytest.mark.parametrize(
    "text",
    [
        "false",
        'user == "bob"',
        "claims.nothing",
        "claims.nothing == null",
        "claims.none.x",
        "claims.level",
        "!user",
        "claims.groups[9] == user",
        "claims.level / 0 == 1",
        "claims.big + 1 == 2",
        "int(user) == 1",
        'user.matches("[" + user)',
        "timestamp(user) < now",
        "now + now == now",
        "claims.groups.map(x, x)",
    ],
)
def test_what_is_not_true_refuses_and_says_why(text):
    assert Expression(text).refuses(VALUES)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('query.q == "1"', {"q"}),
        ('query["q"] == "1" || has(query.r)', {"q", "r"}),
        ('"q" in query', {"q"}),
        ('user == "query"', set()),
        ("claims.query.x == 1", set()),
        ('query.all(k, query[k] == "")', None),
        ('query[user] == "1"', None),
        ('query.x == "1" && size(query) == 1', None),
        ("query == {}", None),
        ('query["a\\u0062"] == "1"', None),
    ],
)
def test_it_tells_which_names_of_the_query_it_reads(text, names):
    assert Expression(text).names_read("query") == names


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('headers["x-a"] == "1" && headers.b == "2" || "c" in headers', {"x-a", "b", "c"}),
        ('claims.headers["X-A"] == "1"', set()),
        ('headers.exists(name, name == "x-a")', None),
        ('headers[user] == "1"', None),
    ],
)
def test_it_tells_which_fields_it_reads(text, names):
    assert Expression(text).names_read("headers") == names


@pytest.mark.parametrize(
    "text", ["user", "size(path)", "scopes", "claims", "now", "now.getHours()", "1", "'a'"]
)
def test_what_is_never_true_or_false_is_refused_at_the_start(text):
    with pytest.raises(UsageError, match="column 1: gave "):
        Expression(text)


def test_what_is_not_there_is_told_by_its_name():
    assert Expression("claims.none.x").refuses({"claims": {}}) == "there is no 'none'"


def test_a_value_that_is_not_there_refuses():
    assert Expression('user == "ann"').refuses({})


@pytest.mark.parametrize(
    ("text", "column", "why"),
    [
        ("user ==", 8, "the end"),
        ("", 1, "the end"),
        ('user == "a" &&& path', 15, "token recognition"),
        ('user == "a', 9, "token recognition"),
        ("user path", 6, "extraneous"),
        ('user == "users" && users', 20, "no such name as users"),
        ("claims.users && other.claims", 17, "no such name as other"),
        ("claims.groups.exists(g, h)", 25, "no such name as h"),
        ("user.lower() == user", 6, "no such function as lower"),
        ("now() == now", 1, "no such function as now"),
        ("1 + 1", 1, "not true or false"),
        ('user.matches("[")', 14, "no regular expression: unclosed character class"),
        ("matches(user, '(')", 15, "no regular expression: unclosed group"),
        ('headers["X-A"] == "B"', 9, 'no header is called "X-A": their names are in lower case'),
        ('headers.Host == "a"', 9, "no header is called Host"),
        ("true && 'X-A' in headers", 9, "no header is called 'X-A'"),
        ("1 / 0 == 1", 1, "ZeroDivision"),
    ],
)
def test_the_column_of_a_fault_is_told(text, column, why):
    with pytest.raises(UsageError) as raised:
        Expression(text)
    (fault,) = raised.value.faults
    assert fault.why.startswith(f"column {column}: ")
    assert why in fault.why


@pytest.mark.parametrize(
    "text", ["(" * 200 + "true" + ")" * 200, "true || " * 1000 + "true", "!" * 5000 + "true"]
)
def test_what_is_endless_is_refused(text):
    with pytest.raises(UsageError):
        Expression(text)


def test_it_reads_what_it_names():
    assert Expression('claims.user == "x" && path == "ip"').uses == {"claims", "path"}


@pytest.mark.parametrize(
    "text", ['method == "x" ? "n" : true', 'has(claims.admin) ? claims.admin : "no"', "claims.a"]
)
def test_what_may_be_true_or_false_is_not(text):
    assert Expression(text).text == text
