"""`either` with a time: what every request waits with, and whose end is looked at in rounds."""

import pytest
import trio

from netfront.errors import Overdue
from netfront.net.lane import Signal, clock, deadline, either, first
from tests.support.lane import running_lane
from tests.support.lanes import MODES, running

both_modes = pytest.mark.parametrize("mode", MODES)


@both_modes
async def test_time_comes_and_not_before(mode):
    late = []

    async def connection(seconds):
        until = clock() + seconds
        assert await either(Signal(), Signal(), until) is None
        late.append(clock() - until)

    with trio.fail_after(5):
        async with running(mode) as start:
            for seconds in (0.0, 0.01, 0.05, 0.3):
                start(connection, seconds)
    assert len(late) == 4
    assert min(late) >= 0.0


@both_modes
async def test_a_wait_that_begins_while_all_sleep_ends_in_time(mode):
    """The lane is asleep when it begins: it has to wake for what is asked for then."""
    ended = []
    go = Signal()

    async def connection():
        await either(go, Signal())
        until = clock() + 0.02
        assert await either(Signal(), Signal(), until) is None
        ended.append(True)

    with trio.fail_after(5):
        async with running(mode) as start:
            start(connection)
            await trio.sleep(0.3)
            go.set()
    assert ended == [True]


@both_modes
async def test_what_comes_before_the_time_is_given_and_nothing_is_left_over(mode):
    one, other = Signal(), Signal()
    got = []

    async def connection():
        for _ in range(2):
            got.append(await either(one, other, clock() + 60.0))
            got[-1].clear()
        got.append(await either(one, other, clock() + 0.01))

    with trio.fail_after(5):
        async with running(mode) as start:
            start(connection)
            await trio.sleep(0.01)
            other.set()
            await trio.sleep(0.01)
            one.set()
    assert got == [other, one, None]
    assert (one.waiter, other.waiter) == (None, None)


@both_modes
async def test_of_both_the_one_is_given_and_what_is_set_wins_over_the_time(mode):
    one, other = Signal(True), Signal(True)
    got = []

    async def connection():
        got.append(await either(one, other, clock() - 1.0))
        one.clear()
        got.append(await either(one, other, clock() - 1.0))

    async with running(mode) as start:
        start(connection)
    assert got == [one, other]


@both_modes
async def test_the_deadline_of_the_connection_holds_besides(mode):
    raised = []

    async def connection():
        due = deadline()
        due.at, due.which = clock() + 0.02, "answer"
        try:
            await either(Signal(), Signal(), clock() + 60.0)
        except Overdue as error:
            raised.append(error.which)

    with trio.fail_after(5):
        async with running(mode) as start:
            start(connection)
    assert raised == ["answer"]


@both_modes
async def test_a_wait_that_is_cancelled_leaves_no_time_behind(mode):
    one, other = Signal(), Signal()

    async def connection():
        await either(one, other, clock() + 60.0)

    with trio.fail_after(5):
        with trio.CancelScope() as scope:
            async with running(mode) as start:
                start(connection)
                await trio.sleep(0.02)
                scope.cancel()
    assert scope.cancelled_caught
    assert (one.waiter, other.waiter) == (None, None)


@both_modes
async def test_many_wait_for_many_times(mode):
    ended = []

    async def connection(number):
        until = clock() + number % 7 * 0.01
        assert await either(Signal(), Signal(), until) is None
        assert clock() >= until
        ended.append(number)

    with trio.fail_after(10):
        async with running(mode) as start:
            for number in range(100):
                start(connection, number)
    assert sorted(ended) == list(range(100))


async def test_who_waits_again_and_again_is_looked_at_once_and_no_longer_than_it_waits():
    """Else each request would leave something to be looked at, for as long as its connection lasts."""
    entered, left = [], []

    async with running_lane() as (lane, connections):

        async def asks_often():
            signal = Signal()
            for _ in range(100):
                connections.start_soon(sets, signal)
                lane.trio_due = True
                assert await either(signal, Signal(), clock() + 60.0) is signal
                signal.clear()
                entered.append(len(lane.soon))
            await first(until=clock() + 0.1)
            left.append(len(lane.soon))
            await either(Signal(), Signal(), clock() + 0.01)
            entered.append(len(lane.soon))

        async def sets(signal):
            signal.set()

        connections.start_soon(lane.run, asks_often)
    assert set(entered) == {1}
    assert left == [0]
