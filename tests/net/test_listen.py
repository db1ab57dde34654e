"""Accepting: what one connection's task leaves to the next one that runs in it."""

import pytest
import trio

from netfront.net.lane import Signal, clock, deadline, first, in_trio
from tests.support.lanes import MODES, listening


async def ask(port, data):
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    async with stream:
        await stream.send_all(data)
        answer = b""
        async for got in stream:
            answer += got
        return answer


@pytest.mark.parametrize("mode", MODES)
async def test_a_deadline_ends_with_its_connection(mode):
    async def serve(stream):
        if await stream.receive_some() == b"set":
            due = deadline()
            due.at, due.which = clock() + 0.1, "idle"
        else:
            await first(Signal(), until=clock() + 0.6)
        await stream.send_all(b"done")

    async with listening(mode, serve) as port:
        assert await ask(port, b"set") == b"done"
        assert await ask(port, b"wait") == b"done"


async def test_tasks_are_used_again_and_not_shared():
    tasks = []

    async def serve(stream):
        async with in_trio():
            tasks.append(trio.lowlevel.current_task())
        await stream.send_all(await stream.receive_some())

    async with listening("lane", serve) as port:
        for _ in range(5):
            assert await ask(port, b"x") == b"x"
        assert len(set(tasks)) < 5
        tasks.clear()
        ready = 0

        async def one(number):
            nonlocal ready
            stream = await trio.open_tcp_stream("127.0.0.1", port)
            async with stream:
                ready += 1
                while ready < 20 or len(tasks) < 20:
                    await trio.sleep(0.005)
                await stream.send_all(b"%d" % number)
                assert await stream.receive_some() == b"%d" % number

        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(one, number)
        assert len(set(tasks)) == 20


async def test_a_connection_that_fails_leaves_its_task_to_others(caplog):
    async def serve(stream):
        data = await stream.receive_some()
        if data == b"fail":
            raise KeyError("a fault of ours")
        await stream.send_all(data)

    async with listening("lane", serve) as port:
        for _ in range(3):
            assert await ask(port, b"fail") == b""
            assert await ask(port, b"x") == b"x"
    assert "fault of netfront's own" in caplog.text
