"""A 101 is relayed after the backend's own and not before; what follows is bytes, both ways, to the end."""

import threading
import time

import pytest

from tests.support.client import connect
from tests.support.netfront import running
from tests.support.origins import OK, Connection, answering, origin, switching

pytestmark = pytest.mark.usefixtures("modes")
UPGRADE = b"GET /chat HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: echo\r\nX-Key: k\r\n\r\n"
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\nX-Accept: a\r\n\r\n"
EVIL = b"GET /hidden HTTP/1.1\r\nHost: localhost\r\n\r\n"


def upgraded(client, sent=UPGRADE):
    """Ask for the upgrade and give its head."""
    client.send(sent)
    head = client.read_head()
    assert head.status == 101
    return head


def test_bytes_go_both_ways_after_the_101():
    with (
        origin(switching(reply=SWITCHED)) as behind,
        running("proxy", behind.url, "-q") as front,
        connect(front.port) as client,
    ):
        head = upgraded(client)
        assert (head.get(b"upgrade"), head.get(b"x-accept")) == (b"echo", b"a")
        assert (head.get(b"connection") or b"").lower() == b"upgrade"
        assert head.get(b"content-length") is None
        for part in (b"a", b"\x00\xff\r\n\r\n", bytes(range(256)) * 1000):
            client.send(part)
            assert client.read_some(len(part)) == part
        seen = behind.requests[0]
        assert (seen.get(b"upgrade"), seen.get(b"x-key")) == (b"echo", b"k")
        assert (seen.get(b"connection") or b"").lower() == b"upgrade"


def test_what_comes_with_the_101_is_passed_on():
    with (
        origin(switching(greeting=b"welcome")) as behind,
        running("proxy", behind.url, "-q") as front,
        connect(front.port) as client,
    ):
        upgraded(client)
        assert client.read_some(7) == b"welcome"


def test_what_the_client_sends_behind_its_request_waits_for_the_101():
    early = []
    going = threading.Event()

    def play(connection: Connection) -> None:
        connection.read_head()
        connection.socket.settimeout(0.3)
        try:
            early.append(connection.receive())
        except TimeoutError:
            early.append(None)
        connection.socket.settimeout(10)
        going.set()
        connection.send(SWITCHED)
        connection.send(connection.read_exactly(len(EVIL)))

    with origin(play) as behind, running("proxy", behind.url, "-q") as front, connect(front.port) as client:
        client.send(UPGRADE + EVIL)
        assert client.read_head().status == 101
        assert going.is_set()
        assert client.read_some(len(EVIL)) == EVIL
        assert early == [None], "bytes went on before the 101"
        assert len(behind.requests) == 1


def test_without_a_101_it_stays_http():
    with (
        origin(answering(OK)) as behind,
        running("proxy", behind.url, "-q") as front,
        connect(front.port) as client,
    ):
        client.send(UPGRADE + EVIL)
        assert client.read_answer().body == b"ok"
        assert client.read_answer().body == b"ok"
        assert [seen.target for seen in behind.requests] == [b"/chat", b"/hidden"]
        assert behind.requests[1].get(b"upgrade") is None


def test_a_refusal_of_the_upgrade_reaches_the_client():
    no = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"
    with (
        origin(answering(no)) as behind,
        running("proxy", behind.url, "-q") as front,
        connect(front.port) as client,
    ):
        client.send(UPGRADE)
        answer = client.read_answer()
        assert (answer.status, answer.body) == (403, b"no")
        client.send(EVIL)
        assert client.read_answer().status == 403


def test_the_clients_half_close_is_passed_on_and_the_rest_comes_back():
    with (
        origin(switching()) as behind,
        running("proxy", behind.url, "-q") as front,
        connect(front.port) as client,
    ):
        upgraded(client)
        client.send(b"last words")
        client.send_eof()
        assert client.read_to_end() == b"last words"


def test_the_backends_half_close_is_passed_on_and_the_rest_goes_up():
    heard = []

    def play(connection: Connection) -> None:
        connection.read_head()
        connection.send(SWITCHED + b"goodbye")
        connection.send_eof()
        while data := connection.receive():
            heard.append(data)

    with origin(play) as behind, running("proxy", behind.url, "-q") as front, connect(front.port) as client:
        upgraded(client)
        assert client.read_to_end() == b"goodbye"
        client.send(b"still here")
        client.send_eof()
        behind.connections[0].ended.wait(5)
        assert b"".join(heard) == b"still here"


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_client_that_goes_ends_the_backends_side(how):
    with (
        origin(switching()) as behind,
        running("proxy", behind.url, "-q") as front,
        connect(front.port) as client,
    ):
        upgraded(client)
        client.send(b"x")
        assert client.read_some(1) == b"x"
        if how == "reset":
            client.reset()
        else:
            client.socket.close()
        assert behind.connections[0].ended.wait(2)


def test_a_backend_that_resets_does_not_look_like_an_end():
    def play(connection: Connection) -> None:
        connection.read_head()
        connection.send(SWITCHED)
        connection.read_exactly(1)
        connection.reset()

    with origin(play) as behind, running("proxy", behind.url, "-q") as front, connect(front.port) as client:
        upgraded(client)
        client.send(b"x")
        with pytest.raises(ConnectionResetError):
            client.socket.recv(1)


