"""The lane: what a connection may count on while it is stepped straight from epoll."""

import gc
import socket

import pytest
import trio

from netfront.errors import Overdue
from netfront.net.lane import Signal, breathe, clock, deadline, either, first, in_trio, ready
from netfront.net.stream import Facts, SocketStream
from tests.support.lane import running_lane

NOBODY = ("", 0)


def pair():
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    return ours, theirs


async def test_a_connection_reads_what_comes_later():
    got = []
    async with running_lane() as (lane, connections):
        ours, theirs = pair()

        async def connection():
            stream = SocketStream(ours, Facts(NOBODY, NOBODY))
            while data := await stream.receive_some():
                got.append(data)
            stream.abort()

        connections.start_soon(lane.run, connection)
        await trio.sleep(0.01)
        theirs.send(b"one")
        await trio.sleep(0.01)
        theirs.send(b"two")
        theirs.close()
    assert got == [b"one", b"two"]


async def test_bytes_and_the_end_in_one_edge_are_both_seen():
    got = []
    async with running_lane() as (lane, connections):
        ours, theirs = pair()

        async def connection():
            stream = SocketStream(ours, Facts(NOBODY, NOBODY), is_readable=False)
            got.append(await stream.receive_some())
            got.append(await stream.receive_some())
            stream.abort()

        theirs.send(b"all")
        theirs.close()
        connections.start_soon(lane.run, connection)
    assert got == [b"all", b""]


