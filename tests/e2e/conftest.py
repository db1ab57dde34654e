"""What the end-to-end tests share."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.netfront import Running, running
from tests.support.origins import Origin, Script, answering, origin
from tests.support.poolfile import PoolFile


@pytest.fixture(scope="session", params=["lane", "plain"])
def _pair(request: pytest.FixtureRequest) -> Iterator[tuple[Origin, Running]]:
    """Run one with the lane, and one whose connections are plain trio tasks."""
    environment = {"NETFRONT_NO_LANE": "1"} if request.param == "plain" else {}
    with origin(answering()) as behind, running("proxy", behind.url, "-q", **environment) as front:
        yield behind, front


@pytest.fixture
def stage(_pair: tuple[Origin, Running]) -> Iterator[Callable[[Script], tuple[Origin, Running]]]:
    """Give a function that makes an origin play a script, and gives it and the netfront before it.

    They are the same for all tests, which saves a start each; the origin's connections are its own. Each test runs
    twice: with the lane, and without.
    """
    behind, front = _pair

    def play(script: Script) -> tuple[Origin, Running]:
        behind.start_anew(script)
        return behind, front

    yield play
    faults = behind.faults
    assert faults == []
    assert front.process.poll() is None, front.stderr


@pytest.fixture
def file(tmp_path: Path) -> PoolFile:
    """Give an `@file` that is not written yet."""
    return PoolFile(tmp_path / "pool.nf")


@pytest.fixture(params=["lane", "plain"])
def modes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a test twice: what it starts has a lane, then not."""
    if request.param == "plain":
        monkeypatch.setenv("NETFRONT_NO_LANE", "1")
