"""Who is in a pool: what sources amount to, what is told of changes, and what the pool keeps through them."""

from itertools import pairwise
from random import Random

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from netfront.endpoint import Endpoint, parse_place
from netfront.net.backend import BACKUP, Member
from netfront.net.follow import FollowedName, FollowedService, Follower, Pace
from netfront.net.hosts import HostsFile
from netfront.net.members import Follow, Members, Source, follow_of
from netfront.net.pool import Pool
from netfront.net.resolve import Resolver, Service
from tests.support.asking import Answers
from tests.support.dns import dns_server


def member(place, port=80, /, **more):
    endpoint = Endpoint("http", place, port)
    return Member(endpoint, f"{place}:{port}", b"app.test", **more)


def fixed(place, port=80, /, **more):
    return Source(member(place, port, **more))


def name(place, /, *, apart=False, **more):
    return Source(member(place, **more), Follow.NAME, apart)


def service(place, /, *, apart=False, **more):
    return Source(Member(Endpoint("http", place, 0), place, b"app.test", **more), Follow.SERVICE, apart)


def shown(pool):
    """The pool's members as text: place, addresses, weight, and a mark for a backup."""
    return [
        f"{one.endpoint.host}:{one.endpoint.port}"
        + "".join(f" {address}" for address in one.addresses)
        + f" x{one.weight}"
        + (" backup" if one.tier else "")
        for one in (backend.member for backend in pool.backends)
    ]


class Rig:
    """A pool, its members, and a table of answers instead of DNS."""

    def __init__(self, nursery, *sources):
        self.lines = []
        self.answers = Answers()
        self.pool = Pool("shop", [])
        self.members = Members(self.pool, sources, tell=self.lines.append)
        self.follower = Follower(self.answers, nursery, rng=Random(1), tell=self.lines.append)

    async def start(self):
        self.members.start(self.follower)
        await self.members.wait_until_asked()

    @property
    def shown(self):
        return shown(self.pool)

    def told(self):
        lines, self.lines[:] = list(self.lines), []
        return lines


# -- what sources amount to -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "follow"),
    [
        ("app.test:80", Follow.NAME),
        ("db1:5432", Follow.NAME),
        ("10.0.0.1:80", Follow.NOTHING),
        ("[fd00::1]:80", Follow.NOTHING),
        ("3000", Follow.NOTHING),
        ("app.localhost:3000", Follow.NOTHING),
        ("unix:/run/app.sock", Follow.NOTHING),
        ("demo:", Follow.NOTHING),
    ],
)
def test_names_are_followed_and_nothing_else(place, follow):
    assert follow_of(parse_place(place)) is follow
    assert follow_of(parse_place(place), is_service=True) is Follow.SERVICE


async def test_fixed_members_are_there_before_anything_is_asked(nursery):
    rig = Rig(nursery, fixed("10.0.0.1"), name("app.test"))
    assert rig.shown == ["10.0.0.1:80 x1"]


async def test_name_is_one_member_whose_addresses_are_tried_in_turn(autojump_clock, nursery):
    rig = Rig(nursery, name("app.test", weight=3, server_name="app.test"))
    rig.answers.lead("app.test", "10.0.0.1", "10.0.0.2")
    await rig.start()
    assert rig.shown == ["app.test:80 10.0.0.1 10.0.0.2 x3"]
    assert rig.told() == ["shop: app.test:80 joined"]


async def test_each_address_apart_is_a_member_that_goes_by_the_name(autojump_clock, nursery):
    rig = Rig(nursery, name("app.test", apart=True, server_name="app.test", host=b"app.test"))
    rig.answers.lead("app.test", "fd00::1", "10.0.0.2")
    await rig.start()
    assert rig.shown == ["fd00::1:80 x1", "10.0.0.2:80 x1"]
    first = rig.pool.backends[0].member
    assert (first.label, first.server_name, first.host) == ("app.test:80@fd00::1", "app.test", b"app.test")


