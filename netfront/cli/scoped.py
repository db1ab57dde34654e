"""Policies: values of flags, each with the scope it holds in."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from netfront.cli.argv import as_word
from netfront.cli.faults import Faults
from netfront.cli.grammar import split_policy
from netfront.cli.plan import Settings
from netfront.errors import UsageError
from netfront.policy.route import Scope

__all__ = ["Policy", "read_values", "refuse_twice"]

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Policy:
    """One value of a flag and where it holds.

    Args:
        scope: None is everywhere.
        apply: gives settings in which the value holds.
        given: as it was written, with its flag.
    """

    scope: Scope | None
    apply: Callable[[Settings], Settings]
    given: str
    word: str


def read_values(
    flag: str,
    given: Sequence[str] | None,
    parse: Callable[[str], _T],
    apply: Callable[[_T, Settings], Settings],
    faults: Faults,
) -> Iterator[Policy]:
    """Read the values of a flag that can differ by scope.

    Args:
        apply: gives settings in which a value holds.
    """
    for text in given or ():
        try:
            scope, value = split_policy(as_word(text))
            yield Policy(scope, partial(apply, parse(value)), f"{flag} {text!r}", text)
        except UsageError as error:
            faults.take(error, flag, word=text)


def refuse_twice(policies: Iterable[Policy], hint: str, faults: Faults) -> Iterator[Policy]:
    """Refuse a second policy of one scope, where people would take the two for one setting; pass the others on."""
    first: dict[Scope | None, Policy] = {}
    for policy in policies:
        earlier = first.setdefault(policy.scope, policy)
        if earlier is policy:
            yield policy
        else:
            faults.add(policy.given, f"{earlier.given} holds there already", hint, word=policy.word)
