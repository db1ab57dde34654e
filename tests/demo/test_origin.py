"""The demo origin's handler, called directly: what stands at each path."""

import json

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from netfront.wire.target import parse_target
from trio.testing import MockClock

from netfront.demo.bodies import pattern
from netfront.demo.conversation import EchoConversation
from netfront.demo.origin import ORIGIN_KINDS, demo_origin
from netfront.errors import ClientGone
from netfront.http.message import Exchange, Request
from netfront.net.lane import Signal
from netfront.net.stream import Facts
from netfront.wire.fields import EMPTY, FieldMemory, Fields


class Visitor:
    """A client that can leave, and keeps what it was told ahead of the answer."""

    def __init__(self, local=("127.0.0.1", 8000)):
        self.facts = Facts(("192.0.2.7", 5555), local)
        self.told = None
        self.gone = Signal()
        self.interims = []

    def has_left(self):
        return self.gone.is_set

    async def interim(self, status, fields):
        self.interims.append((status, fields.get(b"link")))


class Upload:
    """A request body in pieces."""

    def __init__(self, *pieces):
        self.length = None
        self.started = False
        self.trailers = EMPTY
        self.readable = Signal(True)
        self._pieces = list(pieces)

    def due(self):
        return float("inf")

    def receive_now(self):
        return self._pieces.pop(0) if self._pieces else b""

    async def receive_some(self):
        return self.receive_now()

    def abort(self, why=None):
        self._pieces.clear()


def make(target, *pairs, method=b"GET", body=b"", client=None, authority=b"demo.test"):
    client = client or Visitor()
    exchange = Exchange(0.0, client, method, target, b"1")
    asked = parse_target(method, target)
    return Request(method, asked, b"1", b"http", authority, Fields.of(*pairs), body, client, exchange)


async def read(body):
    if isinstance(body, bytes):
        return body
    pieces = []
    while piece := await body.receive_some():
        pieces.append(piece)
    return b"".join(pieces)


def answer(request):
    """The response of the origin, with its body read, in no time."""

    async def run():
        response = await demo_origin()(request)
        if not isinstance(response.body, EchoConversation):
            response.body = await read(response.body)
        return response

    return trio.run(run, clock=MockClock(autojump_threshold=0))


def get(target, *pairs):
    return answer(make(target, *pairs))


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


# bytes


@pytest.mark.parametrize(
    ("asked", "size"), [(b"0", 0), (b"1", 1), (b"65521", 65521), (b"200000", 200_000), (b"1M", 1 << 20)]
)
def test_bytes_are_as_many_as_asked_and_always_the_same(asked, size):
    response = get(b"/bytes/" + asked)
    assert response.body == pattern(0, size)
    assert len(response.body) == size


def test_bytes_tell_their_length_ahead():
    async def run():
        return (await demo_origin()(make(b"/bytes/1G"))).body.length

    assert trio.run(run) == 1 << 30


def test_bytes_without_a_length_when_asked_for_chunked():
    async def run():
        body = (await demo_origin()(make(b"/bytes/100k?chunked"))).body
        return body.length, await read(body)

    assert trio.run(run) == (None, pattern(0, 102_400))


def test_no_piece_of_a_large_body_is_large():
    async def run():
        body = (await demo_origin()(make(b"/bytes/10M"))).body
        largest = 0
        while piece := await body.receive_some():
            largest = max(largest, len(piece))
        return largest

    assert trio.run(run) <= 65536


@pytest.mark.parametrize("rest", [b"", b"-1", b"x", b"2T", b"1.2.3"])
def test_what_is_no_number_of_bytes_is_refused(rest):
    assert get(b"/bytes/" + rest).status == 400


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        (b"bytes=0-0", 0, 1),
        (b"bytes=10-99999999", 10, 70_000),
        (b"bytes=69999-", 69_999, 70_000),
        (b"bytes=-5", 69_995, 70_000),
    ],
)
def test_range_gives_its_part(asked, start, end):
    response = get(b"/bytes/70000", (b"Range", asked))
    assert response.status == 206
    assert response.fields.get(b"content-range") == b"bytes %d-%d/70000" % (start, end - 1)
    assert response.body == pattern(start, end - start)


