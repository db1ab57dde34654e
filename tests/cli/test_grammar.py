"""Routes, targets, policies, field edits, secrets: what is read, what is refused and how."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netfront.cli.argv import Word
from netfront.cli.grammar import (
    TargetArg,
    is_request,
    parse_argument,
    parse_field_edit,
    parse_secret,
    parse_target,
    split_policy,
)
from netfront.cli.plan import FieldEdit, Secret
from netfront.endpoint import Endpoint
from netfront.errors import UsageError


def local(port, base="", scheme=""):
    return Endpoint(scheme, "localhost", port, base=base)


def faults_of(call, *args):
    with pytest.raises(UsageError) as caught:
        call(*args)
    return [str(fault) for fault in caught.value.faults]


@pytest.mark.parametrize(
    ("text", "scope", "port", "endpoints"),
    [
        ("3000", None, None, [local(3000)]),
        (":3000", None, None, [local(3000)]),
        ("3001-3003", None, None, [local(3001), local(3002), local(3003)]),
        (":3001-3002", None, None, [local(3001), local(3002)]),
        ("3001,3002", None, None, [local(3001), local(3002)]),
        (":3001+weight=3,:3002", None, None, [local(3001), local(3002)]),
        ("http://localhost/x+weight=3", None, None, [local(80, "/x", "http")]),
        ("unix:/run/a+weight=3", None, None, [Endpoint("", "", 0, path="/run/a")]),
        ("unix:/run/a%2Bb%2cc", None, None, [Endpoint("", "", 0, path="/run/a+b,c")]),
        ("demo:+weight=2", None, None, [Endpoint("demo", "", 0)]),
        ("[::1]:80+weight=2", None, None, [Endpoint("", "::1", 80)]),
        ("srv+https://api.test", None, None, [Endpoint("srv+https", "api.test", 0)]),
        ("/api=:8000/", "/api", None, [local(8000, "/")]),
        ("/api/=:8000", "/api", None, [local(8000)]),
        ("/=:1,:2", "/", None, [local(1), local(2)]),
        ("/api=:8000/v2+weight=2", "/api", None, [local(8000, "/v2")]),
        ("app.localhost=:3000", "app.localhost", None, [local(3000)]),
        ("localhost=:3000", "localhost", None, [local(3000)]),
        ("*.app.test/x=:3000", "*.app.test/x", None, [local(3000)]),
        ("GET /reports=:3004", "GET /reports", None, [local(3004)]),
        ("GET,POST app.test/r=:1", "GET,POST app.test/r", None, [local(1)]),
        ("/v1/{id}/x$=:1", "/v1/{id}/x$", None, [local(1)]),
        (":8443=:1,:2", None, 8443, [local(1), local(2)]),
        (
            "/x=https://api.example.com/v2",
            "/x",
            None,
            [Endpoint("https", "api.example.com", 443, base="/v2")],
        ),
    ],
)
def test_argument_is_read(text, scope, port, endpoints):
    arg = parse_argument(Word(text))
    assert (arg.scope and str(arg.scope), arg.port) == (scope, port)
    assert [target.endpoint for target in arg.targets] == endpoints


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        (
            "/api",
            [
                "/api: a path without targets\n"
                "  write /api=TARGET, as in /api=:8000; of a socket unix:/api; of a request 'GET /api'"
            ],
        ),
        (
            "x.test/v2",
            [
                "x.test/v2: a target with a path needs a scheme\n"
                "  write http://x.test/v2, or a route such as /api=x.test/v2"
            ],
        ),
        ("/api=", ["/api=: no target\n  name a port, host:port, a URL, unix:FILE or demo:"]),
        ("/api=:1,,:2", ["/api=:1,,:2: an empty target\n  targets are told apart by one comma each"]),
        (":0=:1", [":0=:1: 0: too small\n  allowed is from 1 to 65535"]),
        ("3003-3001", ["3003-3001: not a range of ports\n  from the lower to the higher, from 1 to 65535"]),
        ("1-65535", ["1-65535: more than 1000 ports"]),
    ],
)
def test_argument_is_refused_with_what_to_do(text, messages):
    assert faults_of(parse_argument, Word(text)) == messages


@pytest.mark.parametrize("text", ["foo=:3000", "app.test:80=:3000", "a b/c=:1", "/a/**/b=:1", "=:1"])
def test_what_is_no_scope_is_refused(text):
    assert faults_of(parse_argument, Word(text))


def test_all_faults_of_an_argument_are_told():
    found = faults_of(parse_argument, Word('/a"b=:99999,:2+wieght=3+proxy=v3,htp://x'))
    assert [line.splitlines()[0].rsplit(": ", 1)[1] for line in found] == [
        "'a\"b' is no path segment",
        "no such port as 99999",
        "no such option of a target",
        "no such version of the PROXY protocol",
        "unknown scheme htp://",
    ]


def test_options_of_a_target_are_read():
    text = (
        "https://h+weight=3+backup+max=9+all+alpn=h2+name=blue+sni=a.test+host=target+proxy=v2+insecure"
        "+ca=x%2Cy.pem"
    )
    assert parse_target(text) == (
        TargetArg(
            Endpoint("https", "h", 443),
            weight=3,
            backup=True,
            max=9,
            all=True,
            alpn="h2",
            name="blue",
            sni="a.test",
            host="target",
            proxy=2,
            insecure=True,
            ca="x,y.pem",
        ),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (":1+wieght=3", "+wieght: no such option of a target\n  did you mean weight?"),
        (":1+weight", "+weight: it needs a value\n  as in +weight=3"),
        (":1+weight=", "+weight: it needs a value\n  as in +weight=3"),
        (":1+weight=x", "+weight=x: not a whole number\n  allowed is from 0 to 256"),
        (":1+weight=99999", "+weight=99999: too large\n  allowed is from 0 to 256"),
        (":1+weight=257", "+weight=257: too large\n  allowed is from 0 to 256"),
        (":1+max=0", "+max=0: too small\n  allowed is from 1 to 1000000"),
        (":1+alpn=h2 x", "+alpn=h2 x: not a protocol's name\n  as in h2 or http/1.1"),
        (":1+backup=1", "+backup=1: it takes no value\n  write +backup"),
        (":1+backup+backup", "+backup: given twice"),
        (
            ":1+proxy=v3",
            "+proxy=v3: no such version of the PROXY protocol\n  there are v1 and v2",
        ),
        (":1+host=a b", "+host=a b: not a host"),
    ],
)
def test_option_is_refused_with_what_is_allowed(text, message):
    assert faults_of(parse_target, text) == [message]


@pytest.mark.parametrize(
    ("text", "scope", "value"),
    [
        ("5s", None, "5s"),
        ("/: 5s", "/", "5s"),
        ("/api: 5s", "/api", "5s"),
        ("app.localhost/: 5s", "app.localhost", "5s"),
        ("GET /x: 5s", "GET /x", "5s"),
        ("/api: X-A: b: c", "/api", "X-A: b: c"),
        ("X-A: /b: c", None, "X-A: /b: c"),
        ("X-A: b", None, "X-A: b"),
    ],
)
def test_scope_of_a_policy_is_told_from_its_value(text, scope, value):
    found, rest = split_policy(Word(text))
    assert (found and str(found), rest) == (scope, value)


def test_scope_of_a_policy_without_slash_is_refused():
    assert faults_of(split_policy, Word("app.localhost: x")) == [
        "app.localhost: x: a scope holds a slash\n  write 'app.localhost/: x'"
    ]


def test_part_of_a_word_knows_where_it_came_from():
    assert split_policy(Word("/x: 5s", "f:3", "etc"))[1].where == "f:3"


@pytest.mark.parametrize(
    ("text", "edit"),
    [
        ("X-A: b", FieldEdit(b"X-A", (b"b",))),
        ("X-A:b", FieldEdit(b"X-A", (b"b",))),
        ("X-A:  b c ", FieldEdit(b"X-A", (b"b c",))),
        ("X-A: ü", FieldEdit(b"X-A", ("ü".encode(),))),
        ("X-A: \udcff", FieldEdit(b"X-A", (b"\xff",))),
        ("-X-A", FieldEdit(b"X-A")),
    ],
)
def test_field_edit_is_read(text, edit):
    assert parse_field_edit(text) == edit


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Authorization: Bearer env:TOKEN", b"Bearer env:TOKEN"),
        ("authorization:  env:TOKEN", b"env:TOKEN"),
        ("Authorization: Basic @/run/secret", b"Basic @/run/secret"),
    ],
)
def test_credentials_are_told_by_where_they_are(text, value):
    assert parse_field_edit(text).values == (value,)


@pytest.mark.parametrize(
    "text", ["Authorization: Basic eDp5", "AUTHORIZATION: x", "Authorization: Bearer env:"]
)
def test_credentials_are_not_given_inline(text):
    (told,) = faults_of(parse_field_edit, text)
    assert "a secret is not given inline" in str(told)
    assert "eDp5" not in str(told)


@pytest.mark.parametrize(
    "text",
    ["X-A", "X-A:", "X A: b", "X-A : b", ": b", "-", "-X-A: b", "X-A: b\rc", "X-A: b\nY: c", "X-A: b\0", ""],
)
def test_what_is_no_field_edit_is_refused(text):
    assert len(faults_of(parse_field_edit, text)) == 1


@pytest.mark.parametrize(
    "name", ["Host", "content-length", "Transfer-Encoding", "Connection", "Upgrade", "TE"]
)
def test_field_that_frames_or_belongs_to_a_connection_is_refused(name):
    assert "cannot be edited" in faults_of(parse_field_edit, f"{name}: x")[0]
    assert "cannot be edited" in faults_of(parse_field_edit, f"-{name}")[0]


@pytest.mark.parametrize(("text", "secret"), [("@a/b", Secret(file="a/b")), ("env:X", Secret(variable="X"))])
def test_secret_is_read(text, secret):
    assert parse_secret(text) == secret


@pytest.mark.parametrize("text", ["hunter2", "@", "env:", ""])
def test_inline_secret_is_refused_and_not_repeated(text):
    assert faults_of(parse_secret, text) == ["…: a secret is not given inline\n  write @FILE or env:NAME"]


@pytest.mark.parametrize(
    "text", ["GET /", "GET /api/x", "GET /x?a=b", "GET https://localhost/x", "PUT http://h/?a=b=c"]
)
def test_request_to_be_explained_is_known(text):
    assert is_request(text)


@pytest.mark.parametrize("text", ["GET /x=:80", "/x=:80", "3000", "http://h/x", "GET", "localhost=:1"])
def test_route_is_no_request(text):
    assert not is_request(text)


@given(st.text(alphabet="/=:+,-.*{}@% 0189aGET[]$", max_size=30))
def test_any_argument_is_read_or_refused_as_usage(text):
    read = []
    try:
        read.append(parse_argument(Word(text)))
    except UsageError as error:
        read.extend(error.faults)
    assert read
