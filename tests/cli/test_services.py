"""Services: a pool as its plan wants it, what a reload changes of it, and what it takes with it when it leaves."""

import random

import pytest
import trio

from netfront.cli.flags import ServeFlags
from netfront.cli.planning import plan_serving
from netfront.cli.render import Console
from netfront.cli.services import Demo, Service, sources_of
from netfront.http.watch import Turns
from netfront.net.backend import BACKUP
from netfront.net.follow import Follower
from netfront.net.hosts import HostsFile
from netfront.net.pool import DONE
from netfront.net.redial import Redialler
from netfront.net.resolve import Resolver
from tests.support.dns import dns_server
from tests.support.origins import answering, origin

WELL = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
ILL = b"HTTP/1.1 500 Ill\r\nContent-Length: 0\r\n\r\n"


def pool_plan(*targets, **flags):
    [pool] = plan_serving("balance", ServeFlags(targets=targets, **flags)).pools
    return pool


def service_of(plan, told=None):
    console = Console(quiet=True, json_events=False, color=False)
    return Service(plan, sources_of(plan, {}, None), console, lambda: b"0123456789abcdef")


def start(service, nursery, tmp_path, *, dns=None):
    hosts = tmp_path / "hosts"
    hosts.touch()
    resolver = Resolver(dns and ("127.0.0.1", dns.port), hosts=HostsFile(str(hosts)))
    follower = Follower(resolver, nursery, rng=random.Random(0), tell=lambda text: None)
    service.start(nursery, follower, Turns(), Redialler(nursery, timeout=1.0))


async def until(holds):
    with trio.fail_after(5):
        while not holds():
            await trio.sleep(0.005)


def labels(service):
    return [one.member.label for one in service.pool.backends]


def test_the_pool_is_as_the_plan_wants_it():
    plan = pool_plan(
        "http://127.0.0.1:1+weight=3+max=7",
        "http://127.0.0.1:2+backup+name=b+host=x",
        lb=["least"],
        eject_on=["502"],
        slow_start=["9s"],
        queue=["5"],
        queue_timeout=["2s"],
        health=["/h,rise=4,fall=5"],
    )
    pool = service_of(plan).pool
    rules = pool.rules
    assert (rules.lb, rules.queue, rules.queue_time, 502 in rules.eject_on) == ("least", 5, 2.0, True)
    assert (rules.health.slow_start, rules.health.rise, rules.health.fall) == (9.0, 4, 5)
    one, other = [backend.member for backend in pool.backends]
    assert (one.weight, one.max, one.tier, one.host) == (3, 7, 0, None)
    assert (other.label, other.tier, other.host) == ("b", BACKUP, b"x")


def test_a_backend_that_is_named_twice_is_one():
    assert labels(
        service_of(pool_plan("http://127.0.0.1:1", "http://127.0.0.1:1", "http://127.0.0.1:2"))
    ) == [
        "http://127.0.0.1:1",
        "http://127.0.0.1:2",
    ]


def changed(service, *targets, **flags):
    plan = pool_plan(*targets, **flags)
    service.make_ready(plan, lambda: b"0123456789abcdef")
    service.change(plan, sources_of(plan, {}, None))


@pytest.mark.parametrize("before", ["rr", "latency", "hash:ip", "sticky"])
@pytest.mark.parametrize("after", ["first", "least", "hash:url", "sticky:b"])
async def test_how_it_picks_changes_under_way(before, after):
    service = service_of(pool_plan("http://127.0.0.1:1", "http://127.0.0.1:2", lb=[before]))
    pool, (stays, leaves) = service.pool, service.pool.backends
    stays.is_drained = True
    lease = pool.take(None, (stays,), trio.current_time())
    changed(service, "http://127.0.0.1:1", "http://127.0.0.1:3", lb=[after])
    assert service.pool is pool
    assert (pool.backends[0], pool.backends[0].is_drained) == (stays, True)
    assert pool.leaving == [leaves]
    lease.done(DONE)
    token = service.stickiness and service.stickiness.token(pool.backends[1].name)
    assert pool.is_bound(token, pool.backends[1]) is after.startswith("sticky")
    assert pool.take(token, (), trio.current_time()).backend is pool.backends[1]


def test_the_members_that_change_with_the_way_of_picking_are_told(capsys):
    console = Console(quiet=False, json_events=False, color=False)
    plan = pool_plan("http://127.0.0.1:1", "http://127.0.0.1:2")
    service = Service(plan, sources_of(plan, {}, None), console, bytes)
    changed(service, "http://127.0.0.1:1", "http://127.0.0.1:3", lb=["least"])
    console.flush()
    assert "http://127.0.0.1:3 joined; http://127.0.0.1:2 left" in capsys.readouterr().err


