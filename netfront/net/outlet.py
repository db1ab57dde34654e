"""Where lines leave the process without ever holding it up, whoever reads them.

A pipe that nobody reads any more, a pager that stands still or a terminal that was stopped takes nothing, and to write
there waits: for one process that serves everybody, that would be everybody's wait. Descriptors that were inherited are
shared, so none is made non-blocking for those who gave it. A pipe or a terminal is opened once more, for ourselves;
what cannot be (a socket) is asked before each write, and then takes as much as POSIX says that it does (PIPE_BUF).
"""

import os
import select
import stat
import time

__all__ = ["Outlet"]

_PIECE = 4096
"""Bytes that who is writable takes at once: PIPE_BUF of pipes, and less than what a writable socket has room for."""


class Outlet:
    """A descriptor to write to; it stays the caller's."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._own: int | None = None
        self._poll: select.poll | None = None
        mode = os.fstat(fd).st_mode
        if stat.S_ISREG(mode):
            return
        if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
            try:
                flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
                self._own = self._fd = os.open(f"/proc/self/fd/{fd}", flags)
            except OSError:  # no /proc, no reader, or not ours to open
                pass
            else:
                return
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)

    def write(self, data: bytes) -> bytes:
        """Write what is taken without waiting; give the rest. Raises OSError."""
        while data:
            if self._poll is not None and not self._poll.poll(0):
                break
            try:
                data = data[os.write(self._fd, data if self._poll is None else data[:_PIECE]) :]
            except BlockingIOError:
                break
        return data

    def write_for(self, data: bytes, patience: float) -> bytes:
        """Write, and wait for whoever is slow for so many seconds in all; give the rest. Raises OSError."""
        until = time.monotonic() + patience
        waits = select.poll()
        waits.register(self._fd, select.POLLOUT)
        while data := self.write(data):
            left = until - time.monotonic()
            if left <= 0.0 or not waits.poll(left * 1000.0):
                break
        return data

    def close(self) -> None:
        """Be done with it."""
        if self._own is not None:
            os.close(self._own)
            self._own = None
