"""The Date field, made once a second (RFC 9110 §6.6.1)."""

import time
from email.utils import formatdate

__all__ = ["DateLine"]


class DateLine:
    """A field line that says the time of day. `at` takes the lane's clock, only to know when a second is over."""

    __slots__ = ("_line", "_until")

    def __init__(self) -> None:
        self._line = b""
        self._until = -1.0

    def at(self, now: float) -> bytes:
        """Give the line, CRLF included."""
        if now >= self._until:
            self._line = b"Date: %b\r\n" % formatdate(usegmt=True).encode()
            self._until = now + 1.0 - time.time() % 1.0
        return self._line
