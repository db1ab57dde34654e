"""The table of routes: tables of what is found, and a slow obvious reading of the rules beside it."""

import timeit
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netfront.policy.route import Match, NotFound, Scope, Table, WrongMethod, goes_first, parse_scope


def table(*texts):
    return Table((parse_scope(text), text) for text in texts)


def found(routes, request):
    """Give the text of the route that a request such as "GET app.test/x" is found to have."""
    method, _, place = request.partition(" ")
    host, _, path = place.partition("/")
    answer = routes.find(method.encode(), host.encode(), b"/" + path.encode())
    if isinstance(answer, Match):
        return answer.value
    return answer.allow.decode() if isinstance(answer, WrongMethod) else None


@pytest.mark.parametrize(
    ("texts", "request_", "expected"),
    [
        # prefixes end on segment borders
        (["/api"], "GET a.test/api", "/api"),
        (["/api"], "GET a.test/api/", "/api"),
        (["/api"], "GET a.test/api/x/y", "/api"),
        (["/api"], "GET a.test/apis", None),
        (["/api"], "GET a.test/API", None),
        (["/api"], "GET a.test/", None),
        (["/api/"], "GET a.test/api", "/api/"),
        (["/"], "GET a.test/x", "/"),
        (["/"], "GET a.test/", "/"),
        (["/api", "/api/v1", "/"], "GET a.test/api/v1/x", "/api/v1"),
        (["/api", "/api/v1", "/"], "GET a.test/api/v2", "/api"),
        (["/api", "/api/v1", "/"], "GET a.test/x", "/"),
        # exact
        (["/api$"], "GET a.test/api", "/api$"),
        (["/api$"], "GET a.test/api/", "/api$"),
        (["/api$"], "GET a.test/api/x", None),
        (["/$"], "GET a.test/", "/$"),
        (["/$"], "GET a.test/x", None),
        (["/api", "/api$"], "GET a.test/api", "/api$"),
        (["/api", "/api$"], "GET a.test/api/x", "/api"),
        # patterns: text, {name}, *, **; longer first
        (["/{id}", "/x"], "GET a.test/x/y", "/x"),
        (["/*", "/{id}"], "GET a.test/x", "/{id}"),
        (["/**", "/*"], "GET a.test/x/y", "/*"),
        (["/**", "/*/y"], "GET a.test/x/z", "/**"),
        (["/", "/**"], "GET a.test/x", "/**"),
        (["/*"], "GET a.test/", None),
        (["/**"], "GET a.test/", "/**"),
        (["/a/**"], "GET a.test/a", "/a/**"),
        (["/a/**"], "GET a.test/b", None),
        (["/a/*/c", "/a/b"], "GET a.test/a/b/c", "/a/b"),
        (["/a/b/x", "/a/*/c"], "GET a.test/a/b/c", "/a/*/c"),
        (["/*/b/c", "/{id}/b", "/a/x"], "GET a.test/a/b/c", "/{id}/b"),
        (["/a/*$"], "GET a.test/a/b", "/a/*$"),
        (["/a/*$"], "GET a.test/a/b/c", None),
        (["/a*"], "GET a.test/ab", None),
        (["/a*"], "GET a.test/a*", "/a*"),
        # host: exact, the longest wildcard, none
        (["app.test", "/"], "GET app.test/x", "app.test"),
        (["app.test", "/"], "GET b.test/x", "/"),
        (["app.test", "/"], "GET /x", "/"),
        (["*.test", "app.test"], "GET app.test/", "app.test"),
        (["*.test", "*.app.test"], "GET x.app.test/", "*.app.test"),
        (["*.test", "*.app.test"], "GET y.x.app.test/", "*.app.test"),
        (["*.test", "*.app.test"], "GET app.test/", "*.test"),
        (["*.app.test"], "GET app.test/", None),
        (["*.app.test"], "GET xapp.test/", None),
        (["app.test", "/api"], "GET app.test/api", "app.test"),
        (["app.test/x", "/"], "GET app.test/y", None),
        (["*.test/x", "/"], "GET app.test/y", None),
        (["app.test/x", "*.test"], "GET app.test/y", "*.test"),
        (["localhost/x", "/"], "GET localhost/x", "localhost/x"),
        (["[::1]/x", "/"], "GET [::1]/x", "[::1]/x"),
        # method: GET covers HEAD, a route for others is passed over
        (["GET /x"], "GET a.test/x", "GET /x"),
        (["GET /x"], "HEAD a.test/x", "GET /x"),
        (["HEAD /x"], "GET a.test/x", "HEAD, OPTIONS"),
        (["GET /x"], "POST a.test/x", "GET, HEAD, OPTIONS"),
        (["POST,PUT /x"], "GET a.test/x", "OPTIONS, POST, PUT"),
        (["POST /x"], "post a.test/x", "OPTIONS, POST"),
        (["POST /x/y", "/x"], "GET a.test/x/y", "/x"),
        (["POST /x/y", "PUT /x"], "GET a.test/x/y", "OPTIONS, POST, PUT"),
        (["POST /x/y", "PUT /x"], "GET a.test/x", "OPTIONS, PUT"),
        (["/x", "GET /x"], "GET a.test/x", "GET /x"),
        (["/x", "GET /x"], "POST a.test/x", "/x"),
        (["POST app.test/x", "/x"], "GET app.test/x", "OPTIONS, POST"),
        (["POST app.test/x", "*.test/x"], "GET app.test/x", "*.test/x"),
        (["POST app.test/x", "PUT *.test"], "GET app.test/x", "OPTIONS, POST, PUT"),
        (["PURGE /x"], "PURGE a.test/x", "PURGE /x"),
        (["GET /x"], "OPTIONS a.test/x", "GET, HEAD, OPTIONS"),
        # spelling
        (["/%7Euser"], "GET a.test/~user", "/%7Euser"),
        (["/a%2fb"], "GET a.test/a%2Fb", "/a%2fb"),
        # the first of two equal ones
        (["/x", "/x/"], "GET a.test/x", "/x"),
    ],
)
def test_route_is_found(texts, request_, expected):
    assert found(table(*texts), request_) == expected


