"""Tasks that begin while connections wait, such as a second try beside the first: each runs as connections run."""

from collections.abc import Awaitable, Callable

import trio

from netfront.net.lane import Lane, plainly

__all__ = ["Tasks"]


class Tasks:
    """Where such tasks run: in the nursery of the connections, once it is there."""

    def __init__(self) -> None:
        self._nursery: trio.Nursery | None = None
        self._lane: Lane | None = None

    def open(self, nursery: trio.Nursery, lane: Lane | None) -> None:
        """Let tasks begin in this nursery from here on."""
        self._nursery = nursery
        self._lane = lane

    def spawn(self, run: Callable[[], Awaitable[None]]) -> None:
        """Run something beside. May be called on the lane, as accepting does."""
        if self._nursery is None:
            raise RuntimeError("nothing is being served")
        if self._lane is None:
            self._nursery.start_soon(plainly, run)
        else:
            self._nursery.start_soon(self._lane.run, run)
            self._lane.trio_due = True

    def begin(self, run: Callable[[], Awaitable[None]]) -> Callable[[], None]:
        """Run something beside, as `spawn` does; give what ends it at once, wherever it waits."""
        lane, scope = self._lane, trio.CancelScope()

        async def within() -> None:
            with scope:
                await (lane.run(run) if lane is not None else run())

        def end() -> None:
            scope.cancel()
            if lane is not None:
                lane.trio_due = True

        if self._nursery is None:
            raise RuntimeError("nothing is being served")
        self._nursery.start_soon(within)
        if lane is not None:
            lane.trio_due = True
        return end
