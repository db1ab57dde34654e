"""Connections: kept on both sides, pipelined in order, HTTP/1.0 on either side, ends told and untold."""

import http.client
import shutil
import socket
import subprocess
import threading

import pytest

from tests.support.client import Client, connect
from tests.support.origins import Connection, answering, cutting, saying

POST = b"POST /p HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello"
OLD = b"GET /old HTTP/1.0\r\nHost: localhost\r\n\r\n"
OLD_KEPT = b"GET /old HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"


def get(target):
    """Give a GET for a target."""
    return b"GET %b HTTP/1.1\r\nHost: localhost\r\n\r\n" % target


def naming(seen):
    """Answer with the target that was asked for."""
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(seen.target), seen.target)


def test_both_connections_are_kept(stage):
    behind, front = stage(answering(naming))
    with connect(front.port) as client:
        for number in range(50):
            client.send(get(b"/%d" % number))
            assert client.read_answer().body == b"/%d" % number
    assert len(behind.connections) == 1


def test_a_backend_connection_serves_one_client_after_another(stage):
    behind, front = stage(answering(naming))
    for number in range(10):
        with connect(front.port) as client:
            client.send(get(b"/%d" % number))
            assert client.read_answer().body == b"/%d" % number
    assert len(behind.connections) == 1


def test_http_client_keeps_its_connection(stage):
    behind, front = stage(answering(naming))
    kept = http.client.HTTPConnection("127.0.0.1", front.port, timeout=10)
    ports = set()
    for number in range(5):
        kept.request("GET", f"/{number}")
        with kept.getresponse() as answer:
            assert answer.read() == b"/%d" % number
        ports.add(kept.sock.getsockname())
    kept.close()
    assert len(ports) == 1
    assert len(behind.requests) == 5


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not here")
def test_curl_reuses_its_connection(stage):
    behind, front = stage(answering(naming))
    urls = [f"{front.url}/{number}" for number in range(3)]
    line = ["curl", "-sS", "-w", " %{num_connects} ", *urls]
    done = subprocess.run(line, capture_output=True, text=True, timeout=20, check=True)
    assert done.stdout == "/0 1 /1 0 /2 0 "
    assert len(behind.connections) == 1


def test_pipelined_requests_are_answered_in_order(stage):
    slow = threading.Event()

    def play(connection: Connection) -> None:
        while True:
            seen = connection.read_request()
            if seen.target == b"/0":
                slow.wait(0.2)
            connection.send(naming(seen))

    behind, front = stage(play)
    with connect(front.port) as client:
        client.send(b"".join(get(b"/%d" % number) for number in range(20)))
        assert [client.read_answer().body for _ in range(20)] == [b"/%d" % number for number in range(20)]
        assert [seen.target for seen in behind.requests] == [b"/%d" % number for number in range(20)]


