"""Following names: when they are asked for again, what stays when they fail, and what is told."""

from itertools import pairwise
from random import Random

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from netfront.net.follow import Follower, Pace
from netfront.net.hosts import HostsFile
from netfront.net.resolve import Lookup, Resolver, Service
from tests.support.asking import Answers
from tests.support.dns import dns_server


class Changes:
    """Counts calls; others wait for the next ones."""

    def __init__(self):
        self.count = 0
        self._more = trio.Event()

    def __call__(self):
        self.count += 1
        self._more.set()
        self._more = trio.Event()

    async def wait_until(self, condition):
        while not condition():
            await self._more.wait()


def following(answers, nursery, **more):
    told = []
    return Follower(answers, nursery, rng=Random(1), tell=told.append, **more), told


def never():
    raise AssertionError("told of a change")


# -- when ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ttl", "moments"), [(42, [0, 42, 84]), (0, [0, 1, 2]), (10**6, [0, 300, 600]), (300, [0, 300, 600])]
)
async def test_name_is_asked_for_again_when_its_ttl_is_over_within_bounds(
    autojump_clock, nursery, ttl, moments
):
    answers = Answers()
    answers.lead("app.test", "10.0.0.1", ttl=ttl)
    follower, _ = following(answers, nursery)
    follower.follow_name("app.test", lambda: None)
    await trio.sleep(moments[-1] + 0.5)
    assert answers.times("app.test") == moments


async def test_failing_name_is_asked_for_ever_more_seldom_from_1_to_30_s(autojump_clock, nursery):
    answers = Answers()
    answers.fail("app.test")
    follower, _ = following(answers, nursery)
    follower.follow_name("app.test", lambda: None)
    await trio.sleep(1000)
    moments = answers.times("app.test")
    waits = [later - earlier for earlier, later in pairwise(moments)]
    assert waits[0] == 1
    for number, wait in enumerate(waits):
        assert 1 <= round(wait, 1) <= min(30, 2**number)
    assert max(waits) > 15
    answers.lead("app.test", "10.0.0.1", ttl=100)
    await trio.sleep(31)
    answers.fail("app.test")
    begun = len(answers.times("app.test"))
    await trio.sleep(103)
    moments = answers.times("app.test")[begun:]
    assert round(moments[1] - moments[0], 1) == 1  # as the first failure after a success


@given(st.integers(1, 10**6), st.integers())
def test_pause_after_a_failure_is_within_its_bounds(failures, seed):
    assert 1 <= Pace().after_failure(failures, Random(seed)) <= 30


# -- what stays, and what is told -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "why", "told"),
    [
        (Lookup.FAILED, "no answer from ns", "cannot be resolved: no answer from ns"),
        (Lookup.NO_NAME, "there is no such name", "there is no such name"),
        (Lookup.EMPTY, "it has no address", "it has no address"),
    ],
)
async def test_last_good_addresses_stay_and_failure_and_recovery_are_told_once(
    autojump_clock, nursery, how, why, told
):
    answers = Answers()
    answers.lead("app.test", "10.0.0.1")
    follower, lines = following(answers, nursery)
    name = follower.follow_name("app.test", lambda: None)
    await trio.sleep(1)
    answers.fail("app.test", how, why)
    await trio.sleep(1000)
    assert name.addresses == ("10.0.0.1",)
    assert lines == [f"app.test: {told}; what it led to before stays"]
    answers.lead("app.test", "10.0.0.2")
    await trio.sleep(31)
    assert name.addresses == ("10.0.0.2",)
    assert lines[1:] == ["app.test: resolves again"]


async def test_name_that_never_resolved_is_told_otherwise(autojump_clock, nursery):
    answers = Answers()
    follower, lines = following(answers, nursery)
    name = follower.follow_name("app.test", lambda: None)
    await follower.asked(name).wait()
    assert name.addresses == ()
    assert lines == ["app.test: there is no such name; it leads nowhere yet"]
    answers.lead("app.test", "10.0.0.1")
    await trio.sleep(31)
    assert lines[1:] == ["app.test: resolves now"]


async def test_each_way_of_failing_is_told_once_until_it_works_again(autojump_clock, nursery):
    answers = Answers()
    answers.lead("app.test", "10.0.0.1")
    follower, lines = following(answers, nursery)
    follower.follow_name("app.test", lambda: None)
    for _ in range(3):
        answers.fail("app.test", Lookup.FAILED)
        await trio.sleep(100)
        answers.fail("app.test", Lookup.NO_NAME, "there is no such name")
        await trio.sleep(100)
    assert len(lines) == 2


