"""Work in threads: so much at once, and turns for those who wait."""

import threading
from functools import partial

import pytest
import trio
import trio.testing

from netfront.net.threads import Threads


class Works:
    """Work that is begun in an order, and is over when it is told."""

    def __init__(self):
        self.begun = []
        self.at_once = self.most = 0
        self.go = threading.Semaphore(0)
        self._started = threading.Semaphore(0)
        self._lock = threading.Lock()

    def __call__(self, name):
        def work():
            with self._lock:
                self.begun.append(name)
                self.at_once += 1
                self.most = max(self.most, self.at_once)
            self._started.release()
            self.go.acquire(timeout=10)
            with self._lock:
                self.at_once -= 1
            return name

        return work

    async def one_has_begun(self):
        await trio.to_thread.run_sync(self._started.acquire)


@pytest.fixture
def works():
    works = Works()
    yield works
    for _ in range(100):
        works.go.release()


async def test_it_gives_what_the_work_gives():
    threads = Threads()
    assert await threads.run(lambda: 7) == 7
    with pytest.raises(ValueError, match="no"):
        await threads.run(lambda: int("no"))
    assert threads.under_way == 0


async def test_so_many_work_at_once(works):
    threads = Threads(2)
    done = []

    async def ask(name):
        done.append(await threads.run(works(name)))

    async with trio.open_nursery() as nursery:
        for name in range(5):
            nursery.start_soon(ask, name)
        for _ in range(2):
            await works.one_has_begun()
        assert threads.under_way == 5
        for _ in range(5):
            works.go.release()
    assert sorted(done) == [*range(5)]
    assert works.most == 2
    assert threads.under_way == 0


async def test_however_much_waits_of_one_another_waits_for_one_of_theirs(works):
    threads = Threads(1)
    async with trio.open_nursery() as nursery:
        for name in ["a0", "a1", "a2", "a3", "b0", "b1", "c0"]:
            nursery.start_soon(partial(threads.run, works(name), whom=name[:1].encode()))
            await trio.testing.wait_all_tasks_blocked()
        for _ in range(7):
            await works.one_has_begun()
            works.go.release()
    assert works.begun == ["a0", "a1", "b0", "c0", "a2", "b1", "a3"]


@pytest.mark.parametrize("has_its_turn", [False, True])
async def test_who_leaves_while_they_wait_takes_nobodys_turn(works, has_its_turn):
    threads = Threads(1)
    leaving = trio.CancelScope()

    async def first():
        await threads.run(works("a"), whom=b"a")
        leaving.cancel()  # whoever has the turn has not heard of it yet

    async def leave():
        with leaving:
            await threads.run(works("b"), whom=b"b")

    async with trio.open_nursery() as nursery:
        for one in (first, leave, partial(threads.run, works("c"), whom=b"c")):
            nursery.start_soon(one)
            await trio.testing.wait_all_tasks_blocked()
        if not has_its_turn:
            leaving.cancel()
            await trio.testing.wait_all_tasks_blocked()
        for _ in range(2):
            works.go.release()
    assert works.begun == ["a", "c"]
    assert threads.under_way == 0
