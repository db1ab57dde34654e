"""Second tries: who wins, what becomes of the other, and that nothing is left over, whoever leaves when."""

import random
from dataclasses import replace

import pytest

from netfront.endpoint import Endpoint
from netfront.errors import BackendError, ClientGone
from netfront.http.attempts import Dialling
from netfront.http.client import Patience
from netfront.http.forward import Hedging, forward
from netfront.http.message import Exchange, Request
from netfront.http.transport import Transport
from netfront.net.backend import Member
from netfront.net.lane import Signal, deadline
from netfront.net.pool import DONE, Pool
from netfront.net.stream import Facts
from netfront.wire.fields import EMPTY
from netfront.wire.head import HeadLimits
from netfront.wire.target import parse_target
from tests.support.fakestream import FakeStream
from tests.support.seats import Hand, Steps

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n%s"
LONG = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"


class Client:
    """Who asks."""

    def __init__(self, due):
        self.facts = Facts(("192.0.2.9", 1), ("192.0.2.1", 2))
        self.due = due
        self.told = None
        self.gone = Signal()
        self.interims = []

    def has_left(self):
        return self.gone.is_set

    async def interim(self, status, fields):
        self.interims.append(status)

    def leave(self):
        self.gone.set()


class Rig:
    """Three backends with a kept connection each, one request at a time, and everybody stepped by hand."""

    def __init__(self, steps, *, backends=3, quantile=0.0, patience=60.0):
        self.steps = steps
        self.hands = []
        members = [
            Member(Endpoint("http", "", 0, f"/nowhere/{number}"), f"b{number}", b"b")  # a new one is refused
            for number in range(backends)
        ]
        self.pool = Pool("pool", members, rng=random.Random(1))
        self.transport = Transport(idle=1e9, limits=HeadLimits())
        self.streams = []
        for backend in self.pool.backends:
            stream = FakeStream()
            self.streams.append(stream)
            self.transport.release(self.transport.began(backend, stream, 0))  # as if kept from an exchange
        self._handle = forward(
            self.pool,
            self.transport,
            dialling=Dialling(3.0, lambda request, member: b"", random.Random(0)),
            patience=Patience(patience, 60.0, 60.0),
            hedging=Hedging(self._spawn, quantile),
        )
        self.client = None
        self.body = b""
        self.exchange = None

    def _spawn(self, run):
        hand = Hand(self.steps, run())
        hand.wake()
        self.hands.append(hand)

    def ask(self, method=b"GET", body=b""):
        self.main = self.steps.begin(lambda: self._ask(method, body))
        self.hands.append(self.main)
        return self.main

    async def _ask(self, method, body):
        self.client = Client(deadline())
        target = parse_target(method, b"/x")
        self.exchange = Exchange(self.steps.now, self.client, method, b"/x", b"1.1")
        request = Request(method, target, b"1.1", b"http", b"a.test", EMPTY, body, self.client, self.exchange)
        response = await self._handle(request)
        self.status = response.status
        if isinstance(response.body, bytes):
            self.body = response.body
            return
        try:
            while data := await response.body.receive_some():
                self.body += data
        finally:
            response.body.abort()  # as the server does with what it drops

    def go_on(self, seconds=0.0):
        self.steps.now += seconds
        while due := [hand for hand in self.hands if hand.is_due]:
            for hand in due:
                hand.step()

    def forget(self):
        """Forget what was sent, and keep a connection to each backend again."""
        for place, (backend, stream) in enumerate(zip(self.pool.backends, self.streams, strict=True)):
            stream.sent = b""
            if stream.is_closed:
                self.streams[place] = stream = FakeStream()
                self.transport.release(self.transport.began(backend, stream, backend.generation))

    @property
    def asked(self):
        """Which backends have got the request."""
        return [place for place, stream in enumerate(self.streams) if stream.sent]

    @property
    def leases(self):
        return [backend.in_flight for backend in self.pool.backends]

    def is_clean(self):
        """Nobody runs, no lease is out, and what is open is idle."""
        idle = sum(len(backend.idle) for backend in self.pool.backends)
        is_quiet = all(hand.is_over for hand in self.hands)
        return is_quiet and not any(self.leases) and self.transport.connections == idle


@pytest.fixture
def rig():
    with Steps() as steps:
        yield Rig(steps)


def late(rig, seconds=1.0):
    """Ask, and let the answer be late; give the streams of the first try and the second."""
    rig.ask()
    first = rig.asked[0]
    rig.go_on(seconds)
    assert len(rig.asked) == 2
    [second] = [place for place in rig.asked if place != first]
    return rig.streams[first], rig.streams[second], rig.pool.backends[first], rig.pool.backends[second]


