"""The leases that are out while one connection is opened: one for each backend that is dialled for it."""

from collections.abc import Iterator

from netfront.errors import BackendError
from netfront.net.backend import SILENT, Backend
from netfront.net.dial import BESIDE
from netfront.net.lane import clock
from netfront.net.pool import GIVEN_UP, Lease

__all__ = ["Leases"]


class Leases:
    """Leases by backend. All are handed back here but that of the one who is connected."""

    __slots__ = ("_out",)

    def __init__(self) -> None:
        self._out: dict[Backend, tuple[Lease, int, float]] = {}
        """With each the generation of the backend, and when its dial began."""

    def __iter__(self) -> Iterator[Backend]:
        return iter(self._out)

    def __len__(self) -> int:
        return len(self._out)

    def add(self, lease: Lease) -> Backend:
        """Note that the backend of a lease is dialled from now on; give it."""
        backend = lease.backend
        self._out[backend] = lease, backend.generation, clock()
        return backend

    def failed(self, backend: Backend, error: BackendError) -> None:
        """Hand back the lease of one that could not be dialled."""
        self._out.pop(backend)[0].failed(error)

    def won(self, backend: Backend) -> tuple[Lease, int, float]:
        """Give the lease of the one that is connected, its generation when it was dialled, and when that was.

        The others are handed back: those that were silent for so long that this one was dialled beside them have
        failed. One that was dialled after it has had less time than it took itself.
        """
        chosen = self._out.pop(backend)
        if self._out:
            now, began = clock(), chosen[2]
            for lease, _, since in self._out.values():
                lease.done(SILENT if since < began and now - since >= BESIDE else GIVEN_UP, connected=False)
            self._out.clear()
        return chosen

    def gave_up(self) -> None:
        """Hand back what is out still: nothing was connected, which says nothing of anybody."""
        while self._out:
            self._out.popitem()[1][0].done(GIVEN_UP)
