"""An `@file`, as a user edits it while netfront serves by it."""

import os
import signal
from pathlib import Path

from tests.support.named import until
from tests.support.netfront import Running

__all__ = ["PoolFile"]


class PoolFile:
    """One of them. As a word of a command line it is its text."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __str__(self) -> str:
        return f"@{self.path}"

    def write(self, *lines: str) -> None:
        """Write it in place, a line each."""
        self.path.write_text("".join(f"{line}\n" for line in lines))

    def rewrite(
        self, front: Running, *lines: str, says: str = "netfront: reloaded", hup: bool = False
    ) -> None:
        """Write it anew, whole and at once, and wait until netfront has said that it has seen it.

        Args:
            hup: send SIGHUP too, which is quicker than that it is looked for.
        """
        said = front.stderr.count(says)
        fresh = self.path.with_suffix(".new")
        fresh.write_text("".join(f"{line}\n" for line in lines))
        os.replace(fresh, self.path)
        if hup:
            front.process.send_signal(signal.SIGHUP)
        until(lambda: front.stderr.count(says) > said)
