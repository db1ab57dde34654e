"""Backends that fail: whose fault it was is in the status, and where another could answer no request fails."""

import threading
import time

import pytest

from tests.support.client import NotWhole, connect
from tests.support.netfront import running
from tests.support.origins import OK, Connection, answering, closed_port, cutting, origin, resetting, silent

pytestmark = pytest.mark.usefixtures("modes")
GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello"
PUT = POST.replace(b"POST", b"PUT")


def status_of(front, request):
    """Ask on a new connection; give the status of the answer."""
    with connect(front.port) as client:
        client.send(request)
        return client.read_answer(request.split(b" ")[0]).status


@pytest.mark.parametrize("request_", [GET, POST], ids=["GET", "POST"])
def test_a_backend_that_refuses_is_a_502(request_):
    with closed_port() as port, running("proxy", f"127.0.0.1:{port}", "-q") as front:
        assert status_of(front, request_) == 502


def test_a_backend_that_comes_is_served_at_once():
    with closed_port() as port, running("proxy", f"127.0.0.1:{port}", "-q") as front:
        assert status_of(front, GET) == 502
    with running("proxy", f"127.0.0.1:{port}", "-q") as front:
        assert status_of(front, GET) == 502
        with origin(answering(OK), port=port):
            assert status_of(front, GET) == 200


@pytest.mark.parametrize("request_", [GET, POST], ids=["GET", "POST"])
@pytest.mark.parametrize("script", [cutting(b""), resetting()], ids=["closes", "resets"])
def test_a_backend_that_does_not_answer_is_a_502(request_, script):
    with origin(script) as behind, running("proxy", behind.url, "-q") as front:
        assert status_of(front, request_) == 502


@pytest.mark.parametrize("request_", [GET, POST], ids=["GET", "POST"])
def test_a_backend_that_is_silent_is_a_504(request_):
    with origin(silent) as behind, running("proxy", behind.url, "-q", "--timeout", "300ms") as front:
        start = time.perf_counter()
        assert status_of(front, request_) == 504
        assert 0.25 < time.perf_counter() - start < 2
        assert behind.connections[0].ended.wait(2)
        assert len(behind.requests) == 1


def test_a_backend_that_falls_silent_in_a_body_is_cut_off():
    def play(connection: Connection) -> None:
        connection.read_request()
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
        connection.wait_until_gone()

    with (
        origin(play) as behind,
        running("proxy", behind.url, "-q", "--read-timeout", "300ms") as front,
        connect(front.port) as client,
    ):
        client.send(GET)
        assert client.read_head().status == 200
        assert client.read_some(5) == b"hello"
        assert client.ends()
        assert behind.connections[0].ended.wait(2)


@pytest.mark.parametrize("request_", [GET, POST], ids=["GET", "POST"])
def test_a_refused_connection_goes_to_the_next_target(request_):
    with (
        closed_port() as port,
        origin(answering(OK)) as behind,
        running("proxy", f"127.0.0.1:{port},127.0.0.1:{behind.port}", "-q") as front,
    ):
        assert [status_of(front, request_) for _ in range(6)] == [200] * 6
        assert len(behind.requests) == 6


def test_an_idempotent_request_that_got_no_answer_is_tried_elsewhere():
    with (
        origin(cutting(b"")) as broken,
        origin(answering(OK)) as behind,
        running("proxy", f"127.0.0.1:{broken.port},127.0.0.1:{behind.port}", "-q") as front,
    ):
        assert [status_of(front, request) for request in (GET, GET, PUT, PUT)] == [200] * 4


def test_a_post_that_may_have_been_read_is_never_sent_twice():
    with (
        origin(cutting(b"")) as broken,
        origin(answering(OK)) as behind,
        running("proxy", f"127.0.0.1:{broken.port},127.0.0.1:{behind.port}", "-q") as front,
    ):
        statuses = [status_of(front, POST) for _ in range(4)]
        assert len(broken.requests) == statuses.count(502)
        assert len(broken.requests) + len(behind.requests) == 4


def test_an_answer_that_has_begun_is_never_begun_again():
    with (
        origin(cutting(b"HTTP/1.1 200 OK\r\n")) as broken,
        running("proxy", broken.url, "-q") as front,
    ):
        assert status_of(front, GET) == 502
        assert len(broken.requests) == 1


def test_several_targets_take_turns():
    with origin(answering(OK)) as one, origin(answering(OK)) as other:
        with running("proxy", f"127.0.0.1:{one.port},127.0.0.1:{other.port}", "-q") as front:
            assert [status_of(front, GET) for _ in range(8)] == [200] * 8
        assert (len(one.requests), len(other.requests)) == (4, 4)


