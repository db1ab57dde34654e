"""The tries of a request: what is sent elsewhere, what is not, and how often, against real backends on loopback."""

import errno
import random
import socket
import struct
import threading
from contextlib import ExitStack

import pytest
import trio

from netfront.endpoint import Endpoint
from netfront.filters.answer_errors import answer_errors
from netfront.http.attempts import Dialling, RetryRules
from netfront.http.client import Patience
from netfront.http.forward import forward
from netfront.http.message import Response, stack
from netfront.http.server import HttpServer, ServerLimits
from netfront.http.transport import Transport
from netfront.net import dial  # a test cannot run out of descriptors without harm to the others
from netfront.net.backend import Member
from netfront.net.pool import DONE, GIVEN_UP, Pool, PoolRules
from netfront.policy.statuses import parse_statuses
from netfront.wire.fields import EMPTY
from netfront.wire.head import HeadLimits
from tests.support.lanes import listening
from tests.support.origins import answering, closed_port, cutting, full_queue, origin, resetting

GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood"
BUSY = b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy"
METHODS = [b"GET", b"HEAD", b"PUT", b"DELETE", b"POST", b"PATCH"]
SAFE_TO_REPEAT = [b"GET", b"PUT", b"DELETE"]
NOT_SAFE = [b"POST", b"PATCH"]


