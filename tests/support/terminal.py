"""A terminal with somebody at it: a program runs in it, keys are pressed, and its screen is looked at."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.netfront import PATIENCE, ROOT

__all__ = ["Terminal", "ports_of", "terminal"]

_STYLE = re.compile(r"\x1b\[[0-9;]*m")
_COLOR = re.compile(r"\x1b\[(?:[0-9;]*;)?[34][0-9][0-9;]*m")


class Terminal:
    """A pseudo-terminal. What a program writes is read all the time, unless it is `held`."""

    def __init__(self, columns: int, lines: int) -> None:
        self._ours, self._theirs = pty.openpty()
        self.process: subprocess.Popen[bytes] | None = None
        self.output = bytearray()
        self.resize(columns, lines)
        self.held = threading.Event()
        self._over = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def start(self, *line: str, **environment: str) -> None:
        """Run a program in it, as the leader of a session whose terminal this is."""
        name = os.ttyname(self._theirs)
        shell = ["sh", "-c", 'exec "$@" <"$0" >"$0" 2>&1', name, *line]
        env = {**os.environ, "TERM": "xterm-256color", **environment}
        if "NO_COLOR" not in environment:
            env.pop("NO_COLOR", None)
        self.process = subprocess.Popen(shell, cwd=ROOT, env=env, start_new_session=True)

    def press(self, keys: bytes) -> None:
        """Type something."""
        os.write(self._ours, keys)

    def resize(self, columns: int, lines: int) -> None:
        """Make its window larger or smaller."""
        fcntl.ioctl(self._theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    @property
    def mode(self) -> list[object]:
        """How it treats what is typed and shown."""
        return termios.tcgetattr(self._theirs)

    @property
    def text(self) -> str:
        """All that was written to it."""
        return bytes(self.output).decode(errors="replace")

    @property
    def is_table(self) -> bool:
        """Whether its other screen is shown."""
        return self.text.rfind("\x1b[?1049h") > self.text.rfind("\x1b[?1049l")

    @property
    def has_color(self) -> bool:
        """Whether anything was written in colour."""
        return _COLOR.search(self.text) is not None

    @property
    def frame(self) -> list[str]:
        """The lines of the last picture that was drawn whole; each begins at the home position."""
        frames = _STYLE.sub("", self.text.rpartition("\x1b[?1049l")[0] or self.text).split("\x1b[H")
        whole = [frame for frame in frames if "\r\n" in frame]
        return [line.rstrip() for line in whole[-1].split("\r\n")] if whole else []

    def wait_for(self, words: str) -> list[str]:
        """Wait until a picture has these words in one of its lines; give it."""
        return self.wait_until(lambda: any(words in line for line in self.frame), words)

    def wait_until(self, is_so: object, what: str = "") -> list[str]:
        """Wait until something is so; give the picture."""
        deadline = time.monotonic() + PATIENCE
        while not is_so():  # type: ignore[operator]
            shown = "\n".join(self.frame) or self.text
            assert time.monotonic() < deadline, f"no {what!r} in:\n{shown}"
            time.sleep(0.02)
        return self.frame

    def hang_up(self) -> None:
        """Have nobody sit at it any more."""
        self._over.set()
        self._reader.join()
        os.close(self._theirs)
        os.close(self._ours)

    def close(self) -> None:
        """End what runs in it."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        with suppress(OSError):
            self.hang_up()

    def _read(self) -> None:
        while not self._over.is_set():
            if self.held.is_set():
                time.sleep(0.02)
            elif select.select([self._ours], [], [], 0.02)[0]:
                with suppress(OSError):
                    self.output += os.read(self._ours, 65536)


@contextmanager
def terminal(columns: int = 100, lines: int = 24) -> Iterator[Terminal]:
    """Open one for as long as the block lasts."""
    opened = Terminal(columns, lines)
    try:
        yield opened
    finally:
        opened.close()


def ports_of(path: Path) -> list[int]:
    """Give the ports that were written to a --port-file."""
    return [int(port) for port in path.read_text().split()] if path.exists() else []