async def test_addresses_in_another_order_are_no_change(autojump_clock, nursery):
    answers = Answers()
    answers.lead("app.test", "10.0.0.1", "10.0.0.2", "10.0.0.3")
    follower, _ = following(answers, nursery)
    changes = Changes()
    name = follower.follow_name("app.test", changes)
    await trio.sleep(1)
    answers.lead("app.test", "10.0.0.3", "10.0.0.1", "10.0.0.2")
    await trio.sleep(100)
    assert (changes.count, name.addresses) == (1, ("10.0.0.1", "10.0.0.2", "10.0.0.3"))
    answers.lead("app.test", "10.0.0.4", "10.0.0.3", "10.0.0.1")
    await trio.sleep(100)
    assert (changes.count, name.addresses) == (2, ("10.0.0.1", "10.0.0.3", "10.0.0.4"))


async def test_addresses_of_a_family_that_was_not_answered_stay(autojump_clock, nursery):
    answers = Answers()
    answers.lead("app.test", "fd00::1", "10.0.0.1")
    follower, lines = following(answers, nursery)
    name = follower.follow_name("app.test", lambda: None)
    await trio.sleep(1)
    answers.lead("app.test", "10.0.0.2", unknown=(6,))
    await trio.sleep(100)
    assert name.addresses == ("fd00::1", "10.0.0.2")
    answers.lead("app.test", "10.0.0.2")
    await trio.sleep(100)
    assert name.addresses == ("10.0.0.2",)
    assert lines == []


# -- services -------------------------------------------------------------------------------------------------


async def test_service_has_its_targets_each_by_its_own_ttl(autojump_clock, nursery):
    answers = Answers()
    answers.serve("_http._tcp.test", (10, 1, 80, "a.test"), (20, 1, 81, "b.test"), ttl=100)
    answers.lead("a.test", "10.0.0.1", ttl=30)
    answers.lead("b.test", "10.0.0.2", ttl=70)
    follower, _ = following(answers, nursery)
    service = follower.follow_service("_http._tcp.test", lambda: None)
    await trio.sleep(100.5)
    assert service.places == (
        (Service(10, 1, 80, "a.test"), ("10.0.0.1",)),
        (Service(20, 1, 81, "b.test"), ("10.0.0.2",)),
    )
    assert answers.times("_http._tcp.test") == [0, 100]
    assert answers.times("a.test") == [0, 30, 60, 90]
    assert answers.times("b.test") == [0, 70]


async def test_target_that_does_not_resolve_is_left_out_until_it_does(autojump_clock, nursery):
    answers = Answers()
    answers.serve("_http._tcp.test", (10, 1, 80, "a.test"), (10, 1, 80, "b.test"))
    answers.lead("a.test", "10.0.0.1")
    follower, lines = following(answers, nursery)
    service = follower.follow_service("_http._tcp.test", lambda: None)
    await trio.sleep(1)
    assert [record.target for record, _ in service.places] == ["a.test"]
    assert lines == ["b.test: there is no such name; it leads nowhere yet"]
    answers.lead("b.test", "10.0.0.2")
    await trio.sleep(31)
    assert [record.target for record, _ in service.places] == ["a.test", "b.test"]


async def test_service_keeps_its_last_places_while_none_of_its_new_targets_resolves(autojump_clock, nursery):
    answers = Answers()
    answers.serve("_http._tcp.test", (10, 1, 80, "a.test"))
    answers.lead("a.test", "10.0.0.1")
    follower, _ = following(answers, nursery)
    service = follower.follow_service("_http._tcp.test", lambda: None)
    await trio.sleep(1)
    answers.serve("_http._tcp.test", (10, 1, 80, "b.test"))
    await trio.sleep(100)
    assert [record.target for record, _ in service.places] == ["a.test"]
    answers.lead("b.test", "10.0.0.2")
    await trio.sleep(31)
    assert [record.target for record, _ in service.places] == ["b.test"]
    answers.fail("_http._tcp.test")
    await trio.sleep(1000)
    assert [record.target for record, _ in service.places] == ["b.test"]


# -- tasks ----------------------------------------------------------------------------------------------------


