"""A server that drains: what a client has begun to ask is heard to its end, on the lane and without."""

import socket

import pytest
import trio
import trio.testing

from netfront.http.message import Response
from netfront.http.server import HttpServer, ServerLimits
from netfront.wire.fields import EMPTY
from tests.support.lanes import MODES, running, stream_of

HEAD = b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\n"


async def echo(request):
    body = request.body
    if not isinstance(body, bytes):
        body = b"".join([part async for part in parts(body)])
    return Response(200, EMPTY, body)


async def parts(body):
    while part := await body.receive_some():
        yield part


def refuse(error):
    return Response(error.status, EMPTY, error.why.encode())


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("begun", [0, 1, 20, len(HEAD), len(HEAD) + 2])
async def test_what_has_begun_to_come_is_answered_and_an_idle_connection_ends(mode, begun):
    """Some of a request is in the socket, unread, when the server is told to drain; the rest comes later."""
    server = HttpServer(echo, limits=ServerLimits(), refuse=refuse)
    ours, theirs = socket.socketpair()
    ours.setblocking(False)

    async def serve():
        await server.serve(stream_of(ours))

    with theirs:
        async with running(mode) as start:
            start(serve)
            await trio.testing.wait_all_tasks_blocked(0.05)
            assert len(server.open) == 1
            whole = HEAD + b"hello"
            theirs.sendall(whole[:begun])
            server.drain()
            if begun:
                await trio.testing.wait_all_tasks_blocked(0.05)
                theirs.sendall(whole[begun:])
        answer = theirs.recv(65536)
        if begun:
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
            assert answer.endswith(b"hello")
            assert b"Connection: close\r\n" in answer
            answer = theirs.recv(65536)
        assert answer == b""
