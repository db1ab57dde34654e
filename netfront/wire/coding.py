"""Content codings (RFC 9110 §8.4.1): taken off again, within bounds: a few kilobytes may grow to gigabytes."""

import zlib
from collections.abc import Callable, Iterable

from netfront.wire.fields import Fields

__all__ = ["TooLong", "UnknownCoding", "codings_of", "decode"]

_MOST_CODINGS = 2
"""Codings one over the other: two happen where a proxy compresses what was compressed."""
_MOST_MEMBERS = 16
"""Of gzip, one behind the other (RFC 1952 §2.2): each is another copy of what follows it."""


class TooLong(ValueError):
    """More would come out than may."""


class UnknownCoding(ValueError):
    """There is no such coding, or none that is known here."""


def codings_of(fields: Fields) -> tuple[bytes, ...]:
    """List the codings of a message in the order they were applied, without identity."""
    values = fields.get_all(b"content-encoding")
    if not values:
        return ()
    names = [name.strip(b" \t").lower() for value in values for name in value.split(b",")]
    return tuple(name for name in names if name and name != b"identity")


def decode(data: bytes, codings: Iterable[bytes], *, most: int) -> bytes:
    """Take codings off.

    Args:
        codings: in the order they were applied.
        most: bytes that may come out.
    Raises:
        TooLong, UnknownCoding, ValueError: in a few words, why that cannot be done.
    """
    names = list(codings)
    if len(names) > _MOST_CODINGS:
        raise ValueError(f"it has {len(names)} content codings, one over the other")
    for name in reversed(names):
        take_off = _DECODERS.get(name)
        if take_off is None:
            raise UnknownCoding(f"its content coding {name[:32].decode('latin-1')} is unknown")
        data = take_off(data, most)
        if len(data) > most:
            raise TooLong(f"without its {name.decode()} it is over {most} bytes")
    return data


def _inflate_one(data: bytes, most: int, bits: int) -> tuple[bytes, bytes]:
    """Inflate, and give what is behind it too; one byte more than `most` says that there is more."""
    inflater = zlib.decompressobj(bits)
    try:
        grown = inflater.decompress(data, most + 1)
    except zlib.error as error:
        raise ValueError("its content coding is broken") from error
    if len(grown) <= most and not inflater.eof:
        raise ValueError("its content coding breaks off")
    return grown, inflater.unused_data


def _inflate(data: bytes, most: int, bits: int) -> bytes:
    grown, behind = _inflate_one(data, most, bits)
    if behind and len(grown) <= most:
        raise ValueError("there is more behind its content coding")
    return grown


def _gunzip(data: bytes, most: int) -> bytes:
    members: list[bytes] = []
    for _ in range(_MOST_MEMBERS):
        grown, data = _inflate_one(data, most, zlib.MAX_WBITS | 16)
        members.append(grown)
        most -= len(grown)
        if not data or most < 0:
            return b"".join(members)
        if not data.startswith(b"\x1f\x8b"):
            raise ValueError("there is more behind its content coding")
    raise ValueError("it has too many members of gzip")


def _deflate(data: bytes, most: int) -> bytes:
    """Take off "deflate": the zlib format (RFC 9110 §8.4.1.2), or without its wrapping, as some senders do."""
    has_wrapping = len(data) >= 2 and data[0] & 0x0F == zlib.DEFLATED and not (data[0] << 8 | data[1]) % 31
    return _inflate(data, most, zlib.MAX_WBITS if has_wrapping else -zlib.MAX_WBITS)


def _unbrotli(data: bytes, most: int) -> bytes:
    import brotli

    decompressor = brotli.Decompressor()
    parts = []
    size = 0
    try:
        grown = decompressor.process(data, output_buffer_limit=most + 1)
        while True:
            parts.append(grown)
            size += len(grown)
            if size > most or decompressor.is_finished():
                break
            if decompressor.can_accept_more_data():
                raise ValueError("its content coding breaks off")
            grown = decompressor.process(b"", output_buffer_limit=most + 1 - size)
    except brotli.error as error:
        raise ValueError("its content coding is broken") from error
    return b"".join(parts)


_DECODERS: dict[bytes, Callable[[bytes, int], bytes]] = {
    b"gzip": _gunzip,
    b"x-gzip": _gunzip,
    b"deflate": _deflate,
    b"br": _unbrotli,
}
