"""stdin, stdout and stderr: there from the start; results written or told why not, and lines that hold nobody up."""

import os
import sys
from typing import TextIO

from netfront.net.outlet import Outlet

__all__ = ["Voice", "hold_streams", "print_result"]

_NAMES = ("stdin", "stdout", "stderr")
_MOST_HELD = 1 << 18


def hold_streams() -> None:
    """Open what was closed (`>&-`) on /dev/null: else a socket would take its number, and get what is said to people.

    And text that the terminal's encoding lacks is escaped.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) < len(_NAMES):
        stream = open(descriptor, "r" if descriptor == 0 else "w", closefd=False)  # noqa: SIM115 -- as long as we
        setattr(sys, _NAMES[descriptor], stream)
    os.close(descriptor)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")


def print_result(text: str) -> None:
    """Write a result to stdout.

    Raises:
        SystemExit: 1, it could not be written; quietly where the reader has left (`| head -1`).
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        if not isinstance(error, BrokenPipeError):
            from netfront.errors import words

            sys.stderr.write(f"netfront: cannot write to stdout: {words(error)}\n")
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is still held is flushed at exit
        raise SystemExit(1) from error


class Voice:
    """Text to stdout or stderr that holds nobody up: what its reader is too slow for is held, then lost and counted."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._outlet: Outlet | None = None
        self._held: list[bytes] = []
        self._size = 0
        self._lost = 0
        self._failure: str | None = None
        try:
            self._outlet = Outlet(stream.fileno())
        except (OSError, ValueError):  # no descriptor is behind it
            pass

    def say(self, text: str) -> None:
        """Say whole lines."""
        if self._outlet is None:
            self._stream.write(text)
            self._stream.flush()
            return
        data = text.encode(self._stream.encoding or "utf-8", "backslashreplace")
        if not self._held:
            try:
                data = self._outlet.write(data)
            except OSError as error:
                self._fail(error)
                return
        if not data:
            return
        if self._size > _MOST_HELD:
            self._lost += 1
            return
        self._held.append(data)
        self._size += len(data)

    def flush(self, patience: float = 0.0) -> int:
        """Write what is held; give how many lines were lost, each once.

        Args:
            patience: seconds to wait for the reader; what is not taken by then is lost. With none it is held on, and
                nothing is told of what was lost as long as nobody would hear it.
        """
        if self._held and self._outlet is not None:
            data = b"".join(self._held)
            self._held, self._size = [], 0
            try:
                data = self._outlet.write_for(data, patience) if patience else self._outlet.write(data)
            except OSError as error:
                data = b""
                self._fail(error)
            if data and not patience:
                self._held, self._size = [data], len(data)
                return 0
            self._lost += data.count(b"\n")
        lost, self._lost = self._lost, 0
        return lost

    def failure(self) -> str:
        """Give the system's words for why nothing can be written, once; else nothing."""
        failure = self._failure or ""
        if failure:
            self._failure = ""  # and None as long as it has not failed
        return failure

    def _fail(self, error: OSError) -> None:
        """Drop what could not be written: nobody reads it any more, or there is no room."""
        if self._failure is None:
            from netfront.errors import words

            self._failure = words(error)