def test_an_answer_in_time_is_not_hedged(rig):
    rig.ask()
    rig.go_on(0.9)
    assert len(rig.asked) == 1
    rig.streams[rig.asked[0]].feed(OK % b"one")
    rig.go_on()
    assert (rig.body, rig.exchange.tries, rig.exchange.retried) == (b"one", 1, "")
    assert rig.is_clean()


def test_the_second_answers_first_and_the_silence_counts(rig):
    one, other, hung, well = late(rig)
    other.feed(OK % b"two")
    rig.go_on()
    assert rig.body == b"two"
    assert (rig.exchange.tries, rig.exchange.retried, rig.exchange.backend) == (2, "hedged", well)
    assert one.is_closed
    assert not other.is_closed
    assert (hung.failures, well.failures, well.served) == (1, 0, 1)
    assert rig.is_clean()


def test_the_first_answers_after_all_and_nothing_counts(rig):
    one, other, slow, beside = late(rig)
    one.feed(OK % b"one")
    rig.go_on()
    assert (rig.body, rig.exchange.tries, rig.exchange.backend) == (b"one", 1, slow)
    assert other.is_closed
    assert (slow.failures, beside.failures) == (0, 0)
    assert rig.is_clean()


def test_of_two_answers_at_once_the_first_trys_is_taken(rig):
    one, other, *_ = late(rig)
    one.feed(OK % b"one")
    other.feed(OK % b"two")
    rig.go_on()
    assert rig.body == b"one"
    assert rig.is_clean()


@pytest.mark.parametrize("how", ["end", "break_off", "garbage"])
def test_a_second_try_that_fails_leaves_the_first(rig, how):
    one, other, slow, _ = late(rig)
    if how == "garbage":
        other.feed(b"garbage\r\n\r\n")
    else:
        getattr(other, how)()
    rig.go_on()
    assert not rig.main.is_over
    one.feed(OK % b"one")
    rig.go_on()
    assert rig.body == b"one"
    assert slow.failures == 0
    assert rig.is_clean()


def test_a_second_try_that_fails_leaves_it_to_a_third_as_well(rig):
    one, other, slow, _ = late(rig)
    other.break_off()
    rig.go_on()
    rig.go_on(0.01)
    assert rig.asked == [0, 1, 2]
    [third] = [stream for stream in rig.streams if stream not in (one, other)]
    third.feed(OK % b"two")
    rig.go_on()
    assert (rig.body, rig.exchange.tries, rig.exchange.retried) == (b"two", 2, "hedged")
    assert one.is_closed
    assert slow.failures == 1
    assert rig.is_clean()


def hung_twice(rig):
    """Ask, and let two answers be late; give the streams in the order in which they were asked."""
    one, other, *_ = late(rig)
    rig.go_on(1.0)
    assert rig.asked == [0, 1, 2]
    [third] = [stream for stream in rig.streams if stream not in (one, other)]
    return one, other, third


def test_where_the_second_is_late_too_a_third_is_asked_and_both_silences_count(rig):
    one, other, third = hung_twice(rig)
    assert not one.is_closed
    assert not other.is_closed
    third.feed(OK % b"tri")
    rig.go_on()
    assert (rig.body, rig.exchange.retried) == (b"tri", "hedged")
    assert one.is_closed
    assert other.is_closed
    for backend, stream in zip(rig.pool.backends, rig.streams, strict=True):
        assert backend.failures == (stream is not third)
    assert rig.is_clean()


@pytest.mark.parametrize("place", range(3))
def test_of_three_any_may_win(rig, place):
    streams = hung_twice(rig)
    streams[place].feed(OK % b"one")
    rig.go_on()
    assert rig.body == b"one"
    assert [stream.is_closed for stream in streams] == [at != place for at in range(3)]
    assert rig.is_clean()


def test_where_the_first_of_three_fails_the_others_go_on(rig):
    one, other, third = hung_twice(rig)
    one.break_off()
    rig.go_on()
    third.break_off()
    rig.go_on()
    other.feed(OK % b"two")
    rig.go_on()
    assert rig.body == b"two"
    assert rig.is_clean()


UNWELL = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 3\r\n\r\nbad"


