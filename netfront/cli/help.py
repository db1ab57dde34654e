"""Help at two lengths: `-h` with what is used most, `--help` with everything in groups."""

import os
import shutil
import sys
import textwrap
from collections.abc import Iterable

from netfront.cli.pages import EVENTS, EXIT_CODES, PAGES
from netfront.cli.tree import Node, Parameter

__all__ = ["full_help", "root_help", "short_help"]

_INDENT = 26
_WIDEST = 100


def root_help(*, is_full: bool) -> str:
    """Give the help of `netfront` itself, for which no command has to be imported."""
    children = tuple(Node(name, ()) for name in PAGES if name.count(" ") == 1)
    return (full_help if is_full else short_help)(Node("netfront", (), children))


def short_help(node: Node) -> str:
    """Give the help of `-h`: usage, the most used flags, three examples."""
    page = PAGES[node.name]
    common = [flag for flag in node.flags if flag.name in page.common]
    more = f"{node.name} --help lists all flags and says what targets and routes are." if common else ""
    return _page(
        _opening(node),
        _children(node),
        _table("Most used", [_flag_row(flag) for flag in common]),
        _examples(page.examples[:3]),
        more,
    )


def full_help(node: Node) -> str:
    """Give the help of `--help`: everything."""
    page = PAGES[node.name]
    groups = dict.fromkeys(flag.group for flag in node.flags)
    return _page(
        _opening(node),
        *(_fill(text) for text in page.text),
        _children(node),
        *(_table(group, [_flag_row(flag) for flag in node.flags if flag.group == group]) for group in groups),
        _examples(page.examples),
        _table("Events of --json", EVENTS) if node.tells_events else "",
        _table("Exit codes", EXIT_CODES) if node.flags else "",
    )


def _page(*blocks: str) -> str:
    return "\n\n".join(block for block in blocks if block) + "\n"


def _opening(node: Node) -> str:
    page = PAGES[node.name]
    return f"{node.name}: {page.summary}\n\n{_heading('Usage')} {node.name} {page.usage}".rstrip()


def _children(node: Node) -> str:
    if not node.children:
        return ""
    rows = [(child.word, PAGES[child.name].summary) for child in node.children]
    if node.name == "netfront":
        rows.append(("--version", "print the version"))
    return _table("Commands", rows)


def _flag_row(flag: Parameter) -> tuple[str, str]:
    short = [spelling for spelling in flag.on if not spelling.startswith("--")]
    long = [spelling for spelling in (*flag.on, *flag.off) if spelling.startswith("--")]
    if flag.off and flag.off[0] == "--no-" + flag.on[0][2:]:
        long = ["--[no-]" + flag.on[0][2:]]
    spelled = ", ".join([*short, *long]) if short else "    " + ", ".join(long)
    return f"{spelled} {flag.value}".rstrip(), flag.text


def _table(title: str, rows: Iterable[tuple[str, str]]) -> str:
    rows = list(rows)
    if not rows:
        return ""
    return "\n".join([_heading(title), *(_row(left, right) for left, right in rows)])


def _row(left: str, right: str) -> str:
    lines = _wrap(right, _INDENT + 2)
    start = f"  {left}"
    if len(start) > _INDENT:
        return "\n".join([start, *(" " * (_INDENT + 2) + line for line in lines)])
    return "\n".join(
        [start.ljust(_INDENT + 2) + lines[0], *(" " * (_INDENT + 2) + line for line in lines[1:])]
    )


def _examples(examples: Iterable[tuple[str, str]]) -> str:
    lines = [line for command, meaning in examples for line in (f"  {command}", f"      {meaning}")]
    return "\n".join([_heading("Examples"), *lines]) if lines else ""


def _fill(text: str) -> str:
    return "\n".join(_wrap(text, 0))


def _wrap(text: str, indent: int) -> list[str]:
    width = min(shutil.get_terminal_size().columns, _WIDEST) - indent
    return textwrap.wrap(text, max(width, 30), break_long_words=False, break_on_hyphens=False) or [""]


def _heading(text: str) -> str:
    is_plain = "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb" or not sys.stdout.isatty()
    return f"{text}:" if is_plain else f"\x1b[1m{text}:\x1b[0m"
