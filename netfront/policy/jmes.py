"""Expressions: JMESPath over documents whose numbers keep their text.

A number that an expression only copies goes on as it came, and so does one that stands in the expression itself. What
a function computes is a double: sum, avg, abs, ceil, floor and to_number. Which names an expression uses is known
without running it, so that a part waits for the parts it needs and no others.
"""

import copy
import math
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from netfront.policy.reference import refuse
from netfront.wire.jsontext import has_numbers, parse, render

if TYPE_CHECKING:
    from jmespath.functions import Functions
    from jmespath.parser import ParsedResult
    from jmespath.visitor import Options

__all__ = ["Expression", "compile_expression"]

_OPENS_JSON = tuple(map(str.encode, '{["-0123456789'))
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_WHOLE = 1e15
"""Doubles below it that are whole are written as whole numbers."""


class Expression:
    """An expression, ready to be run.

    Attributes:
        text: as it was written.
        names: fields that it takes from the document itself; None: from all of it, as with `@`.
        keys: what the object it makes has for names, in order; None where that is known only once it has run.
        is_plain: it brings no `Number` of its own.
    """

    __slots__ = ("_options", "_parsed", "column", "is_plain", "keys", "names", "text")

    def __init__(
        self, text: str, column: int, parsed: "ParsedResult", options: "Options", *, is_plain: bool
    ) -> None:
        self.text = text
        self.column = column
        self._parsed = parsed
        self._options = options
        tree = parsed.parsed
        self.names = _names(tree)
        self.keys: tuple[str, ...] | None = None
        if tree["type"] == "multi_select_dict":
            self.keys = tuple(dict.fromkeys(child["value"] for child in tree["children"]))
        self.is_plain = is_plain

    def run(self, document: object) -> object:
        """Give what it makes of a document.

        Raises:
            ValueError: a function was given what it does not take.
        """
        from jmespath.exceptions import JMESPathError

        try:
            return self._parsed.search(document, self._options)
        except (JMESPathError, TypeError, ArithmeticError) as error:
            raise ValueError(_why(error)) from error
        except RecursionError as error:
            raise ValueError("it is nested too deeply") from error

    def column_of(self, name: str) -> int:
        """Give the column where a name stands first."""
        from jmespath.lexer import Lexer

        for token in Lexer().tokenize(self.text):
            if token["value"] == name and token["type"].endswith("identifier"):
                return self.column + int(token["start"])
        return self.column

    def __repr__(self) -> str:
        return f"<{self.text}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Expression) and (self.text, self.column) == (other.text, other.column)

    def __hash__(self) -> int:
        return hash((self.text, self.column))


def compile_expression(rule: str, text: str, start: int) -> Expression:
    """Compile the expression that stands at a place of a rule.

    Raises:
        UsageError: what is wrong, and in which column of the rule.
    """
    import jmespath
    from jmespath import exceptions

    if not text:
        raise refuse(rule, start, "an expression is missing", "as in {id: id, name: name}")
    try:
        parsed = copy.deepcopy(jmespath.compile(text))
    except exceptions.LexerError as error:
        raise refuse(rule, start + error.lex_position, f"JMESPath: {error.message.lower()}") from error
    except exceptions.ParseError as error:  # an incomplete one too
        at = min(max(error.lex_position, 0), len(text))
        what = "it ends too soon" if at >= len(text) else f"{error.token_value!r} is not expected here"
        raise refuse(rule, start + at, f"JMESPath: {what}") from error
    except (exceptions.JMESPathError, ValueError, RecursionError) as error:
        raise refuse(rule, start, f"JMESPath: {_why(error)}") from error
    literals = list(_literals(parsed.parsed))
    is_plain = _restore(rule, text, start, literals)
    _check_functions(rule, text, start, parsed.parsed)
    return Expression(text, start + 1, parsed, _options(), is_plain=is_plain)


def _why(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]


# -- trees ----------------------------------------------------------------------------------------------------


def _names(node: Mapping[str, Any]) -> frozenset[str] | None:
    """Find which fields of the document a tree takes; None for the whole of it."""
    kind, children = node["type"], node["children"]
    if kind == "field":
        return frozenset({node["value"]})
    if kind in ("identity", "current"):
        return None
    if kind in ("literal", "expref", "index", "slice"):
        return frozenset()
    if kind in ("subexpression", "index_expression", "pipe", "projection", "value_projection",
                "filter_projection", "flatten"):  # fmt: skip
        return _names(children[0])  # the others are run on what comes of it
    found: set[str] = set()
    for child in children:
        names = _names(child)
        if names is None:
            return None
        found |= names
    return frozenset(found)


