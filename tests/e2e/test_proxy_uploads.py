"""Requests with a body: 100-continue, interim answers, early answers, leaving, half-closing."""

import http.client
import threading
import time

import pytest

from tests.support.client import NotWhole, connect
from tests.support.origins import OK, Connection, answering_while_asked, early, echoing, interim, silent

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
EXPECTING = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n"
LARGE = b"PUT / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000000\r\n\r\n"
REFUSAL = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 7\r\n\r\ntoo big"


def test_the_backends_100_is_what_the_client_gets(stage):
    asked = threading.Event()
    may_continue = threading.Event()

    def play(connection: Connection) -> None:
        seen = connection.read_head()
        asked.set()
        assert seen.get(b"expect") == b"100-continue"
        assert may_continue.wait(5)
        connection.send(CONTINUE)
        connection.read_body(seen)
        connection.send(OK)

    behind, front = stage(play)
    with connect(front.port) as client:
        client.send(EXPECTING)
        assert asked.wait(5)
        client.socket.settimeout(0.2)
        with pytest.raises(NotWhole):
            client.read_head()
        client.socket.settimeout(10)
        may_continue.set()
        assert client.read_head().status == 100
        client.send(b"hello")
        assert client.read_answer(b"POST").body == b"ok"
        assert behind.requests[0].body == b"hello"


def test_a_final_answer_in_place_of_100_reaches_the_client(stage):
    _, front = stage(early(REFUSAL))
    with connect(front.port) as client:
        client.send(EXPECTING)
        answer = client.read_answer(b"POST")
        assert (answer.status, answer.body, answer.interim) == (413, b"too big", [])


def test_a_body_that_does_not_wait_for_100_is_sent_on(stage):
    behind, front = stage(interim(CONTINUE))
    with connect(front.port) as client:
        client.send(EXPECTING + b"hello")
        assert client.read_answer(b"POST").body == b"ok"
        assert behind.requests[0].body == b"hello"


def test_curls_expectation_is_met(stage):
    behind, front = stage(interim(CONTINUE))
    with connect(front.port) as client:
        client.send(EXPECTING.replace(b"Content-Length: 5", b"Transfer-Encoding: chunked"))
        assert client.read_head().status == 100
        client.send(b"5\r\nhello\r\n0\r\n\r\n")
        assert client.read_answer(b"POST").status == 200
        assert behind.requests[0].body == b"hello"


def test_early_hints_come_before_the_answer(stage):
    going = threading.Event()

    def play(connection: Connection) -> None:
        connection.read_request()
        connection.send(HINTS)
        assert going.wait(5), "the hints were held back"
        connection.send(OK)

    _, front = stage(play)
    with connect(front.port) as client:
        client.send(GET)
        hints = client.read_head()
        assert (hints.status, hints.get(b"link")) == (103, b"</a.css>; rel=preload")
        going.set()
        assert client.read_answer().body == b"ok"


def test_an_http_10_client_gets_no_interim_answer(stage):
    _, front = stage(interim(HINTS))
    with connect(front.port) as client:
        client.send(GET.replace(b"1.1", b"1.0"))
        answer = client.read_answer()
        assert (answer.status, answer.interim) == (200, [])


def test_an_early_answer_comes_during_the_upload(stage):
    _, front = stage(early(REFUSAL))
    with connect(front.port) as client:
        client.send(LARGE + bytes(1000))
        answer = client.read_answer(b"PUT")
        assert (answer.status, answer.body) == (413, b"too big")


def test_an_early_answer_reaches_a_client_that_goes_on_sending(stage):
    """A client that sends all before it reads sees the answer, not a reset."""

    def play(connection: Connection) -> None:
        connection.read_head()
        connection.send(REFUSAL)
        connection.send_eof()
        connection.wait_until_gone()

    _, front = stage(play)
    with connect(front.port) as client:
        client.send(LARGE.replace(b"100000000", b"500000"))
        for _ in range(5):
            client.send(bytes(100_000))
            time.sleep(0.01)
        assert client.read_answer(b"PUT").status == 413


def test_an_early_answer_and_the_upload_go_on_side_by_side(stage):
    """A backend may answer while it reads: neither direction waits for the other."""

    def play(connection: Connection) -> None:
        seen = connection.read_head()
        assert seen.get(b"transfer-encoding") == b"chunked"
        connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while part := connection.read_chunk():
            connection.send(b"%x\r\n%b\r\n" % (len(part), part))
        connection.read_fields()
        connection.send(b"0\r\n\r\n")

    _, front = stage(play)
    with connect(front.port) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert client.read_head().status == 200
        for number in range(10):
            client.send(b"1\r\n%d\r\n" % number)
            assert client.read_chunk() == b"%d" % number
        client.send(b"0\r\n\r\n")
        assert client.read_chunk() == b""