def test_pipelined_bodies_and_heads_do_not_mix(stage):
    chunks = (
        b"POST /c HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    )
    behind, front = stage(answering(naming))
    with connect(front.port) as client:
        client.send((POST + chunks + get(b"/g")) * 5)
        assert [client.read_answer().body for _ in range(15)] == [b"/p", b"/c", b"/g"] * 5
        assert {seen.body for seen in behind.requests} == {b"hello", b""}


def test_a_pipelined_fault_is_answered_behind_the_good_ones(stage):
    behind, front = stage(answering(naming))
    with connect(front.port) as client:
        client.send(get(b"/a") + b"GET /b HTTP/1.1\r\n\r\n" + get(b"/c"))
        assert client.read_answer().body == b"/a"
        refused = client.read_answer()
        assert (refused.status, refused.closes) == (400, True)
        assert client.ends()
        assert [seen.target for seen in behind.requests] == [b"/a"]


def test_connection_close_of_the_client_is_obeyed(stage):
    behind, front = stage(answering(naming))
    with connect(front.port) as client:
        client.send(b"GET /a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert client.read_answer().closes
        assert client.ends()
        with connect(front.port) as other:
            other.send(get(b"/b"))
            assert other.read_answer().body == b"/b"
        assert len(behind.connections) == 1


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_what_was_not_read_does_not_cost_the_answer(stage, version):
    """A close would answer bytes that wait in the socket by a reset, and what had not left would be lost."""
    behind_it = threading.Event()

    def play(connection: Connection) -> None:
        connection.read_request()
        behind_it.wait(10)
        connection.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + bytes(1_000_000))

    behind, front = stage(play)
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(10)
        sock.connect(("127.0.0.1", front.port))
        client = Client(sock)
        client.send(b"GET / HTTP/%b\r\nHost: localhost\r\nConnection: close\r\n\r\n" % version)
        behind.wait_requests(1)
        client.send(b"GET /more HTTP/1.1\r\n")
        behind_it.set()
        assert behind.connections[0].ended.wait(10)
        answer = client.read_answer()
        assert len(answer.body) == 1_000_000
        assert client.ends()


def test_a_cut_answer_takes_none_with_it_that_came_before(stage):
    """The client has asked for both at once, and has not read the first when the second is cut: by a reset."""

    def play(connection: Connection) -> None:
        while connection.read_request().target == b"/good":
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n" + bytes(300_000))
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ncut")

    behind, front = stage(play)
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(10)
        sock.connect(("127.0.0.1", front.port))
        client = Client(sock)
        client.send(get(b"/good") + get(b"/cut"))
        assert behind.wait_connections(1)[0].ended.wait(10)
        assert len(client.read_answer().body) == 300_000
        assert client.read_head().status == 200
        assert client.receive() == b"cut"
        with pytest.raises(ConnectionResetError):
            client.receive()


def test_connection_close_of_the_backend_stays_with_it(stage):
    closing = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"
    behind, front = stage(saying(closing))
    with connect(front.port) as client:
        for _ in range(3):
            client.send(get(b"/"))
            assert not client.read_answer().closes
        assert len(behind.connections) == 3


def test_an_http_10_client_is_closed_after_its_answer(stage):
    behind, front = stage(answering(naming))
    with connect(front.port) as client:
        client.send(OLD)
        assert client.read_answer().body == b"/old"
        assert client.ends()
        assert behind.requests[0].version == b"HTTP/1.1"


def test_an_http_10_client_may_ask_to_be_kept(stage):
    _, front = stage(answering(naming))
    with connect(front.port) as client:
        for _ in range(3):
            client.send(OLD_KEPT)
            answer = client.read_answer()
            assert (answer.get(b"connection") or b"").lower() == b"keep-alive"
            assert answer.get(b"content-length") == b"4"


def test_an_http_10_client_gets_chunks_as_a_body_until_close(stage):
    _, front = stage(answering(CHUNKED))
    with connect(front.port) as client:
        client.send(OLD_KEPT)
        answer = client.read_answer()
        assert (answer.framing, answer.body) == ("close", b"hello")


def test_an_http_10_backend_that_closes(stage):
    old = b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nhello"
    behind, front = stage(saying(old))
    with connect(front.port) as client:
        for _ in range(3):
            client.send(get(b"/"))
            answer = client.read_answer()
            assert (answer.framing, answer.body) == ("chunked", b"hello")
        assert len(behind.connections) == 3


def test_an_http_10_backend_that_keeps_its_connection(stage):
    old = b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello"
    behind, front = stage(answering(old))
    with connect(front.port) as client:
        for _ in range(3):
            client.send(get(b"/"))
            answer = client.read_answer()
            assert answer.body == b"hello"
            assert answer.get(b"connection") is None
        assert len(behind.connections) == 1


def test_an_http_10_backend_is_not_reused_unless_it_says_so(stage):
    old = b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello"
    behind, front = stage(answering(old))
    with connect(front.port) as client:
        for _ in range(3):
            client.send(get(b"/"))
            assert client.read_answer().body == b"hello"
        assert len(behind.connections) == 3


@pytest.mark.parametrize("request_", [get(b"/"), POST], ids=["GET", "POST"])
def test_a_backend_that_closes_kept_connections_fails_no_request(stage, request_):
    behind, front = stage(answering(naming, times=2))
    with connect(front.port) as client:
        for number in range(20):
            client.send(request_)
            assert client.read_answer().status == 200
            if number % 2:
                behind.connections[-1].ended.wait(5)


def test_a_connection_on_which_more_came_than_was_asked_for_is_not_used_again(stage):
    more = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
    behind, front = stage(answering(more))
    with connect(front.port) as client:
        for _ in range(3):
            client.send(get(b"/"))
            assert client.read_answer().body == b"ok"
        assert len(behind.connections) == 3


def test_what_a_backend_says_on_an_idle_connection_answers_nobody(stage):
    said = threading.Event()

    def play(connection: Connection) -> None:
        seen = connection.read_request()
        connection.send(naming(seen))
        if seen.target == b"/first":
            connection.send(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 4\r\n\r\nevil")
            said.set()
            connection.wait_until_gone()

    behind, front = stage(play)
    with connect(front.port) as client:
        client.send(get(b"/first"))
        assert client.read_answer().body == b"/first"
        assert said.wait(5)
        client.send(get(b"/second"))
        answer = client.read_answer()
        assert (answer.status, answer.body) == (200, b"/second")
        assert len(behind.connections) == 2


def test_half_closing_behind_a_request_still_gets_the_answer(stage):
    def play(connection: Connection) -> None:
        seen = connection.read_request()
        threading.Event().wait(0.3)
        connection.send(naming(seen))

    behind, front = stage(play)
    with connect(front.port) as client:
        client.send(get(b"/half"))
        client.send_eof()
        assert client.read_answer().body == b"/half"
        assert client.ends()
        assert len(behind.requests) == 1


def test_half_closing_behind_a_request_still_gets_all_of_a_long_answer(stage):
    """The kernel tells of the end again each time that there is room for more of the answer."""
    piece = bytes(8 << 20)

    def play(connection: Connection) -> None:
        connection.read_request()
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (3 * len(piece)))
        for _ in range(3):
            connection.send(piece)
            threading.Event().wait(0.3)

    _, front = stage(play)
    with connect(front.port) as client:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.send(get(b"/long"))
        client.send_eof()
        threading.Event().wait(0.3)
        assert len(client.read_answer().body) == 3 * len(piece)
        assert client.ends()


def test_a_first_head_in_pieces_is_put_together(stage):
    behind, front = stage(answering(naming))
    with connect(front.port) as client:
        for code in get(b"/pieces"):
            client.send(bytes([code]))
        assert client.read_answer().body == b"/pieces"
        assert len(behind.requests) == 1


def test_a_backend_that_answers_nothing_is_a_502_and_the_client_stays(stage):
    behind, front = stage(cutting(b""))
    with connect(front.port) as client:
        for _ in range(2):
            client.send(POST)
            assert client.read_answer().status == 502
        assert len(behind.requests) == 2


def test_connect_is_refused_with_the_methods_that_are_allowed(stage):
    behind, front = stage(answering(naming))
    with connect(front.port) as client:
        client.send(b"CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n")
        answer = client.read_answer()
        assert answer.status == 405
        assert b"GET" in answer.get(b"allow")
        assert client.ends()
    assert behind.requests == []
