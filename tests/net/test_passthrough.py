"""Connections passed through to backends: who gets them, what happens when one fails, and what is told afterwards."""

import shutil
import socket
import ssl
import subprocess
import time
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager

import pytest
import trio
import trio.testing

from netfront.endpoint import Endpoint
from netfront.net.backend import BACKUP, Member
from netfront.net.certfile import load_certificate
from netfront.net.inbound import ends_tls
from netfront.net.passthrough import Passthrough
from netfront.net.pipe import Pipes
from netfront.net.pool import Pool, PoolRules
from netfront.net.tls import ServerTls
from netfront.policy.health import HealthRules
from netfront.policy.scope import Scope
from tests.support.certificates import make_ca, make_leaf, write_pem
from tests.support.handshake import answering
from tests.support.lanes import MODES, descriptors, listening
from tests.wire.test_clienthello import hello

both_modes = pytest.mark.parametrize("mode", MODES)
CA = make_ca()


def member(port, **kinds):
    return Member(Endpoint("tcp", kinds.pop("host", "127.0.0.1"), port), f"b{port}", b"b", **kinds)


def pool_of(*members, failures=3):
    """A pool that ejects after so many failures."""
    rules = PoolRules(health=HealthRules(failures=failures))
    return Pool("pool", [one if isinstance(one, Member) else member(one) for one in members], rules=rules)


def unused():
    """A port that refuses."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@asynccontextmanager
async def backend(script):
    """Run a script for each connection to a free port; give the port."""
    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, script, [listener])
        yield listener.socket.getsockname()[1]
        nursery.cancel_scope.cancel()


def naming(name):
    """A script that says its name and then gives back what it gets, to the end."""

    async def play(stream):
        try:
            await stream.send_all(name + b":")
            async for data in stream:
                await stream.send_all(data)
            await stream.send_eof()
        except trio.BrokenResourceError:
            pass

    return play


async def resetting(stream):
    stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    await stream.aclose()


@contextmanager
def silent():
    """A port whose queue of connections is full: nothing answers there."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for sock in waiting:
            sock.setblocking(False)
            sock.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]
        for sock in waiting:
            sock.close()


async def connect(port):
    """Connect; a reset that is faster than that is a broken stream as well."""
    try:
        return await trio.open_tcp_stream("127.0.0.1", port)
    except OSError as error:
        raise trio.BrokenResourceError from error


async def ask(port, data=b""):
    """Send something and give all that comes back; raises where that does not end well."""
    stream = await connect(port)
    async with stream:
        if data:
            await stream.send_all(data)
        await stream.send_eof()
        answer = b""
        async for got in stream:
            answer += got
        return answer


async def told(passages):
    """Wait until a passage was told of."""
    while not passages:
        await trio.sleep(0.005)


def seen(passages):
    return [(one.tries, one.received, one.sent, one.why, one.outcome) for one in passages]


@both_modes
async def test_a_connection_goes_to_a_backend_and_is_told_of(mode):
    passages = []
    async with backend(naming(b"a")) as port:
        pool = pool_of(port)
        front = Passthrough([(Scope(), pool)], observers=[passages.append])
        async with listening(mode, front.serve) as front_port:
            assert await ask(front_port, b"hello") == b"a:hello"
            assert await ask(front_port) == b"a:"
    assert seen(passages) == [(1, 5, 7, (), ""), (1, 0, 2, (), "")]
    told = passages[0]
    assert told.backend.member.label == f"b{port}"
    assert told.started <= told.connected <= told.ended
    assert told.facts.peer[0] == "127.0.0.1"
    assert (pool.backends[0].in_flight, pool.backends[0].served) == (0, 2)
    assert not front.open


