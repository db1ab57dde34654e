"""The gateway's flags that make routes: their plans, and what is refused."""

import pytest

from netfront.cli.explain import explain_plan, explain_request
from netfront.cli.flags import ServeFlags
from netfront.cli.planning import plan_serving
from netfront.errors import UsageError


def plan(*targets, **flags):
    return plan_serving("gateway", ServeFlags(targets=targets, **flags))


def refused(*targets, **flags):
    with pytest.raises(UsageError) as caught:
        plan(*targets, **flags)
    return str(caught.value)


def rows(text, name):
    return [line[14:] for line in text.splitlines() if line[:13].strip() == name]


def test_match_makes_a_route_with_a_pool_of_its_own():
    made = plan(
        "/api=:3001", match=["/api: header:X-Version=2 => :3002,:3003+weight=2", "/api: cookie:b => :3004"]
    )
    assert [route.named for route in made.routes] == ["/api", "/api header:x-version=2", "/api cookie:b"]
    assert [len(pool.targets) for pool in made.pools] == [1, 2, 1]
    assert len({pool.name for pool in made.pools}) == 3


def test_match_given_twice_adds_its_targets():
    made = plan("/=:3001", match=["/: query:v => :3002", "/: query:v => :3003"])
    assert [len(pool.targets) for pool in made.pools] == [1, 2]


def test_match_without_scope_is_for_everything():
    assert plan("/=:1", match=["cookie:beta => :2"]).routes[1].named == "/ cookie:beta"


def test_gateway_needs_no_backend_where_it_answers():
    made = plan(respond=["/down: 503 back soon"], redirect=["GET app.test/x/{id}: /y/{id}"])
    assert made.pools == ()
    assert [str(route.scope) for route in made.routes] == ["GET app.test/x/{id}$", "/down$"]
    told = explain_plan(made)
    assert "308: to /y/{id}" in told
    assert "503, 9 bytes of text/plain; charset=utf-8, by ourselves" in told


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("hello", "text/plain; charset=utf-8"),
        ('{"a": 1}', "application/json"),
        ("[1]", "application/json"),
        ("[closed]", "text/plain; charset=utf-8"),
        ("<p>hello", "text/html; charset=utf-8"),
    ],
)
def test_text_is_told_by_what_it_is(text, kind):
    [route] = plan(respond=[f"/x: 200 {text}"]).routes
    assert route.answer.respond.content_type == kind


