"""What observers are told of a request that was refused before it was one."""

import pytest
import trio

from netfront.errors import BadMessage
from netfront.http.message import Response
from netfront.http.server import HttpServer, ServerLimits
from netfront.net.stream import Facts
from netfront.wire.fields import EMPTY
from netfront.wire.head import HeadLimits
from tests.support.memory import TrioStream


def refuse(error: BadMessage):
    return Response(error.status, EMPTY, b"")


async def answer(request):
    return Response(200, EMPTY, b"")


async def told(*parts):
    """Send these parts, each once the one before was taken; give what was observed of each exchange."""
    observed = []
    client, ours = trio.testing.memory_stream_pair()
    server = HttpServer(
        answer,
        limits=ServerLimits(head=HeadLimits(line=100, field=200, head=400)),
        refuse=refuse,
        observers=(lambda exchange: observed.append(exchange),),
    )

    async def serve():
        await server.serve(TrioStream(ours, Facts(("192.0.2.1", 5), ("192.0.2.2", 80))))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        for part in parts:
            await client.send_all(part)
            await trio.sleep(0.001)  # on the clock that jumps: until everybody waits
        while await client.receive_some(65536):
            pass
        await client.aclose()
    return [(seen.status, seen.method, seen.target, seen.version) for seen in observed]


@pytest.mark.parametrize(
    ("sent", "seen"),
    [
        ([b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n"], (400, b"GET", b"/a b", b"1")),
        ([b"GET /a HTTP/1.1\r\n\r\n"], (400, b"GET", b"/a", b"1")),
        ([b"GET /a HTTP/3.0\r\n\r\n"], (505, b"GET", b"/a HTTP/3.0", b"")),
        ([b"GET /" + b"x" * 200], (414, b"GET", b"/" + b"x" * 200, b"")),
        ([b"GET /a HTTP/1.1\r\nX: ", b"x" * 400], (431, b"GET", b"/a", b"1")),
        ([b"GE", b"T /a HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"], (400, b"GET", b"/a", b"1")),
        ([b"CONN", b"ECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n"], (405, b"CONNECT", b"a:1", b"1")),
        ([b"GET /a"], (408, b"GET", b"/a", b"")),
        ([b"\x16\x03\x01"], (400, b"-", b"\x16\x03\x01", b"")),
        (
            [b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n"],
            (501, b"POST", b"/a", b"1"),
        ),
        ([b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n"], (405, b"CONNECT", b"a:1", b"1")),
    ],
)
async def test_refused_request_is_told_as_far_as_it_came(autojump_clock, sent, seen):
    assert await told(*sent) == [seen]


async def test_second_request_of_a_connection_is_told_not_the_first(autojump_clock):
    good = b"GET /good HTTP/1.1\r\nHost: a\r\n\r\n"
    seen = [(200, b"GET", b"/good", b"1"), (400, b"GET", b"/bad", b"1")]
    assert await told(good, b"GET /bad HTTP/1.1\r\n\r\n") == seen
    assert await told(good + b"GET /bad HTTP/1.1\r\n\r\n") == seen
