"""References: `{user.id}` in the target of a part, and what stands in its place.

    template  = path or path and query, with references in it
    reference = "{" name {step} "}"
    step      = "." (word | JSON string) | "[" number "]" | "[]"        one "[]" at most: for each item

`name` is an earlier part, or one of `RESERVED`: what the request itself brings. A value is put in percent-encoded,
always, so that it is text wherever it lands: a slash, a question mark or an ampersand of it ends nothing. What cannot
be put into a path even so is refused: nothing at all, and a dot segment, which many servers resolve after decoding.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote_from_bytes, unquote, unquote_to_bytes

from netfront.errors import UsageError
from netfront.policy.claims import claim
from netfront.wire.jsontext import Number, parse_prefix

__all__ = [
    "EACH",
    "NAME",
    "RESERVED",
    "Known",
    "Missing",
    "Reference",
    "Template",
    "parse_template",
    "refuse",
]

RESERVED = ("params", "query", "claims", "body")
"""Names that are no parts: of the route, the query, who asks, and the request's body."""
EACH = "[]"
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_INDEX = re.compile(r"\[(-?[0-9]{1,6})\]")
_TEXT = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/?\[\]|^-]|%[0-9A-Fa-f]{2})+")
_SEPARATORS = re.compile(rb"[/\\]|%2[Ff]|%5[Cc]")
_PARAMETERS = re.compile(rb"(?:;|%3[Bb]).*", re.DOTALL)
_DOTS = (b".", b"..")
_LONGEST = 16_384
"""Characters of a text that is put into a target: no server takes a longer one, and to encode 100 KB takes 7 ms."""

Step = str | int
Known = dict[tuple[str, bool], bytes]
"""What stands in a target, by how the reference is written and whether that is in the path."""


class Missing(Exception):
    """A value that a reference names is not there, or cannot stand where it should.

    Args:
        source: where it should be: one of `RESERVED`, or the name of a part.
    """

    def __init__(self, source: str, why: str) -> None:
        super().__init__(why)
        self.source = source
        self.why = why


@dataclass(frozen=True, slots=True)
class Reference:
    """The name of a value.

    Args:
        steps: from the thing of that name to the value, or to an array of things where `inner` is not None.
        inner: from an item of that array to the value.
        text: as it was written, without braces.
        column: of the rule it stands in, from 1.
    """

    name: str
    steps: tuple[Step, ...]
    inner: tuple[Step, ...] | None
    text: str
    column: int

    def value(self, things: Callable[[str], object]) -> object:
        """Give the value. Raises Missing."""
        return self._walk(things(self.name), self.steps)

    def items(self, things: Callable[[str], object]) -> list[object]:
        """Give the array that it runs over. Raises Missing."""
        if self.name == "query" and len(self.steps) == 1:
            values = things(self.name)
            assert isinstance(values, dict)
            if self.steps[0] not in values:
                raise Missing(self.name, f"{{{self.text}}} is missing")
            return list(values[self.steps[0]])
        found = self._walk(things(self.name), self.steps)
        if not isinstance(found, list):
            raise Missing(self.name, f"{{{self.text}}} runs over {_kind(found)}, which is no array")
        return found

    def of_item(self, item: object) -> object:
        """Give the value of an item. Raises Missing."""
        assert self.inner is not None
        return self._walk(item, self.inner)

    def _walk(self, value: object, steps: tuple[Step, ...]) -> object:
        if self.name == "claims" and steps and isinstance(value, dict):
            value = claim(value, ".".join(map(str, steps)))
            steps = ()
        elif self.name == "query" and self.inner is None and steps and isinstance(value, dict):
            value = (value.get(steps[0]) or (None,))[0]
            steps = steps[1:]
        for step in steps:
            if isinstance(step, str):
                value = value.get(step) if isinstance(value, dict) else None
            else:
                in_it = isinstance(value, list) and -len(value) <= step < len(value)
                value = value[step] if in_it else None  # type: ignore[index]  # a list, then
        if value is None:
            raise Missing(self.name, f"{{{self.text}}} is missing")
        return value

    def __str__(self) -> str:
        return f"{{{self.text}}}"


@dataclass(frozen=True, slots=True)
class Template:
    """A target with references in it.

    Args:
        pieces: bytes as they stand, and references.
        in_path: how many of the pieces belong to the path; the last of them may go on in the query.
    """

    pieces: tuple[bytes | Reference, ...]
    in_path: int
    text: str

    @property
    def references(self) -> tuple[Reference, ...]:
        """What it refers to, in order."""
        return tuple(piece for piece in self.pieces if isinstance(piece, Reference))

    @property
    def each(self) -> Reference | None:
        """The first reference that runs over an array."""
        return next((one for one in self.references if one.inner is not None), None)

    def path_with(self, word: str) -> str:
        """Give the path with a word in place of each segment that has a reference."""
        path = "".join(
            piece.decode() if isinstance(piece, bytes) else "{}" for piece in self.pieces[: self.in_path]
        ).partition("?")[0]
        return "/".join(word if "{}" in segment else segment for segment in path.split("/"))

    def fill(self, value: Callable[[Reference], object], *, known: Known | None = None) -> bytes:
        """Put values in place of the references. Raises Missing.

        Args:
            known: is filled with those that do not differ by item, as they are written, for the next time.
        """
        if len(self.pieces) == 1 and isinstance(self.pieces[0], bytes):
            return self.pieces[0]
        filled: list[bytes] = []
        for at, piece in enumerate(self.pieces):
            if isinstance(piece, bytes):
                filled.append(piece)
                continue
            if known is None or piece.inner is not None:
                filled.append(self._written(at, piece, value))
                continue
            key = piece.text, at < self.in_path
            if key not in known:
                known[key] = self._written(at, piece, value)
            filled.append(known[key])
        target = b"".join(filled)
        path = target.partition(b"?")[0]
        # decoded once, and by who decodes twice: what was put in may have been encoded already
        segments = _SEPARATORS.split(unquote_to_bytes(path))
        if any(unquote_to_bytes(_PARAMETERS.sub(b"", segment)) in _DOTS for segment in segments):
            refer = self.references[0]
            raise Missing(refer.name, f"{refer} makes a dot segment of the path")
        if b"" in filled[: self.in_path] and path.split(b"/").count(b"") > self._empty_segments:
            empty = self.pieces[filled.index(b"")]
            assert isinstance(empty, Reference)
            raise Missing(empty.name, f"{empty} is empty, which is no path segment")
        return target

    @property
    def _empty_segments(self) -> int:
        return self.path_with("x").split("/").count("")

    def _written(self, at: int, piece: Reference, value: Callable[[Reference], object]) -> bytes:
        raw = _text(piece, value(piece))
        if at < self.in_path and b"\x00" in raw:
            raise Missing(piece.name, f"{piece} holds NUL")
        return quote_from_bytes(raw, safe="").encode()