def test_who_cannot_answer_wins_no_race_and_says_nothing_against_who_is_slow(rig):
    one, other, slow, _ = late(rig)
    other.feed(UNWELL)
    rig.go_on()
    assert not rig.main.is_over
    rig.go_on(0.01)
    assert rig.asked == [0, 1, 2]
    one.feed(OK % b"one")
    rig.go_on()
    assert (rig.status, rig.body, slow.failures) == (200, b"one", 0)
    assert rig.is_clean()


def test_where_the_first_fails_who_cannot_answer_is_heard_last(rig):
    one, other, third = hung_twice(rig)
    one.break_off()
    rig.go_on()
    other.feed(UNWELL)
    rig.go_on()
    assert not rig.main.is_over
    third.feed(UNWELL)
    rig.go_on()
    assert (rig.status, rig.body) == (503, b"bad")
    assert rig.is_clean()


def busy(rig, steps):
    """Two backends that take one request each, the other one busy, and one who waits behind; give the lease of that."""
    rig.pool.rules = replace(rig.pool.rules, queue=3)
    rig.pool.replace([replace(one.member, max=1) for one in rig.pool.backends])
    held = rig.pool._lease(rig.pool.backends[1])
    rig.ask()
    assert rig.asked == [0]
    got = []

    async def wait():
        got.append(await rig.pool.wait_for_lease(lambda: rig.pool.take(None, (), steps.now, has_waited=True),
                                                 Signal(), lambda: False))  # fmt: skip

    rig.hands.append(steps.begin(wait))
    return held, got


def test_who_is_late_where_others_are_busy_stands_by_before_those_that_have_nothing():
    with Steps() as steps:
        rig = Rig(steps, backends=2)
        held, got = busy(rig, steps)
        rig.go_on(1.0)
        assert rig.asked == [0]
        assert rig.pool.waiting == 2
        rig.hands.append(rig.hands.pop(1))  # on a lane the one that is woken first goes on first
        held.done(DONE)
        rig.go_on()
        assert rig.asked == [0, 1]
        rig.streams[1].feed(OK % b"two")
        rig.go_on()
        assert rig.body == b"two"
        assert rig.pool.backends[0].failures == 1
        [lease] = got
        lease.done(DONE)
        assert rig.is_clean()


@pytest.mark.parametrize("how", ["first answers", "client leaves", "nobody has room"])
def test_who_stands_by_and_is_not_wanted_any_more_leaves_the_queue(how):
    with Steps() as steps:
        rig = Rig(steps, backends=2)
        held, got = busy(rig, steps)
        rig.go_on(1.0)
        assert rig.pool.waiting == 2
        if how == "first answers":
            rig.streams[0].feed(OK % b"one")
        elif how == "client leaves":
            rig.client.leave()
        else:
            rig.go_on(4.9)
        rig.go_on()
        rig.go_on(0.3)
        assert rig.asked == [0]
        if how == "nobody has room":
            assert rig.pool.waiting == 0
            rig.client.leave()
            rig.go_on()
        held.done(DONE)
        rig.go_on()
        for lease in got:
            lease.done(DONE)
        rig.go_on()
        assert not any(rig.leases)
        assert rig.pool.waiting == 0


@pytest.mark.parametrize(("patience", "held"), [(60.0, 10.0), (5.0, 4.5), (2.5, 2.25)])
def test_where_nobody_else_is_left_the_answer_of_who_cannot_is_taken_after_a_while(patience, held):
    with Steps() as steps:
        rig = Rig(steps, backends=2, patience=patience)
        _, other, slow, _ = late(rig)
        other.feed(UNWELL)
        while rig.steps.now < rig.exchange.asked + held - 0.25:
            rig.go_on(0.125)
            assert not rig.main.is_over
        rig.go_on(0.25)
        assert (rig.status, slow.failures) == (503, 1)  # it was silent for so long that this counts
        assert rig.is_clean()


def test_in_a_time_in_which_nothing_is_late_yet_the_next_silence_counts():
    with Steps() as steps:
        rig = Rig(steps, backends=2, patience=1.0)
        hung = set()
        for failures in (0, 1):
            _, other, slow, _ = late(rig, 0.5)
            hung.add(slow)
            other.feed(UNWELL)
            rig.go_on(0.4)
            assert (rig.main.is_over, rig.status, slow.failures) == (True, 503, failures)
            rig.forget()
        assert len(hung) == 1


def test_as_long_as_somebody_else_is_asked_it_is_not_taken(rig):
    one, other, third = hung_twice(rig)
    other.feed(UNWELL)
    rig.go_on()
    for _ in range(3):
        rig.pool._lease(rig.pool.backends[rig.streams.index(one)]).done("reset")
    rig.go_on(0.25)
    assert not rig.main.is_over
    third.feed(OK % b"tri")
    rig.go_on()
    assert (rig.status, rig.body) == (200, b"tri")
    assert rig.is_clean()


