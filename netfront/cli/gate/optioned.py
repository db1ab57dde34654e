"""Values with options behind them: VALUE {"," name "=" text | "," switch}."""

from collections.abc import Mapping, Sequence

from netfront.cli.argv import as_word
from netfront.cli.faults import nearest
from netfront.errors import UsageError

__all__ = ["read_options", "words_of"]


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


def words_of(text: str) -> tuple[str, ...]:
    """Split a value at its bars."""
    return tuple(dict.fromkeys(word for word in text.split("|") if word))
