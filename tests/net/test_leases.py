"""The leases of one connection that is opened: who has been silent, and who has only had less time."""

import random

import pytest

from netfront.endpoint import Endpoint
from netfront.net.backend import Member
from netfront.net.leases import Leases
from netfront.net.pool import DONE, Pool
from tests.support.seats import Steps


@pytest.mark.parametrize(
    ("winner", "silent"),
    [(0, []), (1, [0]), (2, [0, 1])],
    ids=["the first", "the second", "the third"],
)
def test_silent_is_who_was_dialled_before_the_one_that_is_connected(winner, silent):
    members = [Member(Endpoint("http", "192.0.2.1", number), f"b{number}", b"b") for number in (1, 2, 3)]
    with Steps() as steps:
        pool = Pool("pool", members, rng=random.Random(0))
        leases = Leases()
        for backend in pool.backends:
            leases.add(pool._lease(backend))
            steps.now += 0.25
        steps.now += 0.6
        lease, _, _ = leases.won(pool.backends[winner])
        lease.done(DONE)
        assert [place for place, backend in enumerate(pool.backends) if backend.failures] == silent
        assert not any(backend.in_flight for backend in pool.backends)
