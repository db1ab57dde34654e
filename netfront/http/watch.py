"""Watching backends: each is probed again and again, in a task of its own.

The tasks run in a nursery that is handed in, and end with it. One backend is never probed twice at once, and over all
pools that share `Turns` no more than 64 are; a thousand backends that hang must not take the descriptors of
those who are served. Intervals are jittered, or many processes would come to ask in the same moment.
"""

import random
from collections import deque
from collections.abc import Callable, Sequence

from netfront.http.probe import Probe, Verdict
from netfront.net.backend import Backend
from netfront.net.lane import Signal, clock, first

__all__ = ["Turns", "Watch"]

_JITTER = 0.1
_APART = 0.01
"""Seconds between first probes, on average: a hundred backends are asked within one second."""


class Turns:
    """Who may go on: so many at once, the others in the order in which they came."""

    def __init__(self, most: int = 64) -> None:
        self._free = most
        self._waiting: deque[Signal] = deque()

    async def take(self) -> None:
        """Wait for a turn; give it back afterwards."""
        if self._free:
            self._free -= 1
            return
        turn = Signal()
        self._waiting.append(turn)
        try:
            await first(turn)
        except BaseException:
            if turn.is_set:
                self.give_back()
            else:
                self._waiting.remove(turn)
            raise

    def give_back(self) -> None:
        """Let the next one go on."""
        if self._waiting:
            self._waiting.popleft().set()
        else:
            self._free += 1


class Watch:
    """Probes the backends of a pool.

    Args:
        start: `start_soon` of the nursery where the tasks run. They end by themselves only when their backend has
            left, or after `close`.
        probe: makes the probe of a backend; asked anew each time, so that it may change with the backend.
        interval: seconds from the start of a probe to the start of the next one, give or take 10 %; longer where a
            probe takes longer.
        tell: told each verdict, unless the backend has left meanwhile.
    """

    def __init__(
        self,
        start: Callable[..., None],
        probe: Callable[[Backend], Probe],
        tell: Callable[[Backend, Verdict], None],
        *,
        interval: float,
        rng: random.Random,
        turns: Turns,
    ) -> None:
        self._start = start
        self._probe = probe
        self._tell = tell
        self._interval = interval
        self._rng = rng
        self._turns = turns
        self._watched: dict[Backend, Signal] = {}
        """Those with a task, and whether they have left: a task may outlive that for as long as its probe lasts."""

    def replace(self, backends: Sequence[Backend]) -> None:
        """Change who is watched; those that stay go on as they were, those that come are probed at once.

        "At once" is within 10 ms for each that comes, and within the interval in any case. One that left a moment ago
        and whose probe is still under way goes on from there.
        """
        wanted = dict.fromkeys(backends)
        for backend, gone in self._watched.items():
            if backend in wanted:
                gone.clear()
            else:
                gone.set()
        fresh = [backend for backend in wanted if backend not in self._watched]
        spread = min(self._interval, _APART * (len(fresh) - 1))
        for backend in fresh:
            self._watched[backend] = Signal()
            self._start(self._go_on, backend, self._rng.random() * spread)

    def close(self) -> None:
        """Watch nobody any more; probes under way end unheard."""
        self.replace(())

    async def _go_on(self, backend: Backend, delay: float) -> None:
        gone = self._watched[backend]
        due = clock() + delay
        try:
            while not gone.is_set:
                if await first(gone, until=due) is None:
                    due = await self._ask(backend, gone)
        finally:
            del self._watched[backend]

    async def _ask(self, backend: Backend, gone: Signal) -> float:
        """Probe once; give when to do so again."""
        await self._turns.take()
        try:
            began = clock()
            if gone.is_set:
                return began
            verdict = await self._probe(backend)()
        finally:
            self._turns.give_back()
        if not gone.is_set:
            self._tell(backend, verdict)
        return began + self._interval * self._rng.uniform(1 - _JITTER, 1 + _JITTER)
