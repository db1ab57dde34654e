"""Cookies of requests (RFC 6265 §4.2): one value by its name, or all."""

from collections.abc import Iterator

from netfront.wire.fields import Fields

__all__ = ["cookie_pairs", "cookie_value"]


def cookie_value(fields: Fields, name: bytes) -> bytes | None:
    """Give the value of the first cookie of this name, or None."""
    for line in fields.get_all(b"cookie"):  # a section of known shape is not taken apart for it
        for pair in line.split(b";"):
            key, equals, value = pair.strip(b" \t").partition(b"=")
            if equals and key == name:
                return value
    return None


def cookie_pairs(fields: Fields) -> Iterator[tuple[bytes, bytes]]:
    """Give name and value of each cookie, in the order in which they came; what has no `=` is none."""
    for line in fields.get_all(b"cookie"):
        for pair in line.split(b";"):
            name, equals, value = pair.strip(b" \t").partition(b"=")
            if equals:
                yield name, value
