"""The command line as words: flags and their values told from the rest, `@file` arguments read in.

    @file   one argument a line, taken whole, without quoting: a route, a target, or a flag, whose value is
            all after the first space or "="; "#" begins a comment at the start of a line or after a space;
            paths are relative to the file; a file names no other.

Nothing is converted here: a value stays the text it was, so that whoever converts tells all faults at once.
"""

import os
import re
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher

from netfront.errors import Fault, words

__all__ = ["Elsewhere", "Flag", "Parsed", "Word", "as_word", "path_in", "path_of", "split_flags"]

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_COMMENT = re.compile(r"(?:^|(?<=\s))#.*")
_OTHERS = {
    "--port": "--listen", "-p": "--listen", "--bind": "--listen", "-b": "--listen", "--upstream": "--to",
    "--backend": "--to", "--target": "--to", "--algorithm": "--lb", "--balance": "--lb", "--policy": "--lb",
}  # fmt: skip
"""What other tools call a flag of ours, where the likeness of the words would lead elsewhere."""
_FLAG_WITHIN = re.compile(r"(?<=\s)(--?[A-Za-z][A-Za-z-]*)(?=[\s=]|$)")
_QUOTED = re.compile(r"'[^']*'")
"""In double quotes may stand what is meant so, as in --health-body."""
_SEPARATOR = re.compile(r"[ \t=]")


class Word(str):
    """An argument that knows where it came from.

    Args:
        where: "file:line" for messages; empty on the command line itself.
        folder: what a path in it is relative to; empty for the working directory.
    """

    where: str
    folder: str

    def __new__(cls, text: str, where: str = "", folder: str = "") -> "Word":
        """Make the word of that text."""
        word = super().__new__(cls, text)
        word.where = where
        word.folder = folder
        return word

    def part(self, text: str) -> "Word":
        """Make a part of it, which comes from the same place."""
        return Word(text, self.where, self.folder)

    @property
    def as_path(self) -> str:
        """Itself as a path: "~" expanded, relative to the file it stands in."""
        return os.path.join(self.folder, os.path.expanduser(self))


def as_word(text: str) -> Word:
    """Give a text as a word of the command line, if it is none yet."""
    return text if isinstance(text, Word) else Word(text)


def path_in(text: str, path: str) -> str:
    """Give a path that is part of a word: "~" expanded, relative to the file that the word came from."""
    return as_word(text).part(path).as_path


def path_of(text: str | None) -> str | None:
    """Give a flag's value as a path; None where it was not given."""
    return None if text is None else path_in(text, text)


@dataclass(frozen=True, slots=True)
class Flag:
    """A flag as the parser sees it.

    Args:
        name: of the parameter it fills.
        on, off: its spellings; those that switch it off.
        repeats: whether each use adds a value; else the last one holds.
    """

    name: str
    on: tuple[str, ...]
    off: tuple[str, ...] = ()
    takes_value: bool = True
    repeats: bool = False
    is_hidden: bool = False


@dataclass(slots=True)
class Parsed:
    """What the words came to.

    Args:
        values: by the name of the parameter that a flag fills.
        words: those that are no flags.
        child: what stands behind "--".
        files: the `@file` arguments that were read.
    """

    values: dict[str, bool | Word | list[Word]] = field(default_factory=dict)
    words: list[Word] = field(default_factory=list)
    child: list[Word] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


Elsewhere = Callable[[str], tuple[str, bool] | None]
"""Tells which other command has a flag, and whether it takes a value there."""


def split_flags(
    flags: Sequence[Flag], args: Sequence[str], read: Callable[[str], str], elsewhere: Elsewhere
) -> Parsed:
    """Tell flags and their values from the other words, and read `@file` arguments.

    A value follows its flag as the next word or after "="; that of a one-letter flag may also be attached.
    Switches of one letter may be written together.

    Args:
        read: gives the text of a file.
        elsewhere: knows the flags of the other commands.
    """
    splitter = _Splitter(flags, read, elsewhere)
    splitter.run(args)
    return splitter.parsed