@both_modes
async def test_bulk_goes_through_pipes_and_leaves_no_descriptor(mode):
    pipes = Pipes()
    body = b"x" * (8 << 20)
    async with backend(naming(b"a")) as port:
        front = Passthrough([(Scope(), pool_of(port))], pipes=pipes)
        async with listening(mode, front.serve) as front_port:
            before = descriptors()
            stream = await trio.open_tcp_stream("127.0.0.1", front_port)
            size = 0
            async with stream, trio.open_nursery() as nursery:
                nursery.start_soon(stream.send_all, body)
                while size < len(body) + 2:
                    size += len(await stream.receive_some())
            while front.open:
                await trio.sleep(0.01)
            assert pipes.lent == 0
            pipes.close()
            assert descriptors() == before


@both_modes
async def test_a_backend_that_refuses_costs_the_client_nothing(mode):
    passages = []
    async with backend(naming(b"a")) as port:
        pool = pool_of(unused(), port)
        front = Passthrough([(Scope(), pool)], observers=[passages.append])
        async with listening(mode, front.serve) as front_port:
            answers = [await ask(front_port, b"x") for _ in range(5)]
    assert answers == [b"a:x"] * 5
    assert seen(passages) == [(2, 1, 3, ("connection refused",), "")] * 3 + [(1, 1, 3, (), "")] * 2
    assert pool.backends[0].why == "connection refused"
    assert pool.backends[0].health.until == 0.0, "what was not connected has no hold"
    assert [one.in_flight for one in pool.backends] == [0, 0]


@both_modes
async def test_another_is_tried_beside_one_that_is_silent(mode):
    passages = []
    async with backend(naming(b"a")) as port:
        with silent() as mute:
            pool = pool_of(mute, port, failures=1)
            front = Passthrough([(Scope(), pool)], connect_time=30, observers=[passages.append])
            async with listening(mode, front.serve) as front_port:
                with trio.fail_after(5):
                    assert await ask(front_port, b"x") == b"a:x"
    assert passages[0].tries == 2
    assert pool.backends[0].why == "no answer"
    assert pool.backends[0].health.until == 0.0, "what was not connected has no hold"
    assert [one.in_flight for one in pool.backends] == [0, 0]


@both_modes
async def test_a_silent_backend_alone_is_given_up_in_time(mode):
    passages = []
    with silent() as mute:
        pool = pool_of(mute)
        front = Passthrough([(Scope(), pool)], connect_time=0.4, observers=[passages.append])
        async with listening(mode, front.serve) as front_port:
            with pytest.raises(trio.BrokenResourceError):
                await ask(front_port, b"x")
    assert seen(passages) == [(1, 0, 0, ("no answer",), "connect: no answer")]
    assert pool.backends[0].in_flight == 0


@both_modes
async def test_where_all_fail_the_client_sees_a_reset(mode):
    passages = []
    pool = pool_of(*[unused() for _ in range(5)])
    front = Passthrough([(Scope(), pool)], observers=[passages.append])
    async with listening(mode, front.serve) as front_port:
        with pytest.raises(trio.BrokenResourceError):
            await ask(front_port, b"x")
    assert seen(passages) == [(3, 0, 0, ("connection refused",) * 3, "connect: connection refused")]
    assert {one.in_flight for one in pool.backends} == {0}


@both_modes
async def test_an_empty_pool_rejects(mode):
    passages = []
    front = Passthrough([(Scope(), pool_of())], observers=[passages.append])
    async with listening(mode, front.serve) as front_port:
        with pytest.raises(trio.BrokenResourceError):
            await ask(front_port, b"x")
    assert passages[0].outcome == "the pool is empty"


@asynccontextmanager
async def early(mode, passages, connect_time=60.0, **kinds):
    """A client of a pool whose names are looked up for the first time; give both, and the port."""
    pool = pool_of()
    pool.is_awaited = True
    front = Passthrough([(Scope(), pool)], connect_time=connect_time, observers=[passages.append], **kinds)
    async with listening(mode, front.serve) as port, await connect(port) as client:
        with trio.fail_after(10):
            while not (front.open or passages):
                await trio.sleep(0.005)
            yield pool, client, port


