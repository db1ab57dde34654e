"""Templates: a path or URL with `{name}` in it, which a request's parameters fill.

A parameter comes percent-encoded, as paths are for decisions. In a path it stands as it is: it holds no slash, question
mark or hash of its own, but for `{**}`, which is all that a `**` stands for. Behind a `?` what means something there is
encoded too.
"""

import re
from collections.abc import Mapping

from netfront.errors import UsageError

__all__ = ["Template"]

_NAME = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*|\*\*)\}")
_ALLOWED = re.compile(r"[A-Za-z0-9\-._~!$&'()*+,;=:@/?%\[\]#]*")
_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_IN_QUERIES = re.compile(rb"[^A-Za-z0-9\-._~%]")


class Template:
    """A text with names.

    Args:
        text: as written.
        given: the names that there are.
    Raises:
        UsageError: not a text that can stand in a URL, or another name.
    """

    __slots__ = ("_parts", "text")

    def __init__(self, text: str, given: tuple[str, ...] = ()) -> None:
        *literals, last = _NAME.split(text)
        literals.append(last)
        rest = "".join(literals[::2])
        if _ALLOWED.fullmatch(rest) is None:
            raise UsageError.of(text, "it holds what cannot stand in a URL", "write it percent-encoded")
        if _ESCAPE.search(text) is not None:
            raise UsageError.of(text, "a percent sign that encodes nothing", "a literal '%' is written %25")
        for name in literals[1::2]:
            if name not in given:
                there = ", ".join(f"{{{one}}}" for one in given) or "none"
                raise UsageError.of(text, f"no {{{name}}} in its scope", f"the names there are: {there}")
        self.text = text
        self._parts: list[tuple[bytes, str, bool]] = []
        is_path = True
        for literal, name in zip(literals[::2], [*literals[1::2], ""], strict=True):
            is_path = is_path and "?" not in literal and "#" not in literal
            self._parts.append((literal.encode(), name, is_path))

    def fill(self, values: Mapping[str, bytes]) -> bytes:
        """Give the text with these values in place of the names."""
        filled = []
        for literal, name, is_path in self._parts:
            filled.append(literal)
            if name:
                value = values[name]
                filled.append(value if is_path else _IN_QUERIES.sub(_encode, value))
        return b"".join(filled)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Template) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"Template({self.text!r})"


def _encode(match: re.Match[bytes]) -> bytes:
    return b"%%%02X" % match[0][0]
