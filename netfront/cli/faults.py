"""Collecting faults: all that is wrong with the input is told at once."""

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from difflib import get_close_matches
from typing import TypeVar

from netfront.cli.argv import Word
from netfront.errors import Fault, UsageError

__all__ = ["Faults", "nearest"]

_UNSPACED = re.compile(
    r"((?:[A-Z]+(?:,[A-Z]+)* )?(?:[A-Za-z0-9*-]+(?:\.[A-Za-z0-9-]+)+)?/[^:,= ]*):([^ /].*)"
)
"""A scope and a value that stand together. It is told of where the two mean nothing as one; not the "//" of a URL."""
_T = TypeVar("_T")
_D = TypeVar("_D")


class Faults:
    """The faults found so far, in the order of the command line."""

    def __init__(self, earlier: Iterable[Fault] = ()) -> None:
        self._faults = list(earlier)

    def add(self, what: str, why: str = "", hint: str = "", *, word: str = "") -> None:
        """Note a fault.

        Args:
            word: the argument it lies in, which says where it stands if it came from a file.
        """
        self._faults.append(_placed(Fault(what, why, hint), word))

    def read(self, flag: str, text: str, parse: Callable[[str], _T], default: _D) -> _T | _D:
        """Parse a flag's value; note what is wrong with it and go on with the default."""
        try:
            return parse(text)
        except UsageError as error:
            self.take(error, flag, word=text)
            return default

    def take(self, error: UsageError, flag: str = "", *, word: str = "") -> None:
        """Note the faults of an error, naming the flag they belong to."""
        unspaced = _UNSPACED.fullmatch(word) if flag else None
        is_secret = any("…" in fault.what for fault in error.faults)
        if unspaced is not None and not (is_secret and unspaced[2][0] != "@"):
            why = "a space stands between a scope and what holds there"
            self.add(f"{flag} {word}", why, f"write '{unspaced[1]}: {unspaced[2]}'", word=word)
            return
        for fault in error.faults:
            what = f"{flag} {fault.what}" if flag else fault.what
            self._faults.append(_placed(replace(fault, what=what), word))

    @property
    def found(self) -> list[Fault]:
        """The faults, each once."""
        return list(dict.fromkeys(self._faults))

    def __bool__(self) -> bool:
        return bool(self._faults)

    def raise_any(self) -> None:
        """Raise what was found, if anything was.

        Raises:
            UsageError: of all faults, each once.
        """
        if self._faults:
            raise UsageError(*self.found)


def nearest(word: str, known: Iterable[str]) -> str:
    """Say which known word was probably meant, as a hint; list them when none is near."""
    words = sorted(known)
    near = get_close_matches(word, words, n=1)
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(words)}"


def _placed(fault: Fault, word: str) -> Fault:
    where = word.where if isinstance(word, Word) else ""
    return replace(fault, what=f"{where}: {fault.what}") if where else fault