@both_modes
@pytest.mark.parametrize("hears", [False, True])
async def test_who_comes_while_names_are_first_looked_up_is_served_once_they_are(mode, hears):
    passages, answers = [], []
    async with backend(naming(b"a")) as a, early(mode, passages, hears=hears) as (pool, client, port):
        await client.send_all(hello())
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(ask_into, answers, port)  # ends its sending, and still wants to hear
            pool.changed.set()  # news, but not of anybody
            await trio.sleep(0.05)
            pool.replace([member(a)])
            assert await client.receive_some(2) == b"a:"
    assert answers == [True] * 3
    assert {one.tries for one in passages} == {1}


async def ask_into(answers, port):
    asked = hello()
    answers.append(await ask(port, asked) == b"a:" + asked)


@both_modes
@pytest.mark.parametrize("is_late", [True, False])
async def test_names_that_lead_nowhere_are_waited_for_no_longer_than_a_backend(mode, is_late):
    passages = []
    async with early(mode, passages, connect_time=0.2 if is_late else 60.0) as (pool, client, _):
        if not is_late:
            pool.is_awaited = False
            pool.changed.set()
        with pytest.raises(trio.BrokenResourceError):
            await client.receive_some()
        await told(passages)
    assert seen(passages) == [(0, 0, 0, (), "the pool is empty")]


@both_modes
async def test_who_leaves_while_names_are_first_looked_up_is_waited_for_no_more(mode):
    passages = []
    async with early(mode, passages) as (_, client, _):
        await resetting(client)
        await told(passages)
    assert seen(passages) == [(0, 0, 0, (), "client: it left")]


@both_modes
async def test_a_backend_that_resets_before_any_byte_is_left_for_another(mode):
    passages = []
    async with backend(resetting) as bad, backend(naming(b"a")) as good:
        pool = pool_of(bad, good, failures=1)
        front = Passthrough([(Scope(), pool)], observers=[passages.append])
        async with listening(mode, front.serve) as front_port:
            stream = await trio.open_tcp_stream("127.0.0.1", front_port)
            async with stream:
                assert await stream.receive_some() == b"a:"
                await stream.send_all(b"x")
                assert await stream.receive_some() == b"x"
            await told(passages)
    assert passages[0].tries == 2
    assert passages[0].outcome == ""
    assert "reset" in pool.backends[0].why
    assert pool.backends[0].health.until > 0.0, "who was connected and failed is held"


@both_modes
async def test_a_backend_that_breaks_off_breaks_off_the_client(mode):
    async def play(stream):
        await stream.receive_some()
        await stream.send_all(b"half of it")
        await resetting(stream)

    passages = []
    async with backend(play) as port, backend(naming(b"a")) as other:
        pool = pool_of(port, member(other, tier=BACKUP))
        front = Passthrough([(Scope(), pool)], observers=[passages.append])
        async with listening(mode, front.serve) as front_port:
            with pytest.raises(trio.BrokenResourceError):
                await ask(front_port, b"x")
    assert passages[0].outcome.startswith("stream: connection reset")
    assert passages[0].tries == 1
    assert pool.backends[0].in_flight == 0


@both_modes
async def test_a_client_that_resets_says_nothing_of_the_backend(mode):
    passages = []
    async with backend(naming(b"a")) as port:
        pool = pool_of(port)
        front = Passthrough([(Scope(), pool)], observers=[passages.append])
        async with listening(mode, front.serve) as front_port:
            stream = await trio.open_tcp_stream("127.0.0.1", front_port)
            assert await stream.receive_some() == b"a:"
            await resetting(stream)
            await told(passages)
    assert passages[0].outcome.startswith("client: connection reset")
    assert pool.backends[0].is_up
    assert pool.backends[0].in_flight == 0


@both_modes
async def test_a_connection_that_is_cut_is_told_of_and_seen_as_cut(mode):
    passages = []
    async with backend(naming(b"a")) as port:
        pool = pool_of(port)
        front = Passthrough([(Scope(), pool)], observers=[passages.append])
        async with listening(mode, front.serve) as front_port:
            stream = await trio.open_tcp_stream("127.0.0.1", front_port)
            assert await stream.receive_some() == b"a:"
        with pytest.raises(trio.BrokenResourceError):
            await stream.receive_some()
    assert [one.outcome for one in passages] == ["cut"]
    assert pool.backends[0].in_flight == 0


