"""Memory that many requests share, of which none is to have all."""

from netfront.endpoint import is_loopback_name

__all__ = ["Memory"]

_SHARE = 4


class Memory:
    """Bytes that may be held.

    One address may hold a quarter of them, unless it is of this machine: that is a proxy, or ourselves.
    """

    __slots__ = ("_by_address", "_most", "left")

    def __init__(self, most: int) -> None:
        self.left = self._most = most
        self._by_address: dict[bytes, int] = {}

    def take(self, count: int, address: bytes) -> bool:
        """Take some for an address; tell whether there were as many."""
        held = self._by_address.get(address, 0) + count
        if count > self.left:
            return False
        if held > self._most // _SHARE and not is_loopback_name(address.decode("latin-1") or "localhost"):
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
