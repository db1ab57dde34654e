"""Dialling backends that are down, to know when they are back: connect, and the handshake where TLS is spoken.

Nobody waits for it, so a backend that is down costs no request. When to dial is for policy.health to say.
"""

import trio

from netfront.errors import BackendError
from netfront.net.backend import Backend
from netfront.net.dial import dial
from netfront.net.pool import Pool

__all__ = ["Redialler"]

_AT_ONCE = 64
"""Dials at once, over all pools: a thousand backends that hang must not take the descriptors of others."""
_LOOK = 0.05
"""Seconds between two looks while somebody is down. Health jitters what it asks for by more."""


class Redialler:
    """Dials the backends of pools that are down.

    Args:
        timeout: seconds for one dial; may change.
    """

    def __init__(self, nursery: trio.Nursery, *, timeout: float) -> None:
        self.timeout = timeout
        self._nursery = nursery
        self._dialled: set[Backend] = set()
        self._turns = trio.CapacityLimiter(_AT_ONCE)

    async def watch(self, pool: Pool) -> None:
        """Dial whoever is down in a pool, for ever."""
        while True:
            await pool.ejected.wait_in_trio()
            now = trio.current_time()
            due = [one for one in pool.backends if one.health.redial_at <= now and one not in self._dialled]
            for backend in due:
                self._dialled.add(backend)
                self._nursery.start_soon(self._dial, pool, backend)
            await trio.sleep(_LOOK)

    async def _dial(self, pool: Pool, backend: Backend) -> None:
        why = ""
        try:
            if backend.member.endpoint.scheme != "udp":  # where nothing is connected a trial alone can tell
                async with self._turns:
                    stream = await dial(backend, timeout=self.timeout)
                stream.abort()
        except BackendError as error:
            why = error.why
        finally:
            self._dialled.discard(backend)
        pool.dialled(backend, why, trio.current_time())
