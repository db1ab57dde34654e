"""Pools: who is picked, who waits, and what comes back, in any order of everything that can happen to one."""

import random
from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from netfront.endpoint import Endpoint
from netfront.errors import NoBackend
from netfront.net.backend import BACKUP, Member
from netfront.net.lane import Signal
from netfront.net.pool import DONE, GIVEN_UP, Pool, PoolRules
from netfront.policy.health import HealthRules
from netfront.policy.pick import PICKERS, make_picker
from netfront.policy.slots import SlotTable
from netfront.policy.statuses import StatusSet
from netfront.policy.sticky import Sticky
from tests.support.seats import Steps

REFUSED = "connection refused"
CUT = "closed before it had answered"


@pytest.fixture
def steps():
    with Steps() as steps:
        yield steps


def member(number, **kinds):
    return Member(Endpoint("http", "192.0.2.1", number), f"b{number}", b"b", **kinds)


def pool_of(*members, lb="rr", queue=100, **rules):
    made = [one if isinstance(one, Member) else member(one) for one in members]
    return Pool("pool", made, rules=PoolRules(lb, HealthRules(**rules), queue=queue), rng=random.Random(0))


def take(pool, steps, *tried, **how):
    return pool.take(None, tried, steps.now, **how)


def names(leases):
    return [lease.backend.member.label for lease in leases]


def eject(pool, steps, place, *, connected=False, why=REFUSED):
    """Let a backend fail three times."""
    backend = pool.backends[place]
    for _ in range(3):
        others = [one for one in pool.backends if one is not backend]
        take(pool, steps, *others).done(why, connected=connected)
    assert not backend.is_up
    return backend


def wait(pool, steps, *, left=lambda: False):
    """Let somebody wait for a lease."""
    gone = Signal()
    hand = steps.begin(lambda: pool.wait_for_lease(lambda: take(pool, steps, has_waited=True), gone, left))
    hand.gone = gone
    return hand


def go_on(*hands):
    """Step whoever is due until nobody is."""
    while any(hand.is_due for hand in hands):
        for hand in hands:
            if hand.is_due:
                hand.step()


# -- leases -------------------------------------------------------------------------------------------------


def test_a_lease_is_counted_from_its_taking_to_its_end(steps):
    pool = pool_of(1)
    lease = take(pool, steps)
    assert pool.backends[0].in_flight == 1
    lease.done(DONE)
    assert (pool.backends[0].in_flight, pool.backends[0].served) == (0, 1)


def test_a_lease_is_handed_back_once(steps):
    lease = take(pool_of(1), steps)
    lease.done(GIVEN_UP)
    with pytest.raises(RuntimeError):
        lease.done(DONE)


def test_what_a_client_gave_up_says_nothing(steps):
    pool = pool_of(1, 2)
    for _ in range(20):
        take(pool, steps).done(GIVEN_UP)
    assert [(one.is_up, one.failures, one.served) for one in pool.backends] == [(True, 0, 0)] * 2


def test_an_answer_that_counts_as_a_failure_ejects_though_it_comes_whole(steps):
    rules = PoolRules(eject_on=StatusSet(((502, 502),)))
    pool = Pool("pool", [member(1), member(2)], rules=rules)
    for _ in range(6):
        lease = take(pool, steps)
        lease.judge(502 if lease.backend is pool.backends[0] else 404)
        lease.done(DONE)
    assert [one.is_up for one in pool.backends] == [False, True]
    assert pool.backends[0].why == "answered 502"


def test_of_a_lone_backend_one_failure_is_told_and_it_goes_on_being_picked(steps):
    told = []
    pool = Pool("pool", [member(1)], lambda backend: told.append(backend.is_up))
    take(pool, steps).done(REFUSED, connected=False)
    assert told == [False]
    take(pool, steps).done(DONE)
    assert told == [False, True]


# -- who is picked --------------------------------------------------------------------------------------------


def test_an_ejected_backend_is_not_picked(steps):
    pool = pool_of(1, 2, 3)
    eject(pool, steps, 0)
    assert set(names(take(pool, steps) for _ in range(10))) == {"b2", "b3"}


