"""Asking the demo origin's handler directly, without a server."""

import trio
from trio.testing import MockClock

from netfront.demo.conversation import EchoConversation
from netfront.demo.origin import demo_origin
from netfront.http.message import Exchange, Request
from netfront.net.lane import Signal
from netfront.net.stream import Facts
from netfront.wire.fields import EMPTY, Fields
from netfront.wire.target import parse_target

__all__ = ["Upload", "Visitor", "answer", "get", "make", "read"]


class Visitor:
    """A client that can leave, and keeps what it was told ahead of the answer."""

    def __init__(self, local=("127.0.0.1", 8000)):
        self.facts = Facts(("192.0.2.7", 5555), local)
        self.told = None
        self.gone = Signal()
        self.interims = []

    def has_left(self):
        return self.gone.is_set

    async def interim(self, status, fields):
        self.interims.append((status, fields.get(b"link")))


class Upload:
    """A request body in pieces."""

    def __init__(self, *pieces):
        self.length = None
        self.started = False
        self.trailers = EMPTY
        self.readable = Signal(True)
        self._pieces = list(pieces)

    def due(self):
        return float("inf")

    def receive_now(self):
        return self._pieces.pop(0) if self._pieces else b""

    async def receive_some(self):
        return self.receive_now()

    def abort(self, why=None):
        self._pieces.clear()


def make(target, *pairs, method=b"GET", body=b"", client=None, authority=b"demo.test"):
    client = client or Visitor()
    exchange = Exchange(0.0, client, method, target, b"1")
    asked = parse_target(method, target)
    return Request(method, asked, b"1", b"http", authority, Fields.of(*pairs), body, client, exchange)


async def read(body):
    if isinstance(body, bytes):
        return body
    pieces = []
    while piece := await body.receive_some():
        pieces.append(piece)
    return b"".join(pieces)


def answer(request):
    """The response of the origin, with its body read, in no time."""

    async def run():
        response = await demo_origin()(request)
        if not isinstance(response.body, EchoConversation):
            response.body = await read(response.body)
        return response

    return trio.run(run, clock=MockClock(autojump_threshold=0))


def get(target, *pairs):
    return answer(make(target, *pairs))
