"""A lane for tests, as the application runs it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from netfront.net.lane import Lane

__all__ = ["running_lane"]


@asynccontextmanager
async def running_lane() -> AsyncIterator[tuple[Lane, trio.Nursery]]:
    """A lane, and a nursery whose connections end before it does."""
    async with trio.open_nursery() as outer:
        lane = Lane()
        scope = trio.CancelScope(shield=True)

        async def serve() -> None:
            with scope:
                await lane.serve()

        outer.start_soon(serve)
        try:
            async with trio.open_nursery() as connections:
                yield lane, connections
        finally:
            lane.stop()
