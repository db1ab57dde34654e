"""The ClientHello with which a TLS connection begins, read for its name and its protocols, so that it can be routed.

TLS itself is not spoken here: nothing is answered, and all that was read goes on to the backend as it came. Strict,
because the backend reads the same bytes: what two implementations might read differently (a second name, an
extension twice, lengths that do not meet) is refused. RFC 8446 §4.1.2 and §5.1, RFC 6066 §3, RFC 7301 §3.1.
"""

import re
from dataclasses import dataclass

from netfront.errors import BadMessage

__all__ = ["MOST_HELLO", "ClientHello", "parse_client_hello"]

MOST_HELLO = 16384
"""Bytes of a ClientHello, its records' heads included; those of today take 200 to 2000."""
_MOST_RECORDS = 64
"""Records it may come in: they are walked again at each read, and nobody needs more than a few."""
_MOST_RECORD = 16384
_RECORD_HEAD = 5
_MESSAGE_HEAD = 4
_HANDSHAKE = 22
_CLIENT_HELLO = 1
_SERVER_NAME = 0
_ALPN = 16
_NAME = re.compile(rb"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?\.?").fullmatch
_MOST_NAME = 255


@dataclass(frozen=True, slots=True)
class ClientHello:
    """What a ClientHello asks for.

    Args:
        sni: the server's name in lower case, without a trailing dot; None where it has none.
        alpn: the protocols it offers, the one it prefers first.
        size: bytes that its records take.
    """

    sni: bytes | None
    alpn: tuple[bytes, ...]
    size: int


def parse_client_hello(data: bytes) -> ClientHello | None:
    """Read the ClientHello that a connection begins with; None while it is not whole.

    Raises:
        BadMessage: it begins with none, or with a malformed one, or with one over MOST_HELLO.
    """
    message = b""
    at = 0
    for _ in range(_MOST_RECORDS):
        head = data[at : at + _RECORD_HEAD]
        length = _record_length(head)
        fragment = data[at + _RECORD_HEAD : at + _RECORD_HEAD + length]
        missing = length - len(fragment)
        message += fragment
        at += _RECORD_HEAD + length
        if message and message[0] != _CLIENT_HELLO:
            raise BadMessage(400, "a TLS handshake that does not begin with a ClientHello")
        if len(message) >= _MESSAGE_HEAD:
            size = _MESSAGE_HEAD + int.from_bytes(message[1:_MESSAGE_HEAD], "big")
            if at + size - len(message) - missing > MOST_HELLO:
                raise BadMessage(400, f"a ClientHello of over {MOST_HELLO} bytes")
            if len(message) + missing > size:
                raise BadMessage(400, "more behind a ClientHello in its record")
            if len(message) == size:
                return ClientHello(*_read_message(message[_MESSAGE_HEAD:]), at)
        if len(head) < _RECORD_HEAD or missing:
            return None
    raise BadMessage(400, f"a ClientHello in over {_MOST_RECORDS} records")


def _record_length(head: bytes) -> int:
    """Give the length that a record's head tells, 0 while it is not whole."""
    if head and (head[0] != _HANDSHAKE or head[1:2] not in (b"", b"\x03")):
        raise BadMessage(400, "not a TLS handshake")
    if len(head) < _RECORD_HEAD:
        return 0
    length = int.from_bytes(head[3:], "big")
    if not 0 < length <= _MOST_RECORD:
        raise BadMessage(400, "a TLS record of no possible length")
    return length


def _read_message(body: bytes) -> tuple[bytes | None, tuple[bytes, ...]]:
    """Read the name and the protocols out of a whole ClientHello (RFC 8446 §4.1.2)."""
    if body[:1] != b"\x03":
        raise BadMessage(400, "an unknown version in a ClientHello")
    session, at = _vector(body, 34, 1)
    ciphers, at = _vector(body, at, 2)
    compressions, at = _vector(body, at, 1)
    if len(session) > 32 or not ciphers or len(ciphers) % 2 or not compressions:
        raise _malformed()
    if at == len(body):
        return None, ()  # TLS 1.2 may do without extensions (RFC 5246 §7.4.1.4)
    extensions, at = _vector(body, at, 2)
    if at != len(body):
        raise _malformed()
    found: dict[int, bytes] = {}
    at = 0
    while at < len(extensions):
        kind = int.from_bytes(extensions[at : at + 2], "big")
        content, at = _vector(extensions, at + 2, 2)
        if kind in found:
            raise BadMessage(400, "an extension twice in a ClientHello")
        found[kind] = content
    name, protocols = found.get(_SERVER_NAME), found.get(_ALPN)
    return (
        None if name is None else _read_name(name),
        () if protocols is None else _read_protocols(protocols),
    )


def _read_name(content: bytes) -> bytes:
    """Read the one host name of an RFC 6066 §3 list; the RFC knows no other kind of name."""
    names = _whole(content, 2)
    if names[:1] != b"\x00":
        raise BadMessage(400, "a server name that is no host name")
    name = _whole(names[1:], 2)
    if len(name) > _MOST_NAME or _NAME(name) is None:
        raise BadMessage(400, "a server name that is no host name")
    return name.lower().removesuffix(b".")


def _read_protocols(content: bytes) -> tuple[bytes, ...]:
    """Read the list of RFC 7301 §3.1: one protocol at least, none of them empty."""
    names = _whole(content, 2)
    protocols = []
    at = 0
    while at < len(names):
        protocol, at = _vector(names, at, 1)
        if not protocol:
            raise _malformed()
        protocols.append(protocol)
    if not protocols:
        raise _malformed()
    return tuple(protocols)


def _vector(data: bytes, at: int, width: int) -> tuple[bytes, int]:
    """Give what a length of `width` bytes at `at` tells of, and where that ends."""
    begin = at + width
    end = begin + int.from_bytes(data[at:begin], "big")
    if end > len(data) or begin > len(data):
        raise _malformed()
    return data[begin:end], end


def _whole(data: bytes, width: int) -> bytes:
    """Give a vector behind which nothing comes."""
    content, end = _vector(data, 0, width)
    if end != len(data):
        raise _malformed()
    return content


def _malformed() -> BadMessage:
    return BadMessage(400, "a malformed ClientHello")
