"""The relay: over memory where waiting takes no time, then over real connections, with the lane and without."""

import hashlib
import os
import socket

import pytest
import trio
import trio.testing

from netfront.errors import Overdue
from netfront.net.lane import Signal, clock, first
from netfront.net.pipe import Pipes
from netfront.net.relay import Relay, relay
from netfront.net.stream import Facts
from tests.support.lanes import MODES, descriptors, running, stream_of, tcp_pair
from tests.support.memory import TrioStream

both_modes = pytest.mark.parametrize("mode", MODES)
BULK = os.urandom(1 << 16) * 128


def memory():
    """A stream of ours, and the far end of it."""
    near, far = trio.testing.memory_stream_pair()
    return TrioStream(near, Facts(("", 0), ("", 0))), far


async def send_for_ever(stream):
    while True:
        await stream.send_all(b"x")
        await trio.sleep(0.005)


async def read_all(stream):
    data = b""
    while got := await stream.receive_some():
        data += got
    return data


# -- over memory


async def test_a_half_close_passes_on_and_the_other_direction_goes_on(autojump_clock, nursery):
    (one, client), (other, server) = memory(), memory()
    moved = []

    async def run():
        moved.append(await relay(one, other, idle=60, from_one=b"early ", from_other=b"soon "))

    nursery.start_soon(run)
    await client.send_all(b"question")
    await client.send_eof()
    assert await read_all(server) == b"early question"
    await trio.sleep(30)
    await server.send_all(b"answer")
    await trio.sleep(30)
    await server.send_all(b", at last")
    await server.send_eof()
    assert await read_all(client) == b"soon answer, at last"
    await trio.testing.wait_all_tasks_blocked()
    assert moved == [(14, 20)]


async def test_an_end_that_cannot_leave_yet_holds_nothing_up(autojump_clock, nursery):
    class Full(TrioStream):
        """Where TLS's own end has no room, until `writable` is set."""

        def end_now(self):
            return self.writable.is_set and super().end_now()

    near, server = trio.testing.memory_stream_pair()
    (one, client), other = memory(), Full(near, Facts(("", 0), ("", 0)))
    other.writable = Signal(False)
    moved = []

    async def run():
        moved.append(await relay(one, other, idle=60))

    nursery.start_soon(run)
    await client.send_eof()
    await trio.testing.wait_all_tasks_blocked()
    await server.send_all(b"meanwhile")
    assert await client.receive_some() == b"meanwhile"
    await server.send_eof()
    assert await client.receive_some() == b""
    other.writable.set()
    assert await read_all(server) == b""
    await trio.testing.wait_all_tasks_blocked()
    assert moved == [(0, 9)]


async def test_bytes_in_either_direction_put_the_idle_time_off(autojump_clock, nursery):
    (one, client), (other, server) = memory(), memory()
    ended = []

    async def run():
        began = trio.current_time()
        with pytest.raises(Overdue, match="stream"):
            await relay(one, other, idle=60)
        ended.append(trio.current_time() - began)

    nursery.start_soon(run)
    for far, near in ((client, server), (server, client), (server, client)):
        await trio.sleep(50)
        await far.send_all(b"x")
        assert await near.receive_some() == b"x"
    await trio.sleep(50)
    assert not ended
    await trio.sleep(20)
    assert ended == [pytest.approx(210, abs=0.5)]


# -- over TCP


async def joined(start, *, pipes=None, idle=10.0, buffer=0, done=None):
    """Join two connections; give their far ends."""
    (one, client), (other, server) = tcp_pair(buffer=buffer), tcp_pair(buffer=buffer)

    async def run():
        streams = stream_of(one), stream_of(other)
        joining = Relay(*streams, idle=idle, pipes=pipes)
        try:
            await joining.run()
            outcome = "ended"
        except (OSError, Overdue) as error:
            outcome = type(error).__name__
            for stream in streams:
                stream.reset()
        finally:
            for stream in streams:
                stream.abort()
        if done is not None:
            done.append((outcome, joining.sent, joining.received))

    start(run)
    return client, server


def reset(stream):
    stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    stream.socket.close()


async def assert_reset(stream):
    with pytest.raises(trio.BrokenResourceError) as caught:
        await read_all(stream)
    assert isinstance(caught.value.__cause__, ConnectionResetError)
    await stream.aclose()


