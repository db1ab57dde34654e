"""Networks of addresses: read from what was given, and whether an address lies in one of several.

An IPv4 address that was mapped into IPv6 (RFC 4291 §2.5.5.2) is the IPv4 one, as a network or as an address.
"""

from collections.abc import Callable, Iterable
from functools import lru_cache
from hashlib import blake2b
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from netfront.errors import UsageError

__all__ = ["Network", "bare_address", "network_of", "parse_network", "plain_address", "short_key", "within"]

Network = IPv4Network | IPv6Network
_REMEMBERED = 4096
_LONGEST = 64
"""Characters of an address: those of IPv6 have 45 at most, and a zone may follow."""
_NETWORKS = 16384
_LONGEST_KEY = 32
"""Bytes of a key as it came."""


def parse_network(text: str) -> Network:
    """Read an address or a network in CIDR notation. Raises UsageError."""
    try:
        network = ip_network(text)
    except ValueError as error:
        try:
            hint = f"did you mean {ip_network(text, strict=False)}?"
        except ValueError:
            hint = "as in 10.0.0.0/8, fd00::/8 or 127.0.0.1"
        raise UsageError.of(text, "not a network", hint) from error
    mapped = getattr(network.network_address, "ipv4_mapped", None)
    return IPv4Network((mapped, network.prefixlen - 96)) if mapped and network.prefixlen >= 96 else network


def within(networks: Iterable[str]) -> Callable[[str], bool]:
    """Make the test whether an address lies in one of these; what is no address lies in none.

    The answer is remembered for 4,096 addresses.
    """
    parsed = [parse_network(network) for network in networks]
    if not parsed:
        return lambda _: False

    @lru_cache(maxsize=_REMEMBERED)
    def lies(address: str) -> bool:
        try:
            ip = ip_address(address)
        except ValueError:
            return False
        return any(_plain(ip) in network for network in parsed)

    return lambda address: len(address) <= _LONGEST and lies(address)


def plain_address(text: str) -> str:
    """Give an address in its shortest writing, a mapped one as IPv4; as it came if it is none."""
    try:
        return str(_plain(ip_address(text)))
    except ValueError:
        return text


def bare_address(text: bytes) -> bytes:
    """Give what a proxy wrote of an address without a port and brackets (RFC 7239 §6)."""
    text = text.strip(b" \t")
    if text.startswith(b"["):
        return text[1:].partition(b"]")[0]
    return text.partition(b":")[0] if text.count(b":") == 1 else text


@lru_cache(maxsize=_NETWORKS)
def network_of(address: bytes, v4: int = 32, v6: int = 64) -> bytes:
    """Give the key of an address: of IPv6 its network, as who has one address there has all.

    What a proxy wrote with a port is read without; what is no address is a key as it stands.
    """
    try:
        ip = ip_address(bare_address(address).decode("latin-1"))
    except ValueError:
        return b"@" + short_key(address)
    if isinstance(ip, IPv6Address):
        if ip.ipv4_mapped is None:
            return b"@6%x" % (int(ip) >> (128 - v6))
        ip = ip.ipv4_mapped
    return b"@4%x" % (int(ip) >> (32 - v4))


def short_key(value: bytes) -> bytes:
    """Give what stands for a value: itself, or its hash where it is long."""
    return value if len(value) <= _LONGEST_KEY else b"#" + blake2b(value, digest_size=16).digest()


def _plain(ip: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    return (ip.ipv4_mapped or ip) if isinstance(ip, IPv6Address) else ip