def _in_order(node: Mapping[str, Any]) -> Iterator[Any]:
    """Walk a tree in the order in which it was written."""
    yield node
    children = node["children"]
    if node["type"] == "filter_projection":
        children = [children[0], children[2], children[1]]
    for child in children:
        if isinstance(child, dict):
            yield from _in_order(child)


def _literals(tree: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    return (node for node in _in_order(tree) if node["type"] == "literal")


def _restore(rule: str, text: str, at: int, literals: list[dict[str, Any]]) -> bool:
    """Read the JSON literals of an expression once more, so that their numbers keep their text.

    Args:
        at: where the expression stands in its rule.
    Returns:
        whether none of them has such a number.
    Raises:
        UsageError: one begins as JSON does, and is none; a word without its quotes is a text to JMESPath still.
    """
    from jmespath.lexer import Lexer

    is_plain = True
    starts = [token["start"] for token in Lexer().tokenize(text) if token["type"] == "literal"]
    for start, node in zip(starts, literals, strict=True):
        if text[start] != "`":
            continue
        end = start + 1
        while text[end] != "`":
            end += 2 if text[end] == "\\" else 1
        written = text[start + 1 : end].replace("\\`", "`").strip().encode(errors="surrogatepass")
        try:
            value = parse(written)
        except ValueError as error:
            if written.startswith(_OPENS_JSON):
                raise refuse(
                    rule, at + start, f"JMESPath: what stands in backticks is JSON: {error}"
                ) from error
            continue
        if has_numbers(written):
            node["value"] = value
            is_plain = False
    return is_plain


def _check_functions(rule: str, text: str, start: int, tree: Mapping[str, Any]) -> None:
    """Refuse functions that there are not, and those that get too few or too many values."""
    table = _functions().FUNCTION_TABLE
    for node in _in_order(tree):
        if node["type"] != "function_expression":
            continue
        name = node["value"]
        at = start + max(text.find(f"{name}("), 0)
        if name not in table:
            raise refuse(
                rule, at, f"JMESPath: there is no function {name}()", f"there are {', '.join(sorted(table))}"
            )
        takes, given = table[name]["signature"], len(node["children"])
        is_open = bool(takes) and takes[-1].get("variadic")
        if given < len(takes) or (given > len(takes) and not is_open):
            least = "at least " if is_open else ""
            raise refuse(rule, at, f"JMESPath: {name}() takes {least}{len(takes)} values, not {given}")


# -- what functions compute -----------------------------------------------------------------------------------


def _double(value: float) -> float:
    """Give the double, written as a whole number where it is one. Raises ValueError: it is no number of JSON."""
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError("a function gave a number that is out of bounds")
    return int(number) if abs(number) < _WHOLE and number.is_integer() else number


@cache
def _functions() -> "type[Functions]":
    """Give the class of JMESPath's functions, where those that compute a number give a double."""
    from jmespath.functions import Functions, signature

    class _Doubles(Functions):
        @signature({"types": ["number"]})
        def _func_abs(self, arg: float) -> float:
            return _double(abs(arg))

        @signature({"types": ["array-number"]})
        def _func_avg(self, arg: list[float]) -> float | None:
            return _double(math.fsum(map(float, arg)) / len(arg)) if arg else None

        @signature({"types": ["number"]})
        def _func_ceil(self, arg: float) -> float:
            return _double(math.ceil(arg)) if math.isfinite(arg) else _double(arg)

        @signature({"types": ["number"]})
        def _func_floor(self, arg: float) -> float:
            return _double(math.floor(arg)) if math.isfinite(arg) else _double(arg)

        @signature({"types": ["array-number"]})
        def _func_sum(self, arg: list[float]) -> float:
            return _double(sum(map(float, arg)))

        @signature({"types": []})
        def _func_to_number(self, arg: object) -> float | None:
            if isinstance(arg, (int, float)) and not isinstance(arg, bool):
                return arg
            if not isinstance(arg, str) or _NUMBER.fullmatch(arg) is None:
                return None
            return _double(float(arg))

        @signature({"types": []})
        def _func_to_string(self, arg: object) -> str:
            return arg if isinstance(arg, str) else render(arg).decode()

    return _Doubles


def _options() -> "Options":
    from jmespath import Options

    return Options(custom_functions=_functions()())
