"""The router: what it calls, what it refuses, and that remembering where a target led changes nothing."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netfront.errors import BadMessage, Refusal
from netfront.filters.router import router
from netfront.filters.served import Rules, Served, find_route, may_be_passed_over
from netfront.http.message import Exchange, Request, Response
from netfront.policy.guards import Guards
from netfront.policy.route import Match, Table, parse_scope
from netfront.wire.fields import EMPTY, REQUEST_KINDS, FieldMemory, Fields
from netfront.wire.target import host_of, parse_target


class Client:
    """Somebody who asks and of whom nothing need be known here."""

    facts = None
    told = None


def asking(method, raw, authority=b"app.test", *lines):
    target = parse_target(method, raw)
    fields = Fields(FieldMemory(REQUEST_KINDS).fields(list(lines)))
    client = Client()
    exchange = Exchange(0.0, client, method, raw, b"1")
    return Request(method, target, b"1", b"http", authority, fields, b"", client, exchange)


def answering(text):
    async def handle(request):
        return Response(200, EMPTY, text.encode())

    return handle


ALL_PATHS = Guards(lambda host: True, lambda *_: False)


def guards_of_host(guarded):
    return Guards(lambda host: host == guarded, lambda *_: False)


def restricting(text):
    return replace(parse_scope(text), ignores_case=True)


def serving(*routes):
    """Make a router; a route is its scope, or (scope, scope of a variant)."""
    rows = []
    for route in routes:
        text, *narrower = (route,) if isinstance(route, str) else route
        variants = [((restricting(scope),), answering(f"{text} {scope}"), Rules(scope)) for scope in narrower]
        rows.append((parse_scope(text), Served(answering(text), variants)))
    return router(Table(rows))


async def served(handler, method, raw, authority=b"app.test", *lines):
    """Give what the router called, or the status of its refusal."""
    try:
        answer = await handler(asking(method, raw, authority, *lines))
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
    assert caught.value.fields == ((b"Allow", b"GET, HEAD, OPTIONS, PUT"),)


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
        (b"[0:0::0:1]", "[::1]"),
        (b"%61pp.tes%54", "app.test"),
        (b"%5bx", "/"),
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


# -- rules, and hosts that have one on a path -----------------------------------------------------------------


async def sent_on(handler, raw, authority=b"app.test"):
    """Give the target by which a request goes on, or the status of its refusal."""
    request = asking(b"GET", raw, authority)
    try:
        await handler(request)
    except (Refusal, BadMessage) as error:
        return error.status
    return request.target.origin_form


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"/x%2fy", "/"),
        (b"/admin", "/ /admin"),
        (b"/ADMIN/x", "/ /admin"),
        (b"/%61dmin", "/ /admin"),
        (b"//admin", "/ /admin"),
        (b"/./admin", "/ /admin"),
        (b"/x/../admin", "/ /admin"),
        (b"/admin;a", "/ /admin"),
        (b"/x/%2e%2e/admin", "/ /admin"),
        (b"/public/..%2fadmin", 400),
        (b"/public/..%2fAdmin", 400),
        (b"/admin%2f", 400),
        (b"/admin%2fx", 400),
        (b"/admin\\x", 400),
        (b"/x\\..\\admin", 400),
        (b"/x/..;/admin", 400),
        (b"/x/.;/admin", 400),
        (b"/%c0%af/admin", 400),
        (b"/../admin", 400),
        (b"/admin/x%2fy", "/ /admin"),
    ],
)
async def test_spelling_of_a_path_does_not_lead_past_a_rule(raw, expected):
    handler = serving(("/", "/admin"))
    for _ in range(2):
        assert await served(handler, b"GET", raw) == expected


async def test_readings_may_meet_different_settings_under_the_same_rules():
    rows = [((parse_scope("/slow"),), answering("slow"), Rules("open"))]
    handler = router(Table([(parse_scope("/"), Served(answering("/"), rows, rules=Rules("open")))]))
    assert await served(handler, b"GET", b"/x/..%2fslow") == "/"


OVERRIDES = [
    (b"GET", b"/x", b"X-Original-URL: /admin", 400),
    (b"GET", b"/x", b"x_original_url: /admin", 400),
    (b"GET", b"/x", b"X-Rewrite-Url: http://app.test/admin", 400),
    (b"GET", b"/x", b"X-Original-URI: /admin", 400),
    (b"GET", b"/x", b"X_WAWS_Unencoded_URL: /admin", 400),
    (b"GET", b"/x", b"X-HTTP-DestinationURL: /admin", 400),
    (b"GET", b"/x", b"X-Rewrite-Url: /y", 400),  # where a backend takes that for is not known
    (b"GET", b"/x?a=b", b"X-Original-URL: /x?a=b", "/"),
    (b"GET", b"/x?a=b", b"X-Original-URL: /x", "/"),
    (b"GET", b"/x", b"X-Original-Host: /admin", "/"),
    (b"POST", b"/x", b"X-HTTP-Method-Override: DELETE", "/"),
    (b"POST", b"/api", b"X-HTTP-Method-Override: DELETE", 400),
    (b"POST", b"/api", b"X-HTTP-Method: delete", 400),
    (b"POST", b"/api", b"X_Method_Override: DELETE", 400),
    (b"POST", b"/api", b"X-HTTP-Method-Override: PATCH", "/"),
    (b"DELETE", b"/api", b"X-HTTP-Method-Override: DELETE", "/ DELETE /api"),
    (
        b"DELETE",
        b"/api",
        b"X-HTTP-Method-Override: GET",
        "/ DELETE /api",
    ),  # who may delete may read what all may
    (b"POST", b"/split", b"X-HTTP-Method-Override: PUT", 400),  # another route, and its rule
    (b"POST", b"/open", b"X-HTTP-Method-Override: PUT", "/"),  # another route, and no rule
    (b"POST", b"/api", b"X-HTTP-Method-Override: DELETE, x", 400),
    (b"POST", b"/x", b"X-HTTP-Method-Override: a b", "/"),
    (b"POST", b"/x", b"X-HTTP-Method-Override: ", "/"),
    (b"POST", b"/x", b"X-HTTP-Method-Override: a b c d e", 400),
    (b"POST", b"/api", b"X-HTTP-Method-Override: \xa0DELETE", 400),
    (b"POST", b"/pub/..%2fapi", b"X-HTTP-Method-Override: DELETE", 400),
    (b"GET", b"/admin/../x", b"X-Original-URL: /admin/../x", "/"),  # as it came; it goes no further
    (b"GET", b"/admin/../x", b"X-Original-URL: /x", "/"),
    (b"POST", b"/asks", b"X-HTTP-Method-Override: PUT", 400),
    (b"POST", b"/asks", b"X-HTTP-Method-Override: POST", "/asks"),
]


@pytest.mark.parametrize(("method", "raw", "line", "expected"), OVERRIDES)
async def test_a_field_that_names_another_request_does_not_lead_past_a_rule(method, raw, line, expected):
    rows = [
        ((restricting(scope),), answering(f"/ {scope}"), Rules(scope)) for scope in ("/admin", "DELETE /api")
    ]
    asking_it = Served(answering("/asks"), rules=Rules("same", by_method=True))
    table = Table(
        [
            (parse_scope("/"), Served(answering("/"), rows)),
            (parse_scope("PUT /split"), Served(answering("split"), rules=Rules("split"))),
            (parse_scope("PUT /open"), Served(answering("open"))),
            (parse_scope("/asks"), asking_it),
        ]
    )
    handler = router(table, guards=ALL_PATHS)
    for _ in range(2):
        assert await served(handler, method, raw, b"app.test", line) == expected
    plain = await served(handler, method, raw)
    unruled = router(table)
    expected = plain if plain != 400 else "/"  # which a guarded host takes for no text, or for dots
    assert await served(unruled, method, raw, b"app.test", line) == expected


WRITES = [
    (b"COPY", b"Destination: http://a.test/admin/x", 400),
    (b"COPY", b"Destination: http://a.test/admin%0a", 400),  # text on its host, where paths are guarded
    (b"COPY", b"Destination: http://a.test/adm%c4%b0n", 400),
    (b"COPY", b"Destination: http://b.test/admin/x", "/"),
    (b"COPY", b"Destination: /admin/x", "/"),
    (b"POST", b"X-HTTP-Method: MOVE\r\nDestination: http://a.test/admin/x", 400),
    (b"MOVE", b"Destination: /x\r\nDestination: /y", 400),  # which of them is for the backend to say
    (b"GET", b"Destination: Paris\r\nDestination: Rome", "/"),
]


@pytest.mark.parametrize(("method", "lines", "expected"), WRITES)
async def test_where_a_request_writes_the_rules_of_that_host_hold(method, lines, expected):
    rows = [((restricting("a.test/admin"),), answering("/admin"), Rules("admin"))]
    table = Table([(parse_scope("/"), Served(answering("/"), rows))])
    handler = router(table, guards=guards_of_host(b"a.test"), is_ruled=True)
    assert await served(handler, method, b"/x", b"b.test", *lines.split(b"\r\n")) == expected


async def test_a_limit_holds_for_what_is_served_and_not_for_where_that_writes():
    limited = Rules(("who", "how often"), without_limits=("who",))
    rows = [((restricting("PUT /"),), answering("limited"), limited)]
    asked = Rules(("who",), without_limits=("who",))
    handler = router(Table([(parse_scope("/"), Served(answering("/"), rows, rules=asked))]), guards=ALL_PATHS)
    assert await served(handler, b"COPY", b"/x", b"a", b"Destination: /y") == "/"
    assert await served(handler, b"POST", b"/x", b"a", b"X-HTTP-Method-Override: PUT") == 400


async def test_all_fields_together_name_few_methods():
    """To look for each takes as long as to look for the request's own: 368 of them took 0.3 s."""
    table = Table([(parse_scope("/"), Served(answering("/")))])
    handler = router(table, guards=ALL_PATHS)
    lines = [b"X-HTTP-Method-Override: A%d B%d" % (at, at) for at in range(3)]
    assert await served(handler, b"POST", b"/x", b"a", *lines[:2]) == "/"
    assert await served(handler, b"POST", b"/x", b"a", *lines) == 400
    targets = [b"X-Original-URL: /x", b"X-Rewrite-URL: /y"]
    assert await served(handler, b"POST", b"/x", b"a", *targets[:1], *targets[:1]) == "/"
    assert await served(handler, b"POST", b"/x", b"a", *targets) == 400


