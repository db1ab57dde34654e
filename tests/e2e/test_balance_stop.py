"""SIGTERM drains requests, and what is passed on, within --drain; a second one cuts."""

import signal
import socket
import threading

import pytest

from tests.support.client import connect
from tests.support.echo import datagram_echo
from tests.support.named import named, until
from tests.support.netfront import running
from tests.support.origins import Connection, origin

pytestmark = pytest.mark.usefixtures("modes")
LISTENERS = ("-l", "http://127.0.0.1:0", "-l", "tcp://127.0.0.1:0", "-l", "udp://127.0.0.1:0")


def echoing(connection: Connection) -> None:
    while data := connection.receive():
        connection.send(data)
    connection.send_eof()


def refuses(port):
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) != 0


@pytest.mark.parametrize("with_signal", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_requests_and_passed_on_connections_are_finished(with_signal):
    going = threading.Event()

    def play(connection: Connection) -> None:
        connection.read_request()
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhe")
        assert going.wait(10)
        connection.send(b"ld")

    with origin(play) as behind, origin(echoing) as bytes_behind, datagram_echo(b"") as echo:
        places = (
            f"http://127.0.0.1:{behind.port}",
            f"tcp://127.0.0.1:{bytes_behind.port}",
            f"udp://127.0.0.1:{echo.port}",
        )
        with (
            running("balance", *LISTENERS, *places) as front,
            connect(front.ports[0]) as client,
            connect(front.ports[1]) as passed,
        ):
            client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert client.read_head().status == 200
            passed.send(b"1")
            assert passed.read_some(1) == b"1"
            front.process.send_signal(with_signal)
            until(lambda: refuses(front.ports[0]) and refuses(front.ports[1]))
            assert "finishing 2 requests; once more cuts them" in front.stderr
            passed.send(b"2")
            assert passed.read_some(1) == b"2"
            assert front.process.poll() is None
            going.set()
            assert client.read_some(4) == b"held"
            assert client.ends()
            passed.send_eof()
            assert passed.read_to_end() == b""
            assert front.process.wait(10) == 0


def test_what_is_passed_on_for_longer_than_the_drain_is_cut():
    with (
        origin(echoing, expect_faults=True) as behind,
        running("balance", *LISTENERS[2:4], f":{behind.port}", "--drain", "200ms") as front,
    ):
        with connect(front.port) as passed:
            passed.send(b"1")
            assert passed.read_some(1) == b"1"
            assert front.stop() == 0
            assert passed.ends()
        assert "cut 1 connection still busy after the drain" in front.stderr


def test_a_second_signal_cuts():
    with (
        origin(echoing, expect_faults=True) as behind,
        running("balance", *LISTENERS[2:4], f":{behind.port}", exit_code=130) as front,
        connect(front.port) as passed,
    ):
        passed.send(b"1")
        assert passed.read_some(1) == b"1"
        front.process.send_signal(signal.SIGTERM)
        until(lambda: refuses(front.port))
        assert front.stop() == 130
        assert passed.ends()


def test_it_stops_while_names_are_asked_for_and_backends_are_down():
    with (
        named(2) as (a, b),
        running(
            "balance", a.place, b.place, "nowhere.invalid:1", "--health", "tcp,interval=100ms", "--lb", "p2c"
        ) as front,
    ):
        a.down(), b.down()
        until(lambda: "is down" in front.stderr)
        assert front.stop() == 0
