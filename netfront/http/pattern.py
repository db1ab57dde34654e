"""A regular expression that cannot stall the process, for bytes that somebody else sends.

Theory. Python's matcher backtracks: `.*ok.*` takes a second over 64 KiB in which there is no "ok", and `(a+)+$`
takes for ever. It holds the interpreter meanwhile, so a thread would not help. But it looks for signals as it
goes, in the main thread. So a timer of CPU time is set for the search, and its signal's handler raises out
of it. SIGVTALRM is used by hardly anybody else; whatever handler and timer there were are put back. The signal can
also arrive just after the search has ended: then it raises before `is_searching` is unset, within the `try`, and
the search counts as cut.

A pattern that was cut is not tried again for a hundred times as long as it took: together, its searches cannot cost
more than one per cent of the process's time.
"""

import re
import signal
import time
from collections.abc import Callable
from types import FrameType

from netfront.errors import UsageError

__all__ = ["Pattern", "TooLong"]

MOST_CPU = 0.02
"""Seconds of CPU for a search: what is sane takes below 1 ms over 64 KiB."""
_REST = 100
_LONGEST = 1000


class TooLong(Exception):
    """A search took more than `MOST_CPU`, or is not tried because one did so a moment before."""


class Pattern:
    """A regular expression over bytes. Main thread only.

    Args:
        text: as given; matched as UTF-8.

    Raises:
        UsageError: it is none, or longer than 1000 characters.
    """

    def __init__(self, text: str, *, most_cpu: float = MOST_CPU) -> None:
        if len(text) > _LONGEST:
            raise UsageError.of(f"{text[:40]}…", f"a regular expression of over {_LONGEST} characters")
        try:
            self._search = re.compile(text.encode()).search
        except (re.error, OverflowError, RecursionError, UnicodeEncodeError) as error:
            raise UsageError.of(text, f"not a regular expression: {error}") from error
        self._most_cpu = most_cpu
        self._rests_until = 0.0
        self.text = text

    def __repr__(self) -> str:
        return f"Pattern({self.text!r})"

    def is_in(self, data: bytes) -> bool:
        """Tell whether it matches anywhere.

        Raises:
            TooLong: it took too much CPU to find out.
        """
        began = time.perf_counter()
        if began < self._rests_until:
            raise TooLong
        try:
            return _within(self._most_cpu, self._search, data)
        except TooLong:
            ended = time.perf_counter()
            self._rests_until = ended + _REST * (ended - began)
            raise


class _Alarm:
    """The handler of the timer's signal; it raises only while a search is under way."""

    __slots__ = ("is_searching",)

    def __init__(self) -> None:
        self.is_searching = True

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self.is_searching:
            self.is_searching = False
            raise TooLong


def _within(seconds: float, search: Callable[[bytes], object], data: bytes) -> bool:
    alarm = _Alarm()
    before = signal.signal(signal.SIGVTALRM, alarm)
    timer = signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        found = search(data) is not None
        alarm.is_searching = False
    finally:
        alarm.is_searching = False
        signal.setitimer(signal.ITIMER_VIRTUAL, *timer)
        signal.signal(signal.SIGVTALRM, signal.SIG_DFL if before is None else before)
    return found