async def test_service_gives_a_member_a_record_with_its_port_weight_and_priority(autojump_clock, nursery):
    rig = Rig(nursery, service("_http._tcp.test", server_name="test"))
    rig.answers.serve(
        "_http._tcp.test", (10, 30, 8001, "a.test"), (10, 10, 8002, "b.test"), (20, 5, 8003, "c.test")
    )
    for number, target in enumerate("abc"):
        rig.answers.lead(f"{target}.test", f"10.0.0.{number}", f"10.0.1.{number}")
    await rig.start()
    assert rig.shown == [
        "b.test:8002 10.0.0.1 10.0.1.1 x1",
        "a.test:8001 10.0.0.0 10.0.1.0 x3",
        "c.test:8003 10.0.0.2 10.0.1.2 x1 backup",
    ]
    assert {backend.member.server_name for backend in rig.pool.backends} == {"test"}


async def test_each_priority_of_a_service_is_a_tier_and_a_backup_stands_behind_all(autojump_clock, nursery):
    """RFC 2782: whoever has the lowest number that can be reached; weights hold among equals."""
    rig = Rig(
        nursery,
        service("_http._tcp.test"),
        service("_more._tcp.test", tier=BACKUP),
        fixed("10.0.1.1", tier=BACKUP),
    )
    rig.answers.serve(
        "_http._tcp.test",
        (7, 0, 1, "a.test"),
        (20, 4, 2, "a.test"),
        (20, 2, 3, "a.test"),
        (65535, 9, 4, "a.test"),
    )
    rig.answers.serve("_more._tcp.test", (1, 1, 5, "a.test"), (2, 1, 6, "a.test"))
    rig.answers.lead("a.test", "10.0.0.1")
    await rig.start()
    assert {one.member.endpoint.port: (one.member.tier, one.member.weight) for one in rig.pool.backends} == {
        1: (0, 1),
        2: (1, 2),
        3: (1, 1),
        4: (2, 1),
        5: (BACKUP, 1),
        6: (BACKUP + 1, 1),
        80: (BACKUP, 1),
    }


async def test_service_apart_gives_a_member_an_address(autojump_clock, nursery):
    rig = Rig(nursery, service("_http._tcp.test", apart=True))
    rig.answers.serve("_http._tcp.test", (10, 0, 8001, "a.test"))
    rig.answers.lead("a.test", "10.0.0.1", "10.0.0.2")
    await rig.start()
    assert rig.shown == ["10.0.0.1:8001 x1", "10.0.0.2:8001 x1"]


async def test_backups_serve_as_preferred_where_the_preferred_do_not_resolve(autojump_clock, nursery):
    rig = Rig(nursery, service("_http._tcp.test"))
    rig.answers.serve("_http._tcp.test", (10, 1, 80, "a.test"), (20, 1, 80, "b.test"), (30, 1, 80, "c.test"))
    rig.answers.lead("b.test", "10.0.0.2")
    rig.answers.lead("c.test", "10.0.0.3")
    await rig.start()
    assert rig.shown == ["b.test:80 10.0.0.2 x1", "c.test:80 10.0.0.3 x1 backup"]


def weights_of(*weights):
    followed = FollowedService("_x._tcp.test", Answers(), Pace(), Random(1), lambda line: None)
    followed.places = tuple(
        (Service(10, weight, 80 + number, "a.test"), ("10.0.0.1",)) for number, weight in enumerate(weights)
    )
    pool = Pool("shop", [])
    members = Members(pool, [service("_x._tcp.test")], tell=lambda line: None)
    members.start(Followed({"_x._tcp.test": followed}))
    return [backend.weight for backend in pool.backends]


class Followed:
    """In the shape of a Follower: what is followed is what a test made, and changes as it says."""

    def __init__(self, made):
        self.made = made
        self.told = {}
        self.unasked = set()

    def follow_name(self, host, changed):
        self.told.setdefault(host, []).append(changed)
        return self.made[host]

    follow_service = follow_name

    def asked(self, followed):
        asked = trio.Event()
        if followed.name not in self.unasked:
            asked.set()
        return asked

    def leave(self, followed, changed):
        self.told[followed.name].remove(changed)

    def change(self, host):
        for changed in list(self.told.get(host, ())):
            changed()


