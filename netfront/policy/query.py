"""Names in a query, as others read them."""

import re
from collections.abc import Iterator
from urllib.parse import unquote_to_bytes

__all__ = ["decoded", "loose", "loose_names"]

_JOINTS = re.compile("[ .]")
_BRACKETS = re.compile(r"[\[\]]")
_ENDS = re.compile("[&;]")


def decoded(text: str) -> bytes:
    """Decode a name or value of a query, which is Latin-1 here."""
    return unquote_to_bytes(text.replace("+", " ").encode("latin-1"))


def loose(name: str) -> str:
    """Give what is alike for names that some reader takes for one: PHP, qs, Rack and ASP.NET among them."""
    name = name.partition("\0")[0].strip().lstrip("[] ")
    return _JOINTS.sub("_", _BRACKETS.split(name)[0]).lower()


def loose_names(query: bytes) -> Iterator[str]:
    """Give the names in a query, as `loose` does; a semicolon ends one too, as some take it for an ampersand."""
    for piece in _ENDS.split(query.decode("latin-1")):
        if piece:
            yield loose(decoded(piece.partition("=")[0]).decode("latin-1"))
