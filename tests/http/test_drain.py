"""Members come and go: what leaves ends what it is doing, what stays keeps its connections, nothing fails."""

import random
import socket
import threading
from contextlib import ExitStack

import pytest
import trio
import trio.testing

from netfront.endpoint import Endpoint
from netfront.http.attempts import Dialling
from netfront.http.client import Patience
from netfront.http.forward import forward
from netfront.http.message import Response
from netfront.http.server import HttpServer, ServerLimits
from netfront.http.transport import Transport
from netfront.net.backend import Member
from netfront.net.pool import Pool
from netfront.net.stream import Facts
from netfront.wire.fields import EMPTY
from netfront.wire.head import HeadLimits
from tests.support.memory import TrioStream
from tests.support.origins import answering, origin

GET = b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"


def member(place, port, *addresses):
    return Member(Endpoint("http", place, port), f"{place}:{port}", b"a.test", addresses=addresses)


def saying(text):
    return answering(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text))


class Rig:
    """A server that forwards to a pool."""

    def __init__(self, nursery, members):
        self.pool = Pool("shop", members)
        self.transport = Transport(limits=HeadLimits())
        dialling = Dialling(5.0, lambda request, member: b"", random.Random(0))
        handler = forward(self.pool, self.transport, dialling=dialling, patience=Patience(20, 20, 20))
        self._server = HttpServer(handler, limits=ServerLimits(), refuse=lambda _: Response(400, EMPTY, b""))
        self._nursery = nursery

    def sweep(self):
        """What happens every second."""
        self.transport.sweep((*self.pool.backends, *self.pool.leaving), trio.current_time())
        self.pool.sweep(trio.current_time())

    async def get(self):
        """Ask once, on a connection of its own; give the body."""
        client, ours = trio.testing.memory_stream_pair()
        stream = TrioStream(ours, Facts(("192.0.2.1", 5), ("192.0.2.2", 80)))
        self._nursery.start_soon(self._server.serve, stream)
        await client.send_all(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        data = b""
        while part := await client.receive_some(65536):
            data += part
        head, _, body = data.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 "), head
        return body


async def test_where_nobody_comes_any_more_connections_are_closed_as_they_turn_idle(nursery):
    go = threading.Event()

    def slowly(seen):
        go.wait(20)
        return b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nold"

    with origin(answering(slowly)) as slow, origin(saying(b"new")) as quick:
        rig = Rig(nursery, [member("127.0.0.1", quick.port), member("127.0.0.1", slow.port)])
        assert await rig.get() == b"new"
        bodies = []

        async def ask():
            bodies.append(await rig.get())

        async with trio.open_nursery() as asking:
            asking.start_soon(ask)
            while not slow.requests:
                await trio.sleep(0.005)
            rig.pool.leave()
            rig.sweep()
            assert rig.transport.connections == 1, "the idle one is closed, the other ends what it does"
            go.set()
        assert bodies == [b"old"]
        assert rig.transport.connections == 0


async def test_member_that_leaves_ends_its_exchange_and_is_closed_and_picked_no_more(nursery):
    go = threading.Event()

    def slowly(seen):
        go.wait(20)
        return b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nold"

    with origin(answering(slowly)) as old, origin(saying(b"new")) as new:
        rig = Rig(nursery, [member("127.0.0.1", old.port)])
        bodies = []

        async def ask():
            bodies.append(await rig.get())

        async with trio.open_nursery() as asking:
            asking.start_soon(ask)
            await trio.to_thread.run_sync(old.wait_requests, 1)
            leaving = rig.pool.backends[0]
            rig.pool.replace([member("127.0.0.1", new.port)])
            assert rig.pool.leaving == [leaving]
            assert [await rig.get() for _ in range(3)] == [b"new"] * 3
            rig.sweep()
            assert (rig.pool.leaving, leaving.in_flight) == ([leaving], 1)
            go.set()
        assert bodies == [b"old"]
        assert (leaving.in_flight, leaving.idle) == (0, [])
        await trio.to_thread.run_sync(old.connections[0].ended.wait, 20)
        rig.sweep()
        assert rig.pool.leaving == []
        assert len(new.connections) == 1


async def test_idle_connections_of_a_member_that_leaves_are_closed(nursery):
    with origin(saying(b"old")) as old, origin(saying(b"new")) as new:
        rig = Rig(nursery, [member("127.0.0.1", old.port)])
        await rig.get()
        rig.pool.replace([member("127.0.0.1", new.port)])
        rig.sweep()
        await trio.to_thread.run_sync(old.connections[0].ended.wait, 20)
        assert (rig.pool.leaving, rig.transport.connections) == ([], 0)


async def test_member_that_stays_keeps_its_connections_and_what_is_known_of_it(nursery):
    with origin(saying(b"a")) as one, origin(saying(b"b")) as other:
        rig = Rig(nursery, [member("127.0.0.1", one.port)])
        await rig.get()
        backend = rig.pool.backends[0]
        rig.pool.replace([member("127.0.0.1", other.port), member("127.0.0.1", one.port)])
        rig.sweep()
        assert rig.pool.backends[1] is backend
        rig.pool.replace([member("127.0.0.1", one.port)])
        rig.sweep()
        assert await rig.get() == b"a"
        assert (len(one.connections), backend.served) == (1, 2)


async def test_member_that_comes_back_while_it_drains_is_the_same_backend(nursery):
    with origin(saying(b"a")) as one:
        here = member("127.0.0.1", one.port)
        rig = Rig(nursery, [here])
        lease = rig.pool.take(None, (), 0.0)
        rig.pool.replace([])
        rig.pool.replace([here])
        assert (rig.pool.backends, rig.pool.leaving) == ([lease.backend], [])
        lease.done("done")


@pytest.fixture
def two_places():
    """Two origins with one port, on two addresses."""
    with ExitStack() as stack:
        one = stack.enter_context(origin(saying(b"one")))
        two = stack.enter_context(origin(saying(b"two"), host="127.0.0.2", port=one.port))
        yield one, two


async def test_followed_name_is_dialled_where_it_leads_and_nobody_is_asked(nursery, two_places):
    one, _ = two_places
    rig = Rig(nursery, [member("app.invalid", one.port, "127.0.0.1")])
    assert await rig.get() == b"one"
    assert one.requests[0].host == b"a.test"


async def test_name_that_leads_elsewhere_is_dialled_anew_and_its_old_connections_are_closed(
    nursery, two_places
):
    one, two = two_places
    rig = Rig(nursery, [member("app.invalid", one.port, "127.0.0.1")])
    await rig.get()
    rig.pool.replace([member("app.invalid", one.port, "127.0.0.2")])
    rig.sweep()
    assert await rig.get() == b"two"
    await trio.to_thread.run_sync(one.connections[0].ended.wait, 20)
    assert len(two.connections) == 1


async def test_name_that_has_one_more_address_keeps_its_connections(nursery, two_places):
    one, _ = two_places
    rig = Rig(nursery, [member("app.invalid", one.port, "127.0.0.1")])
    await rig.get()
    rig.pool.replace([member("app.invalid", one.port, "127.0.0.2", "127.0.0.1")])
    rig.sweep()
    assert await rig.get() == b"one"
    assert len(one.connections) == 1


async def test_name_that_leads_elsewhere_while_it_is_dialled_is_not_remembered_as_before(nursery):
    with socket.create_server(("127.0.0.2", 0), backlog=0) as full, ExitStack() as stack:
        for _ in range(2):  # nobody accepts them: whoever comes next is not answered
            sock = stack.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex(full.getsockname())
        port = full.getsockname()[1]
        stack.enter_context(origin(saying(b"beside"), port=port))
        rig = Rig(nursery, [member("app.invalid", port, "127.0.0.2", "127.0.0.1")])
        backend = rig.pool.backends[0]
        body = []

        async def ask():
            body.append(await rig.get())

        async with trio.open_nursery() as asking:
            asking.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked()
            rig.pool.replace([member("app.invalid", port, "127.0.0.3")])
        assert body == [b"beside"]
        assert backend.addresses == ()


async def test_another_time_to_be_idle_holds_for_what_is_open(nursery):
    with origin(saying(b"a")) as behind:
        rig = Rig(nursery, [member("127.0.0.1", behind.port)])
        await rig.get()
        rig.sweep()
        assert rig.transport.connections == 1
        rig.transport.go_by(idle=0.0, limits=HeadLimits())
        rig.sweep()
        assert rig.transport.connections == 0
