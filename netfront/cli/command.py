"""A command that reads its own words: every fault of the line is found, not the first alone.

typer holds what a command and its flags are; the words of a command line are told apart by `argv.py`: because
a line read from a file has rules of its own and because reading stops at no fault. Values stay text.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import typer
from typer.core import TyperCommand

from netfront.cli.argv import Parsed, split_flags
from netfront.cli.help import full_help, short_help
from netfront.cli.streams import print_result
from netfront.cli.tree import TyperObject, flags_of, read_tree
from netfront.errors import Fault

__all__ = ["Command", "Line"]


@dataclass(frozen=True, slots=True)
class Line:
    """What is known of a command line beside the values of its flags.

    Args:
        faults: of its words; the command tells them together with those it finds in the values.
        files: that it names by `@file`.
        read_again: reads it once more, with what those files say by then; gives the values and all this.
    """

    faults: list[Fault]
    files: tuple[str, ...]
    read_again: "Callable[[], tuple[dict[str, Any], Line]]"


class Command(TyperCommand):
    """A typer command whose words are read by netfront's own rules.

    Attributes:
        siblings: the commands beside it, by their full names.
    """

    siblings: Mapping[str, TyperObject] = MappingProxyType({})

    def parse_args(self, ctx: TyperObject, args: list[str]) -> list[str]:
        """Fill the parameters and answer a call for help; what else is known of the line is left in `ctx.obj`."""
        parsed = split_flags(flags_of(self), args, _read, self._elsewhere)
        for name, render in (("short_help", short_help), ("help", full_help)):
            if parsed.values.pop(name, False):
                print_result(render(read_tree(self, ctx.command_path)))
                raise typer.Exit
        if parsed.child:
            line = " ".join(parsed.child)
            parsed.faults.append(Fault(f"-- {line}", f"{ctx.command_path} runs no other command"))
        words = list(args)

        def read_again() -> tuple[dict[str, Any], Line]:
            anew = split_flags(flags_of(self), words, _read, self._elsewhere)
            for name in ("short_help", "help"):
                if anew.values.pop(name, False):
                    anew.faults.append(Fault("--help", "it serves nothing", "take it out of the file"))
            return self._values(anew), Line(anew.faults, tuple(dict.fromkeys(anew.files)), read_again)

        ctx.params.update(self._values(parsed))
        ctx.obj = Line(parsed.faults, tuple(dict.fromkeys(parsed.files)), read_again)
        return []

    def _elsewhere(self, opt: str) -> tuple[str, bool] | None:
        """Look a flag up in the commands beside this one."""
        for name, command in self.siblings.items():
            for flag in flags_of(command):
                if opt in (*flag.on, *flag.off) and not flag.is_hidden:
                    return name, flag.takes_value
        return None

    def _values(self, parsed: Parsed) -> dict[str, Any]:
        values = {parameter.name: parameter.default for parameter in self.params}
        values |= parsed.values
        arguments = [parameter for parameter in self.params if parameter.param_type_name == "argument"]
        words = list(parsed.words)
        for parameter in arguments:
            if parameter.nargs == -1:
                values[parameter.name], words = words, []
            elif words:
                values[parameter.name] = words.pop(0)
        for word in words:
            parsed.faults.append(Fault(word, "one argument too many"))
        return values


def _read(path: str) -> str:
    return Path(path).read_text(encoding="utf-8-sig")  # editors of other systems begin it with a mark