@pytest.mark.parametrize(
    ("given", "had"),
    [
        ((10, 20, 70), [1, 2, 7]),
        ((0, 0, 0), [1, 1, 1]),
        ((5, 0), [10, 1]),
        ((1, 0, 0), [10, 1, 1]),
        ((65535, 1), [256, 1]),
        ((65535, 65535, 0), [10, 10, 1]),
        ((300, 200), [3, 2]),
        ((7,), [1]),
        ((0,), [1]),
    ],
)
def test_weights_of_records_keep_their_proportions_from_1_to_256(given, had):
    assert weights_of(*given) == had


@given(st.lists(st.integers(0, 65535), min_size=1, max_size=12))
def test_any_weights_become_some_from_1_to_256_in_the_same_order(given):
    had = weights_of(*given)
    assert all(1 <= weight <= 256 for weight in had)
    for one, other in pairwise(given):
        if one <= other:
            assert weights_of(one, other)[0] <= weights_of(one, other)[1]
    assert all(had[0] == weight for weight, before in zip(had, given, strict=True) if before == given[0])


# -- what is told, and what is merged ---------------------------------------------------------------------------


async def test_changes_are_told_in_words_and_unchanged_answers_are_not(autojump_clock, nursery):
    rig = Rig(nursery, fixed("10.0.0.9"), name("app.test"), name("all.test", apart=True))
    rig.answers.lead("app.test", "10.0.0.1", ttl=10)
    rig.answers.lead("all.test", "10.0.0.2", ttl=10)
    await rig.start()
    assert sorted(rig.told()) == ["shop: all.test:80@10.0.0.2 joined", "shop: app.test:80 joined"]
    await trio.sleep(100)
    assert rig.told() == []
    rig.answers.lead("app.test", "10.0.0.3", "10.0.0.4", ttl=10)
    await trio.sleep(10.5)
    assert rig.told() == ["shop: app.test:80 is at 10.0.0.3 10.0.0.4"]
    rig.answers.lead("all.test", *[f"10.1.0.{number}" for number in range(6)], ttl=10)
    await trio.sleep(10.5)
    shown = ", ".join(f"all.test:80@10.1.0.{number}" for number in range(4))
    assert rig.told() == [f"shop: {shown} and 2 more joined; all.test:80@10.0.0.2 left"]


async def test_other_weights_are_told(autojump_clock, nursery):
    rig = Rig(nursery, service("_http._tcp.test"))
    rig.answers.serve("_http._tcp.test", (10, 1, 80, "a.test"), (10, 1, 80, "b.test"), ttl=10)
    rig.answers.lead("a.test", "10.0.0.1")
    rig.answers.lead("b.test", "10.0.0.2")
    await rig.start()
    rig.told()
    rig.answers.serve("_http._tcp.test", (10, 1, 80, "a.test"), (10, 9, 80, "b.test"), ttl=10)
    await trio.sleep(10.5)
    assert rig.told() == ["shop: _http._tcp.test@b.test:80 has weight 9"]
    assert sorted(rig.shown) == ["a.test:80 10.0.0.1 x1", "b.test:80 10.0.0.2 x9"]


async def test_nothing_that_resolves_is_an_empty_pool_and_a_line_and_then_it_fills(autojump_clock, nursery):
    rig = Rig(nursery, name("app.test"), service("_http._tcp.test"))
    await rig.start()
    assert rig.shown == []
    assert sorted(rig.told()) == [
        "_http._tcp.test: there is no such name; it leads nowhere yet",
        "app.test: there is no such name; it leads nowhere yet",
    ]
    rig.pool.changed.clear()
    rig.answers.lead("app.test", "10.0.0.1")
    await trio.sleep(31)
    assert rig.shown == ["app.test:80 10.0.0.1 x1"]
    assert rig.pool.changed.is_set
    assert rig.told() == ["app.test: resolves now", "shop: app.test:80 joined"]


