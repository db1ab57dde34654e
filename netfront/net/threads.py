"""Work that would hold up everybody else, done in a thread: so many at once, so many that wait, and no more."""

from collections.abc import Callable
from typing import TypeVar

import trio

from netfront.errors import Refusal
from netfront.net.lane import in_trio

__all__ = ["Threads"]

_T = TypeVar("_T")


class Threads:
    """A few threads for work of one kind.

    Args:
        most: at once.
        waiting: how many may wait for one; who comes then is refused with 503.
    """

    def __init__(self, most: int = 2, *, waiting: int = 64) -> None:
        self._most = most
        self._waiting = waiting
        self._limiter: trio.CapacityLimiter | None = None
        self.under_way = 0

    async def run(self, work: Callable[[], _T]) -> _T:
        """Do it in a thread and give what it gives. Who is cancelled waits for its end all the same.

        Raises:
            Refusal: 503, too many wait already.
        """
        if self.under_way >= self._most + self._waiting:
            raise Refusal(503, "too many credentials to check at once", [(b"Retry-After", b"1")])
        self.under_way += 1
        try:
            async with in_trio():
                if self._limiter is None:
                    self._limiter = trio.CapacityLimiter(self._most)
                return await trio.to_thread.run_sync(work, limiter=self._limiter)
        finally:
            self.under_way -= 1
