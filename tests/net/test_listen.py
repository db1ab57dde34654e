"""Accepting: what one connection's task leaves to the next one that runs in it."""

import socket

import pytest
import trio

from netfront.net.lane import Lane, Signal, clock, deadline, first, in_trio
from netfront.net.listen import Accepting
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


def naming(name):
    async def serve(stream):
        await stream.send_all(name + await stream.receive_some())

    return serve


@pytest.mark.parametrize("mode", MODES)
async def test_a_task_that_is_used_again_serves_as_the_listener_does_by_then(mode):
    accepting = Accepting()
    async with listening(mode, naming(b"old "), accepting=accepting) as port:
        for _ in range(3):
            assert await ask(port, b"x") == b"old x"
        accepting.listeners[0].handler = naming(b"new ")
        for _ in range(3):
            assert await ask(port, b"x") == b"new x"


class Watched:
    def __init__(self):
        self.readable, self.writable, self.hung = Signal(), Signal(), Signal()
        self.has_ended = self.is_lost = False
        self.ended_at = 0.0


async def test_a_descriptor_that_is_somebody_elses_by_now_is_not_forgotten():
    lane = Lane()
    first_owner, second = Watched(), Watched()
    ours, theirs = socket.socketpair()
    number = ours.fileno()
    with theirs:
        lane.watch(number, first_owner)
        ours.close()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert ours.fileno() == number
        lane.watch(number, second)
        lane.forget(number, first_owner)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lane.serve)
            theirs.send(b"x")
            with trio.fail_after(10):
                await second.readable.wait_in_trio()
            lane.stop()
    assert not first_owner.readable.is_set


async def test_tasks_that_wait_for_connections_end_with_their_listener():
    accepting = Accepting()
    begun = trio.Event()

    async def serve(stream):
        if await stream.receive_some() == b"stay":
            begun.set()
            await stream.receive_some()
        await stream.send_all(b"done")

    def tasks():
        found = [trio.lowlevel.current_root_task()]
        for task in found:
            found += [child for nursery in task.child_nurseries for child in nursery.child_tasks]
        return len(found)

    async with listening("lane", serve, accepting=accepting) as port:
        assert await ask(port, b"x") == b"done"
        before = tasks()  # with the one that accepts, and one that waits for a connection
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(ask, port, b"x")
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        await stream.send_all(b"stay")
        await begun.wait()
        assert tasks() > before + 1
        accepting.remove(accepting.listeners[0])
        with trio.fail_after(10):
            async with stream:
                await stream.send_all(b"go")
                assert await stream.receive_some() == b"done"
            while tasks() > before - 2:
                await trio.sleep(0.01)