@pytest.mark.parametrize(
    "host",
    [
        b"w.test",
        b".w.test",
        b"..w.test",
        b"a.w.test",
        b"a..w.test",
        b"aw.test",
        b"w.test.",
        b".",
        b"a.b.w.test",
    ],
)
def test_a_route_of_a_wildcard_and_a_rule_of_it_have_the_same_hosts(host):
    """Else a host leads to the service, and past what stands before it."""
    scope = parse_scope("*.w.test")
    is_found = isinstance(Table([(scope, 1)]).find(b"GET", host, b"/"), Match)
    assert is_found is scope.matches(b"GET", host, b"/")


def test_parameters_are_given_by_name():
    routes = table("/users/{id}/posts/{post}", "/users/{name}/x")
    answer = routes.find(b"GET", b"", b"/users/7/posts/8/9")
    assert answer.params == {"id": b"7", "post": b"8"}
    assert routes.find(b"GET", b"", b"/users/7/x").params == {"name": b"7"}
    assert routes.find(b"GET", b"", b"/users/7/x").scope == parse_scope("/users/{name}/x")


def test_route_without_parameters_gives_none():
    assert table("/x").find(b"GET", b"", b"/x").params == {}


@pytest.mark.parametrize(
    ("texts", "is_only"),
    [
        (["/"], True),
        (["/**"], True),
        (["/$"], False),
        (["/*"], False),
        (["/x"], False),
        (["app.test"], False),
        (["GET /"], False),
        (["/", "/x"], False),
        ([], False),
    ],
)
def test_single_route_without_conditions_needs_no_search(texts, is_only):
    only = table(*texts).only
    assert (only is not None) == is_only
    assert only is None or only.value == texts[0]


@pytest.mark.parametrize(
    ("texts", "passed", "request_", "expected"),
    [
        (["/api?", "/"], [], "GET a.test/api/x", "/api?"),
        (["/api?", "/"], ["/api"], "GET a.test/api/x", "/"),
        (["/api?"], ["/api"], "GET a.test/api/x", None),
        (["GET /api?", "POST /api"], ["GET /api"], "GET a.test/api", "OPTIONS, POST"),
        (["a.test/api?", "/"], [], "GET a.test/api", "a.test/api?"),
        (["a.test/api?", "/"], ["a.test/api"], "GET a.test/api", "/"),
        (["a.test/api?", "/"], [], "GET a.test/x", "/"),
        (["a.test/api?", "a.test/y", "/"], ["a.test/api"], "GET a.test/api", None),
        (["a.test/api?", "*.test", "/"], ["a.test/api"], "GET a.test/api", "*.test"),
        (["*.test?", "/"], ["*.test"], "GET a.test/api", "/"),
        (["*.test?", "/"], [], "GET a.test/api", "*.test?"),
    ],
)
def test_route_passed_over_is_as_if_not_there(texts, passed, request_, expected):
    routes = Table(((parse_scope(text.rstrip("?")), text) for text in texts), lambda text: text.endswith("?"))
    method, _, place = request_.partition(" ")
    host, _, path = place.partition("/")
    asked = method.encode(), host.encode(), b"/" + path.encode()
    answer = routes.find(*asked, [parse_scope(text) for text in passed])
    told = answer.value if isinstance(answer, Match) else getattr(answer, "allow", None)
    assert (told.decode() if isinstance(told, bytes) else told) == expected


def test_empty_table_finds_nothing():
    assert table().find(b"GET", b"a.test", b"/") == NotFound()


# -- a slow obvious reading ----------------------------------------------------------------------------------