@both_modes
@pytest.mark.parametrize("most", [None, 0, 2])
async def test_bulk_in_both_directions_arrives_as_it_was_sent(mode, most):
    pipes = None if most is None else Pipes(most)
    done = []
    before = descriptors()
    async with running(mode) as start:
        client, server = await joined(start, pipes=pipes, done=done)

        async def send(stream):
            await stream.send_all(BULK)
            await stream.send_eof()

        digests = {}

        async def receive(name, stream):
            digest = hashlib.sha256()
            while got := await stream.receive_some():
                digest.update(got)
            digests[name] = digest.digest()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send, client)
            nursery.start_soon(send, server)
            nursery.start_soon(receive, "client", client)
            nursery.start_soon(receive, "server", server)
        await client.aclose()
        await server.aclose()
    assert done == [("ended", len(BULK), len(BULK))]
    assert set(digests.values()) == {hashlib.sha256(BULK).digest()}
    if pipes is not None:
        assert pipes.lent == 0
        pipes.close()
    assert descriptors() == before


@both_modes
async def test_a_pipe_is_lent_in_bulk_and_comes_back_with_small_exchanges(mode):
    pipes = Pipes(4)
    async with running(mode) as start:
        client, server = await joined(start, pipes=pipes)

        async def send():
            await client.send_all(BULK)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            most, size = 0, 0
            while size < len(BULK):
                size += len(await server.receive_some())
                most = max(most, pipes.lent)
        assert most == 1
        for _ in range(6):
            await client.send_all(b"ping")
            assert await server.receive_some() == b"ping"
            await server.send_all(b"pong")
            assert await client.receive_some() == b"pong"
        assert pipes.lent == 0
        await client.aclose()
        await server.aclose()
    pipes.close()


@both_modes
@pytest.mark.parametrize("most", [0, 2])
async def test_who_does_not_read_holds_up_the_sender_and_loses_nothing(mode, most):
    pipes = Pipes(most)
    async with running(mode) as start:
        client, server = await joined(start, pipes=pipes, buffer=65536)
        sent = 0
        with trio.move_on_after(0.5):
            while True:
                await client.send_all(BULK[:65536])
                sent += 65536
        assert sent < 4 << 20, "more was taken than sockets, a pipe and a read may hold"
        await client.aclose()
        size = 0
        while got := await server.receive_some():
            size += len(got)
        assert size >= sent
        await server.aclose()
    assert pipes.lent == 0
    pipes.close()


@both_modes
@pytest.mark.parametrize("most", [0, 2])
@pytest.mark.parametrize("size", [60000, 65536, 100000])
async def test_an_end_that_comes_before_the_last_bytes_can_leave_waits_for_them(mode, most, size):
    (one, client), (other, server) = tcp_pair(buffer=1 << 18), tcp_pair(buffer=4096)
    await client.send_all(BULK[:size])
    await client.send_eof()  # it is there before anything is read, and the other side takes a few KiB

    pipes = Pipes(most)

    async def run():
        streams = stream_of(one), stream_of(other)
        await Relay(*streams, idle=10.0, pipes=pipes).run()
        pipes.close()
        for stream in streams:
            stream.abort()

    async with running(mode) as start:
        start(run)
        await trio.sleep(0.05)
        assert await read_all(server) == BULK[:size]
        await server.aclose()
        assert await read_all(client) == b""
        await client.aclose()


@both_modes
@pytest.mark.parametrize("most", [0, 2])
@pytest.mark.parametrize("ends", [True, False], ids=["with its end", "before its end"])
async def test_urgent_bytes_stop_nothing_that_comes_behind_them(mode, most, ends):
    """As telnet and FTP send them; a read stops before each, and so does splice(2)."""
    (one, client), (other, server) = tcp_pair(), tcp_pair()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
    head = BULK[:100_000]
    await client.send_all(head)
    await client.socket.send(b"!", socket.MSG_OOB)
    await client.send_all(b"behind")
    if ends:
        await client.send_eof()

    pipes = Pipes(most)

    async def run():
        streams = stream_of(one), stream_of(other)
        await Relay(*streams, idle=10.0, pipes=pipes).run()
        pipes.close()
        for stream in streams:
            stream.abort()

    async with running(mode) as start:
        start(run)
        got = b""
        while len(got) < len(head) + 7:
            got += await server.receive_some()
        assert got == head + b"!behind"
        if not ends:
            await client.send_all(b" more")
            assert await server.receive_some() == b" more"
            await client.send_eof()
        assert await server.receive_some() == b""
        await server.aclose()
        assert await read_all(client) == b""
        await client.aclose()


@both_modes
@pytest.mark.parametrize("most", [0, 2])
async def test_a_reset_of_either_side_is_a_reset_of_the_other(mode, most):
    for side in (0, 1):
        async with running(mode) as start:
            ends = await joined(start, pipes=Pipes(most))
            await ends[side].send_all(b"hello")
            assert await ends[1 - side].receive_some() == b"hello"
            reset(ends[side])
            await assert_reset(ends[1 - side])


