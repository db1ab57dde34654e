"""Asking: an answer whole and in hand, within its bounds, on the lane and without."""

import random

import pytest
import trio

from netfront.endpoint import Endpoint
from netfront.errors import AnswerTooLong, BackendError, ClientGone
from netfront.http.ask import ask
from netfront.http.attempts import Dialling
from netfront.http.client import Patience
from netfront.http.forward import forward
from netfront.http.transport import Transport
from netfront.net.backend import Member
from netfront.net.lane import Deadline, Signal, clock, deadline
from netfront.net.pool import Pool
from netfront.net.stream import Facts
from netfront.wire.fields import Fields
from netfront.wire.head import HeadLimits
from tests.support.lanes import MODES, running
from tests.support.origins import answering, closed_port, origin, silent

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"


def stopping(connection):
    """Begin an answer and never end it."""
    connection.read_request()
    connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab")
    connection.wait_until_gone(60)


class Asking:
    """Asks an origin, and keeps what came of it."""

    def __init__(self, port):
        member = Member(Endpoint("http", "127.0.0.1", port), "b", b"b")
        self.pool = Pool("pool", [member])
        self.transport = Transport(limits=HeadLimits())
        self.handler = forward(
            self.pool,
            self.transport,
            dialling=Dialling(2.0, lambda request, member: b"", random.Random(0)),
            patience=Patience(5.0, 5.0, 5.0),
        )

    async def ask(self, mode, method=b"GET", target=b"/x?y=z", *, within=10.0, **more):
        """Ask once in a connection's place; give the answer, or raise what befell."""
        came = []

        async def connection():
            deadline().at, deadline().which = clock() + 100.0, "body"
            try:
                came.append(
                    await ask(
                        self.handler,
                        method,
                        target,
                        scheme=b"http",
                        authority=b"id.test:1",
                        until=clock() + within,
                        **{"most": 1000, **more},
                    )
                )
            except Exception as error:
                came.append(error)
            assert deadline().which == "body"
            assert deadline().at > clock() + 50.0

        with trio.fail_after(20):
            async with running(mode) as start:
                start(connection)
        assert [backend.in_flight for backend in self.pool.backends] == [0]
        if isinstance(came[0], Exception):
            raise came[0]
        return came[0]


@pytest.mark.parametrize("mode", MODES)
async def test_the_answer_is_whole(mode):
    with origin(answering(CHUNKED)) as behind:
        asking = Asking(behind.port)
        answer = await asking.ask(mode, b"POST", fields=Fields.of((b"Accept", b"*/*")), body=b"abc")
        (seen,) = behind.requests
        assert (answer.status, answer.body) == (200, b"abcde")
        assert (seen.method, seen.target, seen.host, seen.body) == (b"POST", b"/x?y=z", b"id.test:1", b"abc")
        assert seen.get(b"accept") == b"*/*"
        assert asking.transport.connections == sum(len(one.idle) for one in asking.pool.backends) == 1


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("is_kept", [True, False])
async def test_a_body_that_is_not_wanted_is_not_waited_for(mode, is_kept):
    def say(connection):
        connection.read_request()
        connection.send(
            b"HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\n" + b"abc"[: 3 if is_kept else 1]
        )
        connection.wait_until_gone()

    with origin(say) as behind:
        asking = Asking(behind.port)
        answer = await asking.ask(mode, wants=lambda status, fields: status == 200)
        assert (answer.status, answer.body) == (404, b"")
        assert asking.transport.connections == is_kept


@pytest.mark.parametrize("mode", MODES)
async def test_what_is_amiss_in_a_body_that_is_not_wanted_changes_nothing(mode):
    with origin(answering(b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")) as behind:
        asking = Asking(behind.port)
        assert (await asking.ask(mode, wants=lambda status, fields: False)).status == 404
        assert asking.transport.connections == 0


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("answer", [CHUNKED, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcde"])
async def test_an_answer_too_long_is_none(mode, answer):
    with origin(answering(answer)) as behind:
        with pytest.raises(AnswerTooLong) as raised:
            await Asking(behind.port).ask(mode, most=4)
        assert (raised.value.most, raised.value.stage) == (4, "body")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("script", [silent, stopping])
async def test_the_whole_answer_must_be_there_in_time(mode, script):
    with origin(script) as behind:
        with pytest.raises(BackendError) as raised:
            await Asking(behind.port).ask(mode, within=0.3)
        assert raised.value.timed_out


@pytest.mark.parametrize("mode", MODES)
async def test_who_is_not_there_is_told(mode):
    with closed_port() as port, pytest.raises(BackendError) as raised:
        await Asking(port).ask(mode)
    assert raised.value.stage == "connect"


class Leaving:
    """A client that has left."""

    def __init__(self):
        self.facts = Facts(("192.0.2.1", 1), ("127.0.0.1", 2))
        self.told = None
        self.due = Deadline()
        self.gone = Signal(True)

    def has_left(self):
        return True


@pytest.mark.parametrize("mode", MODES)
async def test_with_the_client_the_request_ends(mode):
    with origin(silent) as behind, pytest.raises(ClientGone):
        await Asking(behind.port).ask(mode, client=Leaving())