def test_backups_are_picked_once_all_others_are_down_and_no_longer_than_that(steps):
    pool = pool_of(1, 2, member(3, tier=BACKUP))
    eject(pool, steps, 0)
    assert set(names(take(pool, steps) for _ in range(5))) == {"b2"}
    eject(pool, steps, 1)
    assert set(names(take(pool, steps) for _ in range(5))) == {"b3"}
    pool.dialled(pool.backends[1], "", steps.now)
    take(pool, steps).done(DONE)
    assert set(names(take(pool, steps) for _ in range(5))) == {"b2"}


def test_tiers_are_gone_through_one_after_the_other(steps):
    pool = pool_of(member(1, tier=2), member(2, tier=1), member(3, tier=BACKUP), 4)
    picked = []
    while any(one.is_up for one in pool.backends):
        [label] = set(names(take(pool, steps) for _ in range(3)))
        picked.append(label)
        eject(pool, steps, int(label[1:]) - 1)
    assert picked == ["b4", "b2", "b1", "b3"]


def test_who_is_turned_away_while_its_tier_is_full_goes_to_the_next_one_and_not_further(steps):
    pool = pool_of(1, member(2, max=1), member(3, tier=2), member(4, tier=1))
    take(pool, steps, pool.backends[0])
    assert names([take(pool, steps, pool.backends[0], has_waited=True)]) == ["b4"]


def test_backups_are_not_for_when_the_others_are_full(steps):
    pool = pool_of(member(1, max=1), member(2, tier=BACKUP))
    take(pool, steps)
    with pytest.raises(NoBackend) as refused:
        take(pool, steps)
    assert refused.value.is_full


def test_who_was_turned_away_by_one_goes_to_a_backup_before_it_waits(steps):
    pool = pool_of(1, member(2, max=1), member(3, tier=BACKUP))
    held = take(pool, steps, pool.backends[0])
    assert names([held, take(pool, steps, pool.backends[0], has_waited=True)]) == ["b2", "b3"]


@pytest.mark.parametrize("is_first", [True, False])
def test_one_that_is_down_is_not_for_when_the_others_are_full(is_first, steps):
    pool = pool_of(1, member(2, max=1), 3)
    eject(pool, steps, 0)
    eject(pool, steps, 2)
    take(pool, steps)
    with pytest.raises(NoBackend) as refused:
        take(pool, steps, *([] if is_first else [pool.backends[0]]))
    assert refused.value.is_full


def test_where_all_are_down_all_are_tried(steps):
    pool = pool_of(1, 2, member(3, tier=BACKUP))
    for place in range(3):
        eject(pool, steps, place)
    assert set(names(take(pool, steps) for _ in range(6))) == {"b1", "b2", "b3"}


def test_nobody_is_picked_who_is_drained_or_weighs_nothing(steps):
    pool = pool_of(1, 2, member(3, weight=0))
    pool.drain(pool.backends[0], is_drained=True)
    assert set(names(take(pool, steps) for _ in range(6))) == {"b2"}
    pool.drain(pool.backends[1], is_drained=True)
    with pytest.raises(NoBackend, match="no backend takes requests"):
        take(pool, steps)
    pool.drain(pool.backends[0], is_drained=False)
    assert names([take(pool, steps)]) == ["b1"]


@pytest.mark.parametrize("lb", PICKERS)
def test_tried_ones_are_not_picked_again_in_any_way_of_picking(lb, steps):
    pool = pool_of(*range(1, 6), lb=lb)
    tried = []
    for _ in range(5):
        tried.append(pool.take(b"k", tried, steps.now).backend)
    assert sorted(one.name for one in tried) == sorted(one.name for one in pool.backends)
    with pytest.raises(NoBackend, match="all backends were tried"):
        pool.take(b"k", tried, steps.now)


def test_a_second_try_goes_to_another_that_is_up_or_nowhere(steps):
    pool = pool_of(1, 2, 3)
    first = take(pool, steps).backend
    beside = pool.take_beside(None, (first,), steps.now)
    assert beside is not None
    assert beside.backend is not first
    for place in range(3):
        if pool.backends[place] is not first and pool.backends[place].is_up:
            eject(pool, steps, place)
    assert pool.take_beside(None, (first,), steps.now) is None


def test_a_backup_that_probes_bring_back_is_spared_a_trial_too(steps):
    pool = pool_of(1, member(2, tier=1))
    backup = pool.backends[1]
    eject(pool, steps, 1)
    for _ in range(5):
        pool.probed(backup, ok=False, why="500", now=steps.now)
    steps.now += 200.0
    pool.dialled(backup, "", steps.now)
    assert not backup.is_up
    for _ in range(5):
        pool.probed(backup, ok=True, why="", now=steps.now)
    assert backup.is_up
    for _ in range(3):
        lease = take(pool, steps)
        assert lease.backend is pool.backends[0]
        lease.done(DONE)