@both_modes
@pytest.mark.parametrize("version", [1, 2])
async def test_the_proxy_line_comes_first(mode, version):
    async def play(stream):
        heard = b""
        async for data in stream:
            heard += data
        await stream.send_all(heard)

    async with backend(play) as port:
        front = Passthrough([(Scope(), pool_of(member(port, proxy=version)))])
        async with listening(mode, front.serve) as front_port:
            answer = await ask(front_port, b"hello")
    if version == 1:
        assert answer.startswith(b"PROXY TCP4 127.0.0.1 127.0.0.1 ")
        assert answer.endswith(b" %d\r\nhello" % front_port)
    else:
        assert answer.startswith(b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\1\x7f\0\0\1")
        assert len(answer) == 28 + 5


# -- names and protocols


@asynccontextmanager
async def named_front(mode, *, hostless=True, hello_time=3.0, passages=None):
    async with backend(naming(b"exact")) as a, backend(naming(b"wild")) as b, backend(naming(b"any")) as c:
        routes = [(Scope(host="a.example"), pool_of(a)), (Scope(host="*.example"), pool_of(b))]
        if hostless:
            routes.append((Scope(), pool_of(c)))
        observers = [] if passages is None else [passages.append]
        front = Passthrough(routes, hello_time=hello_time, observers=observers)
        async with listening(mode, front.serve) as port:
            yield port


@both_modes
async def test_the_name_in_the_hello_finds_the_pool(mode):
    passages = []
    async with named_front(mode, passages=passages) as port:
        for name, expected in (
            ("a.example", b"exact:"),
            ("A.Example.", b"exact:"),
            ("b.example", b"wild:"),
            ("c.b.example", b"wild:"),
            ("example", b"any:"),
            ("elsewhere.test", b"any:"),
            (None, b"any:"),
        ):
            data = hello(name)
            assert await ask(port, data) == expected + data
        assert await ask(port, b"GET / HTTP/1.1\r\n\r\n") == b"any:GET / HTTP/1.1\r\n\r\n"
    assert [one.name for one in passages[:3]] == [b"a.example", b"a.example", b"b.example"]


@both_modes
async def test_a_hello_in_many_small_pieces_is_waited_for(mode):
    data = hello("a.example")
    async with named_front(mode) as port:
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        async with stream:
            for at in range(0, len(data), 100):
                await stream.send_all(data[at : at + 100])
                await trio.sleep(0.002)
            answer = b""
            while len(answer) < len(data) + 6:
                answer += await stream.receive_some()
            assert answer == b"exact:" + data


@both_modes
async def test_who_sends_no_hello_in_time_is_served_without_a_name(mode):
    async with named_front(mode, hello_time=0.1) as port:
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        async with stream:
            assert await stream.receive_some() == b"any:"
            await stream.send_all(b"late")
            assert await stream.receive_some() == b"late"


@both_modes
async def test_without_a_route_for_it_a_connection_is_rejected(mode):
    passages = []
    async with named_front(mode, hostless=False, hello_time=0.1, passages=passages) as port:
        for data in (hello("elsewhere.test"), hello(None), b"GET / HTTP/1.1\r\n\r\n", b""):
            with pytest.raises(trio.BrokenResourceError):
                await ask(port, data)
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        with pytest.raises(trio.BrokenResourceError):
            await stream.receive_some()
    assert {one.outcome for one in passages} == {"no route"}


@both_modes
async def test_members_for_a_protocol_get_the_clients_that_speak_it(mode):
    async with backend(naming(b"h2")) as a, backend(naming(b"rest")) as b:
        pool = pool_of(member(a, alpn=b"h2"), b)
        front = Passthrough([(Scope(), pool)], hears=True)
        async with listening(mode, front.serve) as port:
            for _ in range(3):
                for protocols, expected in (
                    (("h2", "http/1.1"), b"h2:"),
                    (("http/1.1",), b"rest:"),
                    ((), b"rest:"),
                ):
                    data = hello("a.example", protocols)
                    assert await ask(port, data) == expected + data
        passages = []
        picky = [(Scope(), pool_of(member(a, alpn=b"h2")))]
        front = Passthrough(picky, hears=True, observers=[passages.append])
        async with listening(mode, front.serve) as port:
            for protocols, spoken in (("http/1.1",), "http/1.1"), ((), "no protocol"):
                with pytest.raises(trio.BrokenResourceError):
                    await ask(port, hello("a.example", protocols))
                assert passages[-1].outcome == f"no backend takes {spoken}, which the client speaks"


@asynccontextmanager
async def held(port, data=b""):
    """A connection that stays, once a backend has it."""
    async with await connect(port) as stream:
        if data:
            await stream.send_all(data)
        got = b""
        while b":" not in got:
            got += await stream.receive_some()
        yield


@both_modes
async def test_how_soon_a_connection_was_there_is_known_while_it_lasts(mode):
    """Else --lb latency would hold one whose connections never end for the slowest."""
    async with backend(naming(b"a")) as a, backend(naming(b"b")) as b, AsyncExitStack() as stack:
        pool = Pool("pool", [member(a), member(b)], rules=PoolRules(lb="latency"))
        async with listening(mode, Passthrough([(Scope(), pool)]).serve) as port:
            for _ in range(2):
                await stack.enter_async_context(held(port, b"x"))
            assert [one.in_flight for one in pool.backends] == [1, 1]
            assert all(0.0 < one.latency < 10.0 for one in pool.backends)
            await stack.aclose()


@asynccontextmanager
async def waiting(pool, answers, port, data=b""):
    """One that waits for a place as the block begins, and has had its answer when it has ended."""
    before = pool.waiting

    async def wait():
        answers.append(await ask(port, data))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        while pool.waiting == before:
            await trio.sleep(0.005)
        yield


@asynccontextmanager
async def waiting_behind(pool, answers, port, asked, first=b""):
    """Hold a place; have others wait for it until the block ends."""
    async with AsyncExitStack() as stack:
        holder = await stack.enter_async_context(AsyncExitStack())
        await holder.enter_async_context(held(port, first))
        for data in asked:
            await stack.enter_async_context(waiting(pool, answers, port, data))
        yield
        await holder.aclose()


@both_modes
async def test_who_finds_all_places_taken_waits_for_one(mode):
    answers = []
    async with backend(naming(b"a")) as a:
        pool = pool_of(member(a, max=1))
        async with (
            listening(mode, Passthrough([(Scope(), pool)]).serve) as port,
            waiting_behind(pool, answers, port, [b"1", b"2"]),
        ):
            assert answers == []
    assert sorted(answers) == [b"a:1", b"a:2"]
    assert pool.backends[0].in_flight == 0


@both_modes
async def test_who_speaks_a_protocol_waits_for_the_one_that_takes_it(mode):
    h2, answers = hello("a.example", ("h2",)), []
    async with backend(naming(b"h2")) as a:
        pool = pool_of(member(a, alpn=b"h2", max=1))
        async with (
            listening(mode, Passthrough([(Scope(), pool)], hears=True).serve) as port,
            waiting_behind(pool, answers, port, [h2], first=h2),
        ):
            assert answers == []
    assert answers == [b"h2:" + h2]


@both_modes
async def test_who_waits_for_one_protocol_holds_up_no_other(mode):
    h2, other, answers = hello("a.example", ("h2",)), hello("a.example", ("http/1.1",)), []
    async with backend(naming(b"h2")) as a, backend(naming(b"rest")) as b:
        pool = pool_of(member(a, alpn=b"h2", max=1), member(b, max=1))
        async with (
            listening(mode, Passthrough([(Scope(), pool)], hears=True).serve) as port,
            waiting_behind(pool, answers, port, [other], first=other),
        ):
            assert await ask(port, h2) == b"h2:" + h2
            assert answers == []
    assert answers == [b"rest:" + other]


@both_modes
async def test_who_has_failed_at_one_waits_for_the_one_that_is_busy(mode):
    answers = []
    async with backend(naming(b"a")) as a:
        pool = pool_of(unused(), member(a, max=1), failures=100)
        async with (
            listening(mode, Passthrough([(Scope(), pool)]).serve) as port,
            waiting_behind(pool, answers, port, [b"1", b"2"]),
        ):
            assert answers == []
    assert sorted(answers) == [b"a:1", b"a:2"]
    assert [one.in_flight for one in pool.backends] == [0, 0]


@both_modes
async def test_a_place_that_was_freed_while_another_was_dialled_is_taken_at_once(mode):
    """There is no queue, so who had to wait for it would be turned away."""
    answers = []

    async def wait():
        answers.append(await ask(port, b"1"))

    async with backend(naming(b"a")) as a:
        with silent() as nobody:
            rules = PoolRules(lb="first", queue=0, health=HealthRules(failures=100))
            pool = Pool("pool", [member(nobody), member(a, max=1)], rules=rules)
            front = Passthrough([(Scope(), pool)], connect_time=1.5)
            async with listening(mode, front.serve) as port, trio.open_nursery() as nursery, held(port):
                nursery.start_soon(wait)
                while pool.backends[0].in_flight == 0:
                    await trio.sleep(0.005)
                await trio.sleep(0.5)  # by then it was looked whether there is another beside the silent one
    assert answers == [b"a:1"]


@pytest.fixture
def contexts(tmp_path):
    """Make TLS contexts of servers: by name and protocols."""

    def make(name, *protocols):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*write_pem(tmp_path, name, make_leaf(CA, name)))
        context.set_alpn_protocols(list(protocols))
        return context

    return make


