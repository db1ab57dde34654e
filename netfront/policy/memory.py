"""Memory that is counted while a request holds it."""

from netfront.errors import Refusal
from netfront.policy.shared import Shared

__all__ = ["Held", "MemoryFull", "NeverFits"]


class MemoryFull(Refusal):
    """All is held at present, or all that one address may hold: 503, and worth another try."""

    def __init__(self) -> None:
        super().__init__(503, "all memory is held that may be", [(b"Retry-After", b"1")])


class NeverFits(Exception):
    """One request would hold more than it might if it were the only one.

    Args:
        most: bytes that it may hold.
    """

    def __init__(self, most: int) -> None:
        super().__init__(f"more than {most} bytes would be held for one request")
        self.most = most


class Held:
    """What one request holds. It hangs on the request's exchange, and is given back where that ends.

    Args:
        memory: bytes that all requests together may hold.
        address: for whom; empty where nobody knows.
        whole: what the request holds that this one is a part of, if it is.
    """

    __slots__ = ("_address", "_bytes", "_is_over", "_memory", "_together", "_whole")

    def __init__(self, memory: Shared, address: bytes, *, whole: "Held | None" = None) -> None:
        self._memory = memory
        self._address = address
        self._whole: Held | None = whole if whole is None or whole._whole is None else whole._whole
        self._bytes = 0
        self._is_over = False
        self._together = 0
        """What it holds and all parts of it."""

    def add(self, count: int) -> None:
        """Hold some more.

        Raises:
            MemoryFull: there is no more at present, or all was given back already.
            NeverFits: it and what it is a part of would hold too much alone.
        """
        memory, address = self._memory, self._address
        whole = self._whole or self
        if self._is_over:
            raise MemoryFull
        if count and not memory.take(count, address):
            most = memory.share(address)
            raise NeverFits(most) if whole._together + count > most else MemoryFull
        self._bytes += count
        whole._together += count

    def free(self, count: int) -> None:
        """Hold so much less."""
        if count and not self._is_over:
            self._memory.give_back(count, self._address)
            self._bytes -= count
            (self._whole or self)._together -= count

    def keep(self, count: int) -> None:
        """Hold so much at most from here on."""
        if count < self._bytes:
            self.free(self._bytes - count)

    def give_back(self) -> None:
        """Hold nothing any longer, and never again: what was ended may go on for a step. Idempotent."""
        self.free(self._bytes)
        self._is_over = True
