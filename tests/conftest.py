"""Async tests: `async def test_x()` runs under trio, on a clock that jumps where the test asks for `autojump_clock`."""

import inspect
import math

import pytest
import trio
import trio.testing


@pytest.fixture
def autojump_clock():
    """A clock on which waiting takes no time. Never with real sockets: it jumps while the kernel works."""
    return trio.testing.MockClock(autojump_threshold=0)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    clock = next((value for value in arguments.values() if isinstance(value, trio.testing.MockClock)), None)

    async def run():
        with trio.fail_after(30 if clock is None else math.inf):
            await pyfuncitem.obj(**arguments)

    trio.run(run, clock=clock)
    return True
