"""Cookies of requests (RFC 6265 §4.2): one value by its name, or all."""

from collections.abc import Iterator

from netfront.wire.fields import Fields

__all__ = ["cookie_pairs", "cookie_value"]


def cookie_value(fields: Fields, name: bytes) -> bytes | None:
    """Give the value of the first cookie of this name, or None.

    It is asked of each request that a cookie tells apart, and `cookie_pairs` would cost it 0.3 us.
    """
    for row in fields:
        if row.name == b"cookie":
            for pair in row.value.split(b";"):
                key, equals, value = pair.strip(b" \t").partition(b"=")
                if equals and key == name:
                    return value
    return None


def cookie_pairs(fields: Fields) -> Iterator[tuple[bytes, bytes]]:
    """Give name and value of each cookie, in the order in which they came; what has no `=` is none."""
    for row in fields:
        if row.name == b"cookie":
            for pair in row.value.split(b";"):
                name, equals, value = pair.strip(b" \t").partition(b"=")
                if equals:
                    yield name, value