async def test_a_rule_of_methods_alone_heeds_the_fields_that_name_one():
    rows = [((restricting("DELETE /"),), answering("deleting"), Rules("x"))]
    handler = router(Table([(parse_scope("/"), Served(answering("/"), rows))]), is_ruled=True)
    assert await served(handler, b"POST", b"/", b"a", b"X-HTTP-Method-Override: DELETE") == 400
    assert await served(handler, b"POST", b"/", b"a", b"X-Original-URL: /y") == "/"


async def test_where_one_route_serves_all_by_a_rule_that_asks_for_the_method_or_the_query_the_fields_are_heeded():
    for rules, line in (
        (Rules("x", by_method=True), b"X-HTTP-Method-Override: DELETE"),
        (Rules("x", by_query=True), b"X-Original-URL: /?tenant=other"),
    ):
        handler = router(Table([(parse_scope("/"), Served(answering("/"), rules=rules))]), is_ruled=True)
        assert await served(handler, b"POST", b"/?tenant=mine", b"a", line) == 400
        assert await served(handler, b"POST", b"/?tenant=mine") == "/"


async def test_a_field_that_names_the_target_itself_goes_no_further():
    """Where a backend is asked for another path than the client, it would be another target to it."""
    seen = []

    async def handle(request):
        seen.append([row.name for row in request.fields])
        return Response(200, EMPTY, b"")

    handler = router(Table([(parse_scope("/"), Served(handle))]), guards=ALL_PATHS)
    assert (
        await served(handler, b"GET", b"/x", b"a", b"X-Original-URL: /x", b"x_rewrite_url: /x", b"A: b") == ""
    )
    assert seen == [[b"a"]]


