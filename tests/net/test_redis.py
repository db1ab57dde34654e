"""net/redis: many requests in one call, a circuit that lets go, and counts that go on by themselves."""

from contextlib import asynccontextmanager

import pytest
import trio

from netfront.errors import Refusal
from netfront.net.redis import SharedCounters
from netfront.policy.limit import Counters, Rate, Spent

TWICE = Rate(3600.0, 2)


class Server:
    """Counts as the script does, with a clock of its own, and fails as told."""

    def __init__(self):
        self.counters = Counters()
        self.calls = []
        self.delay = 0.0
        self.down = None

    @asynccontextmanager
    async def open(self):
        async def ask(keys, arguments):
            if self.down is not None:
                raise self.down
            self.calls.append(len(keys))
            await trio.sleep(self.delay)
            said, arguments, keys = [], list(arguments), list(keys)
            while arguments:
                count = arguments.pop(0)
                rates = []
                for _ in range(count):
                    interval, most = arguments.pop(0) / 1e6, arguments.pop(0) / 1e6
                    rates.append(Rate(interval, round(most / interval)))
                spent = self.counters.spend([keys.pop(0) for _ in rates], rates, trio.current_time())
                said += [int(spent.admitted), *(int(debt * 1e6) for debt in spent.debts)]
            return said

        yield ask


async def spend(shared, *keys, rate=TWICE):
    spent = shared.spend([key.encode() for key in keys], [rate] * len(keys), trio.current_time())
    return spent if isinstance(spent, Spent) else await spent


@asynccontextmanager
async def sharing(server, down="local"):
    told = []
    shared = SharedCounters(server.open, Counters(), down, told.append)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(shared.run)
        await shared.was_tried.wait_in_trio()
        yield shared, told
        nursery.cancel_scope.cancel()


async def test_two_that_share_admit_together(autojump_clock):
    server = Server()
    async with sharing(server) as (one, _), sharing(server) as (other, _):
        assert [(await spend(front, "a")).admitted for front in (one, other, one)] == [True, True, False]


async def test_all_limits_of_a_request_and_all_that_wait_are_one_call(autojump_clock):
    server = Server()
    async with sharing(server) as (shared, _):
        server.calls.clear()
        server.delay = 0.005
        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(spend, shared, f"a{number}", "b")
        assert server.calls == [40] or server.calls == [2, 38]


async def test_a_silent_server_holds_the_first_for_a_moment_and_the_next_not_at_all(autojump_clock):
    server = Server()
    async with sharing(server) as (shared, told):
        await spend(shared, "a")
        server.delay = 3600.0
        began = trio.current_time()
        assert (await spend(shared, "a")).admitted
        assert trio.current_time() - began < 0.05
        began = trio.current_time()
        assert not (await spend(shared, "a")).admitted  # the server's count goes on here
        assert trio.current_time() == began
        await trio.sleep(0.5)
        assert told == ["redis: it does not answer in time; each process counts by itself"]
        server.delay = 0.0
        await trio.sleep(3)
        assert told[1:] == ["redis: it answers again, limits are shared"]
        assert shared.is_closed


async def test_a_short_pause_costs_no_connection_and_no_word(autojump_clock):
    server = Server()
    async with sharing(server) as (shared, told):
        server.delay = 0.1
        await spend(shared, "a")
        assert not shared.is_closed
        server.delay = 0.0
        await trio.sleep(0.1)
        assert (shared.is_closed, told) == (True, [])


@pytest.mark.parametrize("delay", [0.045, 0.1, 0.28, 0.4])
async def test_a_server_that_is_slow_for_good_holds_up_one_request_and_is_told_of_once(autojump_clock, delay):
    server = Server()
    async with sharing(server) as (shared, told):
        server.delay = delay
        waits = []
        for _ in range(100):
            began = trio.current_time()
            await spend(shared, "a", rate=Rate(0.1, 1000))
            waits.append(trio.current_time() - began)
            await trio.sleep(0.1)
        assert [round(wait, 3) for wait in waits if wait] == [0.044]
        assert told == ["redis: it does not answer in time; each process counts by itself"]
        server.delay = 0.0
        await trio.sleep(3)
        assert told[1:] == ["redis: it answers again, limits are shared"]
        assert shared.is_closed


async def test_one_that_is_slow_from_the_start_is_told_of_too(autojump_clock):
    server = Server()
    server.delay = 0.1
    async with sharing(server) as (shared, told):
        assert (await spend(shared, "a")).admitted
        await trio.sleep(10)
        assert told == ["redis: it does not answer in time; each process counts by itself"]


@pytest.mark.parametrize("down", ["local", "allow", "refuse"])
async def test_while_it_is_down_requests_go_by_what_was_said(autojump_clock, down):
    server = Server()
    server.down = ConnectionRefusedError(111, "Connection refused")
    async with sharing(server, down) as (shared, told):
        assert told[0].startswith("redis: connection refused; ")
        if down == "refuse":
            with pytest.raises(Refusal) as refused:
                await spend(shared, "a")
            assert refused.value.status == 503
        else:
            passed = [(await spend(shared, "a")).admitted for _ in range(3)]
            assert passed == [True, True, down == "allow"]
        await trio.sleep(30)
        assert len(told) == 1
