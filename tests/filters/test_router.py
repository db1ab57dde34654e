"""The router: what it calls, what it refuses, and that remembering where a target led changes nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netfront.errors import BadMessage, Refusal
from netfront.filters.router import Served, find_route, host_of, router
from netfront.http.message import Exchange, Request, Response
from netfront.policy.route import Match, Table, parse_scope
from netfront.wire.fields import EMPTY
from netfront.wire.target import parse_target


class Client:
    """Somebody who asks and of whom nothing need be known here."""

    facts = None
    told = None


def asking(method, raw, authority=b"app.test"):
    target = parse_target(method, raw)
    client = Client()
    exchange = Exchange(0.0, client, method, raw, b"1")
    return Request(method, target, b"1", b"http", authority, EMPTY, b"", client, exchange)


def answering(text):
    async def handle(request):
        return Response(200, EMPTY, text.encode())

    return handle


def serving(*routes):
    """Make a router; a route is its scope, or (scope, scope of a variant)."""
    rows = []
    for route in routes:
        text, *narrower = (route,) if isinstance(route, str) else route
        variants = [((parse_scope(scope),), answering(f"{text} {scope}")) for scope in narrower]
        rows.append((parse_scope(text), Served(answering(text), variants)))
    return router(Table(rows))


async def served(handler, method, raw, authority=b"app.test"):
    """Give what the router called, or the status of its refusal."""
    try:
        answer = await handler(asking(method, raw, authority))
    except (Refusal, BadMessage) as error:
        return error.status
    return answer.body.decode()


async def test_route_is_served_and_told():
    handler = serving("/api", "/")
    request = asking(b"GET", b"/api/x?y")
    answer = await handler(request)
    assert answer.body == b"/api"
    assert request.route == parse_scope("/api")


async def test_single_route_serves_whatever_is_asked():
    handler = serving("/")
    for method, raw in ((b"GET", b"/../x"), (b"GET", b"/%"), (b"GET", b"/a%2f..%2fb")):
        request = asking(method, raw)
        assert (await handler(request)).body == b"/"
        assert request.route == parse_scope("/")


async def test_parameters_of_the_route_are_told():
    handler = serving("/users/{id}", "/")
    for _ in range(2):
        request = asking(b"GET", b"/users/a%62%2fc/x")
        await handler(request)
        assert request.params == {"id": b"ab%2Fc"}
    request = asking(b"GET", b"/x")
    await handler(request)
    assert request.params == {}


async def test_no_route_is_404():
    assert await served(serving("/api"), b"GET", b"/x") == 404


async def test_wrong_method_is_405_with_allow():
    with pytest.raises(Refusal) as caught:
        serving("GET /x", "PUT /x/y")(asking(b"POST", b"/x/y"))
    assert caught.value.status == 405
    assert caught.value.fields == ((b"Allow", b"GET, HEAD, PUT"),)


@pytest.mark.parametrize("routes", [["/"], ["/api", "/"]])
@pytest.mark.parametrize("raw", [b"*", b"http://app.test"])
async def test_options_about_the_server_is_answered_here(raw, routes):
    answer = await serving(*routes)(asking(b"OPTIONS", raw))
    assert (answer.status, answer.body) == (200, b"")
    assert answer.fields.get(b"allow") == b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"


async def test_options_about_a_path_goes_to_its_route():
    assert await served(serving("/api", "/"), b"OPTIONS", b"/api") == "/api"


@pytest.mark.parametrize(
    ("authority", "expected"),
    [
        (b"app.test", "app.test"),
        (b"APP.test:8443", "app.test"),
        (b"app.test.", "app.test"),
        (b"app.test.:80", "app.test"),
        (b"x.app.test", "*.app.test"),
        (b"b.test", "/"),
        (b"", "/"),
        (b"[::1]:80", "[::1]"),
    ],
)
async def test_host_is_compared_without_case_port_and_trailing_dot(authority, expected):
    handler = serving("app.test", "*.app.test", "[::1]", "/")
    for _ in range(2):
        assert await served(handler, b"GET", b"/x", authority) == expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"/admin/x", "/admin"),
        (b"/%61dmin", "/admin"),
        (b"//admin", "/admin"),
        (b"/./admin", "/admin"),
        (b"/public/../admin", "/admin"),
        (b"/admin;x=1/y", "/admin"),
        (b"/;x/admin", "/admin"),
        (b"/ADMIN", "/"),
        (b"/administrator", "/"),
        (b"/x%2fy", "/"),
        (b"/@scope%2fpkg", "/"),
        (b"/admin/x%2fy", "/admin"),
        (b"/admin/..%2fadmin/x", "/admin"),
        (b"/public/..%2fadmin", 400),
        (b"/public/..%5cadmin", 400),
        (b"/public/..\\admin", 400),
        (b"/admin%2fx", 400),
        (b"/admin\\x", 400),
        (b"/public/x%2f..%2f..%2fadmin%2fy%5c..%5c..%5cpublic%5cx", 400),
        (b"/..%2fadmin", 400),
        (b"/../admin", 400),
        (b"/admin/..;/x", 400),
        (b"/%00", 400),
        (b"/%c0%ae%c0%ae/admin", 400),
    ],
)
async def test_spelling_of_a_path_does_not_lead_past_its_route(raw, expected):
    handler = serving("/admin", "/")
    for _ in range(2):
        assert await served(handler, b"GET", raw) == expected


async def test_readings_that_lead_nowhere_else_are_no_reason_to_refuse():
    assert await served(serving("/a", "/b"), b"GET", b"/a/x%2fy") == "/a"
    assert await served(serving("/a", "/b"), b"GET", b"/c%2fy") == 404
    assert await served(serving("/a", "/b"), b"GET", b"/a/..%2fc") == 400


async def test_first_variant_that_matches_serves():
    handler = serving(("/", "POST /api/x", "/api"), "b.test")
    assert await served(handler, b"POST", b"/api/x") == "/ POST /api/x"
    assert await served(handler, b"GET", b"/api/x") == "/ /api"
    assert await served(handler, b"GET", b"/%61pi") == "/ /api"
    assert await served(handler, b"GET", b"/x") == "/"


async def test_single_route_with_variants_is_searched():
    handler = serving(("/", "/api"))
    assert await served(handler, b"GET", b"/api") == "/ /api"
    assert await served(handler, b"GET", b"/x") == "/"


async def test_same_target_is_told_apart_by_method_and_host():
    handler = serving("GET /x", "POST /x", "b.test")
    for _ in range(2):
        assert await served(handler, b"GET", b"/x") == "GET /x"
        assert await served(handler, b"POST", b"/x") == "POST /x"
        assert await served(handler, b"GET", b"/x", b"b.test") == "b.test"


async def test_many_targets_and_long_ones_are_served_alike():
    handler = serving("/api", "/")
    for number in range(5000):
        assert await served(handler, b"GET", b"/api/%d" % number) == "/api"
    assert await served(handler, b"GET", b"/api/" + b"x" * 5000) == "/api"
    assert await served(handler, b"GET", b"/api/1") == "/api"


PIECES = st.sampled_from(rb"/ a b . .. %2f %5c \ ; %61 %2e".split())
RAWS = st.lists(PIECES, max_size=10).map(lambda parts: b"/" + b"".join(parts))


@given(RAWS)
def test_no_reading_of_what_passes_leads_elsewhere(raw):
    table = Table((parse_scope(text), text) for text in ("/a", "/a/b", "/b/*/a", "/{x}$"))
    target = parse_target(b"GET", raw)
    try:
        found = find_route(table, b"GET", b"", target)
    except BadMessage:
        return
    for reading in target.readings:
        other = table.find(b"GET", b"", reading)
        assert isinstance(other, Match) == isinstance(found, Match)
        assert not isinstance(found, Match) or other.value == found.value


def test_host_of_a_request_without_one_is_empty():
    assert host_of(b"") == b""
