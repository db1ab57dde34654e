"""Whether files have changed: by time, size and inode, looked at again and again.

No inotify: it watches what a path named when it was asked, and misses what is renamed into its place, linked
anew or mounted. A look opens each file, to know that it can be read still; what that costs every second does not show.
"""

import os
from collections.abc import Callable, Sequence

import trio

from netfront.errors import words

__all__ = ["FileWatch", "watch_files"]

_MOMENT = 3
"""Looks for which a missing file holds the others back: it is being replaced, and they belong together."""
_MOST_SETTLING = 20
"""Looks after which a file that goes on changing is told of all the same."""

Stamp = tuple[int, int, int, int]


class FileWatch:
    """Whether files have changed since the last look.

    A file that is missing has not changed: somebody is about to put another in its place. The stamps are taken
    before the caller reads, so what is written while it reads is seen at the next look.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = tuple(paths)
        self._seen: list[Stamp | str] = [_stamp(path) for path in self._paths]
        self._missed = 0
        self.missing: dict[str, str] = {}
        """At the last look: those that could not be read, and why."""

    @property
    def paths(self) -> tuple[str, ...]:
        """The files that are watched."""
        return self._paths

    def change(self, paths: Sequence[str]) -> None:
        """Watch these from here on; what was seen of those that stay is kept. Call it before the others are read."""
        known = dict(zip(self._paths, self._seen, strict=True))
        self._paths = tuple(paths)
        self._seen = [known.get(path) or _stamp(path) for path in self._paths]

    def changed(self) -> bool:
        """Tell whether any has changed since the last call.

        While one of them is missing nothing is told, for a moment; if it stays away, the others are told of.
        """
        found = [_stamp(path) for path in self._paths]
        self.missing = {path: at for path, at in zip(self._paths, found, strict=True) if isinstance(at, str)}
        self._missed = self._missed + 1 if self.missing else 0
        if 0 < self._missed <= _MOMENT:
            return False
        seen = [old if isinstance(new, str) else new for new, old in zip(found, self._seen, strict=True)]
        if seen == self._seen:
            return False
        self._seen = seen
        return True


async def watch_files(
    watch: FileWatch, changed: Callable[[], None], *, every: float = 1.0, settle: float = 0.1
) -> None:
    """Call `changed` after each change of the files of a watch; never returns.

    Args:
        watch: made before the files were first read, or what was written in between is never seen.
        every: seconds between two looks.
        settle: seconds for which they have to stay as they are first: an editor that writes in place leaves a
            file empty, or half of it, for a moment.
    """
    while True:
        await trio.sleep(every)
        if not watch.changed():
            continue
        for _ in range(_MOST_SETTLING):
            await trio.sleep(settle)
            if not watch.changed():
                break
        changed()


def _stamp(path: str) -> Stamp | str:
    """Give what tells one state of a file from another, or why it cannot be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            found = os.fstat(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        return words(error)
    return found.st_mtime_ns, found.st_size, found.st_ino, found.st_mode  # who may write it counts too