def test_a_token_names_its_own_be_it_full_or_not(steps):
    picker = Sticky(make_picker("rr", random.Random(1)), lambda name: b"token of " + name)
    members = [member(1, max=1), member(2, max=1)]
    pool = Pool("pool", members, rng=random.Random(1), picker=picker)
    own, other = pool.backends
    key = b"token of " + own.name
    assert pool.take(key, (), steps.now).backend is own
    assert pool.is_bound(key, own)
    assert not pool.is_bound(key, other)
    assert not pool.is_bound(None, own)
    pool.probed(own, ok=False, why="500", now=steps.now)
    pool.probed(own, ok=False, why="500", now=steps.now)
    pool.probed(own, ok=False, why="500", now=steps.now)
    assert not pool.is_bound(key, own), "one that is down"


def test_to_fill_and_empty_moves_no_keys(steps, monkeypatch):
    """To work out anew who owns which takes milliseconds, for everybody."""
    members = [member(number, max=1) for number in (1, 2, 3)]
    pool = Pool("pool", members, rules=PoolRules(lb="hash"), rng=random.Random(1))
    moved = []
    for name in ("_take", "_give_away"):
        monkeypatch.setattr(SlotTable, name, lambda *_: moved.append(True))
    leases = [pool.take(b"same", (), steps.now) for _ in members]
    assert {lease.backend for lease in leases} == set(pool.backends)
    with pytest.raises(NoBackend) as caught:
        pool.take(b"same", (), steps.now)
    assert caught.value.is_full
    own = leases[0].backend
    for lease in leases:
        lease.done(DONE)
    assert pool.take(b"same", (), steps.now).backend is own
    assert moved == []


def test_a_second_try_takes_nobodys_place(steps):
    pool = pool_of(member(1, max=1), member(2, max=1))
    one, other = take(pool, steps), take(pool, steps)
    waiting = wait(pool, steps)
    other.done(DONE)
    assert pool.take_beside(None, (one.backend,), steps.now) is None
    go_on(waiting)
    assert waiting.result.backend is other.backend


# -- trials -------------------------------------------------------------------------------------------------


def back(pool, steps, backend):
    """Let a dial of a backend succeed."""
    steps.now = max(steps.now, backend.health.until)
    pool.dialled(backend, "", steps.now)


def test_one_request_tries_a_backend_that_accepts_again(steps):
    pool = pool_of(1, 2)
    backend = eject(pool, steps, 0)
    back(pool, steps, backend)
    leases = [take(pool, steps) for _ in range(5)]
    assert names(leases) == ["b1", "b2", "b2", "b2", "b2"]
    leases[0].done(DONE)
    assert backend.is_up


def test_a_trial_is_decided_when_its_answer_begins(steps):
    pool = pool_of(1, 2)
    backend = eject(pool, steps, 0)
    back(pool, steps, backend)
    trial = take(pool, steps)
    trial.answered()
    assert backend.is_up, "whatever its body takes"
    trial.done(CUT)
    assert backend.is_up, "a cut is one failure like others"


def test_an_answer_that_counts_as_a_failure_decides_a_trial_likewise(steps):
    pool = Pool("pool", [member(1), member(2)], rules=PoolRules(eject_on=StatusSet(((502, 502),))))
    backend = eject(pool, steps, 0)
    back(pool, steps, backend)
    trial = take(pool, steps)
    trial.judge(502)
    trial.answered()
    assert not backend.is_up
    trial.done(DONE)
    assert not backend.is_up
    assert not backend.health.wants_trial(steps.now)


def test_who_stands_by_is_woken_when_a_backup_frees_though_those_before_it_are_busy(steps):
    pool = pool_of(member(1, max=1), member(2, max=1, tier=BACKUP))
    first, backup = pool.backends
    held = [pool._lease(backup), pool._lease(first)]
    hand = steps.begin(
        lambda: pool.wait_for_lease(
            lambda: take(pool, steps, first, has_waited=True), Signal(), lambda: False, stands_by=True
        )
    )
    go_on(hand)
    assert not hand.is_over
    held[0].done(DONE)
    go_on(hand)
    assert hand.is_over
    assert hand.result.backend is backup
    hand.result.done(DONE)
    held[1].done(DONE)