def s_client(port, *args):
    line = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", *args]
    done = subprocess.run(line, input="GET\n", capture_output=True, text=True, timeout=20, check=False)
    return done.stdout


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
@both_modes
async def test_tls_passes_through_to_the_server_of_its_name_and_protocol(mode, contexts):
    one, two = contexts("a.example", "h2"), contexts("b.example", "http/1.1")
    with answering(lambda: one) as a, answering(lambda: two) as b:
        routes = [(Scope(host="a.example"), pool_of(a)), (Scope(), pool_of(member(a, alpn=b"h2"), b))]
        front = Passthrough(routes)
        async with listening(mode, front.serve) as port:
            for args, subject, protocol in (
                (("-servername", "a.example", "-alpn", "h2"), "a.example", "ALPN protocol: h2"),
                (("-servername", "b.example", "-alpn", "http/1.1"), "b.example", "ALPN protocol: http/1.1"),
                (("-noservername", "-alpn", "h2,http/1.1"), "a.example", "ALPN protocol: h2"),
                (("-noservername", "-tls1_2"), "b.example", "No ALPN negotiated"),
            ):
                said = await trio.to_thread.run_sync(s_client, port, *args)
                assert f"CN = {subject}" in said
                assert protocol in said


def tls_ask(port, name, data):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=CA.pem.decode())
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as sock,
        context.wrap_socket(sock, server_hostname=name) as secure,
    ):
        secure.sendall(data)
        got = b""
        while not got.endswith(data):
            more = secure.recv(65536)
            if not more:
                break
            got += more
        return got


