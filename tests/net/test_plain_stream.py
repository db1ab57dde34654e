"""A socket's stream in plain trio tasks, without a lane: nothing may differ from the lane but the cost."""

import socket

import trio.testing

from netfront.net.lane import clock, either, first
from netfront.net.stream import Facts, SocketStream


def pair():
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    return SocketStream(ours, Facts(("", 0), ("", 0))), theirs


async def test_bytes_and_the_end_are_waited_for_at_once():
    stream, other = pair()
    with other:
        waits = (stream.hung, stream.readable)
        assert stream.receive_now() is None
        assert await first(*waits, until=clock() + 0.02) is None
        other.send(b"hello")
        assert await first(*waits) is stream.readable
        assert stream.receive_now() == b"hello"
        assert stream.receive_now() is None
        other.close()
        assert await either(*waits) in waits  # both have come; trio wakes them in any order
        await first(stream.readable)
        assert stream.receive_now() == b""
        assert await first(stream.hung) is stream.hung
        stream.abort()


async def test_whoever_waits_for_the_end_keeps_no_bytes_from_another(nursery):
    stream, other = pair()
    with other:
        assert stream.receive_now() is None
        nursery.start_soon(first, stream.hung)
        await trio.testing.wait_all_tasks_blocked()
        other.send(b"hello")
        assert await stream.receive_some() == b"hello"
        stream.abort()


async def test_what_came_unasked_is_worth_a_try():
    stream, other = pair()
    with other:
        other.send(b"hello")
        assert await stream.receive_some() == b"hello"
        other.send(b"evil")
        assert stream.readable.is_set
        assert stream.receive_now() == b"evil"
        stream.abort()
