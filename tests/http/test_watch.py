"""Watching backends: who is probed when, while they come and go. No socket is opened here."""

import random
from collections import Counter
from itertools import pairwise

import trio

from netfront.endpoint import parse_place
from netfront.http.probe import Verdict
from netfront.http.watch import Turns, Watch
from netfront.net.backend import Backend, Member

GOOD = Verdict(True, "", 0.0)


def backends(count, first=3000):
    return [
        Backend(Member(parse_place(str(first + at)), str(first + at), b"app.test")) for at in range(count)
    ]


class Probing:
    """Probes that take `takes` seconds, and what came of them."""

    def __init__(self, takes=0.0):
        self.takes = takes
        self.began = {}
        self.running = Counter()
        self.most_at_once = 0
        self.told = Counter()

    def probe(self, backend):
        async def probe():
            self.began.setdefault(backend, []).append(trio.current_time())
            self.running[backend] += 1
            assert self.running[backend] == 1
            self.most_at_once = max(self.most_at_once, self.running.total())
            await trio.sleep(self.takes)
            self.running[backend] -= 1
            return GOOD

        return probe

    def tell(self, backend, verdict):
        assert verdict is GOOD
        self.told[backend] += 1

    def watch(self, nursery, *, interval=2.0, turns=None):
        return Watch(
            nursery.start_soon,
            self.probe,
            self.tell,
            interval=interval,
            rng=random.Random(5),
            turns=turns or Turns(),
        )


async def test_each_is_probed_at_once_and_then_again_and_again(autojump_clock, nursery):
    probing = Probing()
    known = backends(3)
    start = trio.current_time()
    probing.watch(nursery).replace(known)
    await trio.sleep(100)
    for backend in known:
        began = probing.began[backend]
        assert began[0] - start < 0.03
        gaps = [later - earlier for earlier, later in pairwise(began)]
        assert 1.8 <= min(gaps) < 1.9 < 2.1 < max(gaps) <= 2.2
        assert probing.told[backend] == len(began)


async def test_first_probes_of_many_are_spread(autojump_clock, nursery):
    probing = Probing()
    start = trio.current_time()
    probing.watch(nursery).replace(backends(100))
    await trio.sleep(1.5)
    began = sorted(times[0] - start for times in probing.began.values())
    assert len(began) == 100
    assert began[20] < 0.4 < began[80] < 1.0


async def test_many_are_spread_over_no_more_than_the_interval(autojump_clock, nursery):
    probing = Probing()
    probing.watch(nursery, interval=0.5).replace(backends(1000))
    await trio.sleep(0.5)
    assert len(probing.began) == 1000


async def test_a_slow_probe_is_never_doubled(autojump_clock, nursery):
    probing = Probing(takes=5)
    (backend,) = known = backends(1)
    probing.watch(nursery, interval=1).replace(known)
    await trio.sleep(26)
    assert len(probing.began[backend]) == 6
    assert probing.told[backend] == 5


async def test_no_more_than_the_turns_are_probed_at_once(autojump_clock, nursery):
    probing = Probing(takes=1)
    turns = Turns(8)
    for watch, known in (
        (probing.watch(nursery, turns=turns), backends(40, 3000 + 100 * n)) for n in range(2)
    ):
        watch.replace(known)
    await trio.sleep(60)
    assert probing.most_at_once == 8
    assert len(probing.told) == 80
    assert max(probing.told.values()) - min(probing.told.values()) <= 1


async def test_who_comes_is_probed_and_who_goes_is_not(autojump_clock, nursery):
    probing = Probing()
    stays, goes, comes = backends(3)
    watch = probing.watch(nursery)
    watch.replace([stays, goes])
    await trio.sleep(11)
    before = dict(probing.told)
    watch.replace([stays, comes])
    await trio.sleep(11)
    assert probing.told[goes] == before[goes]
    assert probing.told[comes] >= 5
    gaps = [later - earlier for earlier, later in pairwise(probing.began[stays])]
    assert max(gaps) <= 2.2


async def test_a_verdict_on_who_has_left_is_not_told(autojump_clock, nursery):
    probing = Probing(takes=1)
    known = backends(1)
    watch = probing.watch(nursery)
    watch.replace(known)
    await trio.sleep(0.5)
    watch.close()
    await trio.sleep(10)
    assert not probing.told
    assert len(nursery.child_tasks) == 0


async def test_who_comes_back_while_his_probe_runs_is_not_probed_twice_at_once(autojump_clock, nursery):
    probing = Probing(takes=1)
    (backend,) = known = backends(1)
    watch = probing.watch(nursery)
    watch.replace(known)
    await trio.sleep(0.5)
    watch.replace(())
    watch.replace(known)
    await trio.sleep(0.1)
    watch.replace(())
    await trio.sleep(0.1)
    watch.replace(known)
    await trio.sleep(10)
    assert len(probing.began[backend]) == probing.told[backend] + probing.running.total() >= 5
    assert len(nursery.child_tasks) == 1


async def test_who_comes_back_later_is_probed_at_once(autojump_clock, nursery):
    probing = Probing()
    (backend,) = known = backends(1)
    watch = probing.watch(nursery)
    watch.replace(known)
    await trio.sleep(1)
    watch.replace(())
    await trio.sleep(1)
    watch.replace(known)
    await trio.sleep(0.1)
    assert len(probing.began[backend]) == 2


async def test_a_cancelled_wait_for_a_turn_takes_none(autojump_clock, nursery):
    turns = Turns(1)
    await turns.take()
    with trio.move_on_after(1):
        await turns.take()
    turns.give_back()
    with trio.fail_after(1):
        await turns.take()


async def test_a_turn_given_to_who_is_cancelled_goes_to_the_next(autojump_clock, nursery):
    turns = Turns(1)
    await turns.take()
    scope = trio.CancelScope()

    async def cancelled():
        with scope:
            await turns.take()

    nursery.start_soon(cancelled)
    await trio.testing.wait_all_tasks_blocked()
    turns.give_back()
    scope.cancel()
    await trio.testing.wait_all_tasks_blocked()
    with trio.fail_after(1):
        if not scope.cancelled_caught:
            turns.give_back()
        await turns.take()


async def test_a_cancelled_nursery_ends_all_probes(autojump_clock):
    probing = Probing(takes=1)
    async with trio.open_nursery() as nursery:
        watch = probing.watch(nursery, turns=Turns(2))
        watch.replace(backends(9))
        await trio.sleep(0.5)
        nursery.cancel_scope.cancel()
    watch.close()
