"""Conditions: what a request carries, beside its method and place, that a route asks for.

    condition = ("header" | "cookie" | "query") ":" name ["=" value]

Without a value it is enough that the name is there. Names of fields compare without regard to case, all else as it is;
of a query, names and values as forms encode them.
"""

import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from netfront.errors import UsageError
from netfront.wire.cookie import cookie_value
from netfront.wire.fields import Fields, stays

__all__ = ["Condition", "parse_condition"]

_KINDS = ("header", "cookie", "query")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Condition:
    """What must be there.

    Args:
        kind: "header", "cookie" or "query".
        name: of a header in lower case.
        value: None for any.
    """

    kind: str
    name: bytes
    value: bytes | None = None

    def __str__(self) -> str:
        value = "" if self.value is None else "=" + self.value.decode(errors="surrogateescape")
        return f"{self.kind}:{self.name.decode(errors='surrogateescape')}{value}"

    def holds(self, fields: Fields, query: bytes | None) -> bool:
        """Tell whether a request with these fields and this query carries it."""
        name, wanted = self.name, self.value
        if self.kind == "header":
            values = fields.get_all(name)
            return wanted in values if wanted is not None else bool(values)
        if self.kind == "cookie":
            value = cookie_value(fields, name)
            return value is not None and wanted in (None, value)
        for pair in (query or b"").split(b"&"):
            key, _, given = pair.partition(b"=")
            if pair and _decoded(key) == name and (wanted is None or _decoded(given) == wanted):
                return True
        return False


def parse_condition(text: str) -> Condition:
    """Read a condition. Raises UsageError."""
    kind, colon, rest = text.partition(":")
    name, equals, value = rest.partition("=")
    if not colon or kind not in _KINDS:
        raise UsageError.of(text, "not a condition", "as in header:X-Version=2, cookie:beta or query:v=2")
    if not name or (kind != "query" and _TOKEN.fullmatch(name) is None):
        raise UsageError.of(
            text, f"{name!r} is no name of a {kind}", f"as in {kind}:NAME or {kind}:NAME=VALUE"
        )
    if _CONTROLS.search(text):
        raise UsageError.of(kind + ":…", "it holds a control character")
    lower = name.lower().encode(errors="surrogateescape")
    if kind == "header" and not stays(lower):
        hint = "give the host in the scope: app.localhost/api" if lower == b"host" else ""
        raise UsageError.of(text, f"routes cannot go by {name}", hint)
    wanted = value.encode(errors="surrogateescape") if equals else None
    return Condition(kind, lower if kind == "header" else name.encode(errors="surrogateescape"), wanted)


def _decoded(text: bytes) -> bytes:
    return unquote_to_bytes(text.replace(b"+", b" ")) if b"%" in text or b"+" in text else text
