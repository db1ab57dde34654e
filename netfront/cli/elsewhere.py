"""A command line corrected: the same words with another port to listen on."""

import re
from collections.abc import Mapping, Sequence

from netfront.endpoint import parse_listen
from netfront.errors import UsageError

__all__ = ["elsewhere"]

_ROUTE = re.compile(r":([0-9]{1,5})(?==)")
"""A route that belongs to the listener with that port."""
_SHORT = "-l"
_LONG = ("--listen", "--redirect-http", "--from")


def elsewhere(args: Sequence[str], instead: Mapping[int, int]) -> list[str]:
    """Replace ports wherever they are listened on, and where a route names the listener by its port.

    A port that no word names was the default, and --listen is added.

    Returns:
        the words; none where there is nothing to replace, or where a port stands in an @file.
    """
    words: list[str] = []
    named: set[int] = set()
    before = ""
    for word in args:
        lead, text = _split(before, word)
        before = word
        taken = _port(text) if text else None
        if taken is not None and taken in instead:
            named.add(taken)
            word = f"{lead}{text.rpartition(':')[0]}:{instead[taken]}"
        elif (route := _ROUTE.match(word)) and int(route[1]) in instead and not lead + text:
            word = f":{instead[int(route[1])]}{word[route.end() :]}"
        words.append(word)
    left = [port for taken, port in instead.items() if taken not in named]
    if not instead or (left and any(word.startswith("@") for word in args)):
        return []
    return [*words, *(part for port in left for part in ("--listen", f":{port}"))]


def _split(before: str, word: str) -> tuple[str, str]:
    """Part a word into what leads it and the place to listen on; that is empty where it names none."""
    if before in (_SHORT, *_LONG):
        return "", word
    flag, equals, text = word.partition("=")
    if equals and flag in _LONG:
        return f"{flag}=", text
    if word.startswith(_SHORT) and not word.startswith("--"):
        return _SHORT, word.removeprefix(_SHORT)
    return "", ""


def _port(text: str) -> int | None:
    try:
        return parse_listen(text).port
    except UsageError:
        return None
