"""`netfront proxy demo:` as a user tries it: every place of the built-in origin, through the proxy."""

import http.client
import json
import time

import pytest

from tests.support.client import connect
from tests.support.netfront import running

UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
HELLO_MASKED = bytes.fromhex("81 85 37 fa 21 3d 7f 9f 4d 51 58")
HELLO = b"\x81\x05Hello"
CLOSE_MASKED = b"\x88\x82\x00\x00\x00\x00\x0f\xa1"
CLOSE = b"\x88\x02\x0f\xa1"
"""Code 4001."""


@pytest.fixture(scope="module")
def demo():
    with running("proxy", "demo:", "-q") as demo:
        yield demo


def ask(demo, target, method="GET", body=None, headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", demo.port, timeout=20)
    connection.request(method, target, body, headers or {})
    response = connection.getresponse()
    data = response.read()
    connection.close()
    return response, data


def test_page_shows_the_request_as_netfront_sent_it(demo):
    response, page = ask(demo, "/?a=1")
    assert response.getheader("Content-Type") == "text/html; charset=utf-8"
    for shown in (b"GET /?a=1 HTTP/1.1", b"X-Forwarded-For", b"X-Forwarded-Proto", b"1.1 netfront"):
        assert shown in page


def test_server_of_the_origin_is_hidden(demo):
    assert ask(demo, "/")[0].getheader("Server") is None


def test_fields_only_netfront_may_set_are_those_of_netfront(demo):
    claims = {
        "X-Forwarded-For": "6.6.6.6",
        "X_Real_IP": "6.6.6.6",
        "Client-Cert": ":AA==:",
        "X-Client-Subject": "CN=x",
    }
    headers = json.loads(ask(demo, "/headers", headers=claims)[1])["headers"]
    assert headers["x-forwarded-for"] == "127.0.0.1"
    assert headers["x-real-ip"] == "127.0.0.1"
    assert not {"client-cert", "x-client-subject", "x_real_ip"} & set(headers)


@pytest.mark.parametrize("status", [204, 304, 404, 418, 500, 599])
def test_status_passes(demo, status):
    assert ask(demo, f"/status/{status}")[0].status == status


def test_early_hints_pass(demo):
    with connect(demo.port) as client:
        client.send(b"GET /status/103 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = client.read_answer()
    assert [(hint.status, hint.get(b"link")) for hint in answer.interim] == [
        (103, b"</json>; rel=preload; as=fetch")
    ]


def test_bytes_and_their_ranges_pass(demo):
    whole = ask(demo, "/bytes/300k")[1]
    assert len(whole) == 300 << 10
    response, part = ask(demo, "/bytes/300k", headers={"Range": "bytes=1000-1999"})
    assert response.status == 206
    assert part == whole[1000:2000]


def test_delay_takes_its_time(demo):
    began = time.monotonic()
    assert ask(demo, "/delay/0.3")[0].status == 200
    assert time.monotonic() - began >= 0.3


def test_upload_comes_back(demo):
    body = bytes(range(256)) * 2000
    assert ask(demo, "/echo", "PUT", body)[1] == body


def test_piece_of_an_upload_comes_back_before_the_next_is_sent(demo):
    with connect(demo.port) as client:
        client.send(
            b"POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n"
        )
        assert client.read_head().status == 200
        assert client.read_chunk() == b"one"
        client.send(b"3\r\ntwo\r\n0\r\n\r\n")
        assert client.read_chunk() == b"two"
        assert client.read_chunk() == b""


def test_events_come_one_by_one(demo):
    with connect(demo.port) as client:
        client.send(b"GET /sse?n=0&interval=0.1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.read_head().get(b"content-type") == b"text/event-stream"
        assert [client.read_chunk().split(b"\n")[0] for _ in range(3)] == [b"id: 1", b"id: 2", b"id: 3"]


def test_websocket_echoes_and_passes_its_close_code(demo):
    with connect(demo.port) as client:
        client.send(UPGRADE)
        assert client.read_answer().status == 101
        client.send(HELLO_MASKED)
        assert client.read_some(len(HELLO)) == HELLO
        client.send(CLOSE_MASKED)
        assert client.read_to_end() == CLOSE


def test_websocket_frame_sent_with_the_handshake_is_not_lost(demo):
    with connect(demo.port) as client:
        client.send(UPGRADE + HELLO_MASKED + CLOSE_MASKED)
        assert client.read_answer().status == 101
        assert client.read_to_end() == HELLO + CLOSE


def test_cookies_are_set_and_shown(demo):
    response, body = ask(demo, "/cookies?a=1", headers={"Cookie": "b=2"})
    assert response.getheader("Set-Cookie") == "a=1; Path=/; SameSite=Lax"
    assert json.loads(body)["came"] == {"b": "2"}


def test_relative_redirect_passes_as_it_is(demo):
    assert ask(demo, "/redirect/2")[0].getheader("Location") == "/redirect/1"


def test_redirect_that_names_the_origin_names_netfront(demo):
    response, _ = ask(demo, "/redirect/2?absolute")
    assert response.getheader("Location") == f"http://127.0.0.1:{demo.port}/redirect/1?absolute"


def test_sample_document_is_json(demo):
    assert json.loads(ask(demo, "/json")[1])["name"] == "netfront"


def test_it_may_take_the_place_of_a_prefix():
    with running("proxy", "/a=demo:/", "/b=DEMO:/status", "-q") as demo:
        assert ask(demo, "/a/status/201")[0].status == 201
        assert ask(demo, "/b/202")[0].status == 202
