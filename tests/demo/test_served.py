"""The demo origin on real sockets, on the lane and in plain tasks, met by http.client and by raw bytes."""

import http.client
import json
import os
import socket
import threading
from contextlib import contextmanager

import pytest
import trio

from netfront.demo.bodies import pattern
from netfront.demo.origin import ORIGIN_KINDS, demo_origin
from netfront.demo.websocket import TEXT, close_frame, frame
from netfront.http.message import Response
from netfront.http.server import HttpServer, ServerLimits
from netfront.net.bind import open_sockets
from netfront.net.lane import Lane, Signal
from netfront.net.listen import Accepting, Admission, Listener, serve
from netfront.wire.fields import EMPTY
from netfront.wire.head import request_memory

MODES = [pytest.param(False, id="plain")]
if hasattr(os, "eventfd"):
    MODES.append(pytest.param(True, id="lane"))


@contextmanager
def served(*, on_lane):
    """The port of a demo origin that serves in a thread of its own."""
    server = HttpServer(
        demo_origin(),
        limits=ServerLimits(),
        refuse=lambda error: Response(error.status, EMPTY, b""),
        memory=request_memory(ORIGIN_KINDS),
    )
    sockets = open_sockets("127.0.0.1", 0, None, shown="demo")
    listener = Listener("demo", sockets, server.serve)
    stop = Signal()
    token = []
    failed = []

    async def at_once():
        pass

    async def run():
        token.append(trio.lowlevel.current_trio_token())
        lane = Lane() if on_lane else None
        await serve(
            Accepting([listener]),
            admission=Admission(1000, 1000, lambda _: True),
            stop=stop,
            lane=lane,
            drained=at_once,
        )

    def thread():
        try:
            trio.run(run)
        except BaseException as error:
            failed.append(error)

    worker = threading.Thread(target=thread)
    worker.start()
    try:
        yield listener.port
    finally:
        token[0].run_sync_soon(stop.set)
        worker.join(10)
    assert not failed


@pytest.fixture(scope="module", params=MODES)
def port(request):
    with served(on_lane=request.param) as port:
        yield port


def ask(port, method, target, body=None, **fields):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(
        method, target, body, {name.replace("_", "-"): value for name, value in fields.items()}
    )
    response = connection.getresponse()
    data = response.read()
    connection.close()
    return response, data


def test_fields_arrive_as_they_were_sent(port):
    _, data = ask(port, "GET", "/headers", X_Forwarded_For="198.51.100.1", Client_Cert=":AA==:")
    told = json.loads(data)
    assert told["headers"]["x-forwarded-for"] == "198.51.100.1"
    assert told["headers"]["client-cert"] == ":AA==:"
    assert told["peer"].startswith("127.0.0.1:")


def test_head_tells_the_length_and_sends_nothing(port):
    response, data = ask(port, "HEAD", "/bytes/123456")
    assert response.getheader("Content-Length") == "123456"
    assert data == b""


def test_bytes_come_whole(port):
    _, data = ask(port, "GET", "/bytes/5M")
    assert data == pattern(0, 5 << 20)


def test_chunked_bytes_come_whole(port):
    response, data = ask(port, "GET", "/bytes/300k?chunked")
    assert response.getheader("Transfer-Encoding") == "chunked"
    assert data == pattern(0, 300 << 10)


@pytest.mark.parametrize("size", [0, 1, 100_000])
def test_upload_is_echoed(port, size):
    _, data = ask(port, "POST", "/echo", pattern(0, size), Content_Type="text/x")
    assert data == pattern(0, size)


def test_upload_in_chunks_is_echoed(port):
    pieces = [pattern(start, 1000) for start in range(0, 5000, 1000)]
    response, data = ask(port, "PUT", "/echo", iter(pieces))
    assert response.getheader("Transfer-Encoding") == "chunked"
    assert data == b"".join(pieces)


def test_piece_of_an_upload_is_echoed_before_the_next_one_is_sent(port):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        sock.sendall(b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
        seen = b""
        while b"3\r\none\r\n" not in seen:
            seen += sock.recv(65536)
        sock.sendall(b"3\r\ntwo\r\n0\r\n\r\n")
        while not seen.endswith(b"3\r\ntwo\r\n0\r\n\r\n"):
            seen += sock.recv(65536)


def test_uploader_that_waits_is_told_to_go_on(port):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        sock.sendall(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        seen = sock.recv(65536)
        sock.sendall(b"hi")
        while not seen.endswith(b"\r\n\r\nhi"):
            seen += sock.recv(65536)
    assert seen.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")


def test_early_hints_come_ahead_of_the_answer(port):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        sock.sendall(b"GET /status/103 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        seen = b"".join(iter(lambda: sock.recv(65536), b""))
    hint, _, rest = seen.partition(b"\r\n\r\n")
    assert hint.startswith(b"HTTP/1.1 103 Early Hints\r\nLink: <")
    assert rest.startswith(b"HTTP/1.1 200 OK\r\n")


def test_connection_is_kept_from_place_to_place(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    for target, status in (
        ("/json", 200),
        ("/status/204", 204),
        ("/x", 404),
        ("/bytes/70000", 200),
        ("/", 200),
    ):
        connection.request("GET", target)
        response = connection.getresponse()
        response.read()
        assert response.status == status
        assert response.getheader("Connection") is None
    connection.close()


def test_events_are_sent_one_by_one(port):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        sock.sendall(b"GET /sse?n=0&interval=0.25 HTTP/1.1\r\nHost: x\r\n\r\n")
        seen = b""
        reads = 0
        while b"id: 5\n" not in seen:
            seen += sock.recv(65536)
            reads += 1
        assert reads >= 3  # one each where the machine has time: only who holds them back brings all at once


def test_websocket_is_echoed_and_closed_in_good_order(port):
    key = b"abcd"
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        sock.sendall(
            b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
            + frame(TEXT, b"early", mask=key)
        )
        sock.sendall(frame(TEXT, b"late", mask=key) + close_frame(1000, mask=key))
        seen = b"".join(iter(lambda: sock.recv(65536), b""))
    head, _, said = seen.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
    assert b"\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in head + b"\r\n"
    assert b"\r\nConnection: Upgrade" in head
    assert said == frame(TEXT, b"early") + frame(TEXT, b"late") + close_frame(1000)


def test_websocket_violation_is_told_while_the_client_goes_on_sending(port):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        sock.sendall(
            b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
            + frame(TEXT, b"not masked")
            + b"x" * 100_000
        )
        sock.shutdown(socket.SHUT_WR)
        seen = b"".join(iter(lambda: sock.recv(65536), b""))
    assert seen.endswith(close_frame(1002, "a frame must be masked"))
