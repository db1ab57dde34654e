"""Answers that end with their connection: a reset that the upload has met is no end, though a read then tells one."""

import pytest

from netfront.endpoint import Endpoint
from netfront.errors import BackendError
from netfront.http.body import BodyReader, RequestBody
from netfront.http.client import BackendConnection, Patience
from netfront.http.message import Exchange, Request
from netfront.net.backend import Member
from netfront.net.lane import Signal, deadline
from netfront.net.pool import Pool
from netfront.net.stream import Facts
from netfront.wire.fields import EMPTY
from netfront.wire.framing import LENGTH, Framing
from netfront.wire.head import HeadLimits, ResponseHeads, response_memory
from netfront.wire.target import parse_target
from tests.support.fakestream import FakeStream


class Client:
    """Who asks, and stays."""

    def __init__(self):
        self.facts = Facts(("192.0.2.9", 1), ("192.0.2.1", 2))
        self.gone = Signal()
        self.due = deadline()


class Backend(FakeStream):
    """The kernel tells of a reset to whoever calls first; from then on it tells of an end."""

    fails = False

    def send_now(self, data):
        if self.fails:
            self.fails = False
            self.end()
            raise ConnectionResetError(104, "Connection reset by peer")
        return super().send_now(data)


@pytest.mark.parametrize("framing", [b"", b"Content-Length: 9\r\n"])
@pytest.mark.parametrize("is_reset", [True, False], ids=["reset", "end"])
async def test_a_reset_that_the_upload_has_met_cuts_the_answer(framing, is_reset):
    stream, asking, client = Backend(), FakeStream(), Client()
    released, closed = [], []
    connection = BackendConnection(
        stream, ResponseHeads(HeadLimits(), response_memory()), released.append, closed.append
    )
    pool = Pool("pool", [Member(Endpoint("http", "127.0.0.1", 1), "b", b"b")])
    body = RequestBody(BodyReader(asking, Framing(LENGTH, 99), b"", asks=True), limit=None, patience=5.0)
    target = parse_target(b"POST", b"/")
    exchange = Exchange(0.0, client, b"POST", b"/", b"1")
    request = Request(b"POST", target, b"1", b"http", b"a.test", EMPTY, body, client, exchange)
    stream.feed(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\nsome")
    answer = await connection.exchange(request, b"head", Patience(9, 9, 9), pool.take(None, (), 0.0))
    assert answer.body.receive_now() == b"some"
    assert answer.body.receive_now() is None
    stream.fails = is_reset
    asking.feed(b"more")
    if is_reset or framing:
        if not is_reset:
            stream.end()
        with pytest.raises(BackendError):
            await answer.body.receive_some()
    else:
        stream.end()
        assert await answer.body.receive_some() == b""
    assert (released, closed) == ([], [connection])
