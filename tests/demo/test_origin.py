"""The demo origin's handler, called directly: what stands at each path."""

import json

import pytest

from netfront.demo.conversation import EchoConversation
from netfront.demo.origin import ORIGIN_KINDS
from netfront.wire.fields import FieldMemory
from tests.demo.asking import Upload, Visitor, answer, get, make

# the page


def test_page_shows_the_request_as_it_arrived():
    page = get(b"/?q=1", (b"X-Forwarded-For", b"198.51.100.1"), (b"Accept", b"text/html"))
    assert page.status == 200
    assert page.fields.get(b"content-type") == b"text/html; charset=utf-8"
    for shown in (
        b"GET /?q=1 HTTP/1.1",
        b"<th>Host</th><td>demo.test</td>",
        b"<th>X-Forwarded-For</th><td>198.51.100.1</td>",
        b"<th>Accept</th><td>text/html</td>",
        b"192.0.2.7:5555",
    ):
        assert shown in page.body


def test_page_escapes_all_that_it_shows():
    evil = b"<script>alert('1')</script>\"&"
    request = make(b"/?" + evil, (b"X-Evil", evil), method=b"GET<b>'", authority=evil)
    page = answer(request).body
    assert b"<script>alert" not in page
    assert page.count(b"&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&quot;&amp;") == 3
    assert b"GET&lt;b&gt;&#39;" in page


def test_page_shows_fields_that_are_not_utf8():
    assert "<td>caf\u00e9</td>".encode() in get(b"/", (b"X-Latin", b"caf\xe9")).body


def test_page_may_run_its_own_script_alone():
    policy = get(b"/").fields.get(b"content-security-policy")
    assert b"default-src 'none'" in policy
    assert b"script-src 'sha256-" in policy


def test_page_loads_nothing_from_elsewhere():
    body = get(b"/").body
    assert b"http://" not in body
    assert b"https://" not in body
    assert b"src=" not in body


def test_every_link_of_the_page_leads_somewhere():
    links = [part.split(b'"')[0] for part in get(b"/").body.split(b'<li><a href="')[1:]]
    assert len(links) >= 9
    for link in links:
        target = b"/" + link.replace(b"&amp;", b"&")
        expected = 404 if target == b"/status/404" else 302 if target.startswith(b"/redirect") else 200
        assert get(target).status == expected, target


# headers, json, cookies


def test_headers_are_told_as_json_in_both_forms():
    told = json.loads(
        get(b"/headers?x", (b"X-A", b"1"), (b"x-a", b"2"), (b"Cookie", b"a=1"), (b"Cookie", b"b=2")).body
    )
    assert told["method"] == "GET"
    assert told["target"] == "/headers?x"
    assert told["version"] == "HTTP/1.1"
    assert told["headers"] == {"host": "demo.test", "x-a": "1, 2", "cookie": "a=1; b=2"}
    assert told["lines"] == ["Host: demo.test", "X-A: 1", "x-a: 2", "Cookie: a=1", "Cookie: b=2"]


def test_fields_that_proxies_speak_in_reach_an_origin():
    lines = [
        b"X-Forwarded-For: 1.2.3.4",
        b"Forwarded: for=1.2.3.4",
        b"Client-Cert: :AA==:",
        b"X-Real-IP: ::1",
    ]
    assert [row.kind for row in FieldMemory(ORIGIN_KINDS).fields(lines)] == [0, 0, 0, 0]


def test_sample_is_json():
    assert json.loads(get(b"/json").body)["items"][1]["title"].startswith("zwei")


def test_cookies_are_set_and_those_that_came_are_shown():
    response = get(b"/cookies?a=1&b=x%20y;", (b"Cookie", b"c=3; d=e=f"))
    assert response.fields.get_all(b"set-cookie") == [
        b"a=1; Path=/; SameSite=Lax",
        b"b=x%20y%3B; Path=/; SameSite=Lax",
    ]
    assert json.loads(response.body) == {"came": {"c": "3", "d": "e=f"}, "set": {"a": "1", "b": "x y;"}}


@pytest.mark.parametrize("target", [b"/cookies?a%0d%0ab=1", b"/cookies?=x", b"/cookies?a%20b=1"])
def test_cookie_whose_name_is_no_token_is_refused(target):
    assert get(target).status == 400


def test_value_of_a_cookie_cannot_break_out_of_its_line():
    assert get(b"/cookies?a=%0d%0aX:1").fields.get(b"set-cookie") == b"a=%0D%0AX:1; Path=/; SameSite=Lax"