def test_a_silent_relay_ends_after_the_stream_timeout():
    with (
        origin(switching()) as behind,
        running("proxy", behind.url, "-q", "--stream-timeout", "500ms") as front,
        connect(front.port) as client,
    ):
        upgraded(client)
        start = time.perf_counter()
        for _ in range(3):
            time.sleep(0.25)
            client.send(b"x")
            assert client.read_some(1) == b"x"
        assert client.ends()
        assert 1.2 < time.perf_counter() - start < 4
        assert behind.connections[0].ended.wait(2)


@pytest.mark.parametrize(
    "request_",
    [
        UPGRADE.replace(b"Connection: Upgrade\r\n", b""),
        UPGRADE.replace(b"HTTP/1.1", b"HTTP/1.0"),
        UPGRADE.replace(b"Upgrade: echo", b"Upgrade: h2c"),
        UPGRADE.replace(b"Upgrade: echo\r\n", b""),
    ],
    ids=["not in Connection", "HTTP/1.0", "h2c", "no Upgrade"],
)
def test_an_upgrade_that_is_none_is_stripped_and_its_101_refused(request_):
    with (
        origin(switching()) as behind,
        running("proxy", behind.url, "-q") as front,
        connect(front.port) as client,
    ):
        client.send(request_ + EVIL)
        assert client.read_answer().status == 502
        assert behind.requests[0].get(b"upgrade") is None
        assert b"hidden" not in behind.connections[0].received


def test_an_upgrade_of_a_request_with_a_body():
    """The body comes first, whole, then the other protocol's bytes."""
    with (
        origin(switching()) as behind,
        running("proxy", behind.url, "-q") as front,
        connect(front.port) as client,
    ):

        def play(connection: Connection) -> None:
            connection.read_request()
            connection.send(SWITCHED)
            connection.send(connection.read_exactly(5))

        behind.script = play
        client.send(UPGRADE.replace(b"GET", b"POST").replace(b"X-Key: k", b"Content-Length: 5") + b"hello")
        head = client.read_head()
        assert behind.requests[0].body == b"hello"
        if head.status == 101:
            client.send(b"other")
            assert client.read_some(5) == b"other"


def test_what_comes_with_the_end_of_such_a_body_is_of_the_other_protocol():
    def play(connection: Connection) -> None:
        connection.read_request()
        connection.send(SWITCHED)
        connection.send(connection.read_exactly(5))

    head = UPGRADE.replace(b"GET", b"POST")
    for asked, rest in (
        (head.replace(b"X-Key: k", b"Content-Length: 5") + b"he", b"llo"),
        (head.replace(b"X-Key: k", b"Transfer-Encoding: chunked") + b"5\r\nhe", b"llo\r\n0\r\n\r\n"),
    ):
        with (
            origin(play) as behind,
            running("proxy", behind.url, "-q") as front,
            connect(front.port) as client,
        ):
            client.send(asked)
            behind.wait_requests(1)
            client.send(rest + b"other")
            assert client.read_head().status == 101
            assert behind.requests[0].body == b"hello"
            assert client.read_some(5) == b"other"


@pytest.mark.parametrize("framing", [b"Content-Length: 5", b"Transfer-Encoding: chunked"])
def test_a_101_within_such_a_body_is_refused(framing):
    with (
        origin(switching()) as behind,
        running("proxy", behind.url, "-q") as front,
        connect(front.port) as client,
    ):
        client.send(UPGRADE.replace(b"GET", b"POST").replace(b"X-Key: k", framing))
        assert client.read_answer().status == 502
        assert behind.connections[0].ended.wait(2)


@pytest.mark.parametrize("why", ["reset", "silence"])
def test_what_is_cut_looks_like_an_end_on_neither_side(why):
    how = []

    def play(connection: Connection) -> None:
        connection.read_head()
        connection.send(SWITCHED)
        connection.read_exactly(1)
        try:
            how.append(connection.socket.recv(1))
        except ConnectionResetError:
            how.append("reset")

    with (
        origin(play) as behind,
        running("proxy", behind.url, "-q", "--stream-timeout", "300ms") as front,
        connect(front.port) as client,
    ):
        upgraded(client)
        client.send(b"x")
        if why == "reset":
            client.reset()
        else:
            with pytest.raises(ConnectionResetError):
                client.socket.recv(1)
        assert behind.connections[0].ended.wait(5)
        assert how == ["reset"]


def test_who_leaves_before_the_101_has_come_does_not_look_like_an_end():
    """The backend may have switched already, and would take an end for one of the other protocol."""
    how = []

    def play(connection: Connection) -> None:
        connection.read_head()
        try:
            how.append(connection.socket.recv(1))
        except ConnectionResetError:
            how.append("reset")

    with origin(play) as behind, running("proxy", behind.url, "-q") as front, connect(front.port) as client:
        client.send(UPGRADE)
        behind.wait_requests(1)
        client.reset()
        assert behind.connections[0].ended.wait(5)
        assert how == ["reset"]


def test_megabytes_cross_a_relay_both_ways_at_once():
    content = bytes(range(256)) * 20_000
    with (
        origin(switching()) as behind,
        running("proxy", behind.url, "-q") as front,
        connect(front.port) as client,
    ):
        upgraded(client)
        sender = threading.Thread(target=lambda: (client.send(content), client.send_eof()))
        sender.start()
        assert client.read_to_end() == content
        sender.join()
