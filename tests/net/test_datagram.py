"""Datagrams passed to backends by flows: who gets them, where replies come from, and what a refusal leads to."""

import socket
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import trio

from netfront.endpoint import Endpoint
from netfront.net import datagram
from netfront.net.backend import Member
from netfront.net.datagram import Datagrams
from netfront.net.pool import Pool, PoolRules
from netfront.policy.health import HealthRules
from tests.support.lanes import MODES, descriptors, listening

both_modes = pytest.mark.parametrize("mode", MODES)


def pool_of(*places, failures=3):
    """A pool that ejects after so many failures."""
    members = []
    for place in places:
        host, port = place if isinstance(place, tuple) else ("127.0.0.1", place)
        members.append(Member(Endpoint("udp", host, port), f"{host}:{port}", b"b"))
    return Pool("pool", members, rules=PoolRules(health=HealthRules(failures=failures)))


@asynccontextmanager
async def backend(name, host="127.0.0.1", answers=True):
    """Answer every datagram with a name and its bytes; give the port, and what came."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = trio.socket.socket(family, socket.SOCK_DGRAM)
    await sock.bind((host, 0))
    seen = []

    async def serve():
        while True:
            data, peer = await sock.recvfrom(65535)
            seen.append(data)
            if answers:
                await sock.sendto(name + data, peer)

    with sock:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve)
            yield sock.getsockname()[1], seen
            nursery.cancel_scope.cancel()


class Mortal:
    """A backend on a port that it can leave and come back to."""

    def __init__(self, name, nursery):
        self._name = name
        self._nursery = nursery
        self.port = 0
        self.begin()

    def begin(self):
        plain = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        plain.bind(("127.0.0.1", self.port))
        plain.setblocking(False)
        self.port = plain.getsockname()[1]
        self._socket = trio.socket.from_stdlib_socket(plain)
        self._nursery.start_soon(self._serve, self._socket)

    def end(self):
        self._socket.close()

    async def _serve(self, sock):
        try:
            while True:
                data, peer = await sock.recvfrom(65535)
                await sock.sendto(self._name + data, peer)
        except trio.ClosedResourceError:
            pass
        except OSError:
            if sock.fileno() >= 0:  # else it was ended between the two
                raise


@asynccontextmanager
async def mortal(name):
    async with trio.open_nursery() as nursery:
        yield Mortal(name, nursery)
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def client(port, host="127.0.0.1"):
    """A client that hears only what comes from where it sends to."""
    sock = trio.socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    with sock:
        await sock.connect((host, port))
        yield sock


async def ask(sock, data):
    with trio.fail_after(5):
        await sock.send(data)
        return await sock.recv(65535)


def unused():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


async def until(condition):
    with trio.fail_after(5):
        while not condition():
            await trio.sleep(0.005)


@both_modes
async def test_a_flow_keeps_its_backend_and_flows_share_them(mode):
    passages = []
    async with backend(b"a") as (a, _), backend(b"b") as (b, _):
        pool = pool_of(a, b)
        flows = Datagrams(pool, observers=[passages.append])
        before = descriptors()
        async with listening(mode, datagrams=flows.serve) as port:
            first = []
            for number in range(4):
                async with client(port) as sock:
                    answers = [await ask(sock, b"%d%d" % (number, part)) for part in range(5)]
                    assert [answer[1:] for answer in answers] == [
                        b"%d%d" % (number, part) for part in range(5)
                    ]
                    assert len({answer[:1] for answer in answers}) == 1
                    first.append(answers[0][:1])
            assert sorted(first) == [b"a", b"a", b"b", b"b"]
            assert flows.open == 4
            assert [one.in_flight for one in pool.backends] == [2, 2]
    assert [one.in_flight for one in pool.backends] == [0, 0]
    assert [one.served for one in pool.backends] == [2, 2]
    assert flows.open == 0
    assert descriptors() <= before
    assert [(one.received, one.sent, one.tries, one.outcome) for one in passages] == [(10, 15, 1, "")] * 4


@both_modes
async def test_empty_and_large_datagrams_pass_as_they_are(mode):
    async with backend(b"") as (port, seen):
        flows = Datagrams(pool_of(port))
        async with listening(mode, datagrams=flows.serve) as front, client(front) as sock:
            for data in (b"", b"x" * 60000, b"", b"y" * 65507):
                assert await ask(sock, data) == data
            assert len(seen) == 4


@both_modes
async def test_what_is_refused_goes_elsewhere_at_once(mode):
    passages = []
    async with backend(b"a") as (port, _):
        pool = pool_of(unused(), port)
        flows = Datagrams(pool, observers=[passages.append])
        async with listening(mode, datagrams=flows.serve) as front:
            for _ in range(5):
                async with client(front) as sock:
                    assert await ask(sock, b"x") == b"ax"
                    assert await ask(sock, b"y") == b"ay"
    assert pool.backends[0].why == "connection refused"
    assert [one.in_flight for one in pool.backends] == [0, 0]
    assert pool.backends[0].health.until == 0.0, "where nobody listened there is no hold"
    assert sorted(one.tries for one in passages) == [1, 1, 2, 2, 2]
    assert {one.why for one in passages} == {(), ("connection refused",)}


@both_modes
async def test_a_flow_whose_backend_goes_away_goes_on_elsewhere(mode):
    async with backend(b"b") as (b, _), AsyncExitStack() as stack:
        gone = await stack.enter_async_context(mortal(b"a"))
        pool = pool_of(gone.port, b, failures=1)
        flows = Datagrams(pool)
        async with listening(mode, datagrams=flows.serve) as front, client(front) as sock:
            assert await ask(sock, b"1") == b"a1"
            gone.end()
            assert await ask(sock, b"2") == b"b2"
            assert await ask(sock, b"3") == b"b3"
            assert flows.open == 1
    assert pool.backends[0].why == "connection refused"
    assert [one.in_flight for one in pool.backends] == [0, 0]


@both_modes
async def test_with_a_lone_backend_a_refusal_is_forgotten_with_the_next_datagram(mode):
    async with mortal(b"a") as gone:
        flows = Datagrams(pool_of(gone.port))
        async with listening(mode, datagrams=flows.serve) as front, client(front) as sock:
            assert await ask(sock, b"1") == b"a1"
            gone.end()
            for _ in range(5):
                await sock.send(b"lost")
                await trio.sleep(0.01)
            gone.begin()
            assert await ask(sock, b"2") == b"a2"


@both_modes
async def test_a_pool_without_backends_answers_nobody_and_stays(mode):
    pool = pool_of()
    flows = Datagrams(pool)
    async with (
        backend(b"a") as (port, _),
        listening(mode, datagrams=flows.serve) as front,
        client(front) as sock,
    ):
        await sock.send(b"lost")
        await until(lambda: flows.dropped == 1)
        pool.replace([pool_of(port).backends[0].member])
        assert await ask(sock, b"x") == b"ax"


@both_modes
async def test_an_idle_flow_ends(mode):
    passages = []
    async with backend(b"a") as (port, _), backend(b"b", answers=False) as (mute, _):
        pool = pool_of(port, mute)
        flows = Datagrams(pool, idle=0.2, observers=[passages.append])
        front_of = listening(mode, datagrams=flows.serve)
        async with front_of as front, client(front) as one, client(front) as other:
            assert await ask(one, b"x") == b"ax"
            await other.send(b"y")
            await until(lambda: flows.open == 2)
            await until(lambda: flows.open == 0)
            assert [backend.in_flight for backend in pool.backends] == [0, 0]
            assert [backend.served for backend in pool.backends] == [1, 0]
    assert sorted((one.sent, one.outcome) for one in passages) == [(0, ""), (2, "")]


@both_modes
async def test_replies_alone_keep_a_flow(mode):
    source = trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    await source.bind(("127.0.0.1", 0))
    with source:
        flows = Datagrams(pool_of(source.getsockname()[1]), idle=0.3)
        front_of = listening(mode, datagrams=flows.serve)
        async with front_of as front, client(front) as sock, client(front) as idle:
            await sock.send(b"subscribe")
            _, peer = await source.recvfrom(100)
            await idle.send(b"nothing more")
            await until(lambda: flows.open == 2)
            for number in range(12):
                await trio.sleep(0.05)
                await source.sendto(b"%d" % number, peer)
                assert await sock.recv(100) == b"%d" % number
            assert flows.open == 1


@both_modes
async def test_no_more_flows_than_there_may_be(mode):
    async with backend(b"a") as (port, _):
        pool = pool_of(port)
        flows = Datagrams(pool, most_flows=3)
        async with listening(mode, datagrams=flows.serve) as front, AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(client(front)) for _ in range(8)]
            for _ in range(2):
                for sock in clients:
                    assert await ask(sock, b"x") == b"ax"
                    assert flows.open <= 3
            assert pool.backends[0].in_flight == 3


@both_modes
@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.2"])
async def test_replies_come_from_the_address_that_was_written_to(mode, address):
    async with backend(b"a") as (port, _):
        for host in ("0.0.0.0", "*"):
            flows = Datagrams(pool_of(port))
            async with (
                listening(mode, datagrams=flows.serve, host=host) as front,
                client(front, address) as sock,
            ):
                assert await ask(sock, b"x") == b"ax"
                assert await ask(sock, b"y") == b"ay"


@both_modes
@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="there is no IPv6")
async def test_a_loopback_name_is_found_on_the_family_it_listens_on(mode):
    async with backend(b"a", "::1") as (port, _):
        pool = pool_of(("localhost", port))
        flows = Datagrams(pool)
        async with listening(mode, datagrams=flows.serve) as front:
            for _ in range(2):
                async with client(front) as sock:
                    assert await ask(sock, b"x") == b"ax"
    assert pool.backends[0].is_up


class Resolver(trio.abc.HostnameResolver):
    """Knows one name; to look it up takes until it is told to."""

    def __init__(self):
        self.may = trio.Event()

    async def getaddrinfo(self, host, port, family=0, type=0, proto=0, flags=0):
        await self.may.wait()
        if host != b"known.test":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_DGRAM, 17, "", ("127.0.0.1", port))]

    async def getnameinfo(self, sockaddr, flags):
        raise NotImplementedError


@both_modes
async def test_a_name_is_looked_up_while_other_flows_go_on(mode):
    resolver = Resolver()
    trio.socket.set_custom_hostname_resolver(resolver)
    async with backend(b"a") as (a, _), backend(b"b") as (b, _):
        pool = pool_of(("known.test", a), b, ("unknown.test", 9), failures=1)
        flows = Datagrams(pool)
        async with listening(mode, datagrams=flows.serve) as front, AsyncExitStack() as stack:
            first, second, third = [await stack.enter_async_context(client(front)) for _ in range(3)]
            await first.send(b"1")
            await until(lambda: flows.open == 1)
            assert await ask(second, b"2") == b"b2"
            await third.send(b"3")
            await until(lambda: flows.open == 3)
            resolver.may.set()
            with trio.fail_after(5):
                assert await first.recv(100) == b"a1"
                assert await third.recv(100) in (b"a3", b"b3")
    assert "unknown.test" in pool.backends[2].why
    assert [one.in_flight for one in pool.backends] == [0, 0, 0]


@both_modes
async def test_a_flood_of_one_client_leaves_turns_to_others(mode):
    async with backend(b"a") as (port, _):
        flows = Datagrams(pool_of(port))
        async with (
            listening(mode, datagrams=flows.serve) as front,
            client(front) as one,
            client(front) as other,
        ):

            async def flood():
                while True:
                    await one.send(b"x" * 100)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(flood)
                answered = 0
                with trio.fail_after(10):
                    while answered < 5:
                        with trio.move_on_after(0.5):  # what a full queue dropped is asked again
                            await other.send(b"y")
                            assert await other.recv(100) == b"ay"
                            answered += 1
                nursery.cancel_scope.cancel()


@both_modes
async def test_what_serves_may_become_another_and_flows_stay_where_they_are(mode):
    async with backend(b"a") as (one, _), backend(b"b") as (other, _):
        flows = Datagrams(pool_of(one))
        async with listening(mode, datagrams=flows.serve) as port, client(port) as sock:
            assert await ask(sock, b"1") == b"a1"
            flows.become(Datagrams(pool_of(other), idle=5.0))
            assert await ask(sock, b"2") == b"a2"
            async with client(port) as newcomer:
                assert await ask(newcomer, b"3") == b"b3"
    assert flows.idle == 5.0
    assert flows.open == 0


def eject(pool, place):
    """Let a backend of a pool that ejects at the first failure be down."""
    backend = pool.backends[place]
    pool.again(backend).done("connection refused", connected=False)
    assert not backend.is_up
    return backend


@both_modes
async def test_a_flow_whose_backend_has_left_goes_on_elsewhere(mode):
    passages = []
    async with backend(b"a") as (one, _), backend(b"b") as (other, _):
        pool = pool_of(one)
        flows = Datagrams(pool, observers=[passages.append])
        async with listening(mode, datagrams=flows.serve) as front, client(front) as sock:
            assert await ask(sock, b"1") == b"a1"
            left = pool.backends[0]
            pool.replace([pool_of(other).backends[0].member])
            assert await ask(sock, b"2") == b"b2"
            assert (left.in_flight, left.served, pool.backends[0].in_flight) == (0, 1, 1)
            pool.replace([])
            await sock.send(b"lost")
            await until(lambda: flows.dropped == 1)
    assert [(one.tries, one.retried, one.sent) for one in passages] == [(2, "retried: it has left", 4)]


@both_modes
async def test_a_flow_goes_elsewhere_when_nobody_comes_to_its_pool_any_more(mode):
    async with backend(b"a") as (one, _), backend(b"b") as (other, _):
        pool = pool_of(one)
        flows = Datagrams(pool)
        async with listening(mode, datagrams=flows.serve) as front, client(front) as sock:
            assert await ask(sock, b"1") == b"a1"
            flows.become(Datagrams(pool_of(other)))
            pool.leave()
            assert await ask(sock, b"2") == b"b2"
    assert pool.backends[0].in_flight == 0


@both_modes
async def test_a_flow_whose_backend_is_down_goes_where_somebody_is_up_and_else_stays(mode):
    async with backend(b"a") as (one, _), backend(b"b") as (other, _):
        pool = pool_of(one, other, failures=1)
        flows = Datagrams(pool)
        async with listening(mode, datagrams=flows.serve) as front, client(front) as sock:
            name = (await ask(sock, b"1"))[:1]
            place = b"ab".index(name)
            eject(pool, place)
            eject(pool, 1 - place)
            assert await ask(sock, b"2") == name + b"2", "all are down, and it is as good as any"
            pool.dialled(pool.backends[1 - place], "", trio.current_time())
            async with client(front) as trial:
                assert await ask(trial, b"3") != name + b"3"
            assert pool.backends[1 - place].is_up
            assert await ask(sock, b"4") == b"ab"[1 - place :][:1] + b"4"
            assert pool.backends[place].in_flight == 0


@both_modes
async def test_a_flow_of_one_that_is_drained_by_hand_stays(mode):
    async with backend(b"a") as (one, _), backend(b"b") as (other, _):
        pool = pool_of(one, other)
        flows = Datagrams(pool)
        async with listening(mode, datagrams=flows.serve) as front, client(front) as sock:
            name = (await ask(sock, b"1"))[:1]
            pool.drain(pool.backends[b"ab".index(name)], is_drained=True)
            assert await ask(sock, b"2") == name + b"2"


@both_modes
async def test_a_flow_that_has_come_from_elsewhere_is_a_trial_like_any(mode, nursery):
    """Its backend is up with the answer, not with the end of the flow, and what it took is counted from there."""
    async with backend(b"b") as (other, _):
        gone = Mortal(b"a", nursery)
        pool = pool_of(gone.port, other, failures=1)
        flows = Datagrams(pool)
        async with listening(mode, datagrams=flows.serve) as front, client(front) as sock:
            pool.drain(pool.backends[1], is_drained=True)
            assert await ask(sock, b"1") == b"a1"
            pool.drain(pool.backends[1], is_drained=False)
            tried = eject(pool, 1)
            pool.dialled(tried, "", trio.current_time())
            gone.end()
            assert await ask(sock, b"2") == b"b2"
            assert tried.is_up
            assert flows.open == 1


@both_modes
async def test_who_tries_one_that_is_silent_goes_where_somebody_is_up_after_a_while(mode, monkeypatch):
    monkeypatch.setattr(datagram, "_TRIAL", 60.0)
    async with backend(b"a", answers=False) as (mute, seen), backend(b"b") as (other, _):
        pool = pool_of(mute, other, failures=1)
        silent = eject(pool, 0)
        pool.dialled(silent, "", trio.current_time())
        flows = Datagrams(pool)
        async with listening(mode, datagrams=flows.serve) as front, client(front) as sock:
            await sock.send(b"1")
            await until(lambda: seen)
            await sock.send(b"2")
            await until(lambda: len(seen) == 2)
            monkeypatch.setattr(datagram, "_TRIAL", 0.0)
            assert await ask(sock, b"3") == b"b3"
            assert not silent.is_up
            assert silent.in_flight == 0
