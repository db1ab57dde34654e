"""Values with options behind them: VALUE {"," name "=" text | "," switch}."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from netfront.cli.argv import as_word
from netfront.cli.faults import nearest
from netfront.errors import UsageError

__all__ = ["read_option", "read_options", "words_of"]

_T = TypeVar("_T")


def read_options(
    text: str, known: Sequence[str], switches: Sequence[str], hint: str
) -> tuple[str, Mapping[str, str]]:
    """Split a value at its commas: what stands first, and the options behind it; of a switch the value is empty.

    What an option holds is in no message: it may be a secret.

    Args:
        hint: how options are written.
    Raises:
        UsageError: of a single fault.
    """
    place, *rest = as_word(text).split(",")
    options: dict[str, str] = {}
    for part in rest:
        name, equals, value = part.partition("=")
        if name not in known and name not in switches:
            likely = known if equals else (*known, *switches)
            raise UsageError.of(f",{name}", "no such option", nearest(name, likely))
        if bool(equals) is (name in switches) or (equals and not value):
            raise UsageError.of(f",{name}", "not how it is written", hint)
        if name in options:
            raise UsageError.of(f",{name}", "given twice", hint)
        options[name] = value
    return place, options


def read_option(name: str, value: str, parse: Callable[[str], _T]) -> _T:
    """Read what an option holds. Raises UsageError: the option is named."""
    try:
        return parse(value)
    except UsageError as error:
        raise UsageError(*(replace(fault, what=f"{name}={fault.what}") for fault in error.faults)) from error


def words_of(text: str) -> tuple[str, ...]:
    """Split a value at its bars."""
    return tuple(dict.fromkeys(word for word in text.split("|") if word))