def test_an_answer_of_who_cannot_counts_against_none_of_those_that_are_slow(rig):
    _, other, third = hung_twice(rig)
    other.feed(UNWELL)
    rig.go_on()
    for _ in range(40):
        rig.go_on(0.25)
    assert rig.status == 503
    assert rig.pool.backends[rig.streams.index(third)].failures == 0
    assert rig.is_clean()


def test_where_the_first_cannot_answer_the_second_is_waited_for(rig):
    one, other, slow, _ = late(rig)
    one.feed(UNWELL)
    rig.go_on()
    assert not rig.main.is_over
    rig.go_on(0.5)
    other.feed(OK % b"two")
    rig.go_on()
    assert (rig.status, rig.body, slow.failures) == (200, b"two", 0)
    assert rig.is_clean()


def do_no_better(rig, other, how, lateness):
    """Have the second try fare so, where the first could not answer."""
    if how == "fails":
        other.break_off()
    elif how == "cannot answer either":
        other.feed(UNWELL.replace(b"503", b"502"))
    elif how == "is late":
        rig.go_on(lateness)
    else:
        rig.client.leave()
    rig.go_on()


@pytest.mark.parametrize("how", ["fails", "cannot answer either", "is late", "client leaves"])
def test_where_the_first_cannot_answer_and_the_second_does_no_better_that_is_the_answer(how):
    with Steps() as steps:
        rig = Rig(steps, backends=2)
        one, other, *_ = late(rig)
        one.feed(UNWELL)
        rig.go_on()
        do_no_better(rig, other, how, 10.0)
        if how == "client leaves":
            assert isinstance(rig.main.error, ClientGone)
        else:
            assert (rig.status, rig.body) == (503, b"bad")
        assert rig.is_clean()


@pytest.mark.parametrize("how", ["fails", "cannot answer either", "is late"])
def test_where_the_first_cannot_answer_and_the_second_does_no_better_the_third_is_asked(rig, how):
    one, other, *_ = late(rig)
    one.feed(UNWELL)
    rig.go_on()
    do_no_better(rig, other, how, 1.0)
    [third] = [stream for stream in rig.streams if stream not in (one, other)]
    third.feed(OK % b"tri")
    rig.go_on()
    assert (rig.status, rig.body) == (200, b"tri")
    assert rig.is_clean()


def test_where_all_but_one_are_silent_until_that_ones_503_is_taken_their_silence_counts(rig):
    one, _, _, hung = late(rig)
    one.feed(UNWELL)
    rig.go_on()
    for _ in range(40):
        rig.go_on(0.25)
    assert (rig.status, rig.body, hung.failures) == (503, b"bad", 1)
    assert rig.is_clean()


def test_what_is_slow_everywhere_counts_against_nobody_however_slow(rig):
    one, *_ = late(rig)
    for _ in range(48):
        rig.go_on(0.25)
    one.feed(OK % b"one")
    rig.go_on()
    assert (rig.status, [backend.failures for backend in rig.pool.backends]) == (200, [0, 0, 0])
    assert rig.is_clean()


def test_who_was_asked_after_the_one_that_answered_has_had_less_time(rig):
    _, other, third = hung_twice(rig)
    rig.go_on(1.0)
    other.feed(OK % b"two")
    rig.go_on()
    places = {id(stream): place for place, stream in enumerate(rig.streams)}
    failures = [backend.failures for backend in rig.pool.backends]
    assert rig.status == 200
    assert failures[places[id(third)]] == 0
    assert sum(failures) == 1  # that of the first
    assert rig.is_clean()


def test_it_is_taken_as_soon_as_the_first_is_known_to_be_down():
    with Steps() as steps:
        rig = Rig(steps, backends=2)
        _, other, hung, _ = late(rig)
        other.feed(UNWELL)
        rig.go_on(0.25)
        assert not rig.main.is_over
        for _ in range(3):
            rig.pool._lease(hung).done("reset")
        rig.go_on(0.25)
        assert rig.status == 503
        assert rig.is_clean()


def test_where_the_first_fails_after_it_the_answer_of_who_cannot_is_taken():
    with Steps() as steps:
        rig = Rig(steps, backends=2)
        one, other, *_ = late(rig)
        other.feed(UNWELL)
        rig.go_on()
        one.break_off()
        rig.go_on()
        assert rig.status == 503
        assert rig.is_clean()


