"""What many clients share, of which none is to have all."""

from netfront.endpoint import is_loopback_name
from netfront.policy.networks import network_of

__all__ = ["SHARE", "Shared"]

SHARE = 4
"""Addresses that may have all together."""


class Shared:
    """So much of something, as bytes that may be held or requests that may wait.

    One address may have a quarter of it (of IPv6 one /64, as who has one address there has all), unless it is of this
    machine: that is a proxy, or ourselves.
    """

    __slots__ = ("_by_network", "_most", "left")

    def __init__(self, most: int) -> None:
        self.left = self._most = most
        self._by_network: dict[bytes, int] = {}

    def change(self, most: int) -> None:
        """Have another bound; what is taken stays so."""
        self.left += most - self._most
        self._most = most

    def share(self, address: bytes) -> int:
        """Give how much an address may have; an empty one is of who knows none, and as of this machine."""
        is_ours = is_loopback_name(address.decode("latin-1") or "localhost")
        return self._most if is_ours else self._most // SHARE

    def take(self, count: int, address: bytes) -> bool:
        """Take some for an address; tell whether there was as much."""
        network = network_of(address)
        taken = self._by_network.get(network, 0) + count
        if count > self.left or (taken > self._most // SHARE and taken > self.share(address)):
            return False
        self.left -= count
        self._by_network[network] = taken
        return True

    def give_back(self, count: int, address: bytes) -> None:
        """Give back what was taken."""
        network = network_of(address)
        self.left += count
        self._by_network[network] -= count
        if not self._by_network[network]:
            del self._by_network[network]
