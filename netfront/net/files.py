"""Files that may be pipes: read whole, and what can be read but once remembered.

`--cert <(command)` names a pipe: it is empty once it was read, has no times worth watching, and OpenSSL, which wants
a path, would find nothing in it. So a file is read here, and what OpenSSL is to load is handed to it as a file in
memory: no key is written to a disk for that, and what was checked is what is loaded.
"""

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from netfront.errors import UsageError, words
from netfront.units import render_size

__all__ = ["Files", "loadable"]

_MOST = 1 << 22
"""Bytes of a file that are read: twenty times the system's list of CAs."""


class Files:
    """Reads files, and remembers what it read of pipes."""

    def __init__(self) -> None:
        self._once: dict[str, bytes] = {}

    def read(self, path: str, *, what: str | None = None) -> bytes:
        """Give what a file holds.

        Args:
            what: how the file is called in a message, if not by its path.

        Raises:
            UsageError: it cannot be read, or is far too long for a PEM file.
        """
        if path in self._once:
            return self._once[path]
        try:
            with open(path, "rb") as file:
                data = file.read(_MOST + 1)
                is_pipe = not stat.S_ISREG(os.fstat(file.fileno()).st_mode)
        except OSError as error:
            raise UsageError.of(what or path, words(error)) from error
        if len(data) > _MOST:
            raise UsageError.of(what or path, f"longer than {render_size(_MOST)}", "name a PEM file")
        if is_pipe:
            self._once[path] = data
        return data

    def is_pipe(self, path: str) -> bool:
        """Tell whether a file that was read cannot be read again."""
        return path in self._once


@contextmanager
def loadable(data: bytes) -> Iterator[str]:
    """Give a path from which these bytes can be loaded within the block; they stay in memory where that is possible."""
    with os.fdopen(_memory(), "r+b") as file:
        file.write(data)
        file.flush()
        for folder in ("/proc/self/fd", "/dev/fd"):
            if os.path.exists(path := f"{folder}/{file.fileno()}"):
                yield path
                return
    with tempfile.NamedTemporaryFile() as named:
        named.write(data)
        named.flush()
        yield named.name


def _memory() -> int:
    try:
        return os.memfd_create("netfront")
    except (AttributeError, OSError):
        descriptor, path = tempfile.mkstemp()
        os.unlink(path)
        return descriptor
