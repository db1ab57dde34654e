"""Connections that were kept: what their end says of a backend, and what not."""

import random

import pytest
import trio
import trio.testing

from netfront.endpoint import Endpoint
from netfront.http.attempts import Attempts, Dialling, RetryRules
from netfront.http.client import Patience
from netfront.http.forward import forward
from netfront.http.message import Response
from netfront.http.outbound import request_head
from netfront.http.server import HttpServer, ServerLimits
from netfront.http.transport import Transport
from netfront.net.backend import Member
from netfront.net.lane import clock
from netfront.net.pool import Pool
from netfront.net.stream import Facts
from netfront.wire.fields import EMPTY
from netfront.wire.head import HeadLimits
from tests.support.memory import TrioStream
from tests.support.origins import OK, origin


def keeping(second):
    """Answer the first request of the first connection, do something else to its second, and answer the others."""

    def script(connection):
        is_first = len(connection.origin.connections) == 1
        connection.read_request()
        connection.send(OK)
        connection.read_request()
        if is_first:
            second(connection)
        else:
            connection.send(OK)

    return script


class Rig:
    """A pool of one, and a server in front of it."""

    def __init__(self, nursery, port):
        member = Member(Endpoint("http", "127.0.0.1", port), "only", b"a.test")
        self.pool = Pool("pool", [member])
        self.transport = Transport(limits=HeadLimits())
        self.dialling = Dialling(5.0, lambda request, member: b"", random.Random(0))
        self.forward = forward(
            self.pool, self.transport, dialling=self.dialling, patience=Patience(20, 20, 20)
        )
        self._nursery = nursery

    async def beside(self, request):
        """Send a request as a second try is sent."""
        attempts = Attempts(
            self.pool,
            self.transport,
            self.dialling,
            Patience(20, 20, 20),
            RetryRules(),
            lambda request, member: request_head(request, member, None),
            None,
            request,
        )
        return await attempts.once(self.pool.take(None, (), clock()))

    async def ask(self, handler, method=b"GET"):
        """Give the status of an answer."""
        client, ours = trio.testing.memory_stream_pair()
        server = HttpServer(handler, limits=ServerLimits(), refuse=lambda _: Response(400, EMPTY, b""))
        stream = TrioStream(ours, Facts(("192.0.2.1", 5), ("192.0.2.2", 80)))

        async def serve():
            await server.serve(stream)

        self._nursery.start_soon(serve)
        await client.send_all(method + b" / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")
        return (await client.receive_some(65536))[9:12]


def nothing(connection):
    """Leave without a word."""


async def test_a_second_try_on_a_kept_connection_that_ends_goes_on_with_a_new_one(nursery):
    with origin(keeping(nothing)) as behind:
        rig = Rig(nursery, behind.port)
        assert [await rig.ask(rig.forward), await rig.ask(rig.beside)] == [b"200", b"200"]
        [backend] = rig.pool.backends
        assert (len(behind.connections), backend.failures, backend.in_flight) == (2, 0, 0)


@pytest.mark.parametrize("method", [b"GET", b"POST"])
async def test_the_end_of_a_kept_connection_says_nothing_of_its_backend(nursery, method):
    with origin(keeping(nothing)) as behind:
        rig = Rig(nursery, behind.port)
        await rig.ask(rig.forward)
        await rig.ask(rig.forward, method)
        assert rig.pool.backends[0].failures == 0


async def test_half_a_head_on_a_kept_connection_counts(nursery):
    with origin(keeping(lambda connection: connection.send(b"HTTP/1.1 200 O"))) as behind:
        rig = Rig(nursery, behind.port)
        await rig.ask(rig.forward)
        await rig.ask(rig.forward, b"POST")
        assert rig.pool.backends[0].failures == 1


async def test_an_answer_that_does_not_come_on_a_kept_connection_counts(nursery):
    with origin(keeping(lambda connection: connection.wait_until_gone())) as behind:
        rig = Rig(nursery, behind.port)
        await rig.ask(rig.forward)
        impatient = forward(rig.pool, rig.transport, dialling=rig.dialling, patience=Patience(answer=0.05))
        await rig.ask(impatient)
        assert rig.pool.backends[0].failures == 1