def test_two_that_are_dialled_alike_and_spoken_to_by_other_names_have_names_of_their_own():
    place = Endpoint("http", "192.0.2.1", 1)
    ann, ben = (Member(place, host.decode(), b"b", host=host) for host in (b"ann.test", b"ben.test"))
    pool = Pool("pool", [ann, ben], rules=PoolRules("hash"), rng=random.Random(0))
    assert len({backend.name for backend in pool.backends}) == 2
    picked = {pool.take(b"%d" % key, (), 0.0).backend.member for key in range(100)}
    assert picked == {ann, ben}
    [name, _] = [backend.name for backend in pool.backends]
    pool.replace([ann])
    assert pool.backends[0].name == name == Pool("pool", [ann]).backends[0].name  # whoever is beside it


def test_a_request_that_cannot_be_repeated_is_a_trial_only_after_a_while(steps):
    pool = pool_of(1, 2)
    back(pool, steps, eject(pool, steps, 0))
    assert names([take(pool, steps, may_repeat=False)]) == ["b2"]
    steps.now += 1.1
    assert names([take(pool, steps, may_repeat=False)]) == ["b1"]


def test_a_trial_that_its_client_gave_up_is_followed_by_another_after_a_dial(steps):
    pool = pool_of(1, 2)
    backend = eject(pool, steps, 0)
    back(pool, steps, backend)
    take(pool, steps).done(GIVEN_UP)
    assert names([take(pool, steps)]) == ["b2"]
    back(pool, steps, backend)
    assert names([take(pool, steps)]) == ["b1"]


def test_probes_that_turn_good_let_a_trial_through_that_waited_for_them(steps):
    pool = pool_of(1, 2, rise=1, fall=1)
    backend = eject(pool, steps, 0)
    pool.probed(backend, ok=False, why="500", now=steps.now)
    back(pool, steps, backend)
    assert names([take(pool, steps)]) == ["b2"]
    pool.probed(backend, ok=True, why="", now=steps.now)
    assert names([take(pool, steps)]) == ["b1"]


def test_probes_that_end_leave_nobody_down(steps):
    told = []
    pool = Pool("pool", [member(1), member(2)], told.append, rules=PoolRules(health=HealthRules(fall=1)))
    backend = pool.backends[0]
    pool.probed(backend, ok=False, why="500", now=steps.now)
    assert not backend.is_up
    pool.unprobed(steps.now)
    assert backend.is_up
    assert told == [backend, backend]
    assert not pool.ejected.is_set


# -- waiting ------------------------------------------------------------------------------------------------


def test_those_that_wait_are_let_in_in_the_order_they_came(steps):
    pool = pool_of(member(1, max=2))
    held = [take(pool, steps), take(pool, steps)]
    waiting = [wait(pool, steps) for _ in range(4)]
    for number in range(4):
        held[number].done(DONE)
        go_on(*waiting[::-1])
        assert [hand.is_over for hand in waiting] == [True] * (number + 1) + [False] * (3 - number)
        held.append(waiting[number].result)
        assert pool.backends[0].in_flight == 2


def test_nobody_goes_past_one_who_is_let_in_but_has_not_gone_on(steps):
    pool = pool_of(member(1, max=1))
    held = take(pool, steps)
    first, second = wait(pool, steps), wait(pool, steps)
    held.done(DONE)
    with pytest.raises(NoBackend) as refused:
        take(pool, steps)
    assert refused.value.is_full
    go_on(first, second)
    first.result.done(DONE)
    with pytest.raises(NoBackend):
        take(pool, steps)
    go_on(first, second)
    assert second.result is not None


def test_one_who_leaves_gives_the_turn_on(steps):
    pool = pool_of(member(1, max=1))
    held = take(pool, steps)
    left = []
    first, second = wait(pool, steps, left=lambda: bool(left)), wait(pool, steps)
    held.done(DONE)
    first.gone.set()
    left.append(True)
    first.step(RuntimeError("cut"))
    assert isinstance(first.error, RuntimeError)
    go_on(second)
    assert second.result is not None


