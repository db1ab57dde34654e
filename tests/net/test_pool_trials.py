"""What brings a backend back: its trial, whatever else ends meanwhile."""

import random

import trio

from netfront.endpoint import Endpoint
from netfront.net.backend import Member
from netfront.net.pool import DONE, Pool


def pool_of(*ports):
    members = [Member(Endpoint("http", "127.0.0.1", port), str(port), b"app.test") for port in ports]
    return Pool("app", members, rng=random.Random(51))


async def test_an_answer_that_was_under_way_when_its_backend_was_ejected_does_not_keep_it_out(autojump_clock):
    pool = pool_of(3001, 3002)
    sick, well = pool.backends
    late = pool.take(None, [well], trio.current_time())
    for _ in range(3):
        pool.take(None, [well], trio.current_time()).done("refused", connected=False)
    assert not sick.is_up
    late.done(DONE)
    assert not sick.is_up
    await trio.sleep(1.0)
    pool.dialled(sick, "", trio.current_time())
    trial = pool.take(None, (), trio.current_time())
    assert trial.backend is sick
    assert trial.is_trial
    trial.done(DONE)
    assert sick.is_up
    assert not sick.is_suspect