@pytest.mark.parametrize(
    ("targets", "flags", "why"),
    [
        (["/a/{x}=:1", "/a/{y}=:2"], {}, "the routes /a/{x} and /a/{y}: they match the same requests"),
        (["/a/{x}=:1", "/a/*=:2"], {}, "they match the same requests"),
        (["/a=:1", "/a/**=:2"], {}, "they match the same requests"),
        (["GET,PUT /a=:1", "PUT,GET /a=:2"], {}, "they match the same requests"),
        (["/a/{x}=:1"], {"match": ["/a/{y}: cookie:b => :2"]}, "they match the same requests"),
        (["/down=:1"], {"respond": ["/down: 503"]}, "/down is forwarded, and answered by ourselves"),
        (["/down$=:1"], {"respond": ["/down: 503"]}, "/down is forwarded, and answered by ourselves"),
        (["/{x}=:1"], {"redirect": ["/{y}: /z"]}, "/{y} is forwarded, and answered by ourselves"),
        (["/=:1"], {"redirect": ["/: /app"]}, "write '/$: …'"),
        (
            ["/=:1"],
            {"respond": ["/h: 200"], "match": ["/h: header:x => :2"]},
            "/h is forwarded where header:x holds, and answered by ourselves before that\n"
            "  to ask for that first, write --match '/h$: header:x => …'",
        ),
        ([], {"redirect": ["/h: /x"], "match": ["/h: query:x => :2"]}, "write --match '/h$: query:x => …'"),
        (
            ["/b=:1"],
            {"compose": ["/h = x:/b"], "match": ["/h$: query:x => :2"]},
            "write --match 'GET /h$: query:x",
        ),
        (
            ["/a=:1"],
            {"compose": ["/a = x:http://x/b"]},
            "to forward only what lies below, write 'GET /a$ = …'",
        ),
        ([], {"respond": ["/x: 200", "/x$: 201"]}, "answered twice"),
        ([], {"respond": ["/x: 200"], "redirect": ["/x: /y"]}, "answered twice"),
        ([], {"respond": ["200 x"]}, "it has no scope"),
        ([], {"respond": ["/x: 99"]}, "it begins with no status"),
        ([], {"respond": ["/x: 101 x"]}, "it begins with no status"),
        ([], {"respond": ["/x: 204 x"]}, "an answer with 204 has no content"),
        ([], {"redirect": ["/x: 200 /y"]}, "200 is no redirect"),
        ([], {"redirect": ["/x: 304 /y"]}, "304 is no redirect"),
        ([], {"redirect": ["/x: /x"]}, "it leads back to where it came from"),
        ([], {"redirect": ["app.test/x/{id}: 301 /x/{id}?y=1"]}, "it leads back to where it came from"),
        ([], {"redirect": ["POST /x: /x"]}, "it leads back to where it came from"),
        ([], {"redirect": ["/x/**: /x/{**}"]}, "it leads back to where it came from"),
        ([], {"redirect": ["/x/{id}: /{**}"]}, "no {**} in its scope\n  the names there are: {id}"),
        (["/=:1"], {"rewrite": ["/a: /b", "/a: /c"]}, "--rewrite '/a: /b' holds there already"),
        (
            [],
            {"respond": ["/h: 503"], "match": ["GET /h: header:x => :1"]},
            "to ask for that first, write --match 'GET /h$: header:x => …'",
        ),
        (
            ["/a=:1"],
            {"compose": ["/h = a:/a"], "match": ["GET /h: header:x => :1"]},
            "GET /h is forwarded where header:x holds, and answered by ourselves before that",
        ),
        ([], {"redirect": ["/x: //evil"]}, "not where one can be sent"),
        ([], {"redirect": ["/x: javascript:1"]}, "not where one can be sent"),
        ([], {"redirect": ["/{h}: https://{h}/"]}, "not where one can be sent"),
        ([], {"redirect": ["/x: https://u@h.test/"]}, "not where one can be sent"),
        ([], {"redirect": ["/x: /y\r\nSet-Cookie: a"]}, "not where one can be sent"),
        ([], {"redirect": ["/x: /{id}"]}, "no {id} in its scope"),
        (["/a=:1"], {"rewrite": ["/amdin/{x}: /{x}"]}, "its scope meets no route"),
        (["/a=:1"], {"rewrite": ["/a/{x}: /{y}"]}, "no {y} in its scope"),
        (["/a=:1"], {"match": ["/a: header:x"]}, "no condition and target"),
        (["/a=:1"], {"match": ["/a: header:x => "]}, "no condition and target"),
        (["/a=:1"], {"match": ["/a: header:x => :99999"]}, "--match"),
        ([], {}, "name a service"),
    ],
)
def test_what_cannot_be_is_refused(targets, flags, why):
    assert why in refused(*targets, **flags)


@pytest.mark.parametrize(
    ("targets", "flags"),
    [
        (["/=:1"], {"redirect": ["/$: /app"]}),
        (["/down=:1"], {"respond": ["POST /down: 503"]}),
        (["GET /a=:1", "POST /a=:2"], {}),
        (["/a/{x}/b=:1", "/a/{y}/c=:2"], {}),
        (["/a=:1"], {"match": ["/b: query:x => :2"]}),
        (["/a=:1"], {"compose": ["GET /a$ = x:http://x/b"]}),
        ([], {"respond": ["/h$: 200"], "match": ["/h: header:x => :2"]}),
        ([], {"respond": ["GET /h: 200"], "match": ["/h: header:x => :2"]}),
    ],
)
def test_what_can_be_told_apart_is_not(targets, flags):
    assert plan(*targets, **flags).routes


@pytest.mark.parametrize(
    ("match", "flags"),
    [
        ("/h$", {"respond": ["/h: 200"]}),
        ("/h$", {"redirect": ["/h: /x"]}),
        ("GET /h$", {"compose": ["/h = x:http://x/b"]}),
    ],
)
def test_a_condition_written_as_the_hint_says_is_asked_for_first(match, flags):
    told = explain_request(plan(match=[f"{match}: header:x => :2"], **flags), "GET /h")
    assert rows(told, "or") == [f"{match} header:x, where that holds"]


def test_rules_may_name_routes_that_flags_make():
    made = plan(respond=["/down: 503"], match=["/b: query:x => :2"], max_body=["/down: 5B", "/b: 6B"])
    assert {str(route.scope): route.settings.most_body for route in made.routes} == {"/down$": 5, "/b": 6}


def test_request_is_told_its_alternatives_and_what_is_sent():
    made = plan(
        "/api=:3001",
        match=["/api/v2: header:X => :3002", "/api: query:b => :3003"],
        rewrite=["/api/v2/{id}: /new/{id}"],
    )
    told = explain_request(made, "GET /api/v2/7/x?y=1")
    assert rows(told, "or") == ["/api/v2 header:x, where that holds", "/api query:b, where that holds"]
    assert rows(told, "route") == ["/api"]
    assert rows(told, "rewrite") == ["to /new/{id}, not routed again"]
    assert rows(told, "dial") == ["http://localhost:3001/new/7/x?y=1 with Host: localhost:8443"]