async def test_followers_of_one_name_share_a_task_that_ends_with_the_last(autojump_clock, nursery):
    answers = Answers()
    answers.lead("app.test", "10.0.0.1", ttl=10)
    follower, _ = following(answers, nursery)
    one, other = Changes(), Changes()
    first, second = follower.follow_name("app.test", one), follower.follow_name("app.test", other)
    assert first is second
    await trio.sleep(5)
    assert (one.count, other.count, answers.times("app.test")) == (1, 1, [0])
    follower.leave(first, one)
    answers.lead("app.test", "10.0.0.2", ttl=10)
    await trio.sleep(10)
    assert (one.count, other.count, answers.times("app.test")) == (1, 2, [0, 10])
    follower.leave(second, other)
    await trio.sleep(100)
    assert answers.times("app.test") == [0, 10]


async def test_tasks_end_with_the_nursery(autojump_clock):
    answers = Answers()
    async with trio.open_nursery() as nursery:
        follower, _ = following(answers, nursery)
        for number in range(5):
            follower.follow_name(f"app{number}.test", lambda: None)
        await trio.sleep(1)
        assert len(nursery.child_tasks) == 6  # and one for the hosts file
        nursery.cancel_scope.cancel()


# -- the hosts file -------------------------------------------------------------------------------------------


async def test_changed_hosts_file_is_heeded_within_10_s_for_the_names_it_concerns(
    tmp_path, autojump_clock, nursery
):
    file = tmp_path / "hosts"
    file.write_text("")
    answers = Answers(str(file))
    for name in ("app.test", "other.test"):
        answers.lead(name, "10.0.0.1", ttl=3600)
    follower, _ = following(answers, nursery)
    app, other = (follower.follow_name(name, lambda: None) for name in ("app.test", "other.test"))
    await trio.sleep(1)
    file.write_text("10.0.0.2 app.test\n")
    await trio.sleep(10)
    assert (app.addresses, other.addresses) == (("10.0.0.2",), ("10.0.0.1",))
    file.write_text("# gone again\n")
    await trio.sleep(10)
    assert app.addresses == ("10.0.0.1",)
    assert answers.times("other.test") == [0]


async def test_target_of_a_service_may_stand_in_the_hosts_file(tmp_path, autojump_clock, nursery):
    file = tmp_path / "hosts"
    file.write_text("10.0.0.1 a.test\n")
    answers = Answers(str(file))
    answers.serve("_http._tcp.test", (10, 1, 80, "a.test"))
    follower, _ = following(answers, nursery)
    service = follower.follow_service("_http._tcp.test", lambda: None)
    await trio.sleep(1)
    file.write_text("10.0.0.2 a.test\n")
    await trio.sleep(11)
    assert [addresses for _, addresses in service.places] == [("10.0.0.2",)]


# -- against a real server --------------------------------------------------------------------------------------

QUICK = Pace(least=0.01, most=0.02, retry=0.01, most_retry=0.02)


async def test_name_is_followed_through_changes_faults_and_recovery(tmp_path, nursery):
    with dns_server() as server:
        server.set("app.test", "A", "10.0.0.1", ttl=3600)
        resolver = Resolver(("127.0.0.1", server.port), hosts=HostsFile(str(tmp_path / "none")))
        changes, lines = Changes(), []
        follower = Follower(resolver, nursery, rng=Random(1), tell=lines.append, pace=QUICK)
        name = follower.follow_name("app.test", changes)
        await changes.wait_until(lambda: name.addresses == ("10.0.0.1",))
        server.set("app.test", "A", "10.0.0.2", "10.0.0.3")
        await changes.wait_until(lambda: set(name.addresses) == {"10.0.0.2", "10.0.0.3"})
        for fault in ("SERVFAIL", "REFUSED", "nonsense"):
            server.fail("app.test", fault)
            asked = server.times("app.test", "A")
            await trio.to_thread.run_sync(server.wait_until_asked, "app.test", "A", asked + 3)
            assert len(name.addresses) == 2
        server.heal("app.test")
        server.set("app.test", "AAAA", "fd00::1")
        await changes.wait_until(lambda: len(name.addresses) == 3)
        assert lines[-1] == "app.test: resolves again"


async def test_answer_that_comes_late_is_taken(tmp_path, nursery):
    with dns_server() as server:
        server.set("app.test", "A", "10.0.0.1")
        server.fail("app.test A", "hold")
        resolver = Resolver(("127.0.0.1", server.port), hosts=HostsFile(str(tmp_path / "none")))
        changes = Changes()
        follower = Follower(resolver, nursery, rng=Random(1), tell=never, pace=QUICK)
        name = follower.follow_name("app.test", changes)
        await trio.to_thread.run_sync(server.wait_until_asked, "app.test", "A")
        assert name.addresses == ()
        server.heal("app.test A")
        await changes.wait_until(lambda: name.addresses == ("10.0.0.1",))