def test_an_error_of_the_second_is_an_answer_and_counts_against_nobody(rig):
    _, other, slow, _ = late(rig)
    other.feed(OK.replace(b"200", b"500") % b"bad")
    rig.go_on()
    assert (rig.status, slow.failures) == (500, 0)
    assert rig.is_clean()


def test_a_second_try_beside_one_who_is_known_to_be_down_costs_no_budget(rig):
    rig.ask()
    [place] = rig.asked
    while rig.pool.spend(rig.steps.now):
        pass
    rig.go_on(1.0)
    assert len(rig.asked) == 1
    for _ in range(3):
        rig.pool._lease(rig.pool.backends[place]).done("reset")
    rig.go_on(0.25)
    assert len(rig.asked) == 2
    rig.client.leave()
    rig.go_on()
    assert rig.is_clean()


def test_nobody_is_asked_twice_and_no_more_than_three(rig):
    with Steps() as steps:
        rig = Rig(steps, backends=5)
        one, other, *_ = late(rig)
        other.break_off()
        rig.go_on()
        rig.go_on(0.01)
        asked = rig.asked
        assert len(asked) == 3
        for stream in rig.streams:
            if stream.sent and stream not in (one, other):
                stream.break_off()
        for _ in range(20):
            rig.go_on(1.0)
        assert rig.asked == asked
        assert [stream.sent.count(b"GET /x") for stream in rig.streams if stream.sent] == [1, 1, 1]
        one.feed(OK % b"one")
        rig.go_on()
        assert rig.body == b"one"
        assert rig.is_clean()


def test_the_time_out_counts_from_the_first_try_whatever_becomes_of_others(rig):
    _, other, *_ = late(rig)
    other.break_off()
    rig.go_on()
    rig.go_on(58.9)
    assert not rig.main.is_over
    rig.go_on(0.2)
    assert isinstance(rig.main.error, BackendError)
    assert rig.main.error.timed_out


def test_where_the_first_fails_and_the_second_is_late_the_third_is_asked(rig):
    one, other, *_ = late(rig)
    one.feed(b"HTTP/1.1 200 O")
    rig.go_on()
    one.break_off()
    rig.go_on()
    assert not rig.main.is_over
    rig.go_on(1.1)
    [third] = [stream for stream in rig.streams if stream not in (one, other)]
    assert third.sent
    assert other.is_closed
    third.feed(OK % b"two")
    rig.go_on()
    assert rig.body == b"two"
    assert rig.is_clean()


def test_where_nobody_else_may_be_asked_the_second_is_waited_for(rig):
    one, other, *_ = late(rig)
    one.feed(b"HTTP/1.1 200 O")
    rig.go_on()
    one.break_off()
    while rig.pool.spend(rig.steps.now):
        pass
    rig.go_on(1.1)
    assert not other.is_closed
    other.feed(OK % b"two")
    rig.go_on()
    assert rig.body == b"two"
    assert rig.is_clean()


def test_a_later_try_is_hedged_as_the_first_is(rig):
    rig.ask()
    [first] = rig.asked
    rig.streams[first].feed(b"HTTP/1.1 200 O")
    rig.go_on()
    rig.streams[first].break_off()
    rig.go_on()
    assert len(rig.asked) == 2
    rig.go_on(1.0)
    assert rig.asked == [0, 1, 2]
    for stream in rig.streams:
        if not stream.is_closed:
            stream.feed(OK % b"two")
    rig.go_on()
    assert rig.body == b"two"
    assert rig.is_clean()


def test_what_it_waited_for_before_it_was_sent_is_no_silence():
    with Steps() as steps:
        rig = Rig(steps, quantile=0.9)
        for _ in range(600):
            rig.forget()
            rig.ask()
            [asked] = rig.asked
            rig.streams[asked].feed(OK % b"one")
            rig.go_on()
            steps.now += 0.01
        rig.forget()
        rig.pool.replace([replace(backend.member, max=1) for backend in rig.pool.backends])
        leases = [rig.pool.take(None, (), steps.now) for _ in rig.pool.backends]
        rig.ask()
        rig.go_on(3.0)
        assert rig.asked == []
        for lease in leases:
            lease.done(DONE)
        rig.go_on()
        [first] = rig.asked
        rig.go_on(0.02)
        [second] = [place for place in rig.asked if place != first]
        rig.streams[second].feed(OK % b"two")
        rig.go_on()
        assert rig.body == b"two"
        assert rig.pool.backends[first].failures == 0