@both_modes
async def test_ended_tls_is_routed_by_its_name(mode, tmp_path):
    leaf = make_leaf(CA, "a.example", "b.example")
    tls = ServerTls([load_certificate(*write_pem(tmp_path, "leaf", leaf))], alpn=())
    async with backend(naming(b"one")) as a, backend(naming(b"two")) as b:
        front = Passthrough([(Scope(host="a.example"), pool_of(a)), (Scope(), pool_of(b))])
        handler = ends_tls(
            lambda: tls.context, front.serve, timeout=5, plain=lambda _: b"", turned_away=lambda *_: None
        )
        async with listening(mode, handler) as port:
            for name, expected in (("a.example", b"one:"), ("b.example", b"two:")):
                body = b"x" * 200_000
                answer = await trio.to_thread.run_sync(tls_ask, port, name, body)
                assert answer == expected + body


@both_modes
async def test_tls_is_spoken_to_a_backend_that_wants_it(mode, contexts):
    server, client = contexts("a.example"), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.load_verify_locations(cadata=CA.pem.decode())
    passages = []
    with answering(lambda: server) as port:
        good = member(port, tls=client, server_name="a.example")
        front = Passthrough([(Scope(), pool_of(good))], observers=[passages.append])
        async with listening(mode, front.serve) as front_port:
            stream = await trio.open_tcp_stream("127.0.0.1", front_port)
            async with stream:
                await stream.send_all(b"GET\r\n")
                assert (await stream.receive_some()).endswith(b"hello")
            bad = member(port, tls=client, server_name="b.example")
        front = Passthrough([(Scope(), pool_of(bad))], observers=[passages.append])
        async with listening(mode, front.serve) as front_port:
            with pytest.raises(trio.BrokenResourceError):
                await ask(front_port, b"GET")
    assert passages[-1].outcome.startswith("tls: certificate verify failed")


