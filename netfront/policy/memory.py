"""Memory that many requests share, of which none is to have all."""

from netfront.endpoint import is_loopback_name
from netfront.errors import Refusal

__all__ = ["Held", "Memory", "MemoryFull", "NeverFits"]

_SHARE = 4


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


class Memory:
    """Bytes that may be held.

    One address may hold a quarter of them, unless it is of this machine: that is a proxy, or ourselves.
    """

    __slots__ = ("_by_address", "_most", "left")

    def __init__(self, most: int) -> None:
        self.left = self._most = most
        self._by_address: dict[bytes, int] = {}

    def share(self, address: bytes) -> int:
        """Give how much an address may hold."""
        is_ours = is_loopback_name(address.decode("latin-1") or "localhost")
        return self._most if is_ours else self._most // _SHARE

    def take(self, count: int, address: bytes) -> bool:
        """Take some for an address; tell whether there were as many."""
        held = self._by_address.get(address, 0) + count
        if count > self.left or (held > self._most // _SHARE and held > self.share(address)):
            return False
        self.left -= count
        self._by_address[address] = held
        return True

    def give_back(self, count: int, address: bytes) -> None:
        """Give back what was taken."""
        self.left += count
        self._by_address[address] -= count
        if not self._by_address[address]:
            del self._by_address[address]


class Held:
    """What one request holds of the memory that all may. Whoever makes one sees to it that it is given back.

    Args:
        address: for whom; empty where nobody knows.
    """

    __slots__ = ("_address", "_bytes", "_memory")

    def __init__(self, memory: Memory, address: bytes) -> None:
        self._memory = memory
        self._address = address
        self._bytes = 0

    def add(self, count: int) -> None:
        """Hold some more. Raises MemoryFull, NeverFits."""
        memory, address = self._memory, self._address
        if count and not memory.take(count, address):
            most = memory.share(address)
            raise NeverFits(most) if self._bytes + count > most else MemoryFull
        self._bytes += count

    def give_back(self) -> None:
        """Hold nothing any longer; idempotent."""
        if self._bytes:
            self._memory.give_back(self._bytes, self._address)
        self._bytes = 0
