"""Scopes: their grammar, what is refused and how it is told, and how two of them lie to each other."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netfront.errors import UsageError
from netfront.policy.scope import Near, Scope, parse_scope
from tests.policy.test_route import PATHS, SCOPES


@pytest.mark.parametrize(
    ("text", "scope"),
    [
        ("/", Scope()),
        ("/api", Scope(segments=("api",))),
        ("/api/", Scope(segments=("api",))),
        ("//api//v1", Scope(segments=("api", "v1"))),
        ("/api$", Scope(segments=("api",), is_exact=True)),
        ("/$", Scope(is_exact=True)),
        ("/u/{id}/*/**", Scope(segments=("u", "{id}", "*", "**"))),
        ("app.localhost", Scope(host="app.localhost")),
        ("App.Localhost/x", Scope(host="app.localhost", segments=("x",))),
        ("localhost", Scope(host="localhost")),
        ("localhost/", Scope(host="localhost")),
        ("*.example.test/x", Scope(host="*.example.test", segments=("x",))),
        ("127.0.0.1", Scope(host="127.0.0.1")),
        ("[::1]/x", Scope(host="[::1]", segments=("x",))),
        ("GET /x", Scope(("GET",), segments=("x",))),
        ("GET,POST app.test/x$", Scope(("GET", "POST"), "app.test", ("x",), True)),
        ("M-SEARCH /", Scope(("M-SEARCH",))),
        ("/.well-known/~a!&'()@:-_", Scope(segments=(".well-known", "~a!&'()@:-_"))),
        ("/%7euser/%41%2fb", Scope(segments=("~user", "A%2Fb"))),
        ("/caf%c3%a9", Scope(segments=("caf%C3%A9",))),
        ("/a*b", Scope(segments=("a*b",))),
    ],
)
def test_scope_is_read(text, scope):
    assert parse_scope(text) == scope


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "a host, a path, or both"),
        ("api", "no host"),
        ("app.localhost:8080/x", "ports belong to --listen"),
        ("*/x", "no host"),
        ("*.*.test", "no host"),
        ("a.*.test", "no host"),
        ("-a.test", "no host"),
        ("a..test", "no host"),
        ("a.test.", "no host"),
        ("käse.test", "no host"),
        ("GET", "no host"),
        ("GET ", "a host, a path, or both"),
        ("GET,, /x", "no list of methods"),
        (",GET /x", "no list of methods"),
        ("G(T /x", "no list of methods"),
        ("get /x", "upper case: GET"),
        ("GET,post /x", "upper case: GET,POST"),
        ("/a/**/b", "only at the end"),
        ("/a b", "no path segment"),
        ("/a;b", "no path segment"),
        ("/a?b", "no path segment"),
        ("/a#b", "no path segment"),
        ("/{", "no path segment"),
        ("/{}", "no path segment"),
        ("/{1}", "no path segment"),
        ("/a{b}", "no path segment"),
        ("/a$/b", "no path segment"),
        ("/é", "no path segment"),
        ("/..", "resolved"),
        ("/a/./b", "resolved"),
        ("/%2e%2E/a", "resolved"),
        ("/%zz", "encodes nothing"),
        ("/100%", "encodes nothing"),
        ("/%00", "NUL"),
        ("/%c0%ae", "overlong"),
        ("/{a}/{a}", "twice"),
    ],
)
def test_what_is_no_scope_is_refused(text, why):
    with pytest.raises(UsageError) as caught:
        parse_scope(text)
    assert why in str(caught.value)
    assert caught.value.faults[0].what == (text or "(empty)")


@given(SCOPES)
def test_scope_is_written_as_it_is_read(scope):
    assert parse_scope(str(scope)) == scope


@pytest.mark.parametrize(
    ("text", "prefix"),
    [("/", "/"), ("/a/b", "/a/b"), ("/a/b$", "/a/b"), ("/a/{x}/b", "/a"), ("/*", "/"), ("a.test/a/**", "/a")],
)
def test_prefix_is_what_is_literal(text, prefix):
    assert parse_scope(text).prefix == prefix


@pytest.mark.parametrize(
    ("wide", "narrow", "covers"),
    [
        ("/", "/a", True),
        ("/a", "/a/b", True),
        ("/a", "/ab", False),
        ("/a", "/a$", True),
        ("/a$", "/a", False),
        ("/a$", "/a$", True),
        ("/*", "/a", True),
        ("/a", "/*", False),
        ("/*", "/**", False),
        ("/**", "/", True),
        ("/a/**", "/a", True),
        ("/a/**$", "/a/b", True),
        ("/{x}", "/*", True),
        ("/", "app.test", True),
        ("app.test", "/", False),
        ("*.test", "app.test", True),
        ("*.test", "*.app.test", True),
        ("*.app.test", "*.test", False),
        ("*.test", "/", False),
        ("GET /", "HEAD /", True),
        ("GET /", "GET,HEAD /", True),
        ("HEAD /", "GET /", False),
        ("GET /", "/", False),
        ("/", "GET /", True),
    ],
)
def test_wide_scope_covers_a_narrow_one(wide, narrow, covers):
    assert parse_scope(wide).covers(parse_scope(narrow)) == covers


@pytest.mark.parametrize(
    ("one", "other", "meets"),
    [
        ("/a", "/b", False),
        ("/a", "/a/b", True),
        ("/a$", "/a/b", False),
        ("/a/*$", "/a/b", True),
        ("/a/*$", "/a/b/c", False),
        ("/*/b", "/a/{x}", True),
        ("/*/b", "/a/c", False),
        ("/a/**", "/a$", True),
        ("/a/**", "/b", False),
        ("/amdin", "/admin", False),
        ("app.test", "/x", True),
        ("app.test", "b.test", False),
        ("*.test", "app.test/x", True),
        ("*.a.test", "*.b.test", False),
        ("GET /", "POST /", False),
        ("GET /", "HEAD /", True),
        ("GET /", "/", True),
    ],
)
def test_scopes_meet_where_a_request_lies_in_both(one, other, meets):
    assert parse_scope(one).meets(parse_scope(other)) == meets
    assert parse_scope(other).meets(parse_scope(one)) == meets


@given(
    SCOPES,
    SCOPES,
    st.sampled_from(["GET", "HEAD", "POST"]),
    st.sampled_from(["a.t", "b.a.t", "x.b.a.t"]),
    PATHS,
)
def test_relations_agree_with_what_matches(one, other, method, host, path):
    request = method.encode(), host.encode(), ("/" + "/".join(path)).encode()
    if one.matches(*request) and other.matches(*request):
        assert one.meets(other)
    if other.matches(*request) and not one.matches(*request):
        assert not one.covers(other)
    if one.covers(other):
        assert one.meets(other)


def test_restriction_may_ignore_the_case_of_text():
    scope = parse_scope("GET /Admin/%C3%A9")
    alike = replace(scope, ignores_case=True)
    assert alike.matches(b"GET", b"", b"/aDMIN/%C3%A9/x")
    assert alike.matches(b"get", b"", b"/admin/%C3%A9")
    assert not scope.matches(b"GET", b"", b"/aDMIN/%C3%A9/x")
    assert not scope.matches(b"get", b"", b"/Admin/%C3%A9")
    assert not alike.matches(b"GET", b"", b"/admins/%C3%A9")


def test_scopes_that_ignore_case_cover_and_meet_what_is_written_otherwise():
    scope, other = parse_scope("/admin"), parse_scope("/Admin/x")
    alike = replace(scope, ignores_case=True)
    assert alike.covers(other)
    assert alike.meets(other)
    assert other.meets(alike)
    assert not scope.covers(alike)
    assert alike.covers(scope)
    assert parse_scope("/1").covers(replace(parse_scope("/1/a"), ignores_case=True))
    posts, forms = parse_scope("POST /"), replace(parse_scope("POST,PUT /"), ignores_case=True)
    assert forms.covers(posts)
    assert not posts.covers(replace(posts, ignores_case=True))  # it has no post
    own, lower = replace(parse_scope("FOO /"), ignores_case=True), parse_scope("foo /")
    assert own.meets(lower)
    assert own.covers(lower)
    assert replace(lower, ignores_case=True).matches(b"Foo", b"", b"/")
    assert not parse_scope("/{x}/a").covers(replace(parse_scope("/b/a"), ignores_case=True))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("/a/{x}", "/a/{y}", True),
        ("/a/{x}", "/a/*", True),
        ("/a", "/a/**", True),
        ("/a/**$", "/a", True),
        ("GET,POST /a", "POST,GET,HEAD /a", True),
        ("/a", "/a$", False),
        ("/a", "/A", False),
        ("/a", "a.test/a", False),
        ("/a/{x}", "/a/x", False),
        ("GET /a", "/a", False),
        ("/", "/**", True),
    ],
)
def test_scopes_that_mean_the_same_are_known(one, other, same):
    assert (parse_scope(one).meant == parse_scope(other).meant) == same


@given(st.lists(SCOPES, max_size=8), SCOPES, st.booleans())
def test_near_are_all_that_a_scope_meets(scopes, scope, ignores_case):
    wanted = replace(scope, ignores_case=ignores_case)
    near = Near((one, at) for at, one in enumerate(scopes)).of(wanted)
    assert near == sorted(near)
    assert {at for at, one in enumerate(scopes) if one.meets(wanted)} <= {*near}
    assert Near((one, at) for at, one in enumerate(scopes)).of(None) == [*range(len(scopes))]


@pytest.mark.parametrize(
    ("scope", "host", "path", "is_below"),
    [
        ("/top/admin", b"a.test", b"/top", True),
        ("/top/admin", b"a.test", b"/", True),
        ("/top/admin", b"a.test", b"/TOP/", True),
        ("/top/admin", b"a.test", b"/top/admin", False),
        ("/top/admin", b"a.test", b"/top/admin/x", False),
        ("/top/admin", b"a.test", b"/other", False),
        ("/top/admin$", b"a.test", b"/top", True),
        ("/top/**", b"a.test", b"/", True),
        ("/top/**", b"a.test", b"/top", False),
        ("/{user}/keys", b"a.test", b"/ann", True),
        ("/*/keys", b"a.test", b"/ann/x", False),
        ("/", b"a.test", b"/", False),
        ("DELETE a.test/x", b"a.test", b"/", True),
        ("a.test/x", b"b.test", b"/", False),
        ("*.test/x", b"a.test", b"/", True),
        ("*.test/x", b"test", b"/", False),
    ],
)
def test_what_lies_below_a_path(scope, host, path, is_below):
    assert parse_scope(scope).caseless.lies_below(host, path) == is_below
