"""Which statuses are meant: `2xx`, `200`, `200-399`, several with commas between them (--health, --eject-on)."""

import re
from dataclasses import dataclass

from netfront.errors import UsageError

__all__ = ["NO_STATUS", "SUCCESSFUL", "StatusSet", "parse_statuses"]

_ONE = re.compile(r"([1-5])xx|([1-5]\d\d)(?:-([1-5]\d\d))?", re.ASCII | re.IGNORECASE)
_HINT = "write 2xx, 200 or 200-399, several with commas between them; a status is from 100 to 599"


@dataclass(frozen=True, slots=True)
class StatusSet:
    """A set of statuses.

    Args:
        ranges: first and last of each, in the order given.
    """

    ranges: tuple[tuple[int, int], ...]

    def __bool__(self) -> bool:
        return bool(self.ranges)

    def __contains__(self, status: object) -> bool:
        return isinstance(status, int) and any(first <= status <= last for first, last in self.ranges)

    def __str__(self) -> str:
        """Write it so that parsing gives the same set again."""
        return ",".join(_render(first, last) for first, last in self.ranges)


NO_STATUS = StatusSet(())
SUCCESSFUL = StatusSet(((200, 299),))
"""2xx (RFC 9110 §15.3)."""


def parse_statuses(text: str) -> StatusSet:
    """Read a set of statuses.

    Raises:
        UsageError: of each part that is wrong.
    """
    ranges, wrong = [], []
    for part in text.split(","):
        match = _ONE.fullmatch(part)
        if match is None:
            wrong.append(UsageError.of(part or text, "not a status", _HINT))
            continue
        hundreds, first, last = match.groups()
        if hundreds:
            ranges.append((int(hundreds) * 100, int(hundreds) * 100 + 99))
        elif last is not None and last < first:
            wrong.append(UsageError.of(part, "it ends before it begins", f"write {last}-{first}"))
        else:
            ranges.append((int(first), int(last or first)))
    if wrong:
        raise UsageError(*(fault for error in wrong for fault in error.faults))
    return StatusSet(tuple(ranges))


def _render(first: int, last: int) -> str:
    if first == last:
        return str(first)
    return f"{first // 100}xx" if first % 100 == 0 and last == first + 99 else f"{first}-{last}"
