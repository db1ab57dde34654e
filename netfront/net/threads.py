"""Work that would hold up everybody else, done in a thread: so much at once, and whoever waits in their turn."""

from collections import deque
from collections.abc import Callable
from typing import TypeVar

import trio

from netfront.net.lane import Signal, in_trio, ready

__all__ = ["Threads"]

_T = TypeVar("_T")


class Threads:
    """A few threads for work of one kind.

    Those it is done for have turns: however much waits of one, another waits for one piece of theirs. Nobody is turned
    away here: whoever calls has a bound.

    Args:
        most: at once.
    """

    def __init__(self, most: int = 2) -> None:
        self._most = most
        self._limiter: trio.CapacityLimiter | None = None
        self._working = 0
        self._waiting: dict[bytes, deque[Signal]] = {}
        """By whom it is for; whose turn it is stands first."""

    @property
    def under_way(self) -> int:
        """How much is being done, or waits."""
        return self._working + sum(map(len, self._waiting.values()))

    async def run(self, work: Callable[[], _T], *, whom: bytes = b"") -> _T:
        """Do it in a thread and give what it gives. Who is cancelled waits for its end all the same.

        Args:
            whom: it is for.
        """
        if self._working < self._most:
            self._working += 1
        else:
            await self._wait(whom)
        try:
            async with in_trio():
                if self._limiter is None:
                    self._limiter = trio.CapacityLimiter(self._most)
                return await trio.to_thread.run_sync(work, limiter=self._limiter)
        finally:
            self._pass_on()

    async def _wait(self, whom: bytes) -> None:
        """Wait for one's turn: a place among those that work was handed over then."""
        turn = Signal()
        self._waiting.setdefault(whom, deque()).append(turn)
        try:
            await ready(turn)
        except BaseException:
            if turn.is_set:
                self._pass_on()
            else:
                mine = self._waiting[whom]
                mine.remove(turn)
                if not mine:
                    del self._waiting[whom]
            raise

    def _pass_on(self) -> None:
        """Hand a place over to whoever has the turn."""
        for whom, turns in self._waiting.items():
            del self._waiting[whom]
            turn = turns.popleft()
            if turns:
                self._waiting[whom] = turns  # behind all others
            turn.set()
            return
        self._working -= 1
