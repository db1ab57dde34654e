"""Tasks that begin while connections wait, such as a second try beside the first: each runs as connections run."""

from collections.abc import Awaitable, Callable, Coroutine

import trio

from netfront.net.lane import Lane, Signal, plainly

__all__ = ["Tasks"]


class Tasks:
    """Where such tasks run: in the nursery of the connections, once it is there."""

    def __init__(self) -> None:
        self._nursery: trio.Nursery | None = None
        self._lane: Lane | None = None
        self.opened = Signal()
        """Set once tasks may begin."""

    def open(self, nursery: trio.Nursery, lane: Lane | None) -> None:
        """Let tasks begin in this nursery from here on."""
        self._nursery = nursery
        self._lane = lane
        self.opened.set()

    def spawn(self, run: Callable[[], Awaitable[None]]) -> None:
        """Run something beside. May be called on the lane, as accepting does."""
        if self._nursery is None:
            raise RuntimeError("nothing is being served")
        if self._lane is None:
            self._nursery.start_soon(plainly, run)
        else:
            self._nursery.start_soon(self._lane.run, run)
            self._lane.trio_due = True

    def begin(self, run: Callable[[], Coroutine[object, None, None]]) -> Callable[[], None]:
        """Run something beside the connection that calls; give what ends it at once, wherever it waits.

        Whoever calls ends it, at the latest when it ends itself. On the lane it has no task of its own (net/lane.py).
        """
        nursery = self._nursery
        if nursery is None:
            raise RuntimeError("nothing is being served")
        if self._lane is not None:
            return self._lane.begin(run, nursery.start_soon)
        scope = trio.CancelScope()

        async def within() -> None:
            with scope:
                await run()

        nursery.start_soon(within)
        return scope.cancel