def test_request_is_told_where_it_is_sent():
    made = plan(redirect=["GET /x/{id}: 302 https://e.test/{id}"], respond=["/y: 200 hi"])
    assert "302: to https://e.test/7" in explain_request(made, "GET /x/7")
    assert rows(explain_request(made, "POST /x/7"), "answer") == ["405: Allow: GET, HEAD, OPTIONS"]
    assert rows(explain_request(made, "OPTIONS /x/7"), "answer") == ["200: Allow: GET, HEAD, OPTIONS"]
    assert "200, 2 bytes" in explain_request(made, "GET /y")


def test_each_of_a_thousand_rules_makes_one_part_of_the_route_they_lie_in():
    scopes = [f"/r{number}" for number in range(1000)]
    made = plan("/=:3000", *(f"{scope}=:3001" for scope in scopes), ip=[f"{scope}: ::1" for scope in scopes])
    assert [len(route.variants) for route in made.routes] == [1000, *[0] * 1000]
    assert made.routes[7].settings.gate.is_guarded


def test_a_request_rewritten_to_what_it_may_not_ask_for_is_told_of_as_refused():
    made = plan("/=:3001", rewrite=["/r: /admin", "/s: /b"], basic=["/admin: @a"], ip=["GET /b: ::1"])
    for request, path in (("GET /r", "/admin"), ("GET /r/x?y", "/admin/x?y"), ("GET /s", "/b")):
        told = explain_request(made, request)
        assert rows(told, "answer")[0] == f"403: the path it is rewritten to is restricted: {path}"
        assert rows(told, "dial") == []
    assert rows(explain_request(made, "POST /s"), "dial") == [
        "http://localhost:3001/b with Host: localhost:8443"
    ]


FORWARDING = {
    "rewrite": "/x", "lb": "hash:ip", "retry_on": "503", "retry_body": "1KiB", "eject_on": "503", "slow_start": "5s",
    "health": "/ok", "hedge": "p99", "header": "X-A: b", "timeout": "5s",
}  # fmt: skip


def test_settings_of_forwarding_where_nothing_is_forwarded_are_refused_without_a_scope_too():
    told = refused(respond=["/h: 200"], lb=["least"], header=["A: b"], timeout=["5s"])
    for flag in ("--lb 'least'", "--header 'A: b'", "--timeout '5s'"):
        assert f"{flag}: it has no effect\n  every route is answered by ourselves" in told
    assert "timeout" not in explain_plan(plan(respond=["/h: 200"])).partition("route")[2]


OF_URLS = {"compose": ["/h = x:http://x/y"]}


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        (name, answer)
        for name in FORWARDING
        for answer in (
            {"respond": ["/h: 200"]},
            {"redirect": ["/h: /x"]},
            {"compose": ["/h = x:/b/y"]},
            OF_URLS,
        )
        if (name, answer) != ("timeout", OF_URLS)  # each of them has its time
    ],
)
def test_settings_of_forwarding_where_we_answer_ourselves_are_refused(name, answer):
    value = FORWARDING[name]
    flag = f"--{name.replace('_', '-')}"
    for place in ("/h$", "GET /h$")["compose" in answer :]:
        told = refused("/=:1", "/b=:1", **answer, **{name: [f"{place}: {value}"]})
        assert f"{flag} '{place}: {value}': it has no effect\n  {place} is answered by ourselves" in told
    assert "/h is answered by ourselves" in refused("/b=:1", **answer, **{name: [f"/h: {value}"]})


@pytest.mark.parametrize(
    ("targets", "flags"),
    [
        (["/=:1"], {"respond": ["/h: 200"], "header": ["/h: X-A: b"]}),
        (["/=:1"], {"respond": ["GET /h: 200"], "header": ["/h$: X-A: b"]}),
        ([], {"respond": ["/h: 200"], "match": ["/h$: query:x => :1"], "header": ["/h$: X-A: b"]}),
        (["/b=:1"], {"respond": ["/h: 200"], "header": ["X-A: b"], "lb": ["hash:ip"]}),
        (["/b=:1"], {"respond": ["/h: 200"], "response_header": ["/h: X-A: b"], "max_body": ["/h: 5B"]}),
        (["/b=:1"], {"compose": ["/h = x:http://x/y"], "timeout": ["/h: 5s"]}),
        ([], {"compose": ["/h = x:http://x/y"], "timeout": ["5s"]}),
    ],
)
def test_settings_of_forwarding_that_some_request_heeds_stay(targets, flags):
    assert plan(*targets, **flags).routes
