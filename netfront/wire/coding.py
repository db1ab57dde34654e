"""Content codings (RFC 9110 §8.4.1): taken off again, within bounds.

What comes out is bounded in bytes and against what went in: a few kilobytes that grow to gigabytes are an attack.
"""

import zlib
from collections.abc import Callable, Iterable

from netfront.wire.fields import Fields

__all__ = ["codings_of", "decode"]

_MOST_CODINGS = 2
"""Codings one over the other: two happen where a proxy compresses what was compressed."""
_RATIO = 100
"""Times that content may grow. JSON and HTML seldom grow 20 times; deflate could 1,000, and brotli has no bound."""
_FREE = 1 << 16
"""Bytes that any content may have, however small it was."""


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
        ValueError: in a few words, why that cannot be done.
    """
    names = list(codings)
    if len(names) > _MOST_CODINGS:
        raise ValueError(f"it has {len(names)} content codings, one over the other")
    grows_to = max(_FREE, _RATIO * len(data))  # over all of them: two would allow the square of it
    for name in reversed(names):
        take_off = _DECODERS.get(name)
        if take_off is None:
            raise ValueError(f"its content coding {name[:32].decode('latin-1')} is unknown")
        bound = min(most, grows_to)
        grown = take_off(data, bound)
        if len(grown) > bound:
            how = f"over {most} bytes" if bound == most else f"over {_RATIO} times as long"
            raise ValueError(f"without its {name.decode()} it is {how}")
        data = grown
    return data


def _inflate(data: bytes, most: int, bits: int) -> bytes:
    """Inflate; one byte more than `most` says that there is more."""
    inflater = zlib.decompressobj(bits)
    try:
        grown = inflater.decompress(data, most + 1)
    except zlib.error as error:
        raise ValueError("its content coding is broken") from error
    if len(grown) <= most and not inflater.eof:
        raise ValueError("its content coding breaks off")
    if inflater.unused_data and len(grown) <= most:
        raise ValueError("there is more behind its content coding")
    return grown


def _gunzip(data: bytes, most: int) -> bytes:
    return _inflate(data, most, zlib.MAX_WBITS | 16)


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
