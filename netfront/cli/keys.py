"""What is typed while a table is shown: from bytes to commands.

    q          stop
    d N        drain backend N; return ends it
    u N        bring it back
    ^L         draw anew

Backspace takes a character back, escape and ^U all of them. Arrows and the like are passed over.
"""

import re
from dataclasses import dataclass

__all__ = ["DRAIN", "QUIT", "REDRAW", "UNDRAIN", "Command", "Keys"]

QUIT, DRAIN, UNDRAIN, REDRAW = "q", "d", "u", "redraw"
_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|O[ -~])")
_MOST_DIGITS = 6


@dataclass(frozen=True, slots=True)
class Command:
    """One that is complete: QUIT, REDRAW, or DRAIN and UNDRAIN with the number of a backend."""

    word: str
    number: int = 0


class Keys:
    """Reads what is typed.

    Attributes:
        typed: of a command that is not complete.
        hint: what is to be said of what was typed last.
    """

    def __init__(self) -> None:
        self.typed = ""
        self.hint = ""

    def feed(self, data: bytes) -> list[Command]:
        """Take what was typed; give the commands that are complete by it."""
        commands = []
        for key in _SEQUENCE.sub("", data.decode("ascii", "ignore")):
            self.hint = ""
            command = self._press(key.lower())
            if command is not None:
                commands.append(command)
        return commands

    def _press(self, key: str) -> Command | None:
        if key in "\r\n":
            return self._finish()
        if key in "\x7f\b":
            self.typed = self.typed[:-1].rstrip()
        elif key in "\x1b\x15":
            self.typed = ""
        elif key == "\x0c":
            return Command(REDRAW)
        elif not self.typed:
            return self._begin(key)
        elif key.isdigit() and len(self.typed) < _MOST_DIGITS + 2:
            self.typed += key if " " in self.typed else f" {key}"
        elif key in (DRAIN, UNDRAIN, QUIT):
            self.typed = ""
            return self._begin(key)
        return None

    def _begin(self, key: str) -> Command | None:
        if key == QUIT:
            return Command(QUIT)
        if key in (DRAIN, UNDRAIN):
            self.typed = key
        elif key.isdigit():
            self.hint = "d or u comes first"
        return None

    def _finish(self) -> Command | None:
        word, _, number = self.typed.partition(" ")
        if word and not number:
            self.hint = "its number is missing"
            return None
        self.typed = ""
        return Command(word, int(number)) if word else None