@both_modes
@pytest.mark.parametrize("count", [1, 2])
async def test_a_slow_handshake_is_waited_for_where_nobody_else_is_left(mode, count, contexts):
    server, client = contexts("a.example"), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.load_verify_locations(cadata=CA.pem.decode())

    def slowly():
        time.sleep(1.2)  # longer than who has others to turn to waits for
        return server

    passages = []
    with answering(slowly) as one, answering(slowly) as two:
        members = [member(port, tls=client, server_name="a.example") for port in (one, two)]
        front = Passthrough([(Scope(), pool_of(*members[:count]))], observers=[passages.append])
        async with listening(mode, front.serve) as port:
            stream = await trio.open_tcp_stream("127.0.0.1", port)
            with trio.fail_after(10):
                async with stream:
                    await stream.send_all(b"GET\r\n")
                    assert (await stream.receive_some()).endswith(b"hello")
            await told(passages)
    assert passages[-1].why.count("no answer to the handshake") == count - 1


async def test_a_passthrough_needs_no_lane_under_it_to_relay_over_memory():
    """The client's stream may be anything that has the shape of one."""
    from netfront.net.stream import Facts
    from tests.support.memory import TrioStream

    near, far = trio.testing.memory_stream_pair()
    async with backend(naming(b"a")) as port, trio.open_nursery() as nursery:
        front = Passthrough([(Scope(), pool_of(port))])
        nursery.start_soon(front.serve, TrioStream(near, Facts(("", 0), ("", 0))))
        await far.send_all(b"hello")
        await far.send_eof()
        answer = b""
        while got := await far.receive_some():
            answer += got
        assert answer == b"a:hello"


@both_modes
@pytest.mark.parametrize("resets", [True, False])
async def test_a_client_that_is_lost_while_a_backend_is_dialled_is_not_dialled_for_any_more(
    mode, resets, nursery
):
    """One that has only ended its sending is waited for."""
    passages = []
    with silent() as port, silent() as other:
        pool = pool_of(port, other)
        front = Passthrough([(Scope(), pool)], connect_time=60.0, observers=[passages.append])
        async with listening(mode, front.serve) as front_port:
            client = await connect(front_port)
            with trio.fail_after(10):
                while [one.in_flight for one in pool.backends] != [1, 1]:
                    await trio.sleep(0.005)
                if resets:
                    await resetting(client)
                    await told(passages)
                    assert seen(passages) == [(2, 0, 0, (), "client: it left")]
                else:
                    await client.send_eof()
                    await trio.sleep(0.1)
                    assert passages == []
                    await client.aclose()
    assert [(one.in_flight, one.failures) for one in pool.backends] == [(0, 0), (0, 0)]
