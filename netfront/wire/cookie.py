"""Cookies of requests (RFC 6265 §4.2): one value by its name."""

from netfront.wire.fields import Fields

__all__ = ["cookie_value"]


def cookie_value(fields: Fields, name: bytes) -> bytes | None:
    """Give the value of the first cookie of this name, or None."""
    for row in fields:
        if row.name == b"cookie":
            for pair in row.value.split(b";"):
                key, equals, value = pair.strip(b" \t").partition(b"=")
                if equals and key == name:
                    return value
    return None