# status


@pytest.mark.parametrize("status", [200, 201, 299, 404, 418, 451, 500, 503, 599])
def test_status_is_given(status):
    response = get(b"/status/%d" % status)
    assert response.status == status
    assert response.body.startswith(b"%d" % status)


@pytest.mark.parametrize("status", [204, 205, 304])
def test_status_without_a_body_has_none(status):
    response = get(b"/status/%d" % status)
    assert response.status == status
    assert response.body == b""
    assert response.fields.get(b"content-type") is None


@pytest.mark.parametrize(
    ("status", "name"),
    [(301, b"location"), (308, b"location"), (401, b"www-authenticate"), (405, b"allow"), (426, b"upgrade")],
)
def test_status_comes_with_the_field_it_must_not_be_without(status, name):
    assert get(b"/status/%d" % status).fields.get(name)


@pytest.mark.parametrize("rest", [b"", b"99", b"101", b"199", b"600", b"1000", b"abc", b"-200", b"2000"])
def test_what_is_no_status_is_refused(rest):
    assert get(b"/status/" + rest).status == 400


@pytest.mark.parametrize("status", [100, 102, 103])
def test_interim_status_comes_ahead_of_the_answer(status):
    client = Visitor()
    assert answer(make(b"/status/%d" % status, client=client)).status == 200
    assert [told for told, _ in client.interims] == [status]
    assert (client.interims[0][1] is not None) == (status == 103)


# echo, redirects, WebSocket


def test_echo_says_the_body_back_as_it_comes():
    upload = Upload(b"one", b"two")
    client = Visitor()
    response = answer(
        make(b"/echo", (b"Content-Type", b"text/x"), method=b"POST", body=upload, client=client)
    )
    assert response.body == b"onetwo"
    assert response.fields.get(b"content-type") == b"text/x"
    assert client.interims == []


def test_echo_asks_a_waiting_client_to_go_on():
    client = Visitor()
    request = make(b"/echo", method=b"POST", body=Upload(b"x"), client=client)
    request.expects_continue = True
    answer(request)
    assert client.interims == [(100, None)]


@pytest.mark.parametrize(
    ("target", "status", "location"),
    [
        (b"/redirect", 302, b"/"),
        (b"/redirect/3", 302, b"/redirect/2"),
        (b"/redirect/1", 302, b"/redirect/0"),
        (b"/redirect/3?status=308", 308, b"/redirect/2?status=308"),
        (b"/redirect/2?absolute", 302, b"http://127.0.0.1:8000/redirect/1?absolute"),
        (b"/redirect/0", 200, None),
        (b"/redirect/99", 400, None),
        (b"/redirect/x", 400, None),
        (b"/redirect/1?status=200", 400, None),
    ],
)
def test_redirect_counts_down(target, status, location):
    response = get(target)
    assert response.status == status
    assert response.fields.get(b"location") == location


def test_websocket_is_opened_with_a_101():
    asked = (b"Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ=="), (b"Sec-WebSocket-Version", b"13")
    request = make(b"/ws", *asked)
    request.upgrade = b"websocket"
    response = answer(request)
    assert response.status == 101
    assert isinstance(response.body, EchoConversation)


def test_websocket_without_an_upgrade_is_426():
    response = get(b"/ws")
    assert response.status == 426
    assert response.fields.get(b"upgrade") == b"websocket"


# what is not there


@pytest.mark.parametrize(
    "target", [b"/nothing", b"/json/more", b"//json", b"/%00", b"/JSON", b"/favicon.ico"]
)
def test_what_is_not_there_is_404(target):
    assert get(target).status == 404


@pytest.mark.parametrize(
    ("target", "method"),
    [
        (b"/json", b"POST"),
        (b"/bytes/1", b"PUT"),
        (b"/sse", b"DELETE"),
        (b"/cookies", b"POST"),
        (b"/ws", b"POST"),
    ],
)
def test_wrong_method_is_405_with_allow(target, method):
    response = answer(make(target, method=method))
    assert response.status == 405
    assert b"GET" in response.fields.get(b"allow")


def test_options_tell_the_methods():
    assert answer(make(b"/json", method=b"OPTIONS")).fields.get(b"allow") == b"GET, HEAD, OPTIONS"
    assert answer(make(b"*", method=b"OPTIONS")).status == 204
