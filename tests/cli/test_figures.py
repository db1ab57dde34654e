"""What `--live` counts, of exchanges and passages made up, and what it reads off real pools."""

from dataclasses import dataclass, replace

import pytest
import trio

from netfront.cli.figures import Figures
from netfront.endpoint import Endpoint
from netfront.http.message import Exchange
from netfront.net.backend import BACKUP, Backend, Member
from netfront.net.passage import Passage
from netfront.net.pool import DONE, Pool, PoolRules
from netfront.net.stream import Facts
from netfront.policy.health import HealthRules

FACTS = Facts(("127.0.0.1", 5), ("127.0.0.1", 80))


@dataclass
class Serves:
    pool: Pool


class Somebody:
    facts = FACTS


def member(port=1, **more):
    return Member(Endpoint("http", "10.0.0.1", port), f"b{port}", b"x", **more)


def figures_of(*pools):
    figures = Figures()
    figures.begin(trio.current_time())
    figures.services = {pool.name: Serves(pool) for pool in pools}
    return figures


def exchange(backend=None, *, took=0.5, status=200, tries=1, retried="", source="backend"):
    now = trio.current_time()
    made = Exchange(now - took, Somebody(), b"GET", b"/", b"1")
    made.first = made.ended = now
    made.status, made.tries, made.retried, made.backend = status, tries, retried, backend
    made.source = source
    return made


def row(figures, number=1):
    return next(row for row in figures.rows(trio.current_time()) if row.number == number)


async def test_answers_are_counted_for_the_backend_that_gave_them(autojump_clock):
    pool = Pool("/", [member(1), member(2)])
    figures = figures_of(pool)
    figures.rows(trio.current_time())
    for _ in range(20):
        figures.exchange(exchange(pool.backends[0]))
    await trio.sleep(2)
    assert row(figures, 1).rate == pytest.approx(10.0)
    assert row(figures, 1).p50 == pytest.approx(0.5, rel=0.04)
    assert (row(figures, 2).rate, row(figures, 2).p99) == (0.0, 0.0)
    totals = figures.totals(trio.current_time(), 3)
    assert (totals.rate, totals.connections, totals.errors) == (pytest.approx(10.0), 3, 0)
    await trio.sleep(20)
    assert (row(figures, 1).rate, figures.totals(trio.current_time(), 0).rate) == (0.0, 0.0)


async def test_errors_are_tries_that_failed_and_answers_of_500_and_above(autojump_clock):
    pool = Pool("/", [member(1), member(2)], rules=PoolRules(eject_on={503}))
    figures = figures_of(pool)
    first = pool.backends[0]
    pool.again(first).done("connection refused", connected=False)
    figures.rows(trio.current_time())
    for status in (200, 404, 500):
        figures.exchange(exchange(first, status=status))
    lease = pool.again(first)
    lease.judge(503)
    lease.done(DONE)
    figures.exchange(exchange(first, status=503))
    figures.exchange(exchange(first, status=502, source="netfront"))
    assert row(figures).errors == 3  # refused, 500, 503 once
    assert figures.totals(trio.current_time(), 0).errors == 3  # as clients saw it: 500, 503, 502


async def test_retries_and_hedges_are_told_apart(autojump_clock):
    figures = figures_of(Pool("/", [member()]))
    figures.exchange(exchange(tries=3, retried="retried: connection refused"))
    figures.exchange(exchange(tries=2, retried="hedged"))
    totals = figures.totals(trio.current_time(), 0)
    assert (totals.retries, totals.hedges) == (2, 1)


async def test_same_backend_in_two_pools_has_two_rows(autojump_clock):
    pools = Pool("/", [member()]), Pool("/api", [member()])
    figures = figures_of(*pools)
    figures.rows(trio.current_time())
    figures.exchange(exchange(pools[1].backends[0]))
    rows = figures.rows(trio.current_time())
    assert [(one.number, one.pool, one.rate > 0) for one in rows] == [(1, "/", False), (2, "/api", True)]


