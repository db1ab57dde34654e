"""Work in threads: so many at once, so many that wait."""

import threading

import pytest
import trio

from netfront.errors import Refusal
from netfront.net.threads import Threads


async def test_it_gives_what_the_work_gives():
    threads = Threads()
    assert await threads.run(lambda: 7) == 7
    with pytest.raises(ValueError, match="no"):
        await threads.run(lambda: int("no"))
    assert threads.under_way == 0


async def test_so_many_work_at_once_and_who_comes_when_too_many_wait_is_refused():
    threads = Threads(2, waiting=3)
    begun, go = threading.Semaphore(0), threading.Event()
    active, most = 0, 0
    lock = threading.Lock()

    def work():
        nonlocal active, most
        with lock:
            active += 1
            most = max(most, active)
        begun.release()
        go.wait(10)
        with lock:
            active -= 1
        return 1

    done = []

    async def ask():
        done.append(await threads.run(work))

    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(ask)
            await trio.to_thread.run_sync(begun.acquire)
            await trio.to_thread.run_sync(begun.acquire)
            assert threads.under_way == 5
            with pytest.raises(Refusal) as raised:
                await threads.run(work)
            assert raised.value.status == 503
            assert raised.value.fields == ((b"Retry-After", b"1"),)
            go.set()
    assert done == [1] * 5
    assert most == 2
    assert threads.under_way == 0