async def test_a_field_that_names_a_method_is_held_against_what_conditions_lead_to_as_well():
    rows = [((restricting("DELETE /"),), answering("deleting"), Rules("x"))]
    other = Served(answering("other"), rows)
    places = [
        (parse_scope("/a"), Served(None, alternatives=[(lambda request: False, other)])),
        (parse_scope("/"), Served(answering("/"))),
    ]
    handler = router(Table(places, may_be_passed_over), is_ruled=True)
    assert await served(handler, b"POST", b"/a", b"a", b"X-HTTP-Method-Override: DELETE") == 400
    assert await served(handler, b"POST", b"/a", b"a", b"X-HTTP-Method-Override: PUT") == "/"


async def test_a_path_that_no_route_serves_is_not_there_whatever_it_is_like():
    table = Table([(parse_scope("/in"), Served(answering("/in")))])
    handler = router(table, guards=ALL_PATHS)
    assert await served(handler, b"GET", "/\u0131n".encode()) == 404


async def test_a_method_is_not_excused_by_a_rule_that_may_not_be_the_one_that_is_asked():
    """Of alternatives one is open, and which serves the request is known by a condition alone."""
    sometimes = Served(None, alternatives=[(lambda request: True, Served(answering("open")))])
    posts = Served(answering("guarded"), rules=Rules("rule"), alternatives=sometimes.alternatives)
    deletes = Served(answering("guarded"), rules=Rules("rule"))
    table = Table([(parse_scope("POST /"), posts), (parse_scope("DELETE /"), deletes)])
    handler = router(table, guards=ALL_PATHS, is_ruled=True)
    assert await served(handler, b"POST", b"/x") == "open"
    assert await served(handler, b"POST", b"/x", b"a", b"X-HTTP-Method-Override: DELETE") == 400