async def test_backend_that_has_another_member_by_now_is_still_the_same(autojump_clock):
    pool = Pool("/", [member(), member(2)])
    figures = figures_of(pool)
    figures.rows(trio.current_time())
    under_way = exchange(pool.backends[0])
    for weight in range(5, 8):
        pool.replace([member(weight=weight), member(2)])
    await trio.sleep(1)
    figures.exchange(exchange(pool.backends[0]))
    figures.exchange(under_way)
    assert (row(figures).rate, row(figures).full_weight) == (2.0, 7)


async def test_what_is_remembered_of_backends_does_not_grow(autojump_clock):
    pool = Pool("/", [])
    figures = figures_of(pool)
    for port in range(1, 100):
        pool.replace([member(port)])
        figures.rows(trio.current_time())
    assert len(figures._counts) == 1  # nothing public tells


async def test_number_is_never_that_of_another(autojump_clock):
    pool = Pool("/", [member(1), member(2)])
    figures = figures_of(pool)
    assert [one.number for one in figures.rows(trio.current_time())] == [1, 2]
    pool.replace([member(2), member(3)])
    assert [(one.number, one.label) for one in figures.rows(trio.current_time())] == [(2, "b2"), (3, "b3")]
    assert figures.find(1) is None
    assert figures.find(3) == (pool, pool.backends[1])


async def test_one_that_leaves_is_shown_until_it_is_done(autojump_clock):
    pool = Pool("/", [member(1), member(2)])
    figures = figures_of(pool)
    figures.rows(trio.current_time())
    lease = pool.again(pool.backends[0])
    pool.replace([member(2)])
    assert [(one.state, one.in_flight) for one in figures.rows(trio.current_time())] == [
        ("up", 0),
        ("leaving", 1),
    ]
    assert figures.find(1) is None
    lease.done(DONE)
    assert [one.number for one in figures.rows(trio.current_time())] == [2]


async def test_states_are_told_with_what_brings_a_backend_back(autojump_clock):
    rules = PoolRules(health=HealthRules(fall=1, rise=1, failures=1))
    pool = Pool("/", [member(1, max=1), member(2, tier=BACKUP), member(3)], rules=rules)
    figures = figures_of(pool)
    assert [one.state for one in figures.rows(trio.current_time())] == ["up", "backup", "up"]
    lease = pool.again(pool.backends[0])
    assert (row(figures).state, row(figures).in_flight, row(figures).most) == ("full", 1, 1)
    lease.done("connection reset by peer")
    assert (row(figures).state, row(figures).why) == ("down", "connection reset by peer")
    assert row(figures).next.startswith("held ")
    pool.drain(pool.backends[2], is_drained=True)
    assert row(figures, 3).state == "drained"
    pool.again(pool.backends[1]).done("connection refused", connected=False)
    assert row(figures, 2).next.startswith("dial 0.")
    pool.dialled(pool.backends[1], "", trio.current_time())
    assert row(figures, 2).next == "request"
    pool.drain(pool.backends[2], is_drained=False)
    pool.probed(pool.backends[2], ok=False, why="answered 503", now=trio.current_time())
    assert (row(figures, 3).state, row(figures, 3).probe, row(figures, 3).next) == (
        "down",
        "answered 503",
        "probe",
    )


async def test_connections_that_were_passed_on_are_counted_too(autojump_clock):
    pool = Pool("/", [member(1)])
    figures = figures_of(pool)
    figures.rows(trio.current_time())
    now = trio.current_time()
    passed = Passage(FACTS, now - 9, backend=pool.backends[0], tries=1, connected=now - 8, ended=now)
    figures.passage(passed)
    figures.passage(replace(passed, tries=2, outcome="client: connection reset by peer"))
    figures.passage(replace(passed, backend=None, connected=0.0, outcome="no route"))
    assert row(figures).rate == 2.0
    assert row(figures).p50 == pytest.approx(1.0, rel=0.04)
    totals = figures.totals(now, 0)
    assert (totals.errors, totals.retries) == (1, 1)


async def test_exchanges_without_a_backend_and_unknown_ones_do_no_harm(autojump_clock):
    figures = figures_of(Pool("/", []))
    figures.exchange(exchange(None, source="netfront", status=404))
    figures.exchange(exchange(Backend(member(9))))
    assert figures.rows(trio.current_time()) == ()
    assert figures.find(1) is None
