"""A log file: lines are held and written together, and no full disk ever holds up a request."""

import os
import sys
from collections.abc import Callable

from netfront.errors import words

__all__ = ["LogFile"]

_FLUSH_AT = 1 << 16
_MOST_HELD = 1 << 20


class LogFile:
    """A file that lines are appended to.

    Args:
        path: None for stdout.
        complain: told once when lines are lost, and once when writing works again.
    """

    def __init__(self, path: str | None, complain: Callable[[str], None]) -> None:
        self.path = path
        self._complain = complain
        self._held: list[bytes] = []
        self._size = 0
        self._fd = self._open()
        self.lost = 0
        """Lines that could not be written."""

    def _open(self) -> int:
        if self.path is None:
            return sys.stdout.fileno()
        return os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)

    def write(self, line: bytes) -> None:
        """Take a line, its line feed included. Beyond what may be held it is lost, and counted."""
        if self._size > _MOST_HELD:
            self._lose(1)
            return
        self._held.append(line)
        self._size += len(line)
        if self._size > _FLUSH_AT:
            self.flush()

    def flush(self) -> None:
        """Write what is held; what a full disk does not take is lost."""
        if not self._held:
            return
        data, count = b"".join(self._held), len(self._held)
        self._held.clear()
        self._size = 0
        try:
            while data:
                data = data[os.write(self._fd, data) :]
        except BlockingIOError:
            self._held, self._size = [data], len(data)
            return
        except OSError as error:
            self._lose(count, words(error))
            return
        if self.lost:
            self._complain(
                f"access log: writing again; {self.lost} line{'s were' if self.lost > 1 else ' was'} lost"
            )
            self.lost = 0

    def _lose(self, count: int, why: str = "the reader is too slow") -> None:
        if not self.lost:
            self._complain(f"access log: {why}; lines are being lost")
        self.lost += count

    def reopen(self) -> None:
        """Close the file and open it anew, as it was renamed."""
        self.flush()
        if self.path is None:
            return
        try:
            fresh = self._open()
        except OSError as error:
            self._complain(f"access log: {words(error)}; writing to the old file")
            return
        os.close(self._fd)
        self._fd = fresh

    def close(self) -> None:
        """Write what is held, tell what was lost to the end, and close."""
        self.flush()
        if self.lost:
            self._complain(f"access log: {self.lost} line{'s were' if self.lost > 1 else ' was'} lost")
        if self.path is not None:
            os.close(self._fd)
