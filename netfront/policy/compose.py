"""Compositions: what one answer is made of, as the rule says, and in which order its parts can be had.

    rule      = [method {"," method} SP] [host] path "=" part {SP "+" SP part}
    part      = (name | name "[]" | "...") ["?" ["=" JSON]] ":" [METHOD SP] ref [SP "<" SP body] [SP "|" SP pick]
    ref       = a path of this gateway, or a URL, with references in it (`reference`)
    body      = JMESPath; a "|" of its own stands in parentheses
    pick      = JMESPath

Separators within quotes, backticks and brackets of JMESPath do not count, nor those of a target, which holds no space.
A part refers to earlier ones only, so that there are no circles; it waits for those it refers to, and for no others.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from netfront.errors import UsageError
from netfront.policy.jmes import Expression, compile_expression
from netfront.policy.reference import (
    EACH,
    NAME,
    RESERVED,
    Reference,
    Template,
    parse_template,
    refuse,
)
from netfront.policy.scope import Scope, parse_scope
from netfront.wire.jsontext import parse_prefix

__all__ = ["MOST_PARTS", "Composition", "Part", "clashes_of", "draw", "parse_composition"]

MOST_PARTS = 32
SPREAD = "..."
_METHOD = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]+(?=/|https?://|\{)")
_URL = re.compile(r"https?://[^/?#\s{]+(?=[/?\s]|\Z)", re.IGNORECASE)
_BODILESS = frozenset({"GET", "HEAD"})
_NO_PART = frozenset({"HEAD", "OPTIONS", "CONNECT", "TRACE"})
_INSTEAD = {
    "HEAD": "what is composed for GET answers it too",
    "OPTIONS": "which methods there are is told without it",
    "CONNECT": "no tunnels are opened",
    "TRACE": "it is answered with the request as it came",
}
_WITH_BODY = ("POST", "PUT", "PATCH")
_OPENING = {"(": ")", "[": "]", "{": "}"}
_JOINED_PART = re.compile(
    r"^[^?]*?(?P<plus>\+)(?:[A-Za-z_][A-Za-z0-9_-]*(?:\[\])?|\.\.\.)\??:(?:/|https?://)"
)
_FORM = "write name:/path, as in user:/users/me"


@dataclass(frozen=True, slots=True)
class Part:
    """One part.

    Args:
        label: its name; of a spread "...", or "...2" and so on where there are several.
        name: the key of its value in the answer; None for one that is spread into the root.
        is_each: it is asked for each item of an array.
        is_optional: the answer comes without it, with `default` (JSON) in its place.
        place: scheme and authority of a URL; empty for a path of this gateway.
        target: path and query.
        needs: the earlier parts, by index, that it refers to.
        takes: the reserved names that it refers to.
    """

    label: str
    name: str | None
    is_each: bool
    is_optional: bool
    default: bytes
    method: str
    place: str
    target: Template
    body: Expression | None = None
    pick: Expression | None = None
    needs: tuple[int, ...] = ()
    takes: frozenset[str] = frozenset()
    column: int = 1

    @property
    def is_spread(self) -> bool:
        """Whether it is spread into the root."""
        return self.name is None

    @property
    def each(self) -> Reference | None:
        """What it runs over."""
        return self.target.each

    @property
    def request(self) -> str:
        """What is asked, as it was written."""
        return f"{self.method} {self.place}{self.target.text}"


@dataclass(frozen=True, slots=True)
class Composition:
    """A rule: which requests, and the parts of their answer in the order of their keys.

    Args:
        methods: those of the scope that were written.
    """

    scope: Scope
    parts: tuple[Part, ...]
    methods: tuple[str, ...] = ()

    @property
    def takes(self) -> frozenset[str]:
        """The reserved names that any part refers to."""
        return frozenset(name for part in self.parts for name in part.takes)


def parse_composition(text: str) -> Composition:
    """Read a rule.

    Raises:
        UsageError: the first thing that is wrong, and in which column.
    """
    head, equals, _ = text.partition("=")
    if not equals:
        raise UsageError.of(text, "no '=' between the path and the parts", "as in '/home = user:/users/me'")
    scope = parse_scope(head.strip())
    if "**" in scope.segments:
        raise refuse(
            text, text.index("**"), "the path of a composition is exact", "it may have {name} segments"
        )
    scope = replace(scope, is_exact=True)
    parts = tuple(_link(text, scope, list(_read_parts(text, len(head) + 1))))
    composition = Composition(scope, parts, scope.methods)
    if not scope.methods:
        methods = _WITH_BODY if "body" in composition.takes else ("GET",)
        composition = replace(composition, scope=replace(scope, methods=methods))
    elif unlike := [
        one for one in scope.methods if one in _INSTEAD and (one != "HEAD" or "GET" not in scope.methods)
    ]:
        raise UsageError.of(text, f"{unlike[0]} is no method that is composed for", _INSTEAD[unlike[0]])
    elif "body" in composition.takes and set(scope.methods) <= _BODILESS:
        hint = f"write 'POST {scope.path.removesuffix('$')} = …'"
        raise UsageError.of(text, f"a part takes the body, and {scope.methods[0]} has none", hint)
    return composition


def clashes_of(parts: Sequence[Part]) -> list[tuple[str, str, str]]:
    """List the keys that more than one part gives, as far as that is known: key, who gives it, who does not."""
    given: dict[str, str] = {}
    found = []
    for part in parts:
        keys: Sequence[str] = (
            (part.name,) if part.name is not None else part.pick.keys or () if part.pick else ()
        )
        for key in keys:
            earlier = given.setdefault(key, part.label)
            if earlier != part.label:
                found.append((key, earlier, part.label))
    return found


def draw(parts: Sequence[Part]) -> list[str]:
    """Draw what waits for what: a line for each part, below the last of those it waits for."""
    level: list[int] = []
    under: dict[int, list[int]] = {}
    for at, part in enumerate(parts):
        level.append(1 + max((level[need] for need in part.needs), default=-1))
        above = max(part.needs, key=lambda need: (level[need], need), default=-1)
        under.setdefault(above, []).append(at)

    def lines(above: int, lead: str) -> Iterator[str]:
        below = under.get(above, [])
        for at in below:
            is_last = at == below[-1]
            branch = "" if above < 0 else lead + ("└─ " if is_last else "├─ ")
            yield branch + _told(parts, at, above)
            yield from lines(at, "" if above < 0 else lead + ("   " if is_last else "│  "))

    return list(lines(-1, ""))


def _told(parts: Sequence[Part], at: int, above: int) -> str:
    part = parts[at]
    notes = []
    if part.each is not None:
        notes.append(f"for each of {{{part.each.text}}}")
    others = [parts[need].label for need in part.needs if need != above]
    if others:
        notes.append(f"also after {', '.join(others)}")
    if part.is_optional:
        notes.append(f"else {part.default.decode()}")
    sent = f" < {part.body.text}" if part.body is not None else ""
    picked = f" | {part.pick.text}" if part.pick is not None else ""
    noted = f" ({'; '.join(notes)})" if notes else ""
    return f"{part.label}: {part.request}{sent}{picked}{noted}"


# -- reading --------------------------------------------------------------------------------------------------


def _read_parts(text: str, start: int) -> Iterator[Part]:
    at = _skip(text, start)
    if at == len(text):
        raise refuse(text, start, "there are no parts", _FORM)
    while True:
        part, at = _read_part(text, at)
        yield part
        if at == len(text):
            return
        at = _skip(text, at + 1)  # behind the plus
        if at == len(text):
            raise refuse(text, at, "a part is missing behind '+'", _FORM)


def _read_part(text: str, start: int) -> tuple[Part, int]:
    """Read one part; give it, and the place of the plus behind it, or the end."""
    name, is_each, at = _read_name(text, start)
    is_optional = text.startswith("?", at)
    default = b"null"
    if is_optional:
        at += 1
        if text.startswith("=", at):
            value, default, at = _read_default(text, at + 1)
            if name is None and value is not None and not isinstance(value, dict):
                raise refuse(text, start, "what is spread is an object", "write ...?={}: or ...?:")
    if not text.startswith(":", at):
        what = f"{text[at]!r}" if at < len(text) else "the end"
        raise refuse(text, at, f"{what} where a ':' should be", _FORM)
    method, place, at = _read_place(text, _skip(text, at + 1))
    began = at
    target, at = parse_template(text, at)
    joined = _JOINED_PART.match(target.text)
    if joined is not None:
        what = "parts stand apart by ' + ', with spaces round it"
        raise refuse(text, began + joined.start("plus"), what, "a '+' of a path is written %2B there")
    if not target.text.startswith("/"):
        if not place or target.text[:1] not in ("", "?"):
            raise refuse(text, at - len(target.text), "neither a path nor a URL", _FORM)
        target = replace(
            target, pieces=(b"/", *target.pieces), in_path=target.in_path + 1, text="/" + target.text
        )
    body, pick, at = _read_expressions(text, at)
    if body is not None and method in _BODILESS:
        raise refuse(
            text, body.column - 1, "a GET carries no body", "name the method, as in order:POST /orders"
        )
    label = SPREAD if name is None else name
    return (
        Part(label, name, is_each, is_optional, default, method, place, target, body, pick, column=start + 1),
        at,
    )


def _read_name(text: str, at: int) -> tuple[str | None, bool, int]:
    if text.startswith(SPREAD, at):
        return None, False, at + len(SPREAD)
    match = NAME.match(text, at)
    if match is None:
        raise refuse(text, at, f"{text[at]!r} begins no part", _FORM)
    name = match[0]
    if name in RESERVED:
        raise refuse(text, at, f"{name} is no name for a part", f"{', '.join(RESERVED)} are of the request")
    if len(name) > 64:
        raise refuse(text, at, "a name of over 64 letters")
    is_each = text.startswith(EACH, match.end())
    return name, is_each, match.end() + (len(EACH) if is_each else 0)


def _read_default(text: str, at: int) -> tuple[object, bytes, int]:
    try:
        value, end = parse_prefix(text, at)
    except ValueError as error:
        raise refuse(
            text, at, f"a default is one JSON value: {error}", 'as in ads?=[]: or ads?={"n": 0}:'
        ) from error
    try:
        return value, text[at:end].encode(), end
    except UnicodeEncodeError as error:
        raise refuse(text, at, "a default is UTF-8") from error


def _read_place(text: str, at: int) -> tuple[str, str, int]:
    """Read the method of a part, and the place of its URL; both may not be there."""
    method = "GET"
    if match := _METHOD.match(text, at):
        method = match[1]
        if method != method.upper():
            raise refuse(text, at, f"{method!r} is no method", f"methods are in upper case: {method.upper()}")
        if method in _NO_PART:
            raise refuse(text, at, f"{method} gives no part", "GET, POST, PUT, PATCH and DELETE do")
        at = match.end()
    if text.startswith("/", at):
        return method, "", at
    if match := _URL.match(text, at):
        return method, match[0], match.end()
    if re.match(r"https?://", text[at:], re.IGNORECASE):
        raise refuse(
            text, at, "references stand in the path and query of a URL alone", "name its host as it is"
        )
    what = f"{text[at]!r}" if at < len(text) else "the end"
    raise refuse(text, at, f"{what} where a path or a URL should be", _FORM)


def _read_expressions(text: str, at: int) -> tuple[Expression | None, Expression | None, int]:
    body = pick = None
    at = _skip(text, at)
    if _is_separator(text, at, "<"):
        body, at = _read_expression(text, at + 1, "|+")
    if _is_separator(text, at, "|"):
        pick, at = _read_expression(text, at + 1, "+")
    if at < len(text) and not _is_separator(text, at, "+"):
        raise refuse(
            text, at, f"{text[at]!r} where ' < ', ' | ' or ' + ' should be", "a target holds no space"
        )
    return body, pick, at


def _read_expression(text: str, start: int, stops: str) -> tuple[Expression, int]:
    """Read an expression up to a separator; what stands in quotes and brackets ends nothing."""
    start = at = _skip(text, start)
    open_at: list[int] = []
    while at < len(text):
        char = text[at]
        if char in "'\"`":
            at = _end_of_quote(text, at)
            continue
        if char in _OPENING:
            open_at.append(at)
        elif open_at and char == _OPENING[text[open_at[-1]]]:
            open_at.pop()
        elif not open_at and char in stops and _is_separator(text, at, char):
            break
        at += 1
    if open_at:
        raise refuse(text, open_at[-1], f"{text[open_at[-1]]!r} is never closed")
    return compile_expression(text, text[start:at].rstrip(), start), at


def _end_of_quote(text: str, start: int) -> int:
    at = start + 1
    while at < len(text):
        if text[at] == text[start]:
            return at + 1
        at += 2 if text[at] == "\\" else 1
    raise refuse(text, start, f"{text[start]} is never closed")


def _is_separator(text: str, at: int, char: str) -> bool:
    """Tell whether a separator stands here: with a space before and behind."""
    return (
        text.startswith(char, at)
        and text[at - 1].isspace()
        and (at + 1 == len(text) or text[at + 1].isspace())
    )


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at


# -- what refers to what --------------------------------------------------------------------------------------


def _link(text: str, scope: Scope, parts: list[Part]) -> Iterator[Part]:
    """Find out what each part refers to. Raises UsageError."""
    if len(parts) > MOST_PARTS:
        raise refuse(text, parts[MOST_PARTS].column - 1, f"more than {MOST_PARTS} parts")
    names = [part.name for part in parts]
    spreads = [part for part in parts if part.is_spread]
    for at, part in enumerate(parts):
        if part.name is not None and part.name in names[:at]:
            raise refuse(text, part.column - 1, f"a second part named {part.name}", "give each its own name")
        _check_each(text, part)
        needs: set[int] = set()
        takes: set[str] = set()
        for name, column in _names_of(text, part):
            if name in RESERVED:
                takes.add(name)
            elif name in names[:at]:
                needs.add(names.index(name))
            else:
                raise _unknown(text, column, name, names[at:])
        _check_params(text, scope, part)
        label = part.label
        if part.is_spread and len(spreads) > 1:
            label = f"{SPREAD}{spreads.index(part) + 1}"
        yield replace(part, label=label, needs=tuple(sorted(needs)), takes=frozenset(takes))


def _names_of(text: str, part: Part) -> Iterator[tuple[str, int]]:
    for reference in part.target.references:
        yield reference.name, reference.column
    if part.body is None:
        return
    if part.body.names is None:
        hint = "as in {user: user.id, items: body.items}"
        raise refuse(text, part.body.column - 1, "a body names what it takes; '@' is all there is", hint)
    for name in sorted(part.body.names):
        yield name, part.body.column_of(name)


def _unknown(text: str, column: int, name: str, later: Sequence[str | None]) -> UsageError:
    if name in later:
        why, hint = f"{name} is no earlier part", "a part refers to those before it"
    else:
        why, hint = f"there is no part named {name}", f"beside parts there are {', '.join(RESERVED)}"
    return refuse(text, column - 1, why, hint)


def _check_each(text: str, part: Part) -> None:
    runs = [one for one in part.target.references if one.inner is not None]
    if part.is_each and not runs:
        hint = f"as in {part.name}[]:/items/{{order.items[].id}}"
        raise refuse(text, part.column - 1, f"{part.name}[] does not say for each of what", hint)
    if runs and not part.is_each:
        hint = f"write {part.name}[]:" if part.name is not None else "give it a name, as in items[]:"
        raise refuse(text, runs[0].column - 1, "'[]' in a part that is asked once", hint)
    for one in runs[1:]:
        if (one.name, one.steps) != (runs[0].name, runs[0].steps):
            raise refuse(
                text, one.column - 1, "a part runs over one array", f"the first is that of {runs[0]}"
            )


def _check_params(text: str, scope: Scope, part: Part) -> None:
    for reference in part.target.references:
        if reference.name == "params" and f"{{{reference.steps[0]}}}" not in scope.segments:
            hint = f"write {scope.path.removesuffix('$').rstrip('/')}/{{{reference.steps[0]}}} = …"
            raise refuse(text, reference.column - 1, f"the path has no {{{reference.steps[0]}}}", hint)