def test_a_client_that_might_have_left_keeps_its_turn_if_it_has_not(steps):
    pool = pool_of(member(1, max=1))
    held = take(pool, steps)
    first = wait(pool, steps, left=lambda: first.gone.clear())
    second = wait(pool, steps)
    first.gone.set()
    go_on(first, second)
    assert not first.is_over
    held.done(DONE)
    go_on(second, first)
    assert (first.is_over, second.is_over) == (True, False)


def test_a_client_that_has_left_gets_nothing(steps):
    pool = pool_of(member(1, max=1))
    take(pool, steps)
    first = wait(pool, steps, left=lambda: True)
    first.gone.set()
    go_on(first)
    assert (first.is_over, first.result, first.error) == (True, None, None)


def test_waiting_ends_in_time_and_with_too_many(steps):
    pool = pool_of(member(1, max=1), queue=2)
    take(pool, steps)
    waiting = [wait(pool, steps) for _ in range(3)]
    assert [hand.is_over for hand in waiting] == [False, False, True]
    assert str(waiting[2].error) == "all backends are busy and 2 wait already"
    steps.now += 5.0
    go_on(*waiting)
    assert [str(hand.error) for hand in waiting[:2]] == ["all backends are busy"] * 2


@pytest.mark.parametrize("how", ["joins", "returns", "undrained", "larger", "trial"])
def test_those_that_wait_go_on_when_somebody_comes(how, steps):
    pool = pool_of(member(1, max=1), member(2, max=1))
    if how in ("returns", "trial"):
        backend = eject(pool, steps, 1)
        back(pool, steps, backend)
        trial = take(pool, steps)
        if how == "trial":
            trial.done(GIVEN_UP)
    elif how == "undrained":
        pool.drain(pool.backends[1], is_drained=True)
    else:
        pool.replace([member(1, max=1)])
    take(pool, steps)
    waiting = wait(pool, steps)
    go_on(waiting)
    assert not waiting.is_over
    if how == "joins":
        pool.replace([member(1, max=1), member(2)])
    elif how == "larger":
        pool.replace([member(1, max=2)])
    elif how == "undrained":
        pool.drain(pool.backends[1], is_drained=False)
    elif how == "trial":
        back(pool, steps, backend)
    else:
        trial.done(DONE)
    go_on(waiting)
    assert waiting.result is not None


def test_one_that_cannot_be_repeated_waits_no_longer_than_its_trial_is_due(steps):
    pool = pool_of(member(1, max=1), 2)
    backend = eject(pool, steps, 1)
    take(pool, steps)
    gone = Signal()
    waiting = steps.begin(
        lambda: pool.wait_for_lease(
            lambda: take(pool, steps, may_repeat=False, has_waited=True), gone, lambda: False
        )
    )
    back(pool, steps, backend)
    go_on(waiting)
    assert not waiting.is_over
    steps.now += 1.1
    pool.sweep(steps.now)
    go_on(waiting)
    assert waiting.result.backend is backend


def test_those_that_wait_for_nobody_are_told_at_once(steps):
    pool = pool_of(member(1, max=1))
    take(pool, steps)
    waiting = [wait(pool, steps) for _ in range(3)]
    pool.replace([])
    go_on(*waiting)
    assert [str(hand.error) for hand in waiting] == ["the pool is empty"] * 3


# -- who is in it -------------------------------------------------------------------------------------------


def test_one_that_stays_keeps_what_is_known_of_it(steps):
    pool = pool_of(1, 2, 3)
    backend = eject(pool, steps, 0)
    lease = take(pool, steps)
    pool.replace([member(1), member(2, weight=5), member(4)])
    assert pool.backends[0] is backend
    assert not backend.is_up
    assert lease.backend.in_flight == 1
    pool.replace([member(1)])
    assert not pool.backends[0].is_up
    pool.replace([member(1), member(2)])
    assert not pool.backends[0].is_up, "also where there is but one in between"


def test_one_that_comes_back_while_it_drains_is_the_same_and_is_dialled_if_it_is_down(steps):
    pool = pool_of(1, 2)
    lease = take(pool, steps, pool.backends[1])
    backend = eject(pool, steps, 0)
    pool.replace([member(2), member(3)])
    assert not pool.ejected.is_set, "nobody here is down"
    assert pool.leaving == [backend]
    pool.replace([member(1), member(2), member(3)])
    assert pool.backends[0] is backend
    assert pool.ejected.is_set
    lease.done(GIVEN_UP)
    assert (backend.in_flight, backend.generation) == (0, 1)