async def test_who_is_named_twice_counts_once_and_that_is_told_once(autojump_clock, nursery):
    rig = Rig(
        nursery, fixed("10.0.0.1", tier=BACKUP), name("app.test", apart=True), name("too.test", apart=True)
    )
    rig.answers.lead("app.test", "10.0.0.1", "10.0.0.2", ttl=10)
    await rig.start()
    assert rig.shown == ["10.0.0.1:80 x1", "10.0.0.2:80 x1"]
    twice = "shop: 10.0.0.1:80 is named twice, also as app.test:80@10.0.0.1; it counts once"
    assert twice in rig.told()
    rig.answers.lead("too.test", "10.0.0.3", ttl=10)
    await trio.sleep(60)
    assert twice not in rig.told()
    rig.answers.lead("app.test", "10.0.0.2", ttl=10)
    await trio.sleep(10.5)
    assert rig.shown == ["10.0.0.1:80 x1 backup", "10.0.0.2:80 x1", "10.0.0.3:80 x1"]
    rig.answers.lead("app.test", "10.0.0.1", "10.0.0.2", ttl=10)
    await trio.sleep(10.5)
    assert twice in rig.told()


def test_fixed_member_that_is_named_twice_is_told_by_its_label():
    lines = []
    Members(Pool("shop", []), [fixed("10.0.0.1"), fixed("10.0.0.1")], tell=lines.append)
    assert lines == ["shop: 10.0.0.1:80 is named twice; it counts once"]


def test_same_place_spoken_to_as_somebody_else_is_another_backend():
    pool = Pool("shop", [])
    sources = [fixed("10.0.0.1", server_name="a.test"), fixed("10.0.0.1", server_name="b.test")]
    Members(pool, sources, tell=lambda line: pytest.fail(line))
    assert len(pool.backends) == 2


# -- other sources ----------------------------------------------------------------------------------------------


async def test_other_sources_keep_what_is_known_of_names_that_stay(autojump_clock, nursery):
    rig = Rig(nursery, name("app.test"), name("old.test"), fixed("10.0.0.9"))
    rig.answers.lead("app.test", "10.0.0.1")
    rig.answers.lead("old.test", "10.0.0.2")
    rig.answers.lead("new.test", "10.0.0.3")
    await rig.start()
    backend = rig.pool.backends[0]
    rig.answers.fail("app.test")
    rig.told()
    rig.members.change([name("app.test", weight=5), name("new.test")])
    assert rig.told() == ["shop: app.test:80 has weight 5"]
    await rig.members.wait_until_asked()
    assert rig.told() == ["shop: new.test:80 joined; old.test:80, 10.0.0.9:80 left"]
    assert rig.shown == ["app.test:80 10.0.0.1 x5", "new.test:80 10.0.0.3 x1"]
    assert rig.pool.backends[0] is backend
    asked = rig.answers.times("old.test")
    await trio.sleep(1000)
    assert rig.answers.times("old.test") == asked


@pytest.mark.parametrize("stay", [(), ("a.test",), ("b.test",), ("c.test",)], ids="-".join)
async def test_names_may_leave_and_come_while_all_wait_for_them(autojump_clock, nursery, stay):
    rig = Rig(nursery, name("a.test"), name("b.test"), name("c.test"))
    rig.answers.held = {"a.test", "b.test", "c.test"}
    rig.answers.lead("new.test", "10.0.0.3")
    over = trio.Event()

    async def wait():
        await rig.start()
        over.set()

    nursery.start_soon(wait)
    await trio.sleep(1)
    rig.members.change([fixed("10.0.0.9"), *map(name, stay)])
    await trio.sleep(1)
    assert over.is_set() is not bool(stay)
    rig.members.change([name("new.test")])
    await rig.members.wait_until_asked()
    assert rig.shown == ["new.test:80 10.0.0.3 x1"]


async def test_what_ends_while_all_wait_for_its_names_lets_them_go(autojump_clock, nursery):
    rig = Rig(nursery, name("a.test"), name("b.test"))
    rig.answers.held = {"a.test", "b.test"}
    nursery.start_soon(trio.sleep, 1)
    with trio.move_on_after(5) as patience:
        async with trio.open_nursery() as waiting:
            waiting.start_soon(rig.start)
            await trio.sleep(1)
            rig.members.close()
    assert not patience.cancelled_caught


