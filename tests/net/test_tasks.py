"""Tasks beside connections: they run as connections run, begun from the lane or from trio, and end with them."""

import pytest
import trio

from netfront.net.lane import Lane, Signal, clock, first, lane
from netfront.net.tasks import Tasks
from tests.support.lane import running_lane


def test_before_anything_is_served_nothing_can_run():
    with pytest.raises(RuntimeError, match="nothing is being served"):
        Tasks().spawn(None)


async def test_one_begun_from_a_connection_runs_on_the_lane_beside_it():
    said = []
    over = Signal()
    tasks = Tasks()

    async def beside():
        said.append(isinstance(lane(), Lane))
        await first(until=clock() + 0.01)
        said.append("beside")
        over.set()

    async def connection():
        tasks.spawn(beside)
        said.append("first")
        await first(over)
        said.append("over")

    async with running_lane() as (the_lane, connections):
        tasks.open(connections, the_lane)
        connections.start_soon(the_lane.run, connection)
    assert said == ["first", True, "beside", "over"]


async def test_one_begun_where_there_is_no_lane_runs_as_a_task():
    said = []
    tasks = Tasks()

    async def beside():
        await first(until=clock() + 0.01)
        said.append(lane())

    async with trio.open_nursery() as nursery:
        tasks.open(nursery, None)
        tasks.spawn(beside)
    assert said == [None]


@pytest.mark.parametrize("on_lane", [True, False])
async def test_it_ends_with_the_nursery(on_lane):
    tasks = Tasks()
    begun, ended = trio.Event(), []

    async def beside():
        begun.set()
        try:
            await first(Signal())
        finally:
            ended.append(True)

    async with running_lane() as (the_lane, connections):
        tasks.open(connections, the_lane if on_lane else None)
        tasks.spawn(beside)
        await begun.wait()
        connections.cancel_scope.cancel()
    assert ended == [True]