def test_a_client_may_read_nothing_of_the_answer_before_it_has_sent_all(stage):
    """Each direction has more than all buffers hold, and the backend minds neither."""
    size = 24 << 20
    _, front = stage(answering_while_asked(size))
    with connect(front.port) as client:
        assert len(client.put_before_reading(size).body) == size


@pytest.mark.parametrize("rest", [b"no chunk\r\n", None], ids=["malformed", "ended"])
def test_an_upload_that_fails_puts_nothing_into_the_answer_that_has_begun(stage, rest):
    """An error page there would be taken for a part of the body."""

    def play(connection: Connection) -> None:
        connection.read_head()
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\n0123456789")
        connection.wait_until_gone()

    _, front = stage(play)
    with connect(front.port) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
        assert client.read_head().status == 200
        assert client.read_some(10) == b"0123456789"
        if rest is None:
            client.send_eof()
        else:
            client.send(rest)
        with pytest.raises(NotWhole, match="reset"):
            client.read_to_end()


def test_request_trailers_pass(stage):
    behind, front = stage(echoing())
    with connect(front.port) as client:
        client.send(
            b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
            b"5;a=b\r\nhello\r\n0\r\nX-Sum: 5\r\n\r\n"
        )
        assert client.read_answer(b"POST").body == b"hello"
        assert behind.requests[0].trailers == [(b"X-Sum", b"5")]


def test_bodies_of_all_sizes_go_up_as_they_are(stage):
    content = bytes(range(256)) * 12_000
    behind, front = stage(echoing())
    client = http.client.HTTPConnection("127.0.0.1", front.port, timeout=20)
    for size in (0, 1, 4096, 65535, 65536, 65537, 1 << 20, 3_000_001):
        client.request("PUT", "/", body=content[:size])
        assert client.getresponse().read() == content[:size]
    client.request("PUT", "/", body=iter([content, content[:7]]), encode_chunked=True)
    assert client.getresponse().read() == content + content[:7]
    client.close()
    assert len(behind.connections) == 1


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("sent", [GET, LARGE + bytes(1000)], ids=["waiting", "uploading"])
def test_a_client_that_leaves_ends_the_backends_exchange(stage, sent, how):
    """Within 100 ms; on a machine that is busy with other things, at one of a few times."""
    left = []

    def play(connection: Connection) -> None:
        connection.read_head()
        connection.wait_until_gone()
        left.append(time.perf_counter())

    behind, front = stage(play)
    took = []
    for turn in range(4):
        with connect(front.port) as client:
            client.send(sent)
            behind.wait_requests(turn + 1)
            time.sleep(0.2)
            start = time.perf_counter()
            if how == "reset":
                client.reset()
            else:
                client.socket.close()
            behind.connections[turn].ended.wait(5)
            took.append(left[turn] - start)
        if took[-1] < 0.1:
            break
    assert min(took) < 0.1


def test_an_upload_that_is_cut_is_never_whole_at_the_backend(stage):
    behind, front = stage(silent)
    bodies = b"Content-Length: 10\r\n\r\nhello", b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
    for number, body in enumerate(bodies):
        with connect(front.port) as client:
            client.send(b"POST / HTTP/1.1\r\nHost: localhost\r\n" + body)
            behind.wait_requests(number + 1)
        behind.connections[-1].ended.wait(5)
    assert [seen.is_whole for seen in behind.requests] == [False, False]


def test_half_closing_behind_an_upload_still_gets_the_answer(stage):
    _, front = stage(echoing())
    with connect(front.port) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello")
        client.send_eof()
        assert client.read_answer(b"POST").body == b"hello"
        assert client.ends()


def test_a_length_of_0_goes_on_as_it_came(stage):
    behind, front = stage(echoing())
    with connect(front.port) as client:
        for method in (b"DELETE", b"GET", b"REPORT"):
            client.send(method + b" / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
            assert client.read_answer(method).status == 200
            client.send(method + b" / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert client.read_answer(method).status == 200
    assert [seen.get(b"content-length") for seen in behind.requests] == [b"0", None] * 3
