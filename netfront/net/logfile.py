"""A log file: lines are held and written together, and no full disk and no slow reader ever holds up a request."""

import os
import sys
from collections.abc import Callable

from netfront.errors import words
from netfront.net.outlet import Outlet

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
        self._outlet = Outlet(self._open())
        self.lost = 0
        """Lines that could not be written."""

    def _open(self) -> int:
        if self.path is None:
            return sys.stdout.fileno()
        # not to wait means something for a named pipe alone: that nobody reads it is an error, and no wait
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
        self._fd = os.open(self.path, flags, 0o640)
        return self._fd

    def write(self, line: bytes) -> None:
        """Take a line, its line feed included. Beyond what may be held it is lost, and counted."""
        if self._size > _MOST_HELD:
            self._lose(1)
            return
        self._held.append(line)
        self._size += len(line)
        if self._size > _FLUSH_AT:
            self.flush()

    def flush(self, patience: float = 0.0) -> None:
        """Write what is held; what a full disk does not take is lost, what a reader is too slow for is held on."""
        if not self._held:
            return
        data, count = b"".join(self._held), len(self._held)
        self._held.clear()
        self._size = 0
        try:
            data = self._outlet.write_for(data, patience) if patience else self._outlet.write(data)
        except OSError as error:
            self._lose(count, words(error))
            return
        if data:
            self._held, self._size = [data], len(data)
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
        before = self._fd
        try:
            fresh = self._open()
        except OSError as error:
            self._complain(f"access log: {words(error)}; writing to the old file")
            return
        self._outlet.close()
        os.close(before)
        self._outlet = Outlet(fresh)

    def close(self, patience: float = 0.0) -> None:
        """Write what is held, tell what was lost to the end, and close.

        Args:
            patience: seconds for which a slow reader is waited for.
        """
        self.flush(patience)
        if self._held:
            self._lose(b"".join(self._held).count(b"\n"))
        if self.lost:
            self._complain(f"access log: {self.lost} line{'s were' if self.lost > 1 else ' was'} lost")
        self._outlet.close()
        if self.path is not None:
            os.close(self._fd)