async def test_nobody_leaves_before_it_is_known_where_those_lead_who_come(autojump_clock, nursery):
    rig = Rig(nursery, fixed("10.0.0.9"))
    await rig.start()
    rig.members.change([name("new.test")])
    assert rig.shown == ["10.0.0.9:80 x1"]
    await rig.members.wait_until_asked()
    assert rig.shown == []  # there is no such name, and the file says that it is the only one
    rig.answers.lead("new.test", "10.0.0.3")
    rig.members.change([name("new.test"), fixed("10.0.0.8")])
    assert rig.shown == ["10.0.0.8:80 x1"]


async def test_members_of_a_second_assembly_take_over_what_is_known(autojump_clock, nursery):
    rig = Rig(nursery, name("app.test"))
    rig.answers.lead("app.test", "10.0.0.1")
    await rig.start()
    rig.answers.fail("app.test")
    pool = Pool("next", [])
    following = Members(pool, [name("app.test")], tell=lambda line: None)
    following.start(rig.follower)
    rig.members.close()
    assert shown(pool) == ["app.test:80 10.0.0.1 x1"]
    assert rig.shown == ["app.test:80 10.0.0.1 x1"]  # serves on until its connections have ended
    rig.answers.lead("app.test", "10.0.0.2")
    await trio.sleep(1000)
    assert shown(pool) == ["app.test:80 10.0.0.2 x1"]
    following.close()
    asked = len(rig.answers.asked)
    await trio.sleep(1000)
    assert len(rig.answers.asked) == asked


# -- any order of events ----------------------------------------------------------------------------------------

ADDRESSES = [f"10.0.0.{number}" for number in range(4)]
NAMES = ["a.test", "b.test"]
SERVICES = ["_x._tcp.test", "_y._tcp.test"]
TIERS = st.sampled_from([0, BACKUP])
SOURCES = st.one_of(
    st.builds(fixed, st.sampled_from(ADDRESSES), tier=TIERS),
    st.builds(name, st.sampled_from(NAMES), apart=st.booleans(), tier=TIERS),
    st.builds(service, st.sampled_from(SERVICES), apart=st.booleans(), tier=TIERS),
)
SETS = st.lists(st.sampled_from(ADDRESSES), unique=True).map(tuple)


class CountingPool(Pool):
    """Counts how often it is told."""

    told = 0

    def replace(self, members):
        self.told += 1
        super().replace(members)


class Merging(RuleBasedStateMachine):
    """Sources and answers change in any order while leases are out."""

    leases = Bundle("leases")

    def __init__(self):
        super().__init__()
        self.lines = []
        arguments = (Answers(), Pace(), Random(1), self.lines.append)
        made = {host: FollowedName(host, *arguments) for host in NAMES}
        made |= {host: FollowedService(host, *arguments) for host in SERVICES}
        self.followed = Followed(made)
        self.sources = []
        self.pool = CountingPool("shop", [])
        self.members = Members(self.pool, [], tell=self.lines.append)
        self.members.start(self.followed)
        self.out = []
        self.had = set()

    def current(self):
        return [backend.member for backend in self.pool.backends]

    @rule(sources=st.lists(SOURCES, max_size=5))
    def change_sources(self, sources):
        self.sources = sources
        self.members.change(sources)

    @rule(host=st.sampled_from(NAMES), addresses=SETS)
    def name_leads(self, host, addresses):
        before, told = self.current(), self.pool.told
        self.followed.made[host].addresses = addresses
        self.followed.change(host)
        assert (self.pool.told > told) == (self.current() != before)

    @rule(
        host=st.sampled_from(SERVICES),
        places=st.lists(
            st.tuples(
                st.integers(0, 2), st.integers(0, 3), st.sampled_from([80, 81]), st.sampled_from(NAMES), SETS
            ),
            max_size=3,
        ),
    )
    def service_is_served(self, host, places):
        before, told = self.current(), self.pool.told
        found = {Service(*record): addresses for *record, addresses in places if addresses}
        self.followed.made[host].places = tuple(sorted(found.items(), key=lambda place: place[0].priority))
        self.followed.change(host)
        assert (self.pool.told > told) == (self.current() != before)

    @rule(target=leases, index=st.integers(0, 50))
    def take(self, index):
        if not self.pool.backends:
            return None
        lease = self.pool.take(None, (), 0.0)
        self.out.append(lease)
        return lease

    @rule(lease=consumes(leases))
    def hand_back(self, lease):
        if lease is not None:
            self.out.remove(lease)
            lease.done("done")
            self.pool.sweep(0.0)

    def expected(self):
        """What the sources amount to, by place and in order: its tier, and where it is dialled."""
        found = {}

        def add(host, port, tier, addresses=()):
            key = host, port
            was = found.get(key)
            if was is None or tier < was[0]:
                found[key] = tier, addresses

        def add_all(source, host, port, tier, addresses):
            if source.apart:
                for address in addresses:
                    add(address, port, tier)
            elif addresses:
                add(host, port, tier, addresses)

        for source in self.sources:
            one, host = source.member, source.member.endpoint.host
            if source.follow is Follow.NOTHING:
                add(host, 80, one.tier)
            elif source.follow is Follow.NAME:
                add_all(source, host, 80, one.tier, self.followed.made[host].addresses)
            else:
                places = self.followed.made[host].places
                for record, addresses in places:
                    better = {other.priority for other, _ in places if other.priority < record.priority}
                    add_all(source, record.target, record.port, one.tier + len(better), addresses)
        return found

    @invariant()
    def pool_has_who_the_sources_name(self):
        had = {(one.endpoint.host, one.endpoint.port): (one.tier, one.addresses) for one in self.current()}
        assert len(had) == len(self.current())
        assert had == self.expected()
        assert list(had) == list(self.expected())

    @invariant()
    def leases_stay_with_their_backends(self):
        known = [*self.pool.backends, *self.pool.leaving]
        assert len(set(map(id, known))) == len(known)
        assert len({one.member.identity for one in known}) == len(known)
        assert sum(one.in_flight for one in known) == len(self.out)
        assert all(lease.backend in known for lease in self.out)
        assert all(one.in_flight for one in self.pool.leaving)

    @invariant()
    def every_change_is_told(self):
        now = {one.identity for one in self.current()}
        if now != self.had:
            assert any(" joined" in line or " left" in line for line in self.lines)
        self.lines.clear()
        self.had = now


