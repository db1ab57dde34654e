"""The terminal that stderr is, taken for a table and given back as it was.

It is opened once more, for ourselves: not to wait must hold for us and not for the shell, with whom a descriptor that
was inherited is shared. So a terminal that takes nothing (a connection that hangs) holds up the table and nothing else.

While we are in the background it is not ours: to change it would stop the process, and with it all that it serves.
"""

import os
import select
import sys
import termios
from contextlib import suppress

import trio

from netfront.errors import Fault

__all__ = ["Terminal", "terminal_faults"]

_PATIENCE = 0.5
"""Seconds that giving it back may wait for it to take what is left to be written."""
_LFLAG, _IFLAG, _CC = 3, 0, 6
_USUAL = os.terminal_size((80, 24))


def terminal_faults(access_log: str | None) -> list[Fault]:
    """Find why no table can be shown on a terminal.

    Args:
        access_log: where it goes; stdout is of no use for it if that is the same terminal.
    """
    if not sys.stderr.isatty():
        return []  # in a pipe a line is said per change, and no table shown
    if os.environ.get("TERM", "dumb") in ("dumb", "unknown"):
        hint = "without --live it says a line per change"
        return [Fault("--live", "the terminal cannot move its cursor, as TERM says", hint)]
    if access_log == "-" and sys.stdout.isatty():
        return [Fault("--access-log -", "the table of --live is shown there", "write the log to a file")]
    return []


class Terminal:
    """The terminal of stderr. Raises OSError: there is none."""

    def __init__(self) -> None:
        self._fd = os.open(os.ttyname(2), os.O_RDWR | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        self._encoding = sys.stderr.encoding
        self._before: list[object] | None = None
        self._left = b""
        self.is_gone = False
        """Whether nobody sits at it any more."""

    @property
    def size(self) -> os.terminal_size:
        """Its columns and lines."""
        try:
            size = os.get_terminal_size(self._fd)
        except OSError:
            return _USUAL
        return os.terminal_size((size.columns or _USUAL.columns, size.lines or _USUAL.lines))

    @property
    def is_ours(self) -> bool:
        """Whether we are in its foreground, or it is the terminal of no session."""
        try:
            return os.tcgetpgrp(self._fd) == os.getpgrp()
        except OSError:
            return True

    def take(self) -> None:
        """Have keys told as they are pressed, and not shown; those that send signals go on doing so."""
        try:
            if self._before is None:
                self._before = termios.tcgetattr(self._fd)
            mode = termios.tcgetattr(self._fd)
            mode[_LFLAG] &= ~(termios.ICANON | termios.ECHO)
            mode[_IFLAG] &= ~termios.IXON
            mode[_CC] = [*mode[_CC]]
            mode[_CC][termios.VMIN], mode[_CC][termios.VTIME] = 1, 0
            termios.tcsetattr(self._fd, termios.TCSANOW, mode)
        except termios.error:
            self.is_gone = True

    def give_back(self, text: str) -> None:
        """Write what ends a table, and have the terminal be as it was; waits for half a second at most."""
        data = (b"\x18" if self._left else b"") + self._encoded(
            text
        )  # CAN: what was cut may be half a sequence
        self._left = b""
        with suppress(OSError):
            while data and select.select([], [self._fd], [], _PATIENCE)[1]:
                data = data[os.write(self._fd, data) :]
        if self._before is not None and self.is_ours:
            with suppress(termios.error):
                termios.tcsetattr(self._fd, termios.TCSANOW, self._before)  # type: ignore[arg-type]  # as it came
            self._before = None

    def close(self) -> None:
        """Be done with it."""
        trio.lowlevel.notify_closing(self._fd)
        os.close(self._fd)

    async def write(self, text: str) -> None:
        """Write all of it, however long the terminal takes, unless it is given back meanwhile."""
        self._left = self._encoded(text)
        while self._left:
            try:
                self._left = self._left[os.write(self._fd, self._left) :]
            except BlockingIOError:
                await trio.lowlevel.wait_writable(self._fd)
            except OSError:
                self.is_gone = True
                self._left = b""

    async def read(self) -> bytes:
        """Wait for keys and give them; nothing where they are not for us, or nobody is there any more."""
        await trio.lowlevel.wait_readable(self._fd)
        if not self.is_ours:
            return b""
        try:
            data = os.read(self._fd, 4096)
        except BlockingIOError:
            return b""
        except OSError:
            data = b""
        self.is_gone = self.is_gone or not data
        return data

    def _encoded(self, text: str) -> bytes:
        return text.encode(self._encoding, "replace")