async def test_another_plan_keeps_what_is_known_of_those_that_stay():
    service = service_of(pool_plan("http://127.0.0.1:1", "http://127.0.0.1:2"))
    stays = service.pool.backends[0]
    lease = service.pool.take(None, (service.pool.backends[1],), trio.current_time())
    plan = pool_plan("http://127.0.0.1:1+weight=5", "http://127.0.0.1:3", eject_on=["503"])
    service.change(plan, sources_of(plan, {}, None))
    assert labels(service) == ["http://127.0.0.1:1", "http://127.0.0.1:3"]
    assert service.pool.backends[0] is stays
    assert (stays.in_flight, stays.member.weight) == (1, 5)
    lease.judge(503)
    lease.done(DONE)
    assert stays.failures == 1, "by the rules of the other plan"


async def test_backends_are_probed_as_the_plan_says_by_then(nursery, tmp_path):
    with origin(answering(ILL)) as ill, origin(answering(WELL)) as well:
        ports = [f"http://127.0.0.1:{one.port}" for one in (ill, well)]
        service = service_of(pool_plan(*ports, health=["/h,interval=100ms,fall=1"]))
        start(service, nursery, tmp_path)
        await until(lambda: [one.is_up for one in service.pool.backends] == [False, True])
        assert {seen.target for seen in (*ill.requests, *well.requests)} == {b"/h"}
        plan = pool_plan(*ports)
        service.change(plan, sources_of(plan, {}, None))
        await until(lambda: service.pool.backends[0].is_up)
        ill.forget()
        await trio.sleep(0.3)
        assert ill.requests == []


async def test_one_that_leaves_probes_and_dials_nobody(nursery, tmp_path):
    with origin(answering(WELL)) as well:
        service = service_of(pool_plan(f"http://127.0.0.1:{well.port}", health=["/h,interval=100ms"]))
        start(service, nursery, tmp_path)
        await until(lambda: well.requests)
        service.leave()
        await trio.sleep(0.05)
        count = len(well.connections)
        await trio.sleep(0.3)
        assert len(well.connections) == count


async def test_names_are_awaited_and_followed(nursery, tmp_path):
    with dns_server() as dns:
        dns.set("a.test", "A", "127.0.0.1", "127.0.0.2")
        service = service_of(pool_plan("http://a.test:80+all"))
        assert service.pool.is_awaited
        assert labels(service) == []
        start(service, nursery, tmp_path, dns=dns)
        await service.wait_until_resolved()
        await until(lambda: not service.pool.is_awaited)
        assert sorted(labels(service)) == ["http://a.test@127.0.0.1", "http://a.test@127.0.0.2"]


async def test_nothing_that_resolves_is_no_reason_to_wait_for_long(nursery, tmp_path):
    with dns_server() as dns:
        service = service_of(pool_plan("http://none.test:80"))
        start(service, nursery, tmp_path, dns=dns)
        with trio.fail_after(5):
            await service.wait_until_resolved()
        await until(lambda: not service.pool.is_awaited)
        assert labels(service) == []


async def test_the_built_in_origin_is_dialled_on_its_own_port():
    plan = pool_plan("demo:")
    demo = Demo()
    try:
        [source] = sources_of(plan, {}, demo)
        assert (source.member.endpoint.host, source.member.label) == ("127.0.0.1", "demo:")
        assert source.member.endpoint.port == demo.listener.port
    finally:
        for sock in demo.listener.sockets:
            sock.close()


def test_a_cookie_of_another_name_is_taken_under_way():
    """Its name goes by the routes before it; what is known of backends is not lost by that."""
    places = "http://127.0.0.1:1", "http://127.0.0.1:2"
    service = service_of(pool_plan(*places, lb=["sticky:a"]))
    backends = list(service.pool.backends)
    changed(service, *places, lb=["sticky:b"])
    assert service.stickiness.cookie == b"b"
    assert service.pool.backends == backends


def test_nothing_sticks_otherwise_before_a_plan_takes_over():
    places = "http://127.0.0.1:1", "http://127.0.0.1:2"
    service = service_of(pool_plan(*places, lb=["sticky:a"]))
    before = service.stickiness
    service.make_ready(pool_plan(*places, lb=["sticky:b"]), bytes)
    assert (service.stickiness, before.cookie) == (before, b"a")


def test_the_secret_is_asked_for_only_where_cookies_are_signed():
    asked = []
    console = Console(quiet=True, json_events=False, color=False)
    for lb in ("rr", "sticky"):
        plan = pool_plan("http://127.0.0.1:1", lb=[lb])
        Service(plan, sources_of(plan, {}, None), console, lambda lb=lb: asked.append(lb) or b"x" * 16)
    assert asked == ["sticky"]
