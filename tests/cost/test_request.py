"""What one kept-alive request costs, in counts: socket calls, steps of the lane, function calls.

The stacks are those that `netfront proxy 3000 -l http://…` and `netfront balance 3000 3001` make; the client and the
backends are the other ends of socket pairs, driven from here turn by turn. A figure that grows has to be explained by
the commit that raises it.
"""

import socket
import sys
from contextlib import asynccontextmanager
from statistics import median

import pytest
import trio

from netfront.cli.assembly import build
from netfront.cli.flags import ServeFlags
from netfront.cli.planning import plan_serving
from netfront.cli.render import Console
from netfront.net import lane as lanes
from netfront.net.lane import Lane
from netfront.net.stream import Facts, SocketStream

REQUEST = b"GET /1k HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: cost\r\nAccept: */*\r\n\r\n"
RESPONSE = (
    b"HTTP/1.1 200 OK\r\nServer: origin\r\nDate: Tue, 24 Nov 2026 12:00:00 GMT\r\nContent-Type: text/plain\r\n"
    b'Content-Length: 1024\r\nETag: "%d"\r\nConnection: keep-alive\r\n\r\n' + b"x" * 1024
)
ROUNDS = 20
MOST_CALLS = 165
"""Python and C function calls of one request, the lane's own turn left out. nginx's path is the aim, not this."""
MOST_BALANCED_CALLS = 167
"""Of one that is balanced over two backends: besides it is picked, hedged and learnt from."""
FLAGS = {"gateway": {"request_id": False, "max_body": ["none"]}}
"""A gateway's defaults that a proxy has not are left out, where it is compared with one: they are no routing."""
MOST_CALLS_OF_ROUTES = 2
"""More than a proxy's, where the route is not for everything: where a target led is looked up."""


class CountedSocket:
    """A socket whose calls are counted by name."""

    def __init__(self, sock, counts):
        self._sock = sock
        self._counts = counts

    def __getattr__(self, name):
        found = getattr(self._sock, name)
        if name in ("recv", "send", "setsockopt", "getsockopt", "shutdown"):

            def counted(*args):
                self._counts[name] = self._counts.get(name, 0) + 1
                return found(*args)

            return counted
        return found


class Rig:
    """One client connection and one connection to each backend through the stack of a plan, stepped by hand.

    Args:
        routes: scopes, each with a pool of its own; the first one's is that of the request.
    """

    def __init__(self, monkeypatch, command, backends, routes=()):
        self.counts = {}
        self.client, ours = socket.socketpair()
        pairs = [socket.socketpair() for _ in range(backends)]
        self.backends = [backend for _, backend in pairs]
        for sock in (self.client, ours, *(one for pair in pairs for one in pair)):
            sock.setblocking(False)
        self._ours = CountedSocket(ours, self.counts)
        self._theirs = [CountedSocket(theirs, self.counts) for theirs, _ in pairs]
        self.lane = Lane()
        monkeypatch.setattr(lanes._here, "lane", self.lane, raising=False)
        targets = [f"127.0.0.1:{port}" for port in range(1, backends + 1)]
        given = [*(f"{scope}={targets[0]}" for scope in routes)] or targets
        flags = ServeFlags(targets=given, listen=["http://127.0.0.1:0"], **FLAGS.get(command, {}))
        plan = plan_serving(command, flags)
        self.app = build(plan, Console(quiet=True, json_events=False, color=False))
        self.steps = 0
        facts = Facts(("127.0.0.1", 5), ("127.0.0.1", 8080))

        service = next(iter(self.app.services.values()))
        pool, transport = service.pool, self.app.transport
        for backend, theirs in zip(pool.backends, self._theirs, strict=True):
            stream = SocketStream(theirs, Facts(("", 0), ("", 0)))
            transport.release(transport.began(backend, stream, 0))
        self._serve = lambda: self.app._fronts[0].server.serve(SocketStream(self._ours, facts))

    async def start(self, nursery):
        nursery.start_soon(self.lane.run, self._connection)
        for _ in range(50):  # steps, not time: the machine may have other things to do
            await trio.lowlevel.checkpoint()
        self.turn()

    async def _connection(self):
        await self._serve()

    def turn(self):
        """One turn of the lane: poll, latch, step."""
        events = self.lane._epoll.poll(0)
        self.lane.now = self.lane._clock()
        self.lane._latch(events)
        self.steps += len(self.lane.due)
        if self.lane.due:
            self.lane._step_all()

    def exchange(self, number):
        """One request there and its answer back; each a single segment."""
        self.client.send(REQUEST)
        self.turn()
        asked = self.answer(number)
        self.turn()
        return asked, self.client.recv(65536)

    def answer(self, number):
        """Answer as the backend that was asked; give what it was asked."""
        for backend in self.backends:
            try:
                asked = backend.recv(65536)
            except BlockingIOError:
                continue
            backend.send(RESPONSE % number)
            return asked
        raise AssertionError("nobody was asked")