METHODS = st.lists(st.sampled_from(["GET", "HEAD", "POST"]), max_size=2, unique=True).map(tuple)
HOSTS = st.sampled_from(["", "", "a.t", "b.a.t", "*.t", "*.a.t"])
SEGMENTS = st.lists(st.sampled_from(["a", "b", "{x}", "*"]), max_size=3).filter(
    lambda segments: segments.count("{x}") < 2
)
SCOPES = st.builds(
    lambda methods, host, segments, rest, is_exact: Scope(
        methods, host, (*segments, *rest), is_exact and not rest
    ),
    METHODS,
    HOSTS,
    SEGMENTS,
    st.sampled_from([(), (), ("**",)]),
    st.booleans(),
)
PATHS = st.lists(st.sampled_from(["a", "b", "c"]), max_size=4)


def lies_in_path(scope, path):
    wanted = [segment for segment in scope.segments if segment != "**"]
    if len(path) < len(wanted) or (scope.is_exact and len(path) != len(wanted)):
        return False
    return all(segment in ("*", "{x}", name) for segment, name in zip(wanted, path, strict=False))


def lies_at_host(scope, host):
    return scope.host in ("", host) or (scope.host.startswith("*.") and host.endswith(scope.host[1:]))


def takes(scope, method):
    return not scope.methods or method in scope.methods or (method == "HEAD" and "GET" in scope.methods)


def rank(scope):
    """Order scopes as they are preferred: the lowest serves."""
    kinds = {"{x}": 1, "*": 2, "**": 4}
    path = (*(kinds.get(segment, 0) for segment in scope.segments), 3 if scope.is_exact else 5)
    return (not scope.host, scope.host.startswith("*"), -len(scope.host), path, not scope.methods)


def slow_find(scopes, method, host, path):
    named = [scope for scope in scopes if scope.host and lies_at_host(scope, host)]
    asked = named or [scope for scope in scopes if not scope.host]
    there = [scope for scope in asked if lies_in_path(scope, path)]
    serving = [scope for scope in there if takes(scope, method)]
    if serving:
        return min(serving, key=rank)
    return {
        method for method in ("GET", "HEAD", "POST") if any(takes(scope, method) for scope in there)
    } or None


@given(
    st.lists(SCOPES, max_size=8, unique_by=lambda scope: (*rank(scope), scope.segments, scope.methods)),
    st.sampled_from(["GET", "HEAD", "POST", "PUT"]),
    st.sampled_from(["", "a.t", "b.a.t", "c.b.a.t", "c.t", "t", "x"]),
    PATHS,
    st.booleans(),
)
def test_table_finds_what_the_rules_say(scopes, method, host, path, is_open):
    routes = Table((scope, index) for index, scope in enumerate(scopes))
    raw = "/" + "/".join(path) + ("/" if is_open and path else "")
    answer = routes.find(method.encode(), host.encode(), raw.encode())
    expected = slow_find(scopes, method, host, path)
    if isinstance(answer, Match):
        assert rank(answer.scope) == rank(expected)
        assert scopes[answer.value] is answer.scope
        if "{x}" in answer.scope.segments:
            assert answer.params["x"].decode() in path
    elif isinstance(answer, WrongMethod):
        assert set(answer.allow.decode().split(", ")) == expected | {"OPTIONS"}
    else:
        assert expected is None


@given(SCOPES, SCOPES, PATHS)
def test_of_two_routes_of_a_host_that_goes_first_which_the_table_finds(one, other, path):
    one, other = (replace(scope, methods=(), host="") for scope in (one, other))
    raw = ("/" + "/".join(path)).encode()
    if goes_first(one, other):
        assert not goes_first(other, one)
        if one.matches(b"GET", b"", raw) and other.matches(b"GET", b"", raw):
            assert Table([(other, 2), (one, 1)]).find(b"GET", b"", raw).value == 1
    elif not goes_first(other, one) and one.matches(b"GET", b"", raw) and other.matches(b"GET", b"", raw):
        assert rank(one) == rank(other)


@given(
    SCOPES, st.sampled_from(["GET", "HEAD", "POST", "PUT"]), st.sampled_from(["", "a.t", "b.a.t", "t"]), PATHS
)
def test_scope_matches_what_a_table_of_it_finds(scope, method, host, path):
    request = method.encode(), host.encode(), ("/" + "/".join(path)).encode()
    assert scope.matches(*request) == isinstance(Table([(scope, 1)]).find(*request), Match)


def test_thousand_routes_cost_about_what_one_costs():
    few = table("/r7/x", "/")
    many = table(*[f"/r{number}/x" for number in range(1000)], "/")
    times = [
        min(
            timeit.repeat(
                lambda routes=routes: routes.find(b"GET", b"a.test", b"/r7/x/y"), number=2000, repeat=7
            )
        )
        for routes in (few, many)
    ]
    assert times[1] < 2 * times[0]