def test_a_kept_connection_that_had_died_says_nothing_of_its_backend(rig):
    one, other, slow, beside = late(rig)
    other.end()
    rig.go_on()
    assert beside.failures == 1, "the fresh one was refused: that counts"
    one.feed(OK % b"one")
    rig.go_on()
    assert (rig.body, slow.failures) == (b"one", 0)
    assert rig.is_clean()


def test_a_client_that_leaves_ends_both(rig):
    one, other, *backends = late(rig)
    rig.client.leave()
    rig.go_on()
    assert isinstance(rig.main.error, ClientGone)
    assert (one.is_closed, other.is_closed) == (True, True)
    assert [backend.failures for backend in backends] == [0, 0]
    assert rig.is_clean()


def test_of_a_body_that_streams_after_a_takeover_the_real_client_is_heeded(rig):
    _, other, *_ = late(rig)
    other.feed(LONG + b"abc")
    rig.go_on()
    assert (rig.body, rig.main.is_over) == (b"abc", False)
    other.feed(b"def")
    rig.go_on(5.0)
    assert rig.body == b"abcdef"
    rig.client.leave()
    rig.go_on()
    assert isinstance(rig.main.error, ClientGone)
    assert other.is_closed
    assert rig.is_clean()


def test_a_body_that_streams_after_a_takeover_comes_whole(rig):
    _, other, *_ = late(rig)
    other.feed(LONG + b"abc")
    rig.go_on()
    other.feed(b"defghi")
    rig.go_on(1.0)
    assert rig.body == b"abcdefghi"
    assert not other.is_closed
    assert rig.is_clean()


def test_a_body_that_is_cut_after_a_takeover_is_an_error(rig):
    _, other, _, well = late(rig)
    other.feed(LONG + b"abc")
    rig.go_on()
    other.end()
    rig.go_on()
    assert isinstance(rig.main.error, BackendError)
    assert well.failures == 1
    assert rig.is_clean()


def test_an_answer_whose_body_nobody_wants_any_more_is_dropped(rig):
    one, other, *_ = late(rig)
    other.feed(LONG + b"abc")
    one.feed(OK % b"one")
    rig.go_on()
    assert rig.body == b"one"
    assert other.is_closed
    assert rig.is_clean()


def test_an_answer_that_is_there_but_not_wanted_any_more_is_dropped(rig):
    one, other, *_ = late(rig)
    other.feed(LONG + b"abc")
    rig.hands[-1].step()
    one.feed(OK % b"one")
    rig.go_on()
    assert rig.body == b"one"
    assert other.is_closed
    assert rig.is_clean()


@pytest.mark.parametrize("method", [b"POST", b"PUT", b"DELETE", b"PATCH"])
def test_what_is_not_safe_is_not_hedged(rig, method):
    rig.ask(method)
    rig.go_on(30.0)
    assert len(rig.asked) == 1
    rig.streams[rig.asked[0]].feed(OK % b"one")
    rig.go_on()
    assert rig.is_clean()


def test_a_get_with_a_body_is_not_hedged(rig):
    rig.ask(body=b"x")
    rig.go_on(30.0)
    assert len(rig.asked) == 1


def test_an_interim_answer_of_the_second_is_not_passed_on(rig):
    one, other, *_ = late(rig)
    other.feed(b"HTTP/1.1 103 Early\r\n\r\n")
    rig.go_on()
    assert not rig.main.is_over
    one.feed(b"HTTP/1.1 103 Early\r\n\r\n" + OK % b"one")
    rig.go_on()
    assert (rig.body, rig.client.interims) == (b"one", [103])
    assert rig.is_clean()


@pytest.mark.parametrize("part", [b"HTTP/1.1 200 OK\r\nCont", b"HTTP/1.1 103 Early\r\n\r\n"])
def test_less_than_an_answer_does_not_end_the_race(rig, part):
    one, other, hung, well = late(rig)
    one.feed(part)
    rig.go_on()
    assert not rig.main.is_over
    other.feed(OK % b"two")
    rig.go_on()
    assert (rig.body, rig.exchange.retried) == (b"two", "hedged")
    assert one.is_closed
    assert (hung.failures, well.failures, well.served) == (1, 0, 1)
    assert rig.is_clean()


def test_what_has_begun_may_still_win(rig):
    one, other, slow, beside = late(rig)
    answer = OK % b"one"
    one.feed(answer[:20])
    rig.go_on()
    one.feed(answer[20:])
    rig.go_on()
    assert (rig.body, rig.exchange.tries) == (b"one", 1)
    assert other.is_closed
    assert (slow.failures, beside.failures) == (0, 0)
    assert rig.is_clean()


