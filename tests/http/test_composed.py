"""Compositions over pools and connections, stepped by hand: cut anywhere, no lease is out and nothing stays open."""

import random

import pytest

from netfront.endpoint import Endpoint
from netfront.errors import ClientGone
from netfront.filters.compose import compose
from netfront.http.ask import ask
from netfront.http.attempts import Dialling
from netfront.http.client import Patience
from netfront.http.forward import forward
from netfront.http.transport import Transport
from netfront.net.backend import Member
from netfront.net.pool import Pool
from netfront.policy.compose import parse_composition
from netfront.policy.memory import Held
from netfront.policy.shared import Shared
from netfront.wire.head import HeadLimits
from tests.filters.requests import asking
from tests.http.test_hedge import Client
from tests.support.composed import compose_rules
from tests.support.fakestream import FakeStream
from tests.support.seats import Hand, Steps

RULE = "/home = user:/users + orders:/orders/{user.id} + ads?:/ads + items[]:/items/{user.list[]}"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
USER = b'{"id":1,"list":[1,2]}'


class Rig:
    """A composition of services with kept connections, everybody stepped by hand."""

    def __init__(self, steps):
        self.steps = steps
        self.hands = []
        self.transport = Transport(idle=1e9, limits=HeadLimits())
        self.pool = Pool(
            "pool", [Member(Endpoint("http", "", 0, "/nowhere"), "b", b"b")], rng=random.Random(1)
        )
        (self.backend,) = self.pool.backends
        self.streams = []
        for _ in range(5):
            stream = FakeStream()
            self.streams.append(stream)
            self.transport.release(
                self.transport.began(self.backend, stream, 0)
            )  # as if kept from an exchange
        handle = forward(
            self.pool,
            self.transport,
            dialling=Dialling(3.0, lambda request, member: b"", random.Random(0)),
            patience=Patience(60.0, 60.0, 60.0),
        )

        async def ask_service(asked):
            return await ask(
                handle,
                asked.method,
                asked.target,
                scheme=b"http",
                authority=b"a",
                fields=asked.fields,
                client=asked.client,
                most=10_000,
            )

        composition = parse_composition(RULE)
        self.memory = Shared(1 << 20)
        rules = compose_rules(each=2)
        self._handle = compose(
            composition.parts,
            [ask_service] * 4,
            self._begin,
            rules,
            lambda _: Held(self.memory, b"192.0.2.7"),
        )
        self.client = None
        self.answer = None
        self.main = steps.begin(self._ask)
        self.hands.append(self.main)

    def _begin(self, run):
        hand = self.steps.begin(run)
        self.hands.append(hand)

        def end():
            if not hand.is_over and not hand.coro.cr_running:
                hand.step(ClientGone())

        return end

    async def _ask(self):
        self.client = Client(self.main.deadline if hasattr(self, "main") else Hand(self.steps).deadline)
        request = asking(client=self.client, target=b"/home")
        self.answer = await self._handle(request)
        assert self.memory.left < 1 << 20
        request.exchange.give_back()  # as the server does once it has sent the answer

    def asked(self, path):
        """The stream on which this was asked for, if it was."""
        return next((one for one in self.streams if one.sent.startswith(b"GET %b " % path)), None)

    def say(self, path, body):
        """Answer, in two pieces."""
        stream = self.asked(path)
        stream.sent = b""
        stream.feed(HEAD % len(body) + body[:1])
        self.go_on()
        stream.feed(body[1:])

    def go_on(self, seconds=0.0):
        self.steps.now += seconds
        while due := [hand for hand in self.hands if hand.is_due]:
            for hand in due:
                hand.step()

    def is_clean(self):
        """Nobody runs, no lease is out, and what is open is idle."""
        is_quiet = all(hand.is_over for hand in self.hands)
        if self.memory.left != 1 << 20:
            return False
        return (
            is_quiet and not self.backend.in_flight and self.transport.connections == len(self.backend.idle)
        )


STEPS = [
    lambda rig: rig.say(b"/ads", b'"ad"'),
    lambda rig: rig.go_on(),
    lambda rig: rig.say(b"/users", USER),
    lambda rig: rig.go_on(),
    lambda rig: rig.say(b"/items/2", b"2.0"),
    lambda rig: rig.go_on(),
    lambda rig: rig.say(b"/orders/1", b"[]"),
    lambda rig: rig.go_on(),
    lambda rig: rig.asked(b"/items/1").feed(b"HTTP/1.1 200"),
    lambda rig: rig.go_on(),
]


@pytest.fixture
def rig():
    with Steps() as steps:
        yield Rig(steps)


def test_all_are_asked_in_their_turn_and_everything_is_handed_back(rig):
    assert rig.asked(b"/users")
    assert rig.asked(b"/ads")
    assert not rig.asked(b"/orders/1")
    for step in STEPS[:-2]:
        step(rig)
    rig.say(b"/items/1", b"1.0")
    rig.go_on()
    assert rig.answer.status == 200
    assert rig.answer.body == b'{"user":%b,"orders":[],"ads":"ad","items":[1.0,2.0]}' % USER
    assert rig.is_clean()
    assert len(rig.backend.idle) == 5


@pytest.mark.parametrize("count", range(len(STEPS) + 1))
def test_cut_anywhere_nothing_is_left(rig, count):
    for step in STEPS[:count]:
        step(rig)
    assert not rig.main.is_over
    rig.main.step(KeyboardInterrupt())
    assert isinstance(rig.main.error, KeyboardInterrupt)
    assert rig.is_clean()


@pytest.mark.parametrize("count", range(len(STEPS) + 1))
def test_a_client_that_leaves_anywhere_leaves_nothing(rig, count):
    for step in STEPS[:count]:
        step(rig)
    rig.client.leave()
    rig.go_on()
    assert isinstance(rig.main.error, ClientGone)
    assert rig.is_clean()


@pytest.mark.parametrize("count", range(len(STEPS) + 1))
def test_the_time_that_is_up_anywhere_leaves_nothing(rig, count):
    for step in STEPS[:count]:
        step(rig)
    rig.go_on(31.0)
    assert rig.answer.status == 504
    assert rig.is_clean()


@pytest.mark.parametrize("path", [b"/users", b"/orders/1", b"/items/2"])
@pytest.mark.parametrize("how", ["end", "break_off", "status"])
def test_a_required_part_that_fails_leaves_nothing(rig, path, how):
    if path != b"/users":
        rig.say(b"/users", USER)
        rig.go_on()
    stream = rig.asked(path)
    if how == "status":
        stream.feed(b"HTTP/1.1 500 No\r\nContent-Length: 100\r\n\r\n")
        rig.go_on()
        stream.feed(b"x" * 100)
    else:
        stream.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx")
        rig.go_on()
        getattr(stream, how)()
    rig.go_on()
    assert rig.answer.status == 502
    assert rig.is_clean()