def parse_template(text: str, start: int) -> tuple[Template, int]:
    """Read the target that begins at a place of a rule, up to a space or the end; give it, and where it ends.

    Raises:
        UsageError: what is wrong, and in which column.
    """
    at = start
    pieces: list[bytes | Reference] = []
    in_path = 0
    has_query = False
    while at < len(text) and not text[at].isspace():
        if text[at] == "{":
            reference, at = _parse_reference(text, at)
            pieces.append(reference)
        else:
            match = _TEXT.match(text, at)
            if match is None:
                raise refuse(text, at, f"{text[at]!r} stands in no target", "write it percent-encoded")
            pieces.append(match[0].encode())
            at = match.end()
        if not has_query:
            in_path = len(pieces)
            piece = pieces[-1]
            has_query = isinstance(piece, bytes) and b"?" in piece
    written = text[start:at]
    path = written.partition("?")[0]
    if any(unquote(segment).partition(";")[0] in (".", "..") for segment in path.split("/")):
        raise refuse(text, start, "a dot segment in a target", "write the path without it")
    return Template(tuple(pieces), in_path, written), at


def refuse(text: str, at: int, why: str, hint: str = "") -> UsageError:
    """Make the error of what is wrong at a place of a rule."""
    return UsageError.of(text, f"column {at + 1}: {why}", hint)


def _parse_reference(text: str, start: int) -> tuple[Reference, int]:
    match = NAME.match(text, start + 1)
    if match is None:
        raise refuse(text, start + 1, "a reference begins with a name", "as in {user.id} or {params.id}")
    steps: list[Step] = []
    outer: tuple[Step, ...] | None = None
    at = match.end()
    while text[at : at + 1] != "}":
        if text.startswith(EACH, at):
            if outer is not None:
                raise refuse(text, at, "a second '[]' in one reference", "for each runs over one array")
            outer, steps = tuple(steps), []
            at += len(EACH)
        elif index := _INDEX.match(text, at):
            steps.append(int(index[1]))
            at = index.end()
        elif text[at : at + 1] == "." and (word := NAME.match(text, at + 1)):
            steps.append(word[0])
            at = word.end()
        elif text.startswith('."', at):
            try:
                key, at = parse_prefix(text, at + 1)
            except ValueError as error:
                raise refuse(text, at + 1, f"a quoted name is a JSON string: {error}") from error
            steps.append(str(key))
        else:
            what = f"{text[at]!r}" if at < len(text) else "the end"
            raise refuse(
                text, at, f"{what} within a reference", "as in {user.id}, {list[0]} or {order.items[].id}"
            )
    words, inner = (tuple(steps), None) if outer is None else (outer, tuple(steps))
    name, written = match[0], text[start + 1 : at]
    _check_reserved(text, start + 1, name, words, inner)
    return Reference(name, words, inner, written, start + 2), at + 1


def _check_reserved(
    text: str, at: int, name: str, steps: tuple[Step, ...], inner: tuple[Step, ...] | None
) -> None:
    """Refuse what the reserved names cannot have: params and query are texts by name."""
    if name not in ("params", "query", "claims"):
        return
    if not steps or not isinstance(steps[0], str):
        raise refuse(text, at, f"which of {name}?", f"as in {{{name}.id}}")
    if name == "params" and (len(steps) > 1 or inner is not None):
        raise refuse(text, at, "a segment of the path is one text", f"write {{{name}.{steps[0]}}}")
    if name == "query" and (len(steps) > 1 or inner):
        hint = f"write {{{name}.{steps[0]}}}, or {{{name}.{steps[0]}[]}} for each of several"
        raise refuse(text, at, "a query's value is one text", hint)


def _text(reference: Reference, value: object) -> bytes:
    if isinstance(value, str):
        if len(value) > _LONGEST:
            raise Missing(reference.name, f"{reference} is a text of over {_LONGEST} characters")
        try:
            return value.encode()
        except UnicodeEncodeError as error:
            raise Missing(reference.name, f"{reference} is not text") from error
    if isinstance(value, bytes):
        return value
    if isinstance(value, bool):
        return b"true" if value else b"false"
    if isinstance(value, Number):
        return value.text.encode()
    if isinstance(value, (int, float)):
        return repr(value).encode()
    raise Missing(reference.name, f"{reference} is {_kind(value)}, which is no text")


def _kind(value: object) -> str:
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "an array"
    return "a text" if isinstance(value, str) else "a number" if not isinstance(value, bool) else "a boolean"