@pytest.mark.parametrize("part", [b"", b"HTTP/1.1 200 OK\r\nCont"])
def test_a_first_try_that_fails_meanwhile_leaves_it_to_the_second(rig, part):
    one, other, failing, well = late(rig)
    if part:
        one.feed(part)
        rig.go_on()
    one.end()
    rig.go_on()
    assert not rig.main.is_over
    assert len(rig.asked) == 2, "nobody is asked twice"
    other.feed(OK % b"two")
    rig.go_on()
    assert (rig.body, rig.exchange.tries, rig.exchange.backend) == (b"two", 2, well)
    assert failing.failures == (1 if part else 0), "a kept connection that ends says nothing of its backend"
    assert rig.is_clean()


def test_a_client_that_leaves_when_only_the_second_is_left_ends_that(rig):
    one, other, *_ = late(rig)
    one.end()
    rig.go_on()
    rig.client.leave()
    rig.go_on()
    assert isinstance(rig.main.error, ClientGone)
    assert other.is_closed
    assert rig.is_clean()


def test_where_both_fail_the_third_is_asked(rig):
    one, other, *_ = late(rig)
    one.feed(b"HTTP/1.1 200 OK\r\nCont")
    rig.go_on()
    one.end()
    rig.go_on()
    other.feed(b"garbage\r\n\r\n")
    rig.go_on()
    assert len(rig.asked) == 3
    [third] = {0, 1, 2} - {rig.streams.index(one), rig.streams.index(other)}
    rig.streams[third].feed(OK % b"tri")
    rig.go_on()
    assert rig.body == b"tri"
    assert rig.is_clean()


def test_where_nobody_else_is_up_there_is_no_second_try():
    with Steps() as steps:
        rig = Rig(steps, backends=2)
        for _ in range(3):
            rig.pool.take(None, (rig.pool.backends[0],), steps.now).done("refused", connected=False)
        rig.ask()
        rig.go_on(30.0)
        assert rig.asked == [0]
        rig.streams[0].feed(OK % b"one")
        rig.go_on()
        assert rig.is_clean()


def test_a_second_try_that_cannot_be_afforded_comes_once_it_can(rig):
    for _ in range(10):
        assert rig.pool.spend(rig.steps.now)
    rig.ask()
    rig.go_on(1.0)
    assert len(rig.asked) == 1
    for _ in range(80):
        rig.go_on(0.25)
        if len(rig.asked) > 1:
            break
    assert len(rig.asked) == 2
    assert 9.0 < rig.steps.now - rig.exchange.started <= 11.0, "it is thought of every quarter of a second"
    rig.client.leave()
    rig.go_on()
    assert rig.is_clean()


def test_the_limit_is_learnt_and_silence_beyond_a_quantile_is_not_yet_a_failure():
    with Steps() as steps:
        rig = Rig(steps, quantile=0.95)
        for number in range(60):
            before = [len(stream.sent) for stream in rig.streams]
            rig.ask()
            [place] = [place for place, stream in enumerate(rig.streams) if len(stream.sent) > before[place]]
            rig.go_on(0.1 - number * 0.001)  # each is quicker than most before, so none is late
            rig.streams[place].feed(OK % b"one")
            rig.go_on()
            rig.go_on(0.5)
        for stream in rig.streams:
            stream.sent = b""
        _, other, slow, _ = late(rig, 0.15)
        other.feed(OK % b"two")
        rig.go_on()
        assert (rig.body, slow.failures) == (b"two", 0)
        assert rig.is_clean()


def answered(rig, place):
    """Have a backend heard of."""
    rig.pool.backends[place].heard_at = rig.steps.now


def test_clients_that_leave_a_silent_backend_tell_of_it_while_others_answer(rig):
    """What must not be sent twice is not hedged: nothing else would tell before its time is over."""
    hung, *others = rig.pool.backends
    counted = 0
    while hung.is_up:
        rig.ask(b"POST")
        if rig.asked == [0]:
            for _ in range(40):
                rig.go_on(0.05)
            answered(rig, 1)
            rig.client.leave()
            rig.go_on()
            counted += 1
            assert hung.failures == counted
        else:
            rig.streams[rig.asked[0]].feed(OK % b"one")
            rig.go_on()
        rig.forget()
    assert counted == 3
    assert all(other.failures == 0 for other in others)
    assert rig.is_clean()