def test_a_slow_head_is_a_408_and_a_silent_connection_is_closed():
    with (
        origin(answering(OK)) as behind,
        running("proxy", behind.url, "-q", "--head-timeout", "500ms") as front,
    ):
        with connect(front.port) as slow, connect(front.port) as quiet:
            stop = threading.Event()

            def trickle():
                for code in GET[:-2] + b"X-A: " + b"y" * 1000:
                    if stop.wait(0.1):
                        return
                    try:
                        slow.send(bytes([code]))
                    except OSError:
                        return

            sender = threading.Thread(target=trickle)
            sender.start()
            answer = slow.read_answer()
            assert (answer.status, answer.closes) == (408, True)
            assert quiet.ends()
            stop.set()
            sender.join()
        assert behind.requests == []


def test_a_slow_body_is_a_408():
    with (
        origin(silent) as behind,
        running("proxy", behind.url, "-q", "--body-timeout", "300ms") as front,
        connect(front.port) as client,
    ):
        client.send(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhello")
        answer = client.read_answer(b"POST")
        assert (answer.status, answer.closes) == (408, True)
        assert behind.connections[0].ended.wait(2)


@pytest.mark.usefixtures("modes")
def test_a_backend_that_asks_for_no_body_is_late_and_not_its_client():
    """Who waits for a 100 does not pause."""
    with (
        origin(silent) as behind,
        running("proxy", behind.url, "-q", "--timeout", "400ms", "--body-timeout", "20s") as front,
        connect(front.port) as client,
    ):
        head = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"
        client.send(head)
        assert client.read_answer().status == 504


@pytest.mark.usefixtures("modes")
def test_a_client_that_pauses_its_upload_is_waited_for_and_its_backend_is_not_blamed():
    """The time of an answer begins when the backend has all that is there of the request."""
    with (
        origin(answering()) as behind,
        running("balance", behind.url, "-v", "--timeout", "400ms", "--body-timeout", "5s") as front,
        connect(front.port) as client,
    ):
        client.send(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\n")
        for byte in (b"a", b"b", b"c"):
            time.sleep(0.7)
            client.send(byte)
        assert client.read_answer().status == 200
        client.send(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\na")
        assert client.read_answer().status == 408
        assert " is down: " not in front.stderr


def test_an_idle_connection_is_closed_without_a_word():
    with (
        origin(answering(OK)) as behind,
        running("proxy", behind.url, "-q", "--idle-timeout", "300ms") as front,
        connect(front.port) as client,
    ):
        client.send(GET)
        assert client.read_answer().status == 200
        start = time.perf_counter()
        assert client.ends()
        assert 0.2 < time.perf_counter() - start < 2


def test_an_idle_backend_connection_is_closed():
    with (
        origin(answering(OK)) as behind,
        running("proxy", behind.url, "-q", "--backend-idle-timeout", "300ms") as front,
    ):
        assert status_of(front, GET) == 200
        assert behind.connections[0].ended.wait(3)
        assert status_of(front, GET) == 200


def test_a_body_over_its_limit_is_a_413():
    with origin(answering(OK)) as behind, running("proxy", behind.url, "-q", "--max-body", "4") as front:
        assert status_of(front, POST) == 413
        chunks = (
            b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
        )
        assert status_of(front, chunks) == 413
        assert not any(seen.is_whole for seen in behind.requests)


def test_a_client_that_takes_nothing_is_given_up():
    part = bytes(1_000_000)

    def play(connection: Connection) -> None:
        connection.read_request()
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        for _ in range(1000):
            connection.send(part)

    with (
        origin(play) as behind,
        running("proxy", behind.url, "-q", "--send-timeout", "500ms") as front,
        connect(front.port) as client,
    ):
        client.send(GET)
        behind.wait_connections(1)
        assert behind.connections[0].ended.wait(8)


def test_more_connections_than_allowed_wait_for_a_place():
    with (
        origin(answering(OK)) as behind,
        running("proxy", behind.url, "-q", "--max-connections", "2") as front,
        connect(front.port) as one,
        connect(front.port) as other,
    ):
        for client in (one, other):
            client.send(GET)
            assert client.read_answer().status == 200
        with connect(front.port, 0.3) as late:
            late.send(GET)
            with pytest.raises(NotWhole):
                late.read_answer()
            one.socket.close()
            late.socket.settimeout(5)
            assert late.read_answer().status == 200
