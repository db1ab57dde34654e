"""SIGINT and SIGTERM stop accepting, finish what is under way, and end; a second one cuts."""

import signal
import threading
import time

import pytest

from tests.support.client import NotWhole, connect
from tests.support.netfront import running
from tests.support.origins import OK, Connection, answering, origin, silent, switching

pytestmark = pytest.mark.usefixtures("modes")
GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
SIGNALS = pytest.mark.parametrize("with_signal", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])


@SIGNALS
def test_what_is_under_way_is_finished(with_signal):
    going = threading.Event()

    def play(connection: Connection) -> None:
        connection.read_request()
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
        assert going.wait(10)
        connection.send(b"world")

    with origin(play) as behind, running("proxy", behind.url, "-q") as front, connect(front.port) as client:
        client.send(GET)
        assert client.read_head().status == 200
        front.process.send_signal(with_signal)
        wait_until_refused(front.port)
        assert front.process.poll() is None
        going.set()
        assert client.read_some(10) == b"helloworld"
        assert client.ends()
        assert front.process.wait(5) == 0


@SIGNALS
def test_an_answer_that_begins_while_draining_says_that_it_closes(with_signal):
    going = threading.Event()

    def play(connection: Connection) -> None:
        connection.read_request()
        assert going.wait(10)
        connection.send(OK)

    with origin(play) as behind, running("proxy", behind.url, "-q") as front, connect(front.port) as client:
        client.send(GET + GET)
        behind.wait_requests(1)
        front.process.send_signal(with_signal)
        wait_until_refused(front.port)
        going.set()
        answer = client.read_answer()
        assert (answer.status, answer.closes) == (200, True)
        assert client.ends()
        assert front.process.wait(5) == 0
        assert len(behind.requests) == 1


@SIGNALS
def test_idle_connections_close_at_once(with_signal):
    with (
        origin(answering(OK)) as behind,
        running("proxy", behind.url, "-q") as front,
        connect(front.port) as used,
        connect(front.port) as unused,
    ):
        used.send(GET)
        assert used.read_answer().status == 200
        start = time.perf_counter()
        assert front.stop(with_signal) == 0
        assert time.perf_counter() - start < 4
        assert used.ends()
        assert unused.ends()


def test_what_is_not_done_within_the_drain_is_cut():
    with (
        origin(silent) as behind,
        running("proxy", behind.url, "-q", "--drain", "500ms") as front,
        connect(front.port) as client,
    ):
        client.send(GET)
        behind.wait_requests(1)
        start = time.perf_counter()
        assert front.stop() == 0
        assert 0.4 < time.perf_counter() - start < 3
        with pytest.raises(NotWhole):
            client.read_answer()


@SIGNALS
def test_a_second_signal_cuts_at_once(with_signal):
    with (
        origin(silent) as behind,
        running("proxy", behind.url, "-q", exit_code=130) as front,
        connect(front.port) as client,
    ):
        client.send(GET)
        behind.wait_requests(1)
        front.process.send_signal(with_signal)
        wait_until_refused(front.port)
        assert front.process.poll() is None
        start = time.perf_counter()
        assert front.stop(with_signal) == 130
        assert time.perf_counter() - start < 4


def test_an_upgraded_connection_is_cut_after_the_drain():
    with (
        origin(switching()) as behind,
        running("proxy", behind.url, "-q", "--drain", "500ms") as front,
        connect(front.port) as client,
    ):
        client.send(GET.replace(b"Host", b"Connection: Upgrade\r\nUpgrade: echo\r\nHost"))
        assert client.read_head().status == 101
        assert front.stop() == 0
        assert client.ends()
        assert behind.connections[0].ended.wait(2)


def test_under_load_no_answer_is_broken_off():
    """A connection may close while its client is about to ask again (RFC 9112 §9.5), but not within an answer."""
    answered: list[int] = []
    broken: list[str] = []

    def ask(port: int) -> None:
        while True:
            try:
                with connect(port) as client:
                    closes = False
                    while not closes:
                        client.send(GET)
                        answer = client.read_answer()
                        answered.append(answer.status)
                        closes = answer.closes
            except ConnectionRefusedError:
                return
            except ConnectionError:
                pass
            except NotWhole as error:
                if str(error) not in ("reset", "ended after b''"):
                    broken.append(str(error))

    with origin(answering(OK)) as behind, running("proxy", behind.url, "-q") as front:
        askers = [threading.Thread(target=ask, args=(front.port,)) for _ in range(4)]
        for asker in askers:
            asker.start()
        behind.wait_requests(200)
        assert front.stop() == 0
        for asker in askers:
            asker.join(10)
        assert broken == []
        assert set(answered) == {200}
        assert len(answered) == len(behind.requests)


def test_sigquit_tells_the_state_and_goes_on():
    with (
        origin(answering(OK)) as behind,
        running("proxy", behind.url, "-q") as front,
        connect(front.port) as client,
    ):
        client.send(GET)
        assert client.read_answer().status == 200
        before = front.stderr
        front.process.send_signal(signal.SIGQUIT)
        until = time.monotonic() + 5
        while front.stderr == before and time.monotonic() < until:
            time.sleep(0.02)
        assert len(front.stderr) > len(before)
        client.send(GET)
        assert client.read_answer().status == 200


def wait_until_refused(port):
    """Wait until nobody accepts on a port any more."""
    until = time.monotonic() + 5
    while time.monotonic() < until:
        try:
            with connect(port, 0.5):
                time.sleep(0.01)
        except OSError:
            return
    raise AssertionError("it goes on accepting")