def test_what_probes_said_of_one_that_leaves_is_forgotten_too_when_nobody_is_probed_any_more(steps):
    pool = pool_of(1, 2)
    backend = pool.backends[0]
    lease = take(pool, steps, pool.backends[1])
    for _ in range(3):
        pool.probed(backend, ok=False, why="503", now=steps.now)
    pool.replace([member(2)])
    pool.unprobed(steps.now)
    pool.replace([member(1), member(2)])
    assert pool.backends[0] is backend
    assert backend.is_up
    lease.done(DONE)


def test_other_rules_hold_for_those_that_are_there(steps):
    pool = pool_of(1, 2)
    pool.rules = PoolRules(health=HealthRules(failures=1))
    pool.replace([member(1), member(2)])
    take(pool, steps).done(REFUSED, connected=False)
    assert [one.is_up for one in pool.backends] == [False, True]


@pytest.mark.parametrize("before", PICKERS)
@pytest.mark.parametrize("lb", PICKERS)
def test_the_way_of_picking_changes_under_way_and_nothing_is_forgotten(before, lb, steps):
    pool = pool_of(member(1, max=2), member(2, max=2), 3, lb=before)
    down = eject(pool, steps, 2)
    held = [take(pool, steps) for _ in range(3)]
    pool.go_by(PoolRules(lb=lb), make_picker(lb, random.Random(0)))
    assert not down.is_up
    assert sum(one.in_flight for one in pool.backends) == 3
    held.append(take(pool, steps))
    assert [one.in_flight for one in pool.backends] == [2, 2, 0]
    for lease in held:
        lease.done(DONE)
    assert sorted(names(take(pool, steps) for _ in range(4))) == ["b1", "b1", "b2", "b2"]
    assert {one.in_flight for one in pool.backends} == {0, 2}


def test_who_waits_for_a_place_is_picked_for_in_the_other_way(steps):
    pool = pool_of(member(1, max=1), member(2, max=1))
    pool.go_by(PoolRules(lb="first"), make_picker("first", random.Random(0)))
    leases = [take(pool, steps), take(pool, steps)]
    assert names(leases) == ["b1", "b2"]
    for lease in leases:
        lease.done(DONE)
    for _ in range(3):
        lease = take(pool, steps)
        assert names([lease]) == ["b1"]
        lease.done(DONE)


def test_a_slow_start_gives_less_at_first_and_the_whole_in_the_end(steps):
    pool = pool_of(1, 2, slow_start=30.0)
    backend = eject(pool, steps, 0)
    back(pool, steps, backend)
    take(pool, steps).done(DONE)

    def share():
        picked = names(take(pool, steps) for _ in range(110))
        return picked.count("b1")

    assert 9 <= share() <= 11
    steps.now += 15.0
    pool.sweep(steps.now)
    assert 35 < share() < 45
    steps.now += 16.0
    pool.sweep(steps.now)
    assert share() == 55


# -- all of it in any order -----------------------------------------------------------------------------------

MAXES = {1: 0, 2: 1, 3: 2, 4: 0, 5: 1, 6: 0}
"""Most requests of each member at once; they stay, so that a bound may be looked at when a lease is taken."""
TIERS = {1: 0, 2: 0, 3: 0, 4: 1, 5: 1, 6: BACKUP}


def best_of(backends):
    """Those of the best tier that is there."""
    return [one for one in backends if one.member.tier == min(other.member.tier for other in backends)]


