"""The commands and their parameters as data: read from the typer app, for help, man pages and completions."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from netfront.cli.argv import Flag
from netfront.cli.pages import PAGES

__all__ = ["Node", "Parameter", "TyperObject", "flags_of", "read_tree"]

TyperObject = Any
"""A command or parameter of typer's: their classes lie in modules that are not for others to import."""

HELP_FLAGS = (
    Flag("short_help", ("-h",), takes_value=False),
    Flag("help", ("--help",), takes_value=False),
)
"""Which every command has."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A flag as people see it.

    Args:
        on, off: its spellings, the long one first; those that switch it off.
        value: what stands for its value; empty for a switch.
    """

    name: str
    on: tuple[str, ...]
    off: tuple[str, ...]
    value: str
    group: str
    text: str
    repeats: bool

    @property
    def spellings(self) -> tuple[str, ...]:
        """All ways to write it."""
        return (*self.on, *self.off)


@dataclass(frozen=True, slots=True)
class Node:
    """A command: its full name, its visible flags, the commands below it."""

    name: str
    flags: tuple[Parameter, ...]
    children: tuple["Node", ...] = ()

    @property
    def word(self) -> str:
        """The last word of its name."""
        return self.name.rsplit(" ", 1)[-1]

    @property
    def tells_events(self) -> bool:
        """Whether it has --json."""
        return any(flag.name == "json" for flag in self.flags)

    def walk(self) -> Iterator["Node"]:
        """Go through it and all below it."""
        yield self
        for child in self.children:
            yield from child.walk()


def read_tree(command: TyperObject, name: str = "netfront") -> Node:
    """Read a typer command, from `typer.main.get_command`, and what lies below it."""
    children = [
        read_tree(child, f"{name} {word}") for word, child in getattr(command, "commands", {}).items()
    ]
    children.sort(key=lambda child: list(PAGES).index(child.name))
    flags = tuple(_parameter(parameter) for parameter in command.params if _is_shown(parameter))
    return Node(name, flags, tuple(children))


def flags_of(command: TyperObject) -> list[Flag]:
    """Give all flags of a typer command to the parser, hidden ones too."""
    return [
        *HELP_FLAGS,
        *(
            Flag(
                parameter.name,
                tuple(parameter.opts),
                tuple(parameter.secondary_opts),
                takes_value=not parameter.is_flag,
                repeats=parameter.multiple,
                is_hidden=parameter.hidden,
            )
            for parameter in command.params
            if parameter.param_type_name == "option"
        ),
    ]


def _is_shown(parameter: TyperObject) -> bool:
    return parameter.param_type_name == "option" and not parameter.hidden


def _parameter(parameter: TyperObject) -> Parameter:
    return Parameter(
        name=parameter.name,
        on=tuple(sorted(parameter.opts, key=len, reverse=True)),
        off=tuple(parameter.secondary_opts),
        value="" if parameter.is_flag else parameter.metavar,
        group=parameter.rich_help_panel or "",
        text=parameter.help or "",
        repeats=parameter.multiple,
    )