@asynccontextmanager
async def warm_rig(monkeypatch, command="proxy", backends=1, routes=()):
    """A rig that has served a few requests; its connection is cancelled at the end."""
    async with trio.open_nursery() as nursery:
        rig = Rig(monkeypatch, command, backends, routes)
        try:
            await rig.start(nursery)
            for number in range(3 * backends):
                rig.exchange(1000 + number)
            rig.counts.clear()
            rig.steps = 0
            yield rig
        finally:
            nursery.cancel_scope.cancel()
            with trio.CancelScope(shield=True):
                while nursery.child_tasks:
                    rig.turn()
                    await trio.lowlevel.checkpoint()


BOTH = pytest.mark.parametrize(
    ("command", "backends", "most"), [("proxy", 1, MOST_CALLS), ("balance", 2, MOST_BALANCED_CALLS)]
)


@BOTH
async def test_a_request_is_four_socket_calls_and_two_steps(monkeypatch, command, backends, most):
    async with warm_rig(monkeypatch, command, backends) as rig:
        for number in range(ROUNDS):
            asked, answered = rig.exchange(number)
            assert asked.startswith(b"GET /1k HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n")
            assert answered.endswith(b"\r\n\r\n" + b"x" * 1024)
        assert rig.counts == {"recv": 2 * ROUNDS, "send": 2 * ROUNDS}
        assert rig.steps == 2 * ROUNDS


async def calls_of(monkeypatch, command, backends, routes=()):
    """Count the calls of the median request: what comes once a second, or of the collector, is no part of it."""
    async with warm_rig(monkeypatch, command, backends, routes) as rig:
        calls = [0] * ROUNDS

        def count(frame, event, argument):
            if event in ("call", "c_call"):
                calls[number] += 1

        for number in range(ROUNDS):
            rig.client.send(REQUEST)
            sys.setprofile(count)
            rig.turn()
            sys.setprofile(None)
            rig.answer(number)
            sys.setprofile(count)
            rig.turn()
            sys.setprofile(None)
            rig.client.recv(65536)
    return median(calls)


@BOTH
async def test_a_request_makes_a_bounded_number_of_calls(monkeypatch, command, backends, most):
    assert await calls_of(monkeypatch, command, backends) <= most


async def test_a_gateway_with_one_route_makes_the_calls_of_a_proxy(monkeypatch):
    proxied = await calls_of(monkeypatch, "proxy", 1)
    assert await calls_of(monkeypatch, "gateway", 1) == proxied
    assert await calls_of(monkeypatch, "gateway", 1, ["/1k"]) <= proxied + MOST_CALLS_OF_ROUTES


async def test_a_thousand_routes_make_the_calls_of_one(monkeypatch):
    one = await calls_of(monkeypatch, "gateway", 1, ["/1k"])
    many = [f"/r{number}/{{id}}" for number in range(999)]
    assert await calls_of(monkeypatch, "gateway", 1, ["/1k", *many]) == one


async def test_a_request_leaves_nothing_allocated(monkeypatch):
    async with warm_rig(monkeypatch) as rig:
        for _ in range(200):
            rig.exchange(7)
        before = sys.getallocatedblocks()
        for _ in range(200):
            rig.exchange(7)
        grown = sys.getallocatedblocks() - before
        assert grown < 200, f"{grown} blocks more after 200 requests"