class Machine(RuleBasedStateMachine):
    """A pool, those that hold leases, and those that wait for one."""

    def __init__(self):
        super().__init__()
        self.steps = Steps()
        self.steps.__enter__()
        self.leases = []
        self.waiting = []
        self.told = []

    @initialize(
        numbers=st.sets(st.sampled_from(sorted(MAXES)), min_size=1),
        lb=st.sampled_from(PICKERS),
        seed=st.integers(0, 99),
        failures=st.sampled_from([1, 1, 3]),
    )
    def begin(self, numbers, lb, seed, failures):
        rules = PoolRules(lb, HealthRules(failures, fall=1, rise=1, slow_start=seed % 2 * 10.0), queue=3)
        self.pool = Pool(
            "pool",
            [self.member(number) for number in sorted(numbers)],
            self.told.append,
            rules=rules,
            rng=random.Random(seed),
        )

    @staticmethod
    def member(number, weight=1):
        return member(number, weight=weight, max=MAXES[number], tier=TIERS[number])

    def usable(self, tried=()):
        return [
            one for one in self.pool.backends if one.member.weight and not one.is_drained and one not in tried
        ]

    @staticmethod
    def is_full(backend):
        return 0 < backend.member.max <= backend.in_flight

    def wanting(self, tried=()):
        return [
            one
            for one in self.usable(tried)
            if one.health.wants_trial(self.steps.now) and not self.is_full(one)
        ]

    def take(self, tried=(), may_repeat=True, has_waited=False):
        """Take a lease, and look whether it is one that may be given."""
        rest, wanting = self.usable(tried), self.wanting(tried)
        up = [one for one in rest if one.is_up]
        preferred = best_of(up)
        free = [one for one in rest if not self.is_full(one)]
        # where nobody has a `max` there is room for all, and those that wait are served at their next step
        is_scarce = any(one.member.max for one in self.pool.backends)
        is_passing = bool(self.waiting) and not has_waited and len(self.pool.backends) > 1 and is_scarce
        try:
            lease = self.pool.take(b"%d" % len(self.leases), tried, self.steps.now, may_repeat=may_repeat,
                                   has_waited=has_waited)  # fmt: skip
        except NoBackend as error:
            if error.is_full:
                if has_waited or not self.waiting:
                    assert rest
                    assert not wanting or not may_repeat
                    if up:
                        places = up if tried else preferred
                        assert all(map(self.is_full, places)), "there was room"
                    else:
                        assert not free
            else:
                assert not rest
            raise
        backend = lease.backend
        assert not is_passing, "it went past those that wait"
        assert backend in rest
        assert not (0 < backend.member.max < backend.in_flight), "more than it takes"
        if not backend.is_up:
            assert backend in wanting or not up, "one that is down, while another is up"
            better = [one for one in up if one.member.tier < backend.member.tier]
            assert not better, "a trial of one that is not preferred"
        elif not tried:
            assert backend in preferred, "while one of a better tier is up"
        if wanting and may_repeat:
            assert backend in wanting or len(self.pool.backends) == 1, "a trial was due"
        self.leases.append(lease)
        return lease

    @rule(lb=st.sampled_from(PICKERS), seed=st.integers(0, 99))
    def pick_otherwise(self, lb, seed):
        self.pool.go_by(replace(self.pool.rules, lb=lb), make_picker(lb, random.Random(seed)))

    @rule(may_repeat=st.booleans())
    def request(self, may_repeat):
        try:
            self.take(may_repeat=may_repeat)
        except NoBackend as error:
            if error.is_full:
                self.wait(may_repeat)

    def wait(self, may_repeat):
        left = []
        gone = Signal()
        hand = self.steps.begin(
            lambda: self.pool.wait_for_lease(
                lambda: self.take((), may_repeat, has_waited=True), gone, lambda: bool(left)
            )
        )
        if not hand.is_over:
            hand.gone, hand.left, hand.may_repeat = gone, left, may_repeat
            self.waiting.append(hand)
        else:
            assert len(self.waiting) == 3
            assert isinstance(hand.error, NoBackend)

    @precondition(lambda self: self.leases)
    @rule(place=st.integers(0, 999), outcome=st.sampled_from([DONE, DONE, GIVEN_UP, REFUSED, CUT]))
    def hand_back(self, place, outcome):
        lease = self.leases.pop(place % len(self.leases))
        lease.done(outcome, connected=outcome is not REFUSED)

    @precondition(lambda self: self.leases)
    @rule(place=st.integers(0, 999), outcome=st.sampled_from([REFUSED, CUT]))
    def go_elsewhere(self, place, outcome):
        lease = self.leases.pop(place % len(self.leases))
        lease.done(outcome, connected=outcome is not REFUSED)
        try:
            self.take((lease.backend,), has_waited=True)
        except NoBackend:
            pass

    @precondition(lambda self: self.leases)
    @rule(place=st.integers(0, 999))
    def begin_answer(self, place):
        lease = self.leases[place % len(self.leases)]
        was_trial = lease.is_trial
        lease.answered()
        if was_trial:
            assert not lease.is_trial

    @precondition(lambda self: self.leases)
    @rule(place=st.integers(0, 999))
    def hedge(self, place):
        first = self.leases[place % len(self.leases)].backend
        lease = self.pool.take_beside(b"x", (first,), self.steps.now)
        if lease is not None:
            assert lease.backend is not first
            assert lease.backend.is_up
            assert not self.waiting
            assert lease.backend in self.usable((first,))
            assert not (0 < lease.backend.member.max < lease.backend.in_flight)
            self.leases.append(lease)

    @rule(is_well=st.booleans())
    def dial(self, is_well):
        for backend in self.pool.backends:
            if backend.health.redial_at <= self.steps.now:
                self.pool.dialled(backend, "" if is_well else REFUSED, self.steps.now)

    @rule(place=st.integers(0, 9), ok=st.booleans(), times=st.integers(1, 3))
    def probe(self, place, ok, times):
        for _ in range(times):
            if self.pool.backends:
                backend = self.pool.backends[place % len(self.pool.backends)]
                self.pool.probed(backend, ok=ok, why="" if ok else "500", now=self.steps.now)

    @rule()
    def probe_no_more(self):
        self.pool.unprobed(self.steps.now)

    @rule(place=st.integers(0, 9), is_drained=st.booleans())
    def drain(self, place, is_drained):
        if self.pool.backends:
            self.pool.drain(self.pool.backends[place % len(self.pool.backends)], is_drained=is_drained)

    @rule(numbers=st.dictionaries(st.sampled_from(sorted(MAXES)), st.sampled_from([0, 1, 1, 3])))
    def replace(self, numbers):
        kept = {one.member.endpoint.port: one for one in (*self.pool.backends, *self.pool.leaving)}
        self.pool.replace([self.member(number, weight) for number, weight in numbers.items()])
        assert [one.member.endpoint.port for one in self.pool.backends] == list(numbers)
        for one in self.pool.backends:
            assert kept.get(one.member.endpoint.port, one) is one

    @rule(seconds=st.sampled_from([0.001, 0.5, 1.1, 5.0, 30.0, 120.0]))
    def pass_time(self, seconds):
        self.steps.now += seconds
        self.pool.sweep(self.steps.now)

    @precondition(lambda self: self.waiting)
    @rule(place=st.integers(0, 9), has_left=st.booleans())
    def leave(self, place, has_left):
        hand = self.waiting[place % len(self.waiting)]
        if has_left:
            hand.left.append(True)
            hand.gone.set()
        else:
            hand.step(RuntimeError("cut"))
            self.waiting.remove(hand)

    @precondition(lambda self: self.waiting)
    @rule(order=st.randoms(use_true_random=False))
    def go_on(self, order):
        """Step whoever is due; who gets a lease was the first of those that wait on."""
        while due := [hand for hand in self.waiting if hand.is_due]:
            hand = order.choice(due)
            place = self.waiting.index(hand)
            hand.step()
            if hand.is_over:
                self.waiting.remove(hand)
                if hand.result is not None:
                    assert place == 0, "not in the order they came"
        if self.waiting:
            usable = self.usable()
            assert usable, "they wait for nobody"
            assert not (self.wanting() and self.waiting[0].may_repeat)
            up = [one for one in usable if one.is_up]
            assert all(map(self.is_full, best_of(up) or usable)), "there is room"

    @invariant()
    def leases_are_counted(self):
        if hasattr(self, "pool"):
            everybody = {*self.pool.backends, *self.pool.leaving, *(lease.backend for lease in self.leases)}
            for backend in everybody:
                assert backend.in_flight == sum(lease.backend is backend for lease in self.leases)

    @invariant()
    def whoever_dials_knows_of_those_that_are_down(self):
        if hasattr(self, "pool"):
            # a lone one is not dialled
            is_wanted = self.pool.has_several and any(not one.is_up for one in self.pool.backends)
            assert self.pool.ejected.is_set is is_wanted

    def teardown(self):
        for lease in self.leases:
            lease.done(DONE)
        for hand in self.waiting:
            hand.step(RuntimeError("cut"))
        self.steps.__exit__()  # first: what is asserted below may fail, and others run after it
        if hasattr(self, "pool"):
            assert [one.in_flight for one in (*self.pool.backends, *self.pool.leaving)] == [0] * (
                len(self.pool.backends) + len(self.pool.leaving)
            )


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=200, stateful_step_count=60, deadline=None)