@both_modes
async def test_a_reset_behind_a_half_close_is_seen(mode):
    async with running(mode) as start:
        client, server = await joined(start)
        await client.send_eof()
        assert await server.receive_some() == b""
        reset(client)
        with pytest.raises(trio.BrokenResourceError):
            await send_for_ever(server)
        await server.aclose()


async def test_a_reset_is_seen_while_the_other_side_does_not_read():
    pipes = Pipes(2)
    done = []
    async with running("lane") as start:
        client, server = await joined(start, pipes=pipes, buffer=65536, done=done)
        with trio.move_on_after(0.3):
            await client.send_all(BULK)
        reset(client)
        with trio.fail_after(5):
            while not done:
                await trio.sleep(0.01)
        assert done[0][0] in ("ConnectionResetError", "BrokenPipeError")
        await server.aclose()
    assert pipes.lent == 0
    pipes.close()


@both_modes
async def test_a_reset_behind_bytes_that_cannot_leave_is_no_end(mode):
    """The kernel tells of a reset once, be it to a look that only asks whether the client is still there."""
    (one, client), (other, server) = tcp_pair(buffer=1 << 18), tcp_pair(buffer=4096)
    await client.send_all(BULK[:60_000])  # which is one read; the other side takes a few KiB of it
    outcome = []

    async def run():
        streams = stream_of(one), stream_of(other)
        try:
            await relay(*streams, idle=10)
        except OSError as error:
            outcome.append(type(error))
        for stream in streams:
            stream.reset()

    async with running(mode) as start:
        start(run)
        await trio.testing.wait_all_tasks_blocked(0.05)
        reset(client)
        await trio.testing.wait_all_tasks_blocked(0.05)
        await assert_reset(server)
    assert outcome == [ConnectionResetError]


@both_modes
async def test_an_answer_that_ends_with_its_connection_ends_so_for_the_client(mode):
    done = []
    async with running(mode) as start:
        client, server = await joined(start, done=done)
        await client.send_all(b"question")
        assert await server.receive_some() == b"question"
        await server.send_all(b"answer")
        await server.aclose()
        assert await read_all(client) == b"answer"
        await client.aclose()
    assert done == [("ended", 8, 6)]


@both_modes
@pytest.mark.parametrize("size", [10, 65536, 65537])
async def test_what_came_with_the_end_comes_whole(mode, size):
    """All of it is in the socket, its end too, before the relay begins; and some was put back before."""
    for unread in (b"", b"put back"):
        (one, client), (other, server) = tcp_pair(), tcp_pair()
        await client.send_all(b"x" * size)
        await client.aclose()

        async def run(one=one, other=other, unread=unread):
            streams = stream_of(one), stream_of(other)
            streams[0].unread(unread)
            await first(
                streams[0].hung, until=clock() + 0.1
            )  # without a lane nobody tells of it behind bytes
            await relay(*streams, idle=10)
            for stream in streams:
                stream.abort()

        async with running(mode) as start:
            start(run)
            assert await server.receive_some(len(unread) or 1) == unread or b"x"
            await server.send_eof()
            assert len(await read_all(server)) == size - (not unread)
            await server.aclose()


@both_modes
async def test_an_idle_relay_is_given_up(mode):
    done = []
    async with running(mode) as start:
        client, server = await joined(start, idle=0.1, done=done)
        await assert_reset(client)
        await assert_reset(server)
    assert done == [("Overdue", 0, 0)]


async def test_a_relay_that_is_cut_gives_its_pipe_back():
    pipes = Pipes(2)
    before = descriptors()
    with trio.move_on_after(0.3):
        async with running("lane") as start:
            client, server = await joined(start, pipes=pipes, buffer=65536)
            await client.send_all(BULK)
    assert pipes.lent == 0
    pipes.close()
    await client.aclose()
    await server.aclose()
    assert descriptors() == before


def test_no_more_pipes_are_lent_than_there_may_be():
    pipes = Pipes(2)
    lent = [pipes.take(), pipes.take()]
    assert pipes.take() is None
    for pipe in lent:
        pipes.give_back(pipe)
    assert pipes.take() is lent[-1]
    pipes.give_back(lent[-1])
    pipes.close()


def test_a_pipe_that_holds_bytes_is_not_lent_again():
    pipes = Pipes(1)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.send(b"somebody's")
        pipe = pipes.take()
        assert pipe.fill(ours.fileno()) == 10
        pipes.give_back(pipe)
        again = pipes.take()
        assert again.held == 0
        assert again is not pipe
        pipes.give_back(again)
    pipes.close()
