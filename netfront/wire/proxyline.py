"""The PROXY line, versions 1 and 2: what a proxy tells of the client before the first byte of a connection.

Strict, as whoever sends it is believed: a line that is not wholly as the specification says (haproxy.org,
proxy-protocol.txt, sections 2.1 and 2.2) is refused, and so is one that is long beyond reason. Whether the
sender may be believed at all is decided elsewhere.
"""

import re
import struct
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from netfront.errors import BadMessage

__all__ = ["LOCAL", "PROXY", "Place", "ProxyHeader", "parse_proxy", "render_v1", "render_v2"]

Place = tuple[str, int]
"""An IP address in its usual spelling, and a port."""
LOCAL, PROXY = "LOCAL", "PROXY"
_MOST_V1 = 107
"""Bytes of the longest line of version 1, its CRLF included (section 2.1)."""
_MOST_V2 = 4096
"""Bytes behind the fixed part of version 2 that we take: addresses need 216 at most, the rest is for TLVs."""
_PREFIX = b"PROXY "
_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
_FIXED = 16
_NUMBER = rb"(0|[1-9][0-9]{0,4})"
_V1 = re.compile(rb"PROXY TCP([46]) ([0-9A-Fa-f:.]+) ([0-9A-Fa-f:.]+) " + _NUMBER + rb" " + _NUMBER).fullmatch
_UNKNOWN = re.compile(rb"PROXY UNKNOWN(?: [\t\x20-\x7e]*)?").fullmatch
_UNSPECIFIED = 0x00
_SIZES = {_UNSPECIFIED: 0, 0x11: 12, 0x12: 12, 0x21: 36, 0x22: 36, 0x31: 216, 0x32: 216}
"""By family and transport, those that may be sent: how many bytes the two addresses take."""


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """What a PROXY line says.

    Args:
        consumed: bytes it took of the buffer.
        command: PROXY, or LOCAL where the proxy speaks for itself, such as when it probes us.
        source: the client, and `destination` where it had dialled; None where the line names none: then the
            connection's own ends count.
        tlvs: (type, value) of what version 2 carries besides.
    """

    consumed: int
    command: str
    source: Place | None = None
    destination: Place | None = None
    tlvs: tuple[tuple[int, bytes], ...] = ()


def parse_proxy(buffer: bytes) -> ProxyHeader | None:
    """Read the PROXY line that a connection begins with; None while it is not whole.

    Raises:
        BadMessage: 400, there is none or it is malformed. The connection must be closed without an answer.
    """
    if buffer.startswith(_PREFIX):
        return _parse_v1(buffer)
    if buffer.startswith(_SIGNATURE):
        return _parse_v2(buffer)
    if _PREFIX.startswith(buffer) or _SIGNATURE.startswith(buffer):
        return None
    raise BadMessage(400, "no PROXY line")


def render_v1(source: Place | None, destination: Place | None) -> bytes:
    """Write a line of version 1; UNKNOWN where one end is None, or no IP address."""
    ends = _ends(source, destination)
    if ends is None:
        return b"PROXY UNKNOWN\r\n"
    (from_ip, from_port), (to_ip, to_port) = ends
    return f"PROXY TCP{from_ip.version} {from_ip} {to_ip} {from_port} {to_port}\r\n".encode()


def render_v2(source: Place | None, destination: Place | None, *, command: str = PROXY) -> bytes:
    """Write a header of version 2; with an unspecified family where one end is None, or no IP address.

    Args:
        command: LOCAL for a connection of our own, such as a probe; then the ends are not told.
    """
    ends = _ends(source, destination) if command == PROXY else None
    if ends is None:
        family, addresses = _UNSPECIFIED, b""
    else:
        (from_ip, from_port), (to_ip, to_port) = ends
        family = 0x11 if from_ip.version == 4 else 0x21
        addresses = from_ip.packed + to_ip.packed + struct.pack("!HH", from_port, to_port)
    version = 0x21 if command == PROXY else 0x20
    return _SIGNATURE + struct.pack("!BBH", version, family, len(addresses)) + addresses