async def test_rules_that_ask_for_segments_are_not_passed_by_others():
    asking_it = Served(answering("/"), rules=Rules("same", params=frozenset("a")))
    handler = router(Table([(parse_scope("/{a}"), asking_it)]), guards=ALL_PATHS)
    for raw in (b"/x%2fy", b"/x;y/z%2f..", b"/\xc4\xb0", b"/x;y%2f..%2fz"):
        assert await served(handler, b"GET", raw) == 400, raw
    for raw in (b"/x/%79", b"/x/a%2fb", b"/x/a;b", "/x/\u00fc\u0130.pdf".encode(), b"/x/a%2fb;c"):
        assert await served(handler, b"GET", raw) == "/", raw
    destination = b"Destination: "
    assert await served(handler, b"COPY", b"/x/y", b"a", destination + b"/x/z") == "/"
    assert await served(handler, b"COPY", b"/x/y", b"a", destination + b"/y/z") == 400


@pytest.mark.parametrize(
    ("raw", "sent"),
    [
        (b"/x?a=//b/../c", b"/x?a=//b/../c"),
        (b"/x", b"/x"),
        (b"/x?", b"/x?"),
        (b"//x/./y?q", b"/x/y?q"),
        (b"/a/../%78;v=1/%2F", b"/x;v=1/%2F"),
        (b"http://app.test//x", b"/x"),
        (b"/../x", 400),
        (b"/x/..;/y", 400),
        (b"/%00", 400),
    ],
)
async def test_target_goes_on_as_it_was_decided_by_where_the_host_is_guarded(raw, sent):
    table = Table([(parse_scope("/"), Served(answering("/")))])
    handler = router(table, guards=guards_of_host(b"app.test"))
    for _ in range(2):
        assert await sent_on(handler, raw) == sent


async def test_target_goes_on_as_it_came_to_other_hosts():
    table = Table([(parse_scope("/"), Served(answering("/")))])
    handler = router(table, guards=guards_of_host(b"app.test"))
    assert await sent_on(handler, b"//x/./y", b"b.test") == b"//x/./y"
    assert await sent_on(router(table), b"//x/./y") == b"//x/./y"
    assert await sent_on(handler, b"//x/./y", b"APP.test.:81") == b"/x/y"
    assert await sent_on(handler, b"//x/./y", b"app.test..") == b"/x/y"


# -- routes that ask for more ---------------------------------------------------------------------------------


def carrying(name):
    return lambda request: request.method == name


async def test_conditional_routes_are_tried_in_order_and_the_plain_one_last():
    others = [(carrying(b"A"), Served(answering("a"))), (lambda _: True, Served(answering("b")))]
    plain = Served(answering("plain"), alternatives=others[:1])
    assert await served(router(Table([(parse_scope("/"), plain)])), b"A", b"/") == "a"
    assert await served(router(Table([(parse_scope("/"), plain)])), b"GET", b"/") == "plain"
    both = Served(answering("plain"), alternatives=others)
    assert await served(router(Table([(parse_scope("/x"), both)])), b"GET", b"/x") == "b"


async def test_place_without_a_plain_route_counts_as_not_there_where_no_condition_holds():
    wanted = []
    only = Served(None, alternatives=[(lambda request: wanted != [], Served(answering("beta")))])
    rows = [(parse_scope("/{x}/api"), only), (parse_scope("/{y}"), Served(answering("plain")))]
    handler = router(Table(rows, may_be_passed_over))
    request = asking(b"GET", b"/1/api")
    assert (await handler(request)).body == b"plain"
    assert (request.route, request.params) == (parse_scope("/{y}"), {"y": b"1"})
    wanted.append(1)
    request = asking(b"GET", b"/1/api")
    assert (await handler(request)).body == b"beta"
    assert (request.route, request.params) == (parse_scope("/{x}/api"), {"x": b"1"})


async def test_conditional_route_alone_is_404_without_its_condition():
    only = Served(None, alternatives=[(carrying(b"A"), Served(answering("a")))])
    handler = router(Table([(parse_scope("/"), only)], may_be_passed_over))
    assert await served(handler, b"A", b"/") == "a"
    assert await served(handler, b"GET", b"/") == 404


async def test_options_are_told_where_no_route_takes_the_method():
    answer = await serving("GET /x", "PUT /x")(asking(b"OPTIONS", b"/x"))
    assert (answer.status, answer.body) == (200, b"")
    assert answer.fields.get(b"allow") == b"GET, HEAD, OPTIONS, PUT"