@pytest.mark.parametrize("asked", [b"bytes=70000-", b"bytes=-0"])
def test_range_behind_the_end_is_416(asked):
    response = get(b"/bytes/70000", (b"Range", asked))
    assert response.status == 416
    assert response.fields.get(b"content-range") == b"bytes */70000"


@pytest.mark.parametrize("asked", [b"bytes=5-1", b"bytes=0-1,5-6", b"items=0-1", b"bytes=-", b"bytes=a-b"])
def test_range_that_is_not_understood_gives_the_whole(asked):
    assert get(b"/bytes/100", (b"Range", asked)).status == 200


def test_if_range_of_another_version_gives_the_whole():
    part = (b"Range", b"bytes=0-0")
    tag = get(b"/bytes/100").fields.get(b"etag")
    assert get(b"/bytes/100", part, (b"If-Range", tag)).status == 206
    assert get(b"/bytes/100", part, (b"If-Range", b'"other"')).status == 200


def test_version_the_client_has_already_is_304():
    tag = get(b"/bytes/100").fields.get(b"etag")
    assert get(b"/bytes/100", (b"If-None-Match", tag)).status == 304


@given(st.integers(0, 300_000), st.integers(0, 140_000), st.integers(0, 140_000))
def test_pattern_depends_on_the_place_alone(start, first, second):
    assert pattern(start, first) + pattern(start + first, second) == pattern(start, first + second)


# delay and events


def elapsed(request):
    async def run():
        began = trio.current_time()
        response = await demo_origin()(request)
        times = []
        if not isinstance(response.body, bytes):
            while piece := await response.body.receive_some():
                times.append((round(trio.current_time() - began, 3), piece))
        return response.status, trio.current_time() - began, times

    return trio.run(run, clock=MockClock(autojump_threshold=0))


@pytest.mark.parametrize(("rest", "seconds"), [(b"0", 0.0), (b"1.5", 1.5), (b"3600", 3600.0)])
def test_delay_takes_its_time(rest, seconds):
    status, took, _ = elapsed(make(b"/delay/" + rest))
    assert status == 200
    assert took == pytest.approx(seconds, abs=0.01)


@pytest.mark.parametrize("rest", [b"", b"-1", b"1e3", b"3601", b"nan", b"inf"])
def test_what_is_no_delay_is_refused(rest):
    assert get(b"/delay/" + rest).status == 400


def leaves_after(seconds, use):
    """How long `use(request)` went on when its client left after so many seconds."""

    async def run():
        client = Visitor()
        async with trio.open_nursery() as nursery:

            async def leave():
                await trio.sleep(seconds)
                client.gone.set()

            nursery.start_soon(leave)
            with pytest.raises(ClientGone):
                await use(client)
            return trio.current_time()

    clock = MockClock(autojump_threshold=0)
    began = clock.current_time()
    return trio.run(run, clock=clock) - began


def test_delay_ends_when_the_client_leaves():
    async def use(client):
        await demo_origin()(make(b"/delay/100", client=client))

    assert leaves_after(2, use) == pytest.approx(2, abs=0.1)


def test_events_end_when_the_client_leaves():
    async def use(client):
        await read((await demo_origin()(make(b"/sse?n=0&interval=60", client=client))).body)

    assert leaves_after(100, use) == pytest.approx(100, abs=0.1)


def test_events_come_one_by_one_in_time():
    _, _, events = elapsed(make(b"/sse?n=3&interval=0.5"))
    assert events == [
        (0.0, b'id: 1\ndata: {"event": 1, "of": 3}\n\n'),
        (0.5, b'id: 2\ndata: {"event": 2, "of": 3}\n\n'),
        (1.0, b'id: 3\ndata: {"event": 3, "of": 3}\n\n'),
    ]


def test_events_go_on_behind_the_last_one_seen():
    _, _, events = elapsed(make(b"/sse?n=3", (b"Last-Event-ID", b"2")))
    assert [piece.split(b"\n")[0] for _, piece in events] == [b"id: 3"]


def test_no_more_events_is_204_so_that_a_browser_stays_away():
    assert get(b"/sse?n=3", (b"Last-Event-ID", b"3")).status == 204


@pytest.mark.parametrize("query", [b"n=x", b"n=-1", b"interval=x", b"n=99999999"])
def test_what_are_no_events_is_refused(query):
    assert get(b"/sse?" + query).status == 400


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