class _Splitter:
    def __init__(self, flags: Sequence[Flag], read: Callable[[str], str], elsewhere: Elsewhere) -> None:
        self._flags = {opt: (flag, True) for flag in flags for opt in flag.on}
        self._flags |= {opt: (flag, False) for flag in flags for opt in flag.off}
        self._read = read
        self._elsewhere = elsewhere
        self.parsed = Parsed()

    def run(self, args: Sequence[str]) -> None:
        rest = deque(Word(arg) for arg in args)
        while rest:
            word = rest.popleft()
            if word == "--":
                self.parsed.child.extend(rest)
                return
            if word.startswith("@"):
                self._file(word)
            elif word.startswith("-") and len(word) > 1:
                self._flag(word, rest)
            else:
                self.parsed.words.append(word)

    def _file(self, word: Word) -> None:
        path = os.path.expanduser(word[1:])
        self.parsed.files.append(path)
        try:
            text = self._read(path)
        except OSError as error:
            self._fault(word, word, words(error))
            return
        except UnicodeDecodeError:
            self._fault(word, word, "not a text file (UTF-8)")
            return
        for number, line in enumerate(text.splitlines(), 1):
            content = _COMMENT.sub("", line).strip()
            argument = Word(content, f"{word[1:]}:{number}", os.path.dirname(path))
            if _CONTROLS.search(argument):
                self._fault(
                    argument, "a line", "it holds a control character", "the file may be half written"
                )
            elif argument.startswith("@"):
                self._fault(argument, argument, "a file names no other file")
            elif argument.startswith("-"):
                self._line(argument)
            elif (more := self._flag_within(argument)) is not None:
                self._fault(argument, argument, "a line is one argument", f"give {more} a line of its own")
            elif argument:
                self.parsed.words.append(argument)

    def _flag_within(self, line: str) -> str | None:
        """Find a flag that stands behind something else on a line."""
        return next((flag for flag in _FLAG_WITHIN.findall(line) if flag in self._flags), None)

    def _line(self, line: Word) -> None:
        """A flag in a file: all after the first space or "=" is its value."""
        opt, separator, value = line, "", ""
        match = _SEPARATOR.search(line)
        if match:
            opt, separator, value = line.part(line[: match.start()]), "=", line[match.end() :].lstrip()
        if _QUOTED.fullmatch(value):
            why = "a line is taken as it stands, and needs no quotes"
            self._fault(line, line, why, f"write {opt} {value[1:-1]}")
            return
        self._flag(line.part(f"{opt}{separator}{value}"), deque())

    def _flag(self, word: Word, rest: deque[Word]) -> None:
        opt, separator, value = word.partition("=")
        if opt in self._flags:
            self._set(opt, word, word.part(value) if separator else None, rest)
        elif word.startswith("--"):
            self._unknown(opt, word, None if separator else rest)
        else:
            self._letters(word, rest)

    def _letters(self, word: Word, rest: deque[Word]) -> None:
        for index, letter in enumerate(word[1:], 2):
            opt = f"-{letter}"
            if opt not in self._flags:
                self._unknown(opt, word, None)
                return
            if self._flags[opt][0].takes_value:
                attached = word[index:].removeprefix("=") if index < len(word) else None
                self._set(opt, word, None if attached is None else word.part(attached), rest)
                return
            self._set(opt, word, None, rest)

    def _set(self, opt: str, word: Word, value: Word | None, rest: deque[Word]) -> None:
        flag, is_on = self._flags[opt]
        if not flag.takes_value:
            if value is not None:
                self._fault(word, f"{opt}={value}", "a switch takes no value", f"write {opt} alone")
            self.parsed.values[flag.name] = is_on
            return
        if value is None:
            if not rest or rest[0] in self._flags or rest[0] == "--":
                self._fault(word, opt, "it needs a value")
                return
            value = rest.popleft()
        if flag.repeats:
            earlier = self.parsed.values.get(flag.name)
            self.parsed.values[flag.name] = [*earlier, value] if isinstance(earlier, list) else [value]
        else:
            self.parsed.values[flag.name] = value

    def _unknown(self, opt: str, word: Word, rest: deque[Word] | None) -> None:
        """Name the command that has it, or the nearest flag; if that takes a value, the next word was meant as such."""
        found = self._elsewhere(opt)
        if found is not None:
            command, takes_value = found
            self._fault(word, opt, "no such flag here", f"{command} has it")
            if takes_value and rest and not rest[0].startswith("-"):
                rest.popleft()
            return
        shown = [name for name, (flag, _) in self._flags.items() if not flag.is_hidden]
        near = _OTHERS.get(opt, "")
        near = near if near in shown else _nearest_flag(opt, shown)
        self._fault(word, opt, "no such flag", f"did you mean {near}?" if near else "--help lists all flags")
        if near and rest and self._flags[near][0].takes_value and not rest[0].startswith("-"):
            rest.popleft()

    def _fault(self, word: Word, what: str, why: str = "", hint: str = "") -> None:
        self.parsed.faults.append(Fault(f"{word.where}: {what}" if word.where else str(what), why, hint))


def _nearest_flag(opt: str, known: list[str]) -> str:
    """Find the flag that was probably meant: one that begins so, else the one most like it."""
    if len(opt) < 4:
        return opt.swapcase() if opt.swapcase() in known else ""
    begun = [name for name in known if name.startswith(opt)]
    if begun:
        return begun[0]
    likeness = {name: _likeness(opt, name) for name in known if name.startswith("--")}
    near = max(likeness, key=lambda name: likeness[name], default="")
    return near if near and likeness[near] >= 0.7 else ""


def _likeness(opt: str, name: str) -> float:
    first = "-".join(name.split("-")[:3])
    return max(SequenceMatcher(None, opt, name).ratio(), 0.95 * SequenceMatcher(None, opt, first).ratio())