class Rig:
    """A server that forwards to a pool; the first backend is picked first."""

    def __init__(self, nursery, *ports, retry=None, **kinds):
        members = [
            Member(Endpoint("http", "127.0.0.1", port), f"b{place}", b"b", max=kinds.get("max", 0))
            for place, port in enumerate(ports)
        ]
        self.pool = Pool(
            "pool", members, rules=PoolRules(kinds.get("lb", "first"), queue=kinds.get("queue", 100))
        )
        self.transport = Transport(limits=HeadLimits())
        self.exchanges = []
        handler = stack(
            answer_errors(explains=False),
            then=forward(
                self.pool,
                self.transport,
                dialling=Dialling(kinds.get("timeout", 2.0), lambda request, member: b"", random.Random(0)),
                patience=Patience(kinds.get("patience", 5.0), 5.0, 5.0),
                retry=retry,
                learns_latency=kinds.get("lb") == "latency",
            ),
        )
        self._server = HttpServer(
            handler,
            limits=ServerLimits(),
            refuse=lambda _: Response(400, EMPTY, b""),
            observers=[self.exchanges.append],
        )
        self._nursery = nursery
        self._port = None

    async def connect(self):
        """Open a connection of a client."""
        if self._port is None:
            started = trio.Event()
            self._nursery.start_soon(self._serve, started)
            await started.wait()
        return await trio.open_tcp_stream("127.0.0.1", self._port)

    async def _serve(self, started):
        async with listening("plain", self._server.serve) as self._port:
            started.set()
            await trio.sleep_forever()

    async def ask(self, method=b"GET", body=b"", *, chunks=None):
        """Ask once, on a connection of its own; give status and body."""
        client = await self.connect()
        head = b"%b /x HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n" % method
        if chunks is not None:
            framed = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
            await client.send_all(head + b"Transfer-Encoding: chunked\r\n\r\n" + framed + b"0\r\n\r\n")
        else:
            await client.send_all(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        with trio.fail_after(10):
            data = b""
            async with client:
                while part := await client.receive_some(65536):
                    data += part
        answer, _, content = data.partition(b"\r\n\r\n")
        self.is_clean()
        return int(answer.split(b" ")[1]), content

    def is_clean(self):
        assert [backend.in_flight for backend in self.pool.backends] == [0] * len(self.pool.backends)
        assert self.transport.connections == sum(len(backend.idle) for backend in self.pool.backends)

    @property
    def last(self):
        return self.exchanges[-1]


async def test_how_long_an_answer_took_is_known_of_the_backend_that_gave_it(nursery):
    """Where somebody picks by it: and not of one that was tried before."""
    with closed_port() as refusing, origin(answering(GOOD)) as good:
        rig = Rig(nursery, refusing, good.port, lb="latency")
        while not rig.pool.backends[0].failures:
            assert await rig.ask() == (200, b"good")
        assert rig.pool.backends[0].latency == 0.0
        assert 0.0 < rig.pool.backends[1].latency < 5.0


async def test_the_base_of_a_backend_that_came_meanwhile_holds_for_what_goes_to_it(nursery):
    """A reload gives a pool members that were not there when the handler was made."""
    with origin(answering(GOOD)) as good:
        rig = Rig(nursery, 1)
        place = Endpoint("http", "127.0.0.1", good.port, base="/v2")
        rig.pool.replace([Member(place, "b", b"b", base=b"/v2")])
        assert await rig.ask() == (200, b"good")
        assert good.requests[0].target == b"/v2/x"


@pytest.mark.parametrize("method", METHODS)
async def test_what_is_refused_goes_elsewhere_whatever_its_method(nursery, method):
    with closed_port() as refusing, origin(answering(GOOD)) as good:
        rig = Rig(nursery, refusing, good.port)
        status, body = await rig.ask(method, b"abc")
        assert (status, body) == (200, b"" if method == b"HEAD" else b"good")
        assert [seen.body for seen in good.requests] == [b"abc"]
    assert (rig.last.tries, rig.last.retried) == (2, "retried: connection refused")
    assert rig.pool.backends[0].failures == 1


async def test_who_is_silent_when_dialled_is_not_waited_for_and_has_failed(nursery):
    with full_queue() as silent, origin(answering(GOOD)) as good:
        rig = Rig(nursery, silent, good.port)
        began = trio.current_time()
        assert await rig.ask(b"POST", b"abc") == (200, b"good")
        assert trio.current_time() - began < 2.0
        assert len(good.requests) == 1
    assert rig.pool.backends[0].failures == 1


async def test_three_tries_are_made_at_most(nursery):
    with ExitStack() as open_:
        ports = [open_.enter_context(closed_port()) for _ in range(5)]
        rig = Rig(nursery, *ports)
        assert (await rig.ask())[0] == 502
    assert (rig.last.tries, [one.failures for one in rig.pool.backends]) == (3, [1, 1, 1, 0, 0])


@pytest.mark.parametrize("count", [1, 2])
async def test_where_nobody_else_is_left_it_is_tried_again_after_a_moment(nursery, count):
    with ExitStack() as open_:
        ports = [open_.enter_context(closed_port()) for _ in range(count)]
        rig = Rig(nursery, *ports)
        assert (await rig.ask(b"POST"))[0] == 502
    assert sum(one.failures for one in rig.pool.backends) == 3


async def test_a_backend_that_comes_within_that_moment_serves(nursery, monkeypatch):
    with closed_port() as refusing, origin(answering(GOOD)) as good:
        rig = Rig(nursery, refusing)
        there = Member(Endpoint("http", "127.0.0.1", good.port), "good", b"b")
        taken = rig.pool.backends[0]
        done = taken.health.failed

        def failed(*args, **kinds):
            changed = done(*args, **kinds)
            rig.pool.replace([taken.member, there])
            return changed

        monkeypatch.setattr(type(taken.health), "failed", lambda self, *args, **kinds: failed(*args, **kinds))
        assert await rig.ask() == (200, b"good")


@pytest.mark.parametrize(
    "script", [resetting(), cutting(b""), cutting(b"garbage\r\n\r\n"), cutting(b"HTTP/1.1 2")]
)
@pytest.mark.parametrize("method", SAFE_TO_REPEAT)
async def test_without_an_answer_what_may_be_repeated_goes_elsewhere(nursery, script, method):
    with origin(script) as bad, origin(answering(GOOD)) as good:
        rig = Rig(nursery, bad.port, good.port)
        assert await rig.ask(method, b"abc") == (200, b"good")
        assert [seen.body for seen in good.requests] == [b"abc"]
    assert rig.pool.backends[0].failures == 1
    assert (rig.last.tries, rig.last.backend) == (2, rig.pool.backends[1])


async def test_what_an_interim_answer_was_passed_on_of_is_not_asked_for_again(nursery):
    with origin(cutting(b"HTTP/1.1 103 Early\r\n\r\n")) as bad, origin(answering(GOOD)) as good:
        rig = Rig(nursery, bad.port, good.port)
        assert (await rig.ask())[0] in (103, 502)
        assert good.requests == []
    assert rig.pool.backends[0].failures == 1


@pytest.mark.parametrize("script", [resetting(), cutting(b"")])
@pytest.mark.parametrize("method", NOT_SAFE)
@pytest.mark.parametrize("body", [b"", b"abc", b"x" * 100_000])
async def test_what_may_not_be_repeated_and_was_sent_is_never_sent_again(nursery, script, method, body):
    with origin(script) as bad, origin(answering(GOOD)) as good:
        rig = Rig(nursery, bad.port, good.port)
        assert (await rig.ask(method, body))[0] == 502
        assert good.requests == []
        assert len(bad.connections) == 1
    assert rig.pool.backends[0].failures == 1


async def test_a_post_on_a_kept_connection_that_has_ended_finds_that_out_before(nursery):
    with origin(answering(GOOD, times=1)) as closing:
        rig = Rig(nursery, closing.port)
        for _ in range(5):
            assert await rig.ask(b"POST", b"abc") == (200, b"good")
            await trio.to_thread.run_sync(closing.connections[-1].ended.wait, 5)
        assert len(closing.requests) == 5
    assert rig.pool.backends[0].failures == 0


@pytest.mark.parametrize("chunks", [None, [b"abc"]])
async def test_a_kept_connection_that_dies_of_a_request_costs_one_more_to_the_same_backend(nursery, chunks):
    """It may have been idle for too long: that says nothing of the backend, and another connection is opened to it."""

    def play(connection):
        connection.read_request()
        connection.send(GOOD)
        connection.read_request()
        if connection is not connection.origin.connections[0]:
            connection.send(GOOD)

    with origin(play) as bad, origin(answering(GOOD)) as good:
        rig = Rig(nursery, bad.port, good.port, lb="rr")
        for _ in range(3):
            assert await rig.ask(b"PUT", chunks=chunks) == (200, b"good")
        assert (len(bad.connections), len(good.requests)) == (2, 1)
    assert [one.failures for one in rig.pool.backends] == [0, 0]


@pytest.mark.parametrize("method", [b"GET", b"POST"])
async def test_garbage_on_a_kept_connection_may_be_left_over_and_is_asked_about_once_more(nursery, method):
    texts = iter([GOOD, b"garbage\r\n\r\n", GOOD])
    with origin(answering(lambda _: next(texts))) as bad, origin(answering(GOOD)) as good:
        rig = Rig(nursery, bad.port, good.port)
        assert (await rig.ask())[0] == 200
        assert (await rig.ask(method))[0] == (200 if method == b"GET" else 502)
        assert len(bad.requests) == (3 if method == b"GET" else 2)
        assert good.requests == []


@pytest.mark.parametrize("method", [b"GET", b"POST"])
async def test_half_a_head_on_a_kept_connection_is_the_backends_fault(nursery, method):
    texts = iter([GOOD, b"HTTP/1.1 2"])

    def play(connection):
        for text in texts:
            connection.read_request()
            connection.send(text)

    with origin(play) as bad, origin(answering(GOOD)) as good:
        rig = Rig(nursery, bad.port, good.port)
        assert (await rig.ask())[0] == 200
        assert (await rig.ask(method))[0] == (200 if method == b"GET" else 502)
        assert len(good.requests) == (1 if method == b"GET" else 0)
    assert rig.pool.backends[0].failures == 1


async def test_silence_on_a_kept_connection_is_the_backends_fault(nursery):
    go = threading.Event()

    def once(seen):
        if len(slow.requests) > 1:
            go.wait(5)
        return GOOD

    with origin(answering(once)) as slow:
        rig = Rig(nursery, slow.port, patience=0.3)
        assert (await rig.ask(b"PUT", b"abc"))[0] == 200
        assert (await rig.ask(b"PUT", b"abc"))[0] == 504
        go.set()
    assert rig.pool.backends[0].failures == 1


async def test_tries_are_within_the_budget_and_those_of_what_never_was_sent_beside_it(nursery):
    with origin(resetting()) as bad, closed_port() as refusing, origin(answering(GOOD)) as good:
        rig = Rig(nursery, bad.port, good.port)
        for _ in range(10):
            assert rig.pool.spend(trio.current_time())
        assert (await rig.ask())[0] == 502
        assert good.requests == []
        other = Rig(nursery, refusing, good.port)
        for _ in range(10):
            other.pool.spend(trio.current_time())
        assert await other.ask() == (200, b"good")


async def test_with_retry_on_none_only_what_never_was_sent_goes_elsewhere(nursery):
    with origin(resetting()) as bad, closed_port() as refusing, origin(answering(GOOD)) as good:
        rules = RetryRules(resets=False)
        assert (await Rig(nursery, bad.port, good.port, retry=rules).ask())[0] == 502
        assert (await Rig(nursery, refusing, good.port, retry=rules).ask())[0] == 200


# -- answers that are tried elsewhere -----------------------------------------------------------------------

ON_503 = RetryRules(statuses=parse_statuses("503"))


@pytest.mark.parametrize("method", SAFE_TO_REPEAT)
async def test_an_answer_of_a_status_that_was_named_is_tried_elsewhere(nursery, method):
    with origin(answering(BUSY)) as busy, origin(answering(GOOD)) as good:
        rig = Rig(nursery, busy.port, good.port, retry=ON_503)
        assert await rig.ask(method, b"abc") == (200, b"good")
        assert [seen.body for seen in good.requests] == [b"abc"]
    assert (rig.last.tries, rig.last.retried) == (2, "retried: answered 503")
    assert rig.last.backend is rig.pool.backends[1]
    assert rig.pool.backends[0].failures == 0


async def test_other_statuses_and_methods_are_answered_as_they_came(nursery):
    with origin(answering(BUSY)) as busy, origin(answering(GOOD)) as good:
        assert await Rig(nursery, busy.port, good.port).ask() == (503, b"busy")
        rules = RetryRules(statuses=parse_statuses("502"))
        assert await Rig(nursery, busy.port, good.port, retry=rules).ask() == (503, b"busy")
        assert await Rig(nursery, busy.port, good.port, retry=ON_503).ask(b"POST", b"x") == (503, b"busy")
        assert good.requests == []


async def test_where_all_answer_so_the_last_answer_is_given(nursery):
    with ExitStack() as open_:
        busy = [open_.enter_context(origin(answering(BUSY))) for _ in range(5)]
        rig = Rig(nursery, *(one.port for one in busy), retry=ON_503)
        assert await rig.ask() == (503, b"busy")
        assert [len(one.requests) for one in busy] == [1, 1, 1, 0, 0]
        lone = Rig(nursery, busy[0].port, retry=ON_503)
        assert await lone.ask() == (503, b"busy")


async def test_a_long_answer_that_is_tried_elsewhere_is_dropped(nursery):
    long = b"HTTP/1.1 503 Busy\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1000
    with origin(cutting(long)) as busy, origin(answering(GOOD)) as good:
        rig = Rig(nursery, busy.port, good.port, retry=ON_503)
        assert await rig.ask() == (200, b"good")


# -- bodies -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 65536])
async def test_a_body_up_to_the_limit_is_sent_again_whole(nursery, size):
    body = random.Random(size).randbytes(size)

    def read_and_close(connection):
        connection.read_request()

    with origin(read_and_close) as bad, origin(answering(GOOD)) as good:
        rig = Rig(nursery, bad.port, good.port)
        assert await rig.ask(b"PUT", body) == (200, b"good")
        chunks = [body[at : at + 1000] for at in range(0, size, 1000)]
        assert await rig.ask(b"PUT", chunks=chunks) == (200, b"good")
        assert [seen.body for seen in good.requests] == [body, body]


async def test_a_longer_body_is_not_sent_again_once_it_has_begun(nursery):
    with origin(resetting()) as bad, origin(answering(GOOD)) as good:
        rig = Rig(nursery, bad.port, good.port, retry=RetryRules(body=1000))
        assert (await rig.ask(b"PUT", b"x" * 200_000))[0] == 502
        assert good.requests == []


async def test_a_longer_body_of_a_length_nobody_told_is_not_sent_again_once_it_is_too_long(nursery):
    def read_and_close(connection):
        connection.read_request()

    with origin(read_and_close) as bad, origin(answering(GOOD)) as good:
        rig = Rig(nursery, bad.port, good.port, retry=RetryRules(body=1000))
        assert (await rig.ask(b"PUT", chunks=[b"x" * 5000] * 20))[0] == 502
        assert good.requests == []


async def test_a_longer_body_goes_elsewhere_where_it_has_not_begun(nursery):
    with closed_port() as refusing, origin(answering(GOOD)) as good:
        rig = Rig(nursery, refusing, good.port, retry=RetryRules(body=1000))
        assert await rig.ask(b"POST", b"x" * 200_000) == (200, b"good")
        assert [len(seen.body) for seen in good.requests] == [200_000]


async def test_a_body_that_is_kept_nowhere_is_not_sent_again(nursery):
    with origin(resetting()) as bad, origin(answering(GOOD)) as good:
        rig = Rig(nursery, bad.port, good.port, retry=RetryRules(body=0))
        assert (await rig.ask(b"PUT", chunks=[b"x" * 70_000]))[0] == 502
        assert good.requests == []


# -- clients that leave, and queues -------------------------------------------------------------------------


async def gone_quiet(rig):
    """Wait until nothing of an exchange is left."""
    with trio.fail_after(5):
        while any(one.in_flight for one in rig.pool.backends) or rig.transport.connections:
            await trio.sleep(0.005)


async def waiting(rig, count):
    """Wait until so many requests stand in the queue."""
    with trio.fail_after(5):
        while rig.pool.waiting != count:
            await trio.sleep(0.005)


async def test_a_client_that_leaves_while_a_backend_thinks_hands_its_lease_back(nursery):
    go = threading.Event()

    def slowly(seen):
        go.wait(5)
        return GOOD

    with origin(answering(slowly)) as slow:
        rig = Rig(nursery, slow.port)
        client = await rig.connect()
        await client.send_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await trio.to_thread.run_sync(slow.wait_requests, 1)
        assert rig.pool.backends[0].in_flight == 1
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await client.aclose()
        await gone_quiet(rig)
        go.set()
    assert rig.pool.backends[0].failures == 0


async def test_that_descriptors_have_run_out_says_nothing_of_a_backend(nursery, monkeypatch):
    """All of them would be ejected for what none of them did."""
    with origin(answering(GOOD)) as good:
        rig = Rig(nursery, good.port, good.port)
        begin = dial._begin

        def short(address, has_words):
            raise OSError(errno.EMFILE, "too many open files")

        monkeypatch.setattr(dial, "_begin", short)
        for _ in range(4):
            status, _ = await rig.ask()
            assert status == 502
        assert [(backend.failures, backend.is_up) for backend in rig.pool.backends] == [(0, True)] * 2
        monkeypatch.setattr(dial, "_begin", begin)
        assert await rig.ask() == (200, b"good")


async def test_a_client_that_leaves_while_a_backend_is_dialled_is_not_dialled_for_any_more(nursery):
    """Nobody has failed: those that are silent may be only slow."""
    with full_queue() as one, full_queue() as other:
        rig = Rig(nursery, one, other, timeout=60.0)
        client = await rig.connect()
        await client.send_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx")
        with trio.fail_after(10):
            while [backend.in_flight for backend in rig.pool.backends] != [1, 1]:
                await trio.sleep(0.005)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            await client.aclose()
            while not rig.exchanges:
                await trio.sleep(0.005)
    rig.is_clean()
    assert [backend.failures for backend in rig.pool.backends] == [0, 0]
    assert (rig.last.status, rig.last.outcome) == (499, "the client left")


async def test_cancelled_while_it_is_dialled_it_hands_all_leases_back(nursery):
    with full_queue() as one, full_queue() as other:
        async with trio.open_nursery() as inner:
            rig = Rig(inner, one, other)
            client = await rig.connect()
            await client.send_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            with trio.fail_after(5):
                while [backend.in_flight for backend in rig.pool.backends] != [1, 1]:
                    await trio.sleep(0.005)
            inner.cancel_scope.cancel()
    rig.is_clean()
    assert [backend.failures for backend in rig.pool.backends] == [0, 0]


async def test_requests_that_wait_are_served_one_after_the_other(nursery):
    with origin(answering(GOOD)) as good:
        rig = Rig(nursery, good.port, max=1)
        held = rig.pool.take(None, (), trio.current_time())
        clients = [await rig.connect() for _ in range(3)]
        for number, client in enumerate(clients):
            await client.send_all(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number)
            await waiting(rig, number + 1)
        assert good.requests == []
        held.done(DONE)
        for client in clients:
            with trio.fail_after(5):
                assert (await client.receive_some(65536)).endswith(b"good")
        assert [seen.target for seen in good.requests] == [b"/0", b"/1", b"/2"]
    assert rig.last.tries == 1


@pytest.mark.parametrize(("kind", "method"), [("refusing", b"POST"), ("closing", b"GET")])
async def test_what_has_failed_waits_for_the_one_that_is_busy(nursery, kind, method):
    with ExitStack() as open_:
        good = open_.enter_context(origin(answering(GOOD)))
        bad = open_.enter_context(closed_port() if kind == "refusing" else origin(cutting(b"")))
        rig = Rig(nursery, bad if kind == "refusing" else bad.port, good.port, max=1)
        held = rig.pool._lease(rig.pool.backends[1])
        client = await rig.connect()
        await client.send_all(b"%b / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n" % method)
        await waiting(rig, 1)
        held.done(DONE)
        with trio.fail_after(5):
            assert (await client.receive_some(65536)).endswith(b"good")
        assert len(good.requests) == 1
    assert rig.last.tries == 2
    assert [backend.in_flight for backend in rig.pool.backends] == [0, 0]


async def test_who_waits_for_one_alone_holds_up_nobody_who_has_the_choice(nursery):
    with closed_port() as refusing, origin(answering(GOOD)) as busy:
        rig = Rig(nursery, refusing, busy.port, max=1)
        held = rig.pool._lease(rig.pool.backends[1])
        client = await rig.connect()
        await client.send_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
        await waiting(rig, 1)
        free = rig.pool.take(None, (), trio.current_time())
        assert free.backend is rig.pool.backends[0]
        free.done(GIVEN_UP)
        held.done(DONE)
        with trio.fail_after(5):
            assert (await client.receive_some(65536)).endswith(b"good")
        assert len(busy.requests) == 1


async def test_what_has_failed_waits_in_a_queue_that_is_bounded(nursery):
    with closed_port() as refusing, origin(answering(GOOD)) as good:
        rig = Rig(nursery, refusing, good.port, max=1, queue=0)
        held = rig.pool._lease(rig.pool.backends[1])
        assert (await client_status(rig, b"POST")) == b"503"
        held.done(DONE)


async def client_status(rig, method):
    """Ask while leases are out; give the status."""
    client = await rig.connect()
    await client.send_all(b"%b / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n" % method)
    with trio.fail_after(5):
        return (await client.receive_some(65536)).split(b" ")[1]


async def test_a_full_queue_refuses(nursery):
    with origin(answering(GOOD)) as good:
        rig = Rig(nursery, good.port, max=1, queue=0)
        held = rig.pool.take(None, (), trio.current_time())
        client = await rig.connect()
        await client.send_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        with trio.fail_after(5):
            answer = await client.receive_some(65536)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after:" in answer.lower()
        held.done(DONE)


async def test_who_came_before_the_first_members_were_known_waits_for_a_place_as_others_do(nursery):
    with origin(answering(GOOD)) as good:
        rig = Rig(nursery, good.port, max=1)
        [known] = [backend.member for backend in rig.pool.backends]
        rig.pool.replace([])
        rig.pool.is_awaited = True
        clients = [await rig.connect() for _ in range(3)]
        for client in clients:
            await client.send_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        await trio.sleep(0.05)
        rig.pool.is_awaited = False
        rig.pool.replace([known])
        for client in clients:
            with trio.fail_after(5):
                assert (await client.receive_some(65536)).endswith(b"good")
        rig.is_clean()


async def test_a_client_that_leaves_the_queue_takes_nobodys_place(nursery):
    with origin(answering(GOOD)) as good:
        rig = Rig(nursery, good.port, max=1)
        held = rig.pool.take(None, (), trio.current_time())
        leaving, staying = await rig.connect(), await rig.connect()
        for number, client in enumerate((leaving, staying)):
            await client.send_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            await waiting(rig, number + 1)
        leaving.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await leaving.aclose()
        await waiting(rig, 1)
        held.done(DONE)
        with trio.fail_after(5):
            assert (await staying.receive_some(65536)).endswith(b"good")
        assert len(good.requests) == 1
