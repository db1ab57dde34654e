"""What a connection has done beside itself on the lane, without a task of its own, and how it ends."""

import gc
import math

import pytest
import trio

from netfront.errors import ClientGone, Overdue
from netfront.net.lane import Signal, clock, deadline, either, first, in_trio, ready
from netfront.net.tasks import Tasks
from tests.support.lane import running_lane


async def on_lane(connection):
    """Run `connection(tasks)` on a lane; give the lane once it is over."""
    tasks = Tasks()
    async with running_lane() as (lane, connections):
        tasks.open(connections, lane)
        connections.start_soon(lane.run, connection, tasks)
    assert (lane.visitors, lane.connections) == (0, 0)
    return lane


async def test_it_runs_to_its_first_wait_and_is_stepped_from_there():
    said = []

    async def connection(tasks):
        go, over = Signal(), Signal()

        async def beside():
            said.append("begun")
            await ready(go)
            said.append("went on")
            over.set()

        tasks.begin(beside)
        said.append("here")
        go.set()
        await first(over)
        said.append("over")

    await on_lane(connection)
    assert said == ["begun", "here", "went on", "over"]


@pytest.mark.parametrize("wait", ["ready", "either", "first", "timer"])
async def test_ended_it_is_over_at_once_and_waits_for_nothing(wait):
    said = []

    async def connection(tasks):
        one, other = Signal(), Signal()

        async def beside():
            try:
                if wait == "ready":
                    await ready(one)
                elif wait == "either":
                    await either(one, other, clock() + 60)
                elif wait == "first":
                    await first(one, other, until=clock() + 60)
                else:
                    await first(until=clock() + 60)
            except ClientGone:
                said.append("ended")
                raise

        end = tasks.begin(beside)
        end()
        said.append("here")
        end()
        assert one.waiter is None
        assert other.waiter is None

    lane = await on_lane(connection)
    assert said == ["ended", "here"]
    assert all(seat.until == math.inf for seat in lane.soon)


async def test_several_wait_for_one_signal():
    said = []

    async def connection(tasks):
        gone, over = Signal(), Signal()

        def beside(number):
            async def run():
                await either(Signal(), gone)
                said.append(number)
                if len(said) == 3:
                    over.set()

            return run

        ends = [tasks.begin(beside(number)) for number in range(4)]
        ends[1]()
        gone.set()
        await first(over)
        assert gone.waiter is None

    await on_lane(connection)
    assert said == [0, 2, 3]


async def test_one_that_ends_itself_goes_on():
    said = []

    async def connection(tasks):
        ends, over = [], Signal()

        async def beside():
            await ready(over)
            ends[0]()
            said.append("went on")

        ends.append(tasks.begin(beside))
        over.set()
        await first(until=clock() + 0.005)

    await on_lane(connection)
    assert said == ["went on"]


async def test_its_deadline_is_its_own():
    said = []

    async def connection(tasks):
        over = Signal()

        async def beside():
            due = deadline()
            due.at, due.which = clock() + 0.01, "answer"
            try:
                await ready(Signal())
            except Overdue as error:
                said.append(error.which)
            over.set()

        tasks.begin(beside)
        await first(over)
        assert deadline().at == math.inf

    await on_lane(connection)
    assert said == ["answer"]


async def test_where_it_wants_trio_a_task_goes_on_with_it_for_good():
    said = []

    async def connection(tasks):
        over = Signal()

        async def beside():
            due = deadline()
            for _ in range(3):
                async with in_trio():
                    await trio.sleep(0.001)
                    said.append(trio.lowlevel.current_task().name.rpartition(".")[2])
                await first(until=clock() + 0.001)
                assert deadline() is due
            over.set()

        tasks.begin(beside)
        await first(over)

    await on_lane(connection)
    assert said == ["_carry"] * 3


@pytest.mark.parametrize("after", [0.0, 0.001, 0.003, 0.006, 0.01, 0.02])
async def test_one_that_is_carried_ends_wherever_it_waits(after):
    ended = []

    async def connection(tasks):
        async def beside():
            try:
                for _ in range(50):
                    async with in_trio():
                        await trio.sleep(0.002)
                    await first(until=clock() + 0.002)
            finally:
                ended.append(True)

        end = tasks.begin(beside)
        await first(until=clock() + after)
        assert ended == []
        end()
        end()

    await on_lane(connection)
    assert ended == [True]


@pytest.mark.parametrize("after", [0.0, 0.001, 0.003, 0.006])
@pytest.mark.parametrize("is_carried", [False, True])
async def test_it_ends_with_a_connection_that_is_cancelled(is_carried, after):
    begun, ended = trio.Event(), []
    tasks = Tasks()

    async def connection():
        async def beside():
            try:
                while True:
                    if is_carried:
                        async with in_trio():
                            await trio.sleep(0.001)
                    await first(until=clock() + 0.001)
            finally:
                ended.append(True)

        ends = [tasks.begin(beside) for _ in range(3)]
        begun.set()
        try:
            await first(until=clock() + 60)
        finally:
            for end in ends:
                end()

    async with running_lane() as (lane, connections):
        tasks.open(connections, lane)
        connections.start_soon(lane.run, connection)
        await begun.wait()
        await trio.sleep(after)
        connections.cancel_scope.cancel()
    assert ended == [True] * 3
    assert (lane.visitors, lane.connections) == (0, 0)
    gc.collect()


@pytest.mark.parametrize("is_carried", [False, True])
async def test_what_it_raises_is_told_and_ends_nobody_else(is_carried, caplog):
    said = []

    async def connection(tasks):
        async def beside():
            if is_carried:
                async with in_trio():
                    pass
            raise ZeroDivisionError

        tasks.begin(beside)
        await first(until=clock() + 0.01)
        said.append("here")

    await on_lane(connection)
    assert said == ["here"]
    assert [record.exc_info[0] for record in caplog.records] == [ZeroDivisionError]


@pytest.mark.parametrize("waits_first", [False, True])
async def test_trio_outside_in_trio_is_refused_there(waits_first):
    said = []

    async def connection(tasks):
        async def beside():
            if waits_first:
                await first(until=clock() + 0.001)
            try:
                await trio.sleep(1)
            except RuntimeError as error:
                said.append(str(error))

        tasks.begin(beside)
        await first(until=clock() + 0.01)

    await on_lane(connection)
    assert len(said) == 1


async def test_many_come_and_go():
    count = 0

    async def connection(tasks):
        nonlocal count
        over = Signal()

        async def beside():
            nonlocal count
            await first(until=clock() + 0.001)
            count += 1
            if count == 200:
                over.set()

        for _ in range(200):
            tasks.begin(beside)
        await first(over)

    await on_lane(connection)
    assert count == 200
