"""What a client is waited for, on a clock that jumps: an hour takes no time."""

import pytest
import trio
import trio.testing

from netfront.http.message import Response
from netfront.http.server import HttpServer, ServerLimits
from netfront.net.stream import Facts
from netfront.wire.fields import EMPTY
from tests.support.memory import TrioStream

GET = b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: %d\r\n\r\n"


async def answer(request):
    body = request.body
    if not isinstance(body, bytes):
        parts = []
        while part := await body.receive_some():
            parts.append(part)
        body = b"".join(parts)
    return Response(200, EMPTY, b"%d" % len(body))


def refuse(error):
    return Response(error.status, EMPTY, error.why.encode())


class Rig:
    """A server on one end of a memory stream."""

    def __init__(self, nursery, handler=answer, **limits):
        self.client, ours = trio.testing.memory_stream_pair()
        self.server = HttpServer(handler, limits=ServerLimits(**limits), refuse=refuse)
        self.ended = trio.Event()
        stream = TrioStream(ours, Facts(("192.0.2.1", 5), ("192.0.2.2", 80)))

        async def serve():
            await self.server.serve(stream)
            self.ended.set()

        nursery.start_soon(serve)

    async def received(self):
        """All that the server sends until it closes."""
        data = b""
        while part := await self.client.receive_some(65536):
            data += part
        return data


@pytest.fixture
def clock(autojump_clock):
    return autojump_clock


async def test_a_new_connection_that_says_nothing_is_closed_without_a_word(clock):
    async with trio.open_nursery() as nursery:
        rig = Rig(nursery)
        assert await rig.received() == b""
        assert 10 <= trio.current_time() <= 10.5


async def test_an_idle_connection_is_closed_without_a_word(clock):
    async with trio.open_nursery() as nursery:
        rig = Rig(nursery)
        await rig.client.send_all(GET)
        assert (await rig.received()).endswith(b"\r\n\r\n0")
        assert 60 <= trio.current_time() <= 60.5


async def test_a_head_has_a_fixed_time_from_its_first_byte(clock):
    async with trio.open_nursery() as nursery:
        rig = Rig(nursery)

        async def trickle():
            for byte in GET:
                try:
                    await rig.client.send_all(bytes([byte]))
                except trio.BrokenResourceError:
                    return
                await trio.sleep(1)

        nursery.start_soon(trickle)
        received = await rig.received()
        assert received.startswith(b"HTTP/1.1 408 ")
        assert b"Connection: close" in received
        assert trio.current_time() <= 13
        nursery.cancel_scope.cancel()


async def test_a_body_may_pause_but_not_for_long(clock):
    async with trio.open_nursery() as nursery:
        rig = Rig(nursery)
        await rig.client.send_all(POST % 10 + b"12345")
        await trio.sleep(29)
        await rig.client.send_all(b"67890")
        data = await rig.client.receive_some(65536)
        assert data.endswith(b"\r\n\r\n10")
        await rig.client.send_all(POST % 10 + b"12345")
        began = trio.current_time()
        await rig.ended.wait()
        assert 30 <= trio.current_time() - began <= 33
        nursery.cancel_scope.cancel()


async def test_a_body_that_trickles_for_ever_is_cut(clock):
    async with trio.open_nursery() as nursery:
        rig = Rig(nursery)
        await rig.client.send_all(POST % 100000)

        async def trickle():
            while True:
                try:
                    await rig.client.send_all(b"x")
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    return
                await trio.sleep(5)

        nursery.start_soon(trickle)
        await rig.ended.wait()
        assert trio.current_time() <= 60
        nursery.cancel_scope.cancel()


async def test_a_slow_handler_is_not_the_clients_fault(clock):
    async def slow(request):
        await trio.sleep(3600)
        return Response(200, EMPTY, b"late")

    async with trio.open_nursery() as nursery:
        rig = Rig(nursery, slow)
        await rig.client.send_all(GET)
        data = await rig.client.receive_some(65536)
        assert data.endswith(b"late")
        nursery.cancel_scope.cancel()


async def test_a_draining_server_answers_and_closes():
    async with trio.open_nursery() as nursery:
        gate = trio.Event()

        async def held(request):
            await gate.wait()
            return Response(200, EMPTY, b"done")

        rig = Rig(nursery, held)
        await rig.client.send_all(GET)
        await trio.testing.wait_all_tasks_blocked()
        rig.server.drain()
        gate.set()
        received = await rig.received()
        assert b"Connection: close" in received
        assert received.endswith(b"done")


async def test_an_error_of_our_own_is_500_and_tells_nothing():
    async def broken(request):
        raise KeyError("a secret")

    async with trio.open_nursery() as nursery:
        rig = Rig(nursery, broken)
        await rig.client.send_all(GET)
        data = await rig.client.receive_some(65536)
        assert data.startswith(b"HTTP/1.1 500 ")
        assert b"secret" not in data
        nursery.cancel_scope.cancel()
