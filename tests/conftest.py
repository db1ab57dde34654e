"""Async tests: `async def test_x()` runs under trio, with what it asks for by its arguments.

Most of the suite's time is waiting for processes, so three workers a processor run it; one process what is named
file by file, where starting workers would take longer than the tests.

`autojump_clock` is a clock that jumps over every wait; `nursery` is open while the test runs, and what still runs
in it at the end is cancelled.
"""

import atexit
import inspect
import math
import os
import shutil
import tempfile
from pathlib import Path

import pytest
import trio
import trio.testing
from hypothesis import HealthCheck, settings

os.environ["XDG_DATA_HOME"] = tempfile.mkdtemp(prefix="netfront-tests-")  # nobody's own local CA is touched
atexit.register(shutil.rmtree, os.environ["XDG_DATA_HOME"], ignore_errors=True)
# how long an example takes depends on who else works here
settings.register_profile("netfront", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("netfront")


def pytest_xdist_auto_num_workers(config):
    named = [Path(argument.split("::")[0]) for argument in config.args]
    if config.option.collectonly or all(path.is_file() for path in named):
        return 0
    return 3 * (os.cpu_count() or 1)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    """Have each worker begin with its share of the slow ones, else the end waits for some of them.

    The workers are handed the row in as many parts as there are of them.
    """
    workers = getattr(config, "workerinput", {}).get("workercount", 1)
    slow = [item for item in items if item.get_closest_marker("slow")]
    others = [item for item in items if not item.get_closest_marker("slow")]
    items[:] = []
    for part in range(workers):
        items += slow[part::workers]
        items += others[part * len(others) // workers : (part + 1) * len(others) // workers]


@pytest.fixture
def autojump_clock():
    """A clock on which waiting takes no time. Never with real sockets: it jumps while the kernel works."""
    return trio.testing.MockClock(autojump_threshold=0)


@pytest.fixture
def nursery():
    """A nursery of the test's own; opened where trio runs, by the hook below."""


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    clock = next((value for value in arguments.values() if isinstance(value, trio.testing.MockClock)), None)

    async def run():
        with trio.fail_after(30 if clock is None else math.inf):
            if "nursery" not in arguments:
                await pyfuncitem.obj(**arguments)
                return
            async with trio.open_nursery() as nursery:
                await pyfuncitem.obj(**{**arguments, "nursery": nursery})
                nursery.cancel_scope.cancel()

    trio.run(run, clock=clock)
    return True
