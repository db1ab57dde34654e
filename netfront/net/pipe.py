"""Pipes for splice(2): bytes that go from one socket to another without passing through this process.

A pipe is lent to one direction of a relay while that is in bulk, and comes back empty. How many there are is
bounded, for each takes two descriptors and up to its capacity of kernel memory; without one a relay copies.
"""

import fcntl
import os

__all__ = ["Pipe", "Pipes"]

CAPACITY = 1 << 18
"""Bytes asked of the kernel for each: 256 KiB take a quarter of the calls that the usual 64 KiB take."""
_MOST = 64
"""Pipes at once: 16 MiB of kernel memory and 128 descriptors at most."""
_FLAGS = getattr(os, "SPLICE_F_NONBLOCK", 0) | getattr(os, "SPLICE_F_MOVE", 0)
_splice = getattr(os, "splice", None)


class Pipe:
    """One pipe. `held` is how many bytes are in it."""

    __slots__ = ("_reads", "_writes", "held")

    def __init__(self) -> None:
        self._reads, self._writes = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self.held = 0
        try:
            fcntl.fcntl(self._writes, fcntl.F_SETPIPE_SZ, CAPACITY)
        except OSError:
            pass  # this user has had its share of large ones: 64 KiB work as well

    def fill(self, fd: int) -> int:
        """Take bytes from a socket; the pipe must be empty. Gives how many, 0 at the end; raises as recv does."""
        assert _splice is not None
        self.held = _splice(fd, self._writes, CAPACITY, flags=_FLAGS)
        return self.held

    def empty(self, fd: int) -> int:
        """Give bytes to a socket. Gives how many; raises as send does."""
        assert _splice is not None
        given: int = _splice(self._reads, fd, self.held, flags=_FLAGS)
        self.held -= given
        return given

    def close(self) -> None:
        """Close it, with whatever is in it."""
        os.close(self._reads)
        os.close(self._writes)


class Pipes:
    """The pipes there are.

    Args:
        most: of them at once; 0 where nothing is to be spliced.
    """

    def __init__(self, most: int = _MOST) -> None:
        self._most = most if _splice is not None and hasattr(fcntl, "F_SETPIPE_SZ") else 0
        self._idle: list[Pipe] = []
        self.lent = 0

    def take(self) -> Pipe | None:
        """Lend an empty pipe; None when all are lent, or descriptors have run out."""
        if self.lent >= self._most:
            return None
        try:
            pipe = self._idle.pop() if self._idle else Pipe()
        except OSError:
            return None
        self.lent += 1
        return pipe

    def give_back(self, pipe: Pipe) -> None:
        """Take a pipe back; one that holds bytes is closed, as they belong to nobody else."""
        self.lent -= 1
        if pipe.held:
            pipe.close()
        else:
            self._idle.append(pipe)

    def close(self) -> None:
        """Close those that are not lent."""
        while self._idle:
            self._idle.pop().close()
