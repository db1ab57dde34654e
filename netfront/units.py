"""Quantities as people write them: "200ms", "64KiB", "100/min", "1%"; and back.

One meaning everywhere: a duration always has a unit, sizes are 1024-based whatever their suffix looks like,
rates come out per second. What `render_*` writes, `parse_*` reads as the same number.
"""

import re
from math import inf

from netfront.errors import UsageError

__all__ = [
    "parse_count",
    "parse_duration",
    "parse_percent",
    "parse_rate",
    "parse_size",
    "render_duration",
    "render_percent",
    "render_rate",
    "render_size",
]

_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_PERIODS = {"s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "hour": 3600, "d": 86400, "day": 86400}
_BYTES = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
_NUMBER = r"(\d{1,18}(?:\.\d{1,9})?)"
_DURATION = re.compile(rf"{_NUMBER}(ms|s|m|h|d)", re.ASCII)
_SIZE = re.compile(rf"{_NUMBER}(?:([kmgt]?)(?:i?b)?)", re.ASCII | re.IGNORECASE)
_MOST_BYTES = 2**50
_RATE = re.compile(rf"{_NUMBER}/([a-z]+)", re.ASCII)
_PERCENT = re.compile(rf"{_NUMBER}%", re.ASCII)
_COUNT = re.compile(r"\d{1,18}", re.ASCII)


def parse_duration(text: str, *, least: float = 0.0, most: float = inf, none: bool = False) -> float:
    """Read a length of time in seconds.

    Args:
        least, most: what is allowed, both included.
        none: whether "none" is allowed, which is `inf`.
    Raises:
        UsageError: of one fault, which names the text and the range.
    """
    if none and text == "none":
        return inf
    hint = _hint(render_duration(least), render_duration(most), none=none)
    match = _DURATION.fullmatch(text)
    if match is None:
        bare = re.fullmatch(_NUMBER, text, re.ASCII)
        why = (
            "a duration needs a unit: ms, s, m, h or d"
            if bare
            else "not a duration, as in 200ms, 30s, 5m or 1h"
        )
        is_meant = bare is not None and least <= float(text) <= most
        raise UsageError.of(text, why, f"did you mean {text}s" if is_meant else hint)
    unit = match[2]
    seconds = float(match[1]) / 1000 if unit == "ms" else float(match[1]) * _SECONDS[unit]
    return _within(text, seconds, least, most, hint)


def render_duration(seconds: float) -> str:
    """Write a length of time, in the largest unit that gives a whole number; `inf` is "none"."""
    if seconds == inf:
        return "none"
    for unit in ("d", "h", "m", "s"):
        if seconds and not seconds % _SECONDS[unit]:
            return f"{seconds / _SECONDS[unit]:.0f}{unit}"
    thousandths = round(seconds * 1000.0, 6)
    if thousandths.is_integer():
        return f"{thousandths:.0f}ms" if seconds else "0s"
    return _plain(seconds) + "s"


def parse_size(text: str, *, least: int = 0, most: int = _MOST_BYTES, none: bool = False) -> int | None:
    """Read a number of bytes: 8192, 8k, 8KiB and 8KB are the same.

    Args:
        none: whether "none" is allowed, which is None.
    Raises:
        UsageError: of one fault, which names the text and the range.
    """
    if none and text == "none":
        return None
    hint = _hint(render_size(least), "none" if most == _MOST_BYTES else render_size(most), none=none)
    match = _SIZE.fullmatch(text)
    if match is None:
        raise UsageError.of(text, "not a size, as in 8192, 64k or 10M", hint)
    size = float(match[1]) * _BYTES[match[2].lower()]
    if not size.is_integer():
        raise UsageError.of(text, "not a whole number of bytes", hint)
    return int(_within(text, size, least, most, hint))


def render_size(size: int) -> str:
    """Write a number of bytes, in the largest unit that gives a whole number."""
    for unit in "tgmk":
        if size and not size % _BYTES[unit]:
            return f"{size // _BYTES[unit]}{unit.upper()}iB"
    return str(size)


def parse_rate(text: str, *, least: float = 0.0, most: float = inf) -> float:
    """Read how often, in times per second.

    Raises:
        UsageError: of one fault, which names the text and the range.
    """
    match = _RATE.fullmatch(text)
    if match is None or match[2] not in _PERIODS:
        raise UsageError.of(text, "not a rate, as in 50/s, 3000/m or 10/h")
    hint = _hint(render_rate(least), render_rate(most), none=False)
    return _within(text, float(match[1]) / _PERIODS[match[2]], least, most, hint)


def render_rate(rate: float) -> str:
    """Write a rate, by the shortest period that gives a whole number."""
    if rate == inf:
        return "any"
    for unit in ("s", "m", "h", "d"):
        times = round(float(rate * _PERIODS[unit]), 6)
        if times.is_integer() and times / _PERIODS[unit] == rate:
            return f"{times:.0f}/{unit}"
    return _plain(rate) + "/s"


def parse_percent(text: str, *, least: float = 0.0, most: float = 1.0) -> float:
    """Read a share: 1% is 0.01.

    Raises:
        UsageError: of one fault, which names the text and the range.
    """
    hint = _hint(render_percent(least), render_percent(most), none=False)
    match = _PERCENT.fullmatch(text)
    if match is None:
        raise UsageError.of(text, "not a percentage, as in 1% or 12.5%", hint)
    return _within(text, float(match[1]) / 100, least, most, hint)


def render_percent(share: float) -> str:
    """Write a share as a percentage."""
    return _plain(share * 100) + "%"


def parse_count(text: str, *, least: int = 0, most: int = 10**9) -> int:
    """Read a whole number.

    Raises:
        UsageError: of one fault, which names the text and the range.
    """
    hint = _hint(str(least), str(most), none=False)
    if not _COUNT.fullmatch(text):
        raise UsageError.of(text, "not a whole number", hint)
    return int(_within(text, int(text), least, most, hint))


def _within(text: str, value: float, least: float, most: float, hint: str) -> float:
    if value < least:
        raise UsageError.of(text, "too small", hint)
    if value > most:
        raise UsageError.of(text, "too large", hint)
    return value


def _hint(least: str, most: str, *, none: bool) -> str:
    span = f"{least} or more" if most in ("none", "any") else f"from {least} to {most}"
    return f"allowed is {span}{', or none' if none else ''}"


def _plain(number: float) -> str:
    return f"{number:.9f}".rstrip("0").rstrip(".")
