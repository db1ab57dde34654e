"""Dials of those that are down: when, how often at once, and what comes of them."""

import random
import socket

import trio

from netfront.endpoint import Endpoint
from netfront.net import redial
from netfront.net.backend import Member
from netfront.net.pool import DONE, Pool, PoolRules
from netfront.net.redial import Redialler
from netfront.policy.health import HealthRules
from tests.support.origins import full_queue

RULES = PoolRules("first", HealthRules(failures=1, redial=0.02, hold=0.1))


def member(port, scheme="http"):
    return Member(Endpoint(scheme, "127.0.0.1", port), f"b{port}", b"b")


def pool_of(*members):
    return Pool("pool", members, rules=RULES, rng=random.Random(0))


def take(pool, *tried):
    return pool.take(None, tried, trio.current_time())


async def until(holds):
    with trio.fail_after(5):
        while not holds():
            await trio.sleep(0.005)


async def test_one_that_accepts_again_is_tried_by_a_request_and_is_back(nursery):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))  # refuses until it listens
        pool = pool_of(member(listener.getsockname()[1]), member(1))
        nursery.start_soon(Redialler(nursery, timeout=1.0).watch, pool)
        take(pool).done("connection refused", connected=False)
        backend = pool.backends[0]
        await trio.sleep(0.2)
        assert not backend.health.wants_trial(trio.current_time()), "it refuses still"
        assert backend.why == "connection refused"
        listener.listen()
        await until(lambda: backend.health.wants_trial(trio.current_time()))
        lease = take(pool)
        assert lease.backend is backend
        lease.done(DONE)
    assert backend.is_up
    assert not pool.ejected.is_set


async def test_nobody_is_dialled_within_a_hold_to_be_tried_nor_while_all_are_well(nursery, monkeypatch):
    dialled = []

    async def dial(backend, *, timeout):
        dialled.append(trio.current_time())
        return Nothing()

    monkeypatch.setattr(redial, "dial", dial)
    pool = pool_of(member(1), member(2))
    nursery.start_soon(Redialler(nursery, timeout=1.0).watch, pool)
    await trio.sleep(0.15)
    assert dialled == []
    take(pool).done("closed", connected=True)
    backend = pool.backends[0]
    ends = backend.health.until
    await until(lambda: backend.health.wants_trial(trio.current_time()))
    assert dialled[-1] >= ends
    take(pool).done(DONE)
    count = len(dialled)
    await trio.sleep(0.15)
    assert len(dialled) == count


class Nothing:
    def abort(self):
        pass


async def test_one_that_is_silent_is_dialled_once_at_a_time_while_others_are(nursery, monkeypatch):
    with full_queue() as silent:
        pool = pool_of(member(silent), member(1), member(2))
        under_way, most = [], []
        dial = redial.dial

        async def counted(backend, *, timeout):
            under_way.append(backend)
            most.append(under_way.count(backend))
            try:
                return await dial(backend, timeout=timeout)
            finally:
                under_way.remove(backend)

        monkeypatch.setattr(redial, "dial", counted)
        nursery.start_soon(Redialler(nursery, timeout=0.3).watch, pool)
        for place in (0, 1):
            others = [one for one in pool.backends if one is not pool.backends[place]]
            take(pool, *others).done("no answer", connected=False)
        await until(lambda: len(most) > 5)
        assert set(most) == {1}
        await until(
            lambda: pool.backends[0].why == "no answer" and pool.backends[1].why == "connection refused"
        )


async def test_no_more_are_dialled_at_once_than_there_are_turns_and_all_of_them_in_the_end(
    nursery, monkeypatch
):
    pool = pool_of(*map(member, range(1, 102)))
    under_way, dialled, most = set(), set(), 0

    async def dial(backend, *, timeout):
        nonlocal most
        under_way.add(backend)
        most = max(most, len(under_way))
        await trio.sleep(0.02)
        under_way.remove(backend)
        dialled.add(backend)
        raise redial.BackendError("connect", retry_safe=True, why="no answer")

    monkeypatch.setattr(redial, "dial", dial)
    nursery.start_soon(Redialler(nursery, timeout=1.0).watch, pool)
    for backend in pool.backends[:100]:
        pool.again(backend).done("no answer", connected=False)
    await until(lambda: len(dialled) == 100)
    assert most == 64


async def test_where_nothing_is_connected_a_trial_alone_tells(nursery):
    pool = pool_of(member(1, "udp"), member(2, "udp"))
    nursery.start_soon(Redialler(nursery, timeout=1.0).watch, pool)
    take(pool).done("connection refused", connected=False)
    backend = pool.backends[0]
    await until(lambda: backend.health.wants_trial(trio.current_time()))
    assert not backend.is_up


async def test_one_that_has_left_meanwhile_is_dialled_no_more(nursery):
    with full_queue() as silent:
        pool = pool_of(member(silent), member(1))
        nursery.start_soon(Redialler(nursery, timeout=0.2).watch, pool)
        take(pool).done("no answer", connected=False)
        await trio.sleep(0.05)
        pool.replace([member(1)])
        await trio.sleep(0.4)
        assert not pool.ejected.is_set
        assert [one.member.label for one in pool.backends] == ["b1"]