TestMerging = Merging.TestCase
TestMerging.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


# -- against a real server --------------------------------------------------------------------------------------


async def test_service_is_followed_from_nothing_through_changes(tmp_path, nursery):
    lines = []
    more = trio.Event()

    def tell(line):
        nonlocal more
        lines.append(line)
        more.set()
        more = trio.Event()

    async def until(condition):
        while not condition():
            await more.wait()

    with dns_server() as server:
        resolver = Resolver(("127.0.0.1", server.port), hosts=HostsFile(str(tmp_path / "none")))
        pace = Pace(least=0.01, most=0.02, retry=0.01, most_retry=0.02)
        pool = Pool("shop", [])
        members = Members(pool, [service("_http._tcp.shop.test")], tell=tell)
        members.start(Follower(resolver, nursery, rng=Random(1), tell=tell, pace=pace))
        await members.wait_until_asked()
        assert (shown(pool), lines) == (
            [],
            ["_http._tcp.shop.test: there is no such name; it leads nowhere yet"],
        )
        server.set("a.test", "A", "10.0.0.1")
        server.set("b.test", "AAAA", "fd00::2")
        server.set("_http._tcp.shop.test", "SRV", "10 3 8001 a.test.", "20 1 8002 b.test.")
        await until(lambda: len(pool.backends) == 2)
        assert shown(pool) == ["a.test:8001 10.0.0.1 x1", "b.test:8002 fd00::2 x1 backup"]
        server.fail("_http._tcp.shop.test", "SERVFAIL")
        server.fail("a.test", "SERVFAIL")
        for asked, kind in (("a.test", "A"), ("_http._tcp.shop.test", "SRV")):
            times = server.times(asked, kind) + 3
            await trio.to_thread.run_sync(server.wait_until_asked, asked, kind, times)
        assert len(pool.backends) == 2
        server.remove("a.test")
        server.heal("a.test")
        server.heal("_http._tcp.shop.test")
        server.set("_http._tcp.shop.test", "SRV", "10 3 8003 b.test.")
        await until(lambda: shown(pool) == ["b.test:8003 fd00::2 x1"])
        assert "_http._tcp.shop.test: resolves again" in lines
