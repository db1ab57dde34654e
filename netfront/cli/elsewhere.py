"""A command line corrected: the same words with another port to listen on."""

from collections.abc import Sequence

from netfront.endpoint import parse_listen
from netfront.errors import UsageError

__all__ = ["elsewhere"]

_SHORT = "-l"
_LONG = ("--listen", "--redirect-http")


def elsewhere(args: Sequence[str], taken: int, port: int) -> list[str]:
    """Replace a port wherever it is listened on; where no word names it, it was the default, and --listen is added."""
    words: list[str] = []
    is_replaced = False
    before = ""
    for word in args:
        lead, text = _split(before, word)
        before = word
        other = _moved(text, taken, port) if text else ""
        is_replaced = is_replaced or bool(other)
        words.append(lead + other if other else word)
    return words if is_replaced else [*words, "--listen", f":{port}"]


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


def _moved(text: str, taken: int, port: int) -> str:
    try:
        if parse_listen(text).port != taken:
            return ""
    except UsageError:
        return ""
    return f"{text.rpartition(':')[0]}:{port}"