def _parse_v1(buffer: bytes) -> ProxyHeader | None:
    end = buffer.find(b"\n", 0, _MOST_V1)
    if end < 0:
        if len(buffer) >= _MOST_V1:
            raise BadMessage(400, "a PROXY line without an end")
        return None
    line = buffer[: end - 1]
    if buffer[end - 1 : end] != b"\r" or b"\r" in line:
        raise BadMessage(400, "a PROXY line that does not end in CRLF")
    if _UNKNOWN(line) is not None:
        return ProxyHeader(end + 1, PROXY)
    match = _V1(line)
    if match is None:
        raise BadMessage(400, "a malformed PROXY line")
    kind, from_ip, to_ip, from_port, to_port = match.groups()
    make = IPv4Address if kind == b"4" else IPv6Address
    try:
        source = str(make(from_ip.decode())), int(from_port)
        destination = str(make(to_ip.decode())), int(to_port)
    except AddressValueError:
        raise BadMessage(400, "a malformed address in a PROXY line") from None
    if source[1] > 65535 or destination[1] > 65535:
        raise BadMessage(400, "a port over 65535 in a PROXY line")
    return ProxyHeader(end + 1, PROXY, source, destination)


def _parse_v2(buffer: bytes) -> ProxyHeader | None:
    if len(buffer) > 12 and buffer[12] not in (0x20, 0x21):
        raise BadMessage(400, "an unknown version or command of a PROXY header")
    if len(buffer) < _FIXED:
        return None
    command, family, size = struct.unpack_from("!BBH", buffer, 12)
    if size > _MOST_V2:
        raise BadMessage(400, f"a PROXY header of over {_MOST_V2} bytes")
    end = _FIXED + size
    if command == 0x20:  # section 2.2: what a LOCAL header says of addresses is skipped, the family included
        return ProxyHeader(end, LOCAL) if len(buffer) >= end else None
    needed = _SIZES.get(family)
    if needed is None:
        raise BadMessage(400, "an unknown address family of a PROXY header")
    if size < needed:
        raise BadMessage(400, "a PROXY header too short for its addresses")
    if len(buffer) < end:
        return None
    source, destination = _addresses(buffer, family)
    return ProxyHeader(end, PROXY, source, destination, _tlvs(buffer[_FIXED + needed : end]))


def _addresses(buffer: bytes, family: int) -> tuple[Place | None, Place | None]:
    """Give the two ends of a header of version 2; unix sockets have no address to speak of."""
    if family in (0x11, 0x12):
        from_4, to_4, from_port, to_port = struct.unpack_from("!4s4sHH", buffer, _FIXED)
        return (str(IPv4Address(from_4)), from_port), (str(IPv4Address(to_4)), to_port)
    if family in (0x21, 0x22):
        from_6, to_6, from_port, to_port = struct.unpack_from("!16s16sHH", buffer, _FIXED)
        return (str(IPv6Address(from_6)), from_port), (str(IPv6Address(to_6)), to_port)
    return None, None


def _tlvs(data: bytes) -> tuple[tuple[int, bytes], ...]:
    found = []
    at = 0
    while at < len(data):
        if len(data) - at < 3:
            raise BadMessage(400, "a PROXY header that ends within a TLV")
        kind, size = struct.unpack_from("!BH", data, at)
        at += 3 + size
        if at > len(data):
            raise BadMessage(400, "a PROXY header that ends within a TLV")
        found.append((kind, data[at - size : at]))
    return tuple(found)


def _ends(
    source: Place | None, destination: Place | None
) -> (
    tuple[tuple[IPv4Address, int], tuple[IPv4Address, int]]
    | tuple[tuple[IPv6Address, int], tuple[IPv6Address, int]]
    | None
):
    """Give both ends in one family: an IPv4 address beside an IPv6 one is written as a mapped one."""
    first, second = _address(source), _address(destination)
    if source is None or destination is None or first is None or second is None:
        return None
    if isinstance(first, IPv4Address) and isinstance(second, IPv4Address):
        return (first, source[1]), (second, destination[1])
    return (_widened(first), source[1]), (_widened(second), destination[1])


def _address(place: Place | None) -> IPv4Address | IPv6Address | None:
    if place is None:
        return None
    text = place[0].partition("%")[0]  # a zone means nothing on another machine
    try:
        return IPv6Address(text) if ":" in text else IPv4Address(text)
    except AddressValueError:
        return None


def _widened(address: IPv4Address | IPv6Address) -> IPv6Address:
    return IPv6Address(f"::ffff:{address}") if isinstance(address, IPv4Address) else address
