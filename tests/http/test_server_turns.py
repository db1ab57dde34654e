"""Clients that ask faster than they are answered: they take turns, on the lane and without."""

import socket

import pytest
import trio
import trio.testing

from netfront.http.message import Response
from netfront.http.server import HttpServer, ServerLimits
from netfront.wire.fields import EMPTY
from tests.support.lanes import MODES, running, stream_of

REQUEST = b"GET /%b HTTP/1.1\r\nHost: a.test\r\n\r\n"
MANY = 150


@pytest.mark.parametrize("mode", MODES)
async def test_who_pipelines_what_is_answered_at_once_does_not_hold_up_the_others(mode):
    """The other one asks at the first answer."""
    seen = []
    pairs = [socket.socketpair() for _ in range(2)]
    (one, asks_once), (many, asks_often) = pairs
    one.setblocking(False)
    many.setblocking(False)
    asks_often.sendall(REQUEST % b"many" * MANY)

    async def handler(request):
        if not seen:
            asks_once.sendall(REQUEST % b"one")
        seen.append(request.target.raw)
        return Response(204, EMPTY, b"")

    server = HttpServer(handler, limits=ServerLimits(), refuse=lambda _: Response(400, EMPTY, b""))

    async def serve(sock):
        await server.serve(stream_of(sock))

    async with running(mode) as start:
        for sock in (one, many):
            start(serve, sock)
            await trio.testing.wait_all_tasks_blocked(0.05)
        for sock in (asks_once, asks_often):
            sock.shutdown(socket.SHUT_WR)
    assert len(seen) == MANY + 1
    assert seen.index(b"/one") < MANY // 2
    for _, theirs in pairs:
        theirs.close()
