"""What a row of a table says: the section of the standard, the bytes, and what must happen to them.

A request row is sent as it is. What passes is followed by a second request on the same connection, whose answer
shows that both sides agree where the first one ended; what is refused is followed by a hidden one, which must neither
be answered nor reach the origin.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

__all__ = [
    "HIDDEN",
    "HOST",
    "Passes",
    "Refused",
    "Row",
    "Want",
    "either",
    "passes",
    "refused",
    "request",
    "unique",
]

HOST = b"Host: www.example.test"
HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: hidden.example.test\r\n\r\n"


@dataclass(frozen=True)
class Want:
    """A request as the origin must see it.

    Args:
        has: fields, in lower case, with the one value each must have there; None where it must be absent.
    """

    method: bytes = b"GET"
    target: bytes = b"/"
    body: bytes = b""
    has: Mapping[bytes, bytes | None] = field(default_factory=dict)
    trailers: tuple[tuple[bytes, bytes], ...] = ()


@dataclass(frozen=True)
class Passes:
    """All of it reaches the origin, as these requests and no others."""

    wants: tuple[Want, ...]


@dataclass(frozen=True)
class Refused:
    """One answer with one of these statuses, a close, and nothing at the origin."""

    statuses: frozenset[int]


@dataclass(frozen=True)
class Row:
    """One line of a table. Where the standard leaves a choice, both outcomes are given."""

    section: str
    name: str
    data: bytes
    passes: Passes | None = None
    refused: Refused | None = None

    @property
    def label(self) -> str:
        """What pytest calls it."""
        return f"{self.section} {self.name}"


def request(
    *lines: bytes,
    method: bytes = b"GET",
    target: bytes = b"/",
    version: bytes = b"HTTP/1.1",
    host: bytes | None = HOST,
    body: bytes = b"",
) -> bytes:
    """Put a request together; Host comes first."""
    head = [b"%b %b %b" % (method, target, version), *([host] if host is not None else []), *lines]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


def refused(section: str, name: str, data: bytes, *statuses: int) -> Row:
    """Make a row that must be refused; with 400 where nothing else is said."""
    return Row(section, name, data, refused=Refused(frozenset(statuses or (400,))))


def passes(section: str, name: str, data: bytes, *wants: Want) -> Row:
    """Make a row that must pass; as `GET /` where nothing else is said."""
    return Row(section, name, data, passes=Passes(wants or (Want(),)))


def either(section: str, name: str, data: bytes, *wants: Want, statuses: tuple[int, ...] = (400,)) -> Row:
    """Make a row that may do one or the other."""
    return Row(section, name, data, Passes(wants or (Want(),)), Refused(frozenset(statuses)))


def unique(rows: Iterable[Row]) -> list[Row]:
    """Give the rows as a list; two with the same label are a mistake in a table."""
    listed = list(rows)
    labels = [row.label for row in listed]
    twice = {label for label in labels if labels.count(label) > 1}
    if twice:
        raise ValueError(f"rows of the same name: {sorted(twice)}")
    return listed