@pytest.mark.parametrize("turns", range(12))
async def test_cancellation_reaches_a_connection_wherever_it_stands(turns):
    begun, ended = [], []
    async with running_lane() as (lane, connections):

        async def connection():
            begun.append(True)
            ours, theirs = pair()
            stream = SocketStream(ours, Facts(NOBODY, NOBODY))
            try:
                for _ in range(turns // 3):
                    async with in_trio():
                        await trio.lowlevel.checkpoint()
                await stream.receive_some()
            finally:
                ended.append(True)
                stream.abort()
                theirs.close()

        for _ in range(5):
            connections.start_soon(lane.run, connection)
        for _ in range(turns):
            await trio.lowlevel.checkpoint()
        connections.cancel_scope.cancel()
    assert lane.connections == 0
    assert len(ended) == len(begun)


async def test_a_cancelled_connection_may_finish_in_trio():
    told = []
    async with running_lane() as (lane, connections):
        signal = Signal()

        async def connection():
            told.append("begun")
            try:
                await first(signal)
            except trio.Cancelled:
                told.append("cancelled")
                raise

        connections.start_soon(lane.run, connection)
        while not told:
            await trio.lowlevel.checkpoint()
        connections.cancel_scope.cancel()
    assert told == ["begun", "cancelled"]


async def test_trio_outside_in_trio_is_refused_by_name():
    errors = []
    async with running_lane() as (lane, connections):

        async def connection():
            for misuse in (trio.sleep, trio.lowlevel.checkpoint):
                try:
                    await (misuse(0) if misuse is trio.sleep else misuse())
                except RuntimeError as error:
                    errors.append(str(error))
            with pytest.raises(RuntimeError), trio.CancelScope():
                pass

        connections.start_soon(lane.run, connection)
    assert len(errors) == 2


async def test_any_trio_primitive_is_legal_in_trio():
    async with running_lane() as (lane, connections):
        answers = []

        async def connection():
            async with in_trio():
                with trio.move_on_after(0.01):
                    await trio.sleep_forever()
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(trio.sleep, 0)
                answers.append(await trio.to_thread.run_sync(lambda: 42))
            await first(until=clock() + 0.001)

        connections.start_soon(lane.run, connection)
    assert answers == [42]


async def test_the_sweeper_raises_an_overdue_deadline():
    raised = []
    async with running_lane() as (lane, connections):

        async def connection():
            due = deadline()
            due.at, due.which = clock() + 0.05, "idle"
            try:
                await ready(Signal())
            except Overdue as error:
                raised.append(error.which)

        began = trio.current_time()
        connections.start_soon(lane.run, connection)
    assert raised == ["idle"]
    assert trio.current_time() - began >= 0.05


async def test_a_deadline_that_moved_on_is_not_raised():
    async with running_lane() as (lane, connections):
        signal = Signal()
        done = []

        async def connection():
            due = deadline()
            due.at, due.which = clock() + 0.5, "idle"
            await first(signal, until=clock() + 0.01)
            due.at = clock() + 60
            await ready(signal)
            done.append(True)

        connections.start_soon(lane.run, connection)
        await trio.sleep(1.0)
        signal.set()
    assert done == [True]


async def test_first_gives_the_earlier_in_the_order_given_and_takes_its_waiters_out():
    one, other = Signal(), Signal()
    got = []
    async with running_lane() as (lane, connections):

        async def connection():
            got.append(await first(one, other))
            one.clear()
            got.append(await either(one, other))
            other.clear()
            got.append(await first(one, other, until=clock() + 0.005))

        connections.start_soon(lane.run, connection)
        await trio.sleep(0.01)
        other.set()
        one.set()
    assert got == [one, other, None]
    assert one.waiter is None
    assert other.waiter is None


async def test_a_signal_wakes_all_who_wait_on_the_lane_and_in_trio():
    signal = Signal()
    woken = []
    async with running_lane() as (lane, connections):

        async def connection(name):
            await ready(signal)
            woken.append(name)

        async def task():
            await signal.wait_in_trio()
            woken.append("task")

        for name in ("a", "b", "c"):
            connections.start_soon(lane.run, connection, name)
        connections.start_soon(task)
        await trio.sleep(0.01)
        signal.set()
    assert sorted(woken) == ["a", "b", "c", "task"]


async def test_a_busy_connection_leaves_turns_to_others_and_to_trio():
    async with running_lane() as (lane, connections):
        stop = []
        turns = {"other": 0, "trio": 0}

        async def greedy():
            while not stop:
                await breathe()

        async def other():
            while not stop:
                turns["other"] += 1
                await first(until=clock() + 0.001)

        async def task():
            for _ in range(20):
                turns["trio"] += 1
                await trio.sleep(0.001)
            stop.append(True)

        connections.start_soon(lane.run, greedy)
        connections.start_soon(lane.run, other)
        connections.start_soon(task)
    assert turns["trio"] == 20
    assert turns["other"] >= 5


async def test_a_descriptor_used_again_does_not_get_its_predecessors_event():
    async with running_lane() as (lane, connections):
        got = []

        async def connection():
            for round_ in range(50):
                ours, theirs = pair()
                stream = SocketStream(ours, Facts(NOBODY, NOBODY), is_readable=False)
                await first(stream.readable, until=clock() + 0.0005)
                got.append(stream.readable.is_set)
                theirs.send(b"%d" % round_)
                assert await stream.receive_some() == b"%d" % round_
                stream.abort()
                theirs.close()

        connections.start_soon(lane.run, connection)
    assert got == [False] * 50


async def test_an_error_of_a_connection_is_raised_in_its_nursery():
    async def connection():
        await first(until=clock() + 0.001)
        raise KeyError("its own")

    async def run():
        async with running_lane() as (lane, connections):
            connections.start_soon(lane.run, connection)

    with pytest.raises(ExceptionGroup) as caught:
        await run()
    assert caught.group_contains(KeyError)


async def test_connections_leave_no_garbage_in_cycles():
    async with running_lane() as (lane, connections):
        gc.collect()
        gc.disable()
        try:
            before = sum(isinstance(thing, SocketStream) for thing in gc.get_objects())

            async def connection():
                ours, theirs = pair()
                stream = SocketStream(ours, Facts(NOBODY, NOBODY))
                theirs.send(b"x")
                await stream.receive_some()
                stream.abort()
                theirs.close()

            for _ in range(20):
                connections.start_soon(lane.run, connection)
            await trio.sleep(0.05)
            after = sum(isinstance(thing, SocketStream) for thing in gc.get_objects())
        finally:
            gc.enable()
    assert after - before <= 1
