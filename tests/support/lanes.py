"""Connections in a test: on a lane, or as plain trio tasks; and real TCP connections between two sockets."""

import gc
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import trio

from netfront.net.bind import open_sockets
from netfront.net.lane import Lane, Signal
from netfront.net.listen import Accepting, Admission, DatagramHandler, Listener, StreamHandler, serve
from netfront.net.stream import Facts, SocketStream, Stream

__all__ = ["MODES", "descriptors", "listening", "running", "stream_of", "tcp_pair"]

MODES = ("lane", "plain")
Start = Callable[..., None]


@asynccontextmanager
async def running(mode: str) -> AsyncIterator[Start]:
    """Give a function that starts `connection(*args)`; the block ends when all of them have."""
    if mode == "plain":
        async with trio.open_nursery() as nursery:
            yield nursery.start_soon
        return
    async with trio.open_nursery() as outer:
        lane = Lane()
        scope = trio.CancelScope(shield=True)

        async def serve() -> None:
            with scope:
                await lane.serve()

        outer.start_soon(serve)
        await trio.lowlevel.checkpoint()
        try:
            async with trio.open_nursery() as nursery:

                def start(connection: Callable[..., Awaitable[None]], *args: object) -> None:
                    nursery.start_soon(lane.run, connection, *args)
                    lane.trio_due = True

                yield start
        finally:
            lane.stop()


def tcp_pair(*, buffer: int = 0) -> tuple[socket.socket, trio.SocketStream]:
    """Connect two sockets over loopback: one of ours, without blocking, and one as trio's stream.

    Args:
        buffer: bytes that the kernel is to hold at each end, about; 0 leaves it to the kernel.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        theirs = socket.socket()
        for sock in (listener, theirs):
            if buffer:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
        theirs.connect(listener.getsockname())
        ours, _ = listener.accept()
    ours.setblocking(False)
    theirs.setblocking(False)
    return ours, trio.SocketStream(trio.socket.from_stdlib_socket(theirs))


def stream_of(sock: socket.socket) -> SocketStream:
    """Make it a stream of ours; call it where the connection runs."""
    return SocketStream(sock, Facts(("127.0.0.1", 1), ("127.0.0.1", 2)))


def descriptors() -> int:
    """Count the descriptors of this process, without those that only a cycle of some other test's keeps open."""
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


@asynccontextmanager
async def listening(
    mode: str,
    handler: StreamHandler | None = None,
    datagrams: DatagramHandler | None = None,
    host: str = "127.0.0.1",
    accepting: Accepting | None = None,
) -> AsyncIterator[int]:
    """Serve on a free port with this handler as long as the block lasts; give the port.

    Args:
        accepting: has the listener, for whoever changes it meanwhile.
    """

    async def refuse(stream: Stream) -> None:
        raise AssertionError("there is no handler")

    kind = socket.SOCK_DGRAM if datagrams is not None else socket.SOCK_STREAM
    sockets = open_sockets(host, 0, None, shown=host, kind=kind)
    listener = Listener("front", sockets, handler or refuse, datagrams=datagrams)
    accepting = accepting or Accepting()
    accepting.add(listener)
    stop = Signal()

    async def drained() -> None:
        pass

    async with trio.open_nursery() as nursery:
        lane = Lane() if mode == "lane" else None
        nursery.start_soon(
            partial(
                serve,
                accepting,
                admission=Admission(1000, 1000, lambda _: True),
                stop=stop,
                lane=lane,
                drained=drained,
            )
        )
        await trio.lowlevel.checkpoint()
        yield listener.port
        stop.set()
