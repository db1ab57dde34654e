"""What the end-to-end tests share."""

from collections.abc import Callable, Iterator

import pytest

from tests.support.netfront import Running, running
from tests.support.origins import Origin, Script, answering, origin


@pytest.fixture(scope="session")
def _pair() -> Iterator[tuple[Origin, Running]]:
    with origin(answering()) as behind, running("proxy", behind.url, "-q") as front:
        yield behind, front


@pytest.fixture
def stage(_pair: tuple[Origin, Running]) -> Iterator[Callable[[Script], tuple[Origin, Running]]]:
    """Give a function that makes an origin play a script, and gives it and the netfront before it.

    They are the same for all tests, which saves a start each; the origin's connections are its own.
    """
    behind, front = _pair

    def play(script: Script) -> tuple[Origin, Running]:
        behind.start_anew(script)
        return behind, front

    yield play
    faults = behind.faults
    assert faults == []
    assert front.process.poll() is None, front.stderr