@pytest.mark.parametrize("how", ["all are silent", "heard of", "soon"])
def test_clients_that_leave_say_nothing_of_a_backend_that_is_no_more_than_slow(rig, how):
    slow = rig.pool.backends[0]
    for _ in range(12):
        rig.ask(b"POST")
        if rig.asked == [0]:
            for _ in range(10 if how == "soon" else 40):
                rig.go_on(0.05)
            if how != "all are silent":
                answered(rig, 1)
            if how == "heard of":
                answered(rig, 0)
        rig.client.leave()
        rig.go_on()
        rig.forget()
    assert slow.failures == 0
    assert rig.is_clean()


@pytest.mark.parametrize("method", [b"POST", b"PUT"])
def test_what_is_never_asked_elsewhere_tells_nothing_of_when_an_answer_is_late(rig, method):
    for turn in range(100):
        is_upload = turn % 2
        rig.ask(method, b"x" if is_upload else b"") if is_upload else rig.ask()
        place = rig.asked[0]
        rig.go_on(3.0 if is_upload else 0.001)
        rig.streams[place].feed(OK % b"one")
        rig.go_on()
        assert rig.status == 200
        rig.forget()
    late(rig, 0.06)  # four times what a GET takes, and no less than 50 ms
    rig.client.leave()
    rig.go_on()
    assert rig.is_clean()


def test_what_cannot_be_repeated_is_no_trial_of_one_that_may_be_broken_still(rig):
    broken = rig.pool.backends[0]
    for _ in range(3):
        rig.pool._lease(broken).done("reset", connected=True)
    while broken not in rig.pool._trials:
        rig.steps.now += 0.5
        rig.pool.dialled(broken, "", rig.steps.now)
    for _ in range(3):
        rig.ask(b"POST")
        assert rig.asked != [0]
        rig.streams[rig.asked[0]].feed(OK % b"one")
        rig.go_on()
        rig.forget()
    rig.ask()
    assert rig.asked == [0]
    rig.streams[0].feed(OK % b"one")
    rig.go_on()
    assert broken.is_up
    assert rig.is_clean()


def test_what_a_hung_backend_cost_is_not_learnt_as_the_time_of_an_answer():
    with Steps() as steps:
        rig = Rig(steps)
        for _ in range(30):
            rig.ask()
            rig.streams[rig.asked[0]].feed(OK % b"one")
            rig.go_on()
            rig.go_on(0.1)
            rig.forget()
        for _ in range(6):
            _, other, *_ = late(rig, 0.06)
            other.feed(OK % b"two")
            rig.go_on()
            assert rig.exchange.asked == rig.exchange.first
            rig.go_on(4.0)  # so that three of a backend's failures are never in one window
            rig.forget()
        assert rig.is_clean()


@pytest.mark.parametrize("answers", ["nobody", "first", "second", "second streams", "both", "half", "end"])
@pytest.mark.parametrize("victim", ["main", "beside"])
@pytest.mark.parametrize("at", range(5))
def test_a_cut_at_any_wait_leaves_nothing_over(answers, victim, at):
    """Cut one of the two tasks at each of its waits, before and after the others went on."""
    with Steps() as steps:
        rig = Rig(steps)
        script = [
            lambda: rig.go_on(0.5),
            lambda: rig.go_on(0.5),
            lambda: answer(rig, answers),
            rig.go_on,
            lambda: rig.go_on(1.0),
        ]
        rig.ask()
        for number, act in enumerate(script):
            act()
            if number == at:
                hand = rig.hands[0 if victim == "main" else -1]
                if hand.coro.cr_await is not None and not hand.is_over:
                    hand.step(Cut())
        if not rig.main.is_over:
            rig.client.leave()
        rig.go_on()
        errors = [hand.error for hand in rig.hands if hand.error is not None]
        expected = (Cut, ClientGone, BackendError) if answers == "end" else (Cut, ClientGone)
        assert all(isinstance(error, expected) for error in errors)
        assert rig.is_clean()


class Cut(BaseException):
    """What trio's cancellation is for the code: an exception where it waits."""


def answer(rig, who):
    if who in ("first", "both"):
        rig.streams[0].feed(OK % b"one")
    if who == "half":
        rig.streams[0].feed(b"HTTP/1.1 200 OK\r\n")
    if who == "end":
        rig.streams[0].end()
    if who in ("second", "both") and rig.streams[1].sent:
        rig.streams[1].feed(OK % b"two")
    if who == "second streams" and rig.streams[1].sent:
        rig.streams[1].feed(LONG + b"abc")
