"""Rules in CEL, the Common Expression Language: checked when they are read, refusing when they fail.

An expression says whether a request may pass. It is compiled once; each request runs it over the values that it names,
and over no others. Whatever is not `true` refuses: false, another kind of value, an error, a name that is not there.
The library is loaded when the first expression is read, 0.2 s.
"""

import re
from collections.abc import Container, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from netfront.errors import UsageError

if TYPE_CHECKING:
    from cel import Program

__all__ = ["NAMES", "Expression"]

NAMES = ("claims", "user", "scopes", "method", "path", "params", "query", "headers", "ip", "now")
"""What an expression may read."""
_FUNCTIONS = frozenset({
    "size", "contains", "startsWith", "endsWith", "matches", "int", "uint", "double", "string", "bytes", "timestamp",
    "duration", "type", "dyn", "getFullYear", "getMonth", "getDayOfYear", "getDayOfMonth", "getDate", "getDayOfWeek",
    "getHours", "getMinutes", "getSeconds", "getMilliseconds",
})  # fmt: skip
_TYPES = frozenset(
    {"bool", "int", "uint", "double", "string", "bytes", "list", "map", "null_type", "timestamp", "duration"}
)
"""What type() can be compared with."""
_SAMPLE: Mapping[str, object] = {
    **{name: {} for name in ("claims", "params", "query", "headers")},
    **dict.fromkeys(("user", "method", "path", "ip"), "x"),
    "scopes": [],
    "now": datetime.fromtimestamp(0, UTC),
}
"""A request that has nothing: what an expression without a choice makes of it is an error, or of the kind it makes of
all."""
_LONGEST = 4096
_DEEPEST = 100
_PLACE = re.compile(r"<input>:(\d+):(\d+): (Syntax error: )?(.*)")
_BOUND = re.compile(r"\.\s*(?:all|exists|exists_one|map|filter)\s*\(\s*([A-Za-z_]\w*)\s*,")
_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"""|\'\'\'(?:\\.|[^\\])*?\'\'\'|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL
)
_LITERAL = r"""(?P<string>[rR]?(?:"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'))"""
_MAPS = ("params", "query", "headers")
_READ = {
    one: re.compile(
        rf"(?<![\w.])(?P<map>{one})\s*(?:\.\s*(?P<name>[A-Za-z_]\w*)\b(?!\s*\()|\[\s*{_LITERAL}\s*\])"
    )
    for one in _MAPS
}
_ASKED = {one: re.compile(rf"{_LITERAL}\s+in\s+(?P<map>{one})\b(?!\s*[\[.])") for one in _MAPS}
"""By the name of a map: where a value is read from it, and where it is asked for a name."""
_ASKED_PARAM = re.compile(r"\bhas\s*\(\s*params\s*\.\s*(?P<asked>[A-Za-z_]\w*)\s*\)")
_MATCHES = re.compile(rf"\bmatches\s*\((?:[^()\"',]*,)?\s*{_LITERAL}\s*\)")
_EXPECTING = re.compile(r" expecting .*")


class Expression:
    """An expression that was checked.

    Raises:
        UsageError: when made: what is wrong with it, and in which column.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._program = _compile(text)
        bound = set(_BOUND.findall(_bare(text)))
        used = self._program.variables()
        for name in used:
            if name not in NAMES and name not in _TYPES and name not in bound:
                raise _fault(
                    text, _column(text, name), f"no such name as {name}", f"there are {', '.join(NAMES)}"
                )
        for name in self._program.functions():
            if name not in _FUNCTIONS and re.fullmatch(r"[A-Za-z]\w*", name):
                why = f"no such function as {name}"
                raise _fault(text, _column(text, name), why, f"there are {', '.join(sorted(_FUNCTIONS))}")
        _check_strings(text, bound)
        self.uses = frozenset(name for name in used if name in NAMES)
        self._check_kind()

    def refuses(self, values: Mapping[str, object]) -> str | None:
        """Tell why it does not hold for these values, for the log; None: it holds."""
        result, why = self._run(values)
        if why or result is True:
            return why or None
        return "false" if result is False else _of_kind(result)

    def _run(self, values: Mapping[str, object]) -> tuple[object, str]:
        """Give what it makes of these values, or why it makes nothing."""
        try:
            return self._program.execute(dict(values)), ""
        except KeyError as error:
            return None, f"there is no {error.args[0]!r}" if error.args else "there is no such key"
        except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            return None, f"{type(error).__name__}: {error}".splitlines()[0]

    def names_read(self, of: str) -> frozenset[str] | None:
        """Give the names that it reads of a map of NAMES, as of `query`; None where it may read any: `query.all(…)`."""
        bare = _bare(self.text)
        found = [*_READ[of].finditer(self.text), *_ASKED[of].finditer(self.text)]
        places = {one.start("map") for one in found}
        everywhere = {one.start() for one in re.finditer(rf"(?<![\w.]){of}\b", bare)}
        literals = [one["string"] for one in found if one["string"]]
        if of in _BOUND.findall(bare) or not everywhere <= places or any("\\" in one for one in literals):
            return None
        return frozenset((*map(_unquoted, literals), *(one["name"] for one in found if not one["string"])))

    def check_params(self, known: Container[str], where: str) -> None:
        """Look for a parameter that no request has, unless the expression asks whether it is there.

        Args:
            known: those of the routes it holds for.
            where: they are, for the message.
        Raises:
            UsageError: there is one: which, and in which column.
        """
        bare = _bare(self.text)
        if "params" in _BOUND.findall(bare):
            return
        asked = {found["asked"] for found in _ASKED_PARAM.finditer(self.text)}
        asked |= {_unquoted(found["string"]) for found in _ASKED["params"].finditer(self.text)}
        for found in _READ["params"].finditer(self.text):
            name = found["name"] or _unquoted(found["string"])
            if bare.startswith("params", found.start()) and name not in known and name not in asked:
                raise _fault(self.text, found.start() + 1, f"no route {where} has {{{name}}}")

    def _check_kind(self) -> None:
        """Have it run once: what is neither true nor false then never is. One that reads nothing has but one result."""
        result, why = self._run({name: _SAMPLE[name] for name in self.uses})
        if self.uses and (why or "?" in _bare(self.text)):
            return
        if why or not isinstance(result, bool):
            hint = 'an expression is true or false, as in "admin" in claims.groups'
            raise _fault(self.text, 1, why or _of_kind(result), hint)


def _of_kind(result: object) -> str:
    return f"gave {type(result).__name__}, not true or false"


def _compile(text: str) -> "Program":
    if len(text) > _LONGEST:
        raise UsageError.of(text[:40] + "…", f"an expression of more than {_LONGEST} characters")
    if _depth(text) > _DEEPEST:
        raise UsageError.of(text[:40] + "…", f"brackets more than {_DEEPEST} deep")
    try:
        import cel
    except ImportError as error:
        hint = "pip install common-expression-language"
        raise UsageError.of(text, f"there is no library for CEL: {error}", hint) from error
    try:
        return cel.compile(text)
    except ValueError as error:
        places = _PLACE.findall(str(error))
        first = min(places, key=lambda found: (not found[2], int(found[0]), int(found[1])), default=None)
        line, column, _, why = first or ("1", "1", "", "malformed")
        before = sum(len(part) + 1 for part in text.split("\n")[: int(line) - 1])
        why = (
            _EXPECTING.sub("", why)
            .replace("'<EOF>'", "the end of it")
            .replace("mismatched input", "not expected:")
        )
        raise _fault(text, before + int(column), why) from error


def _check_strings(text: str, bound: Container[str]) -> None:
    """Look into the strings that can be known to be wrong: names of headers, and patterns."""
    bare = _bare(text)
    for found in (*_READ["headers"].finditer(text), *_ASKED["headers"].finditer(text)):
        group = "name" if found.groupdict().get("name") else "string"
        name = found[group].lstrip("rR") if group == "string" else found[group]
        at = found.start("map")
        is_ours = bare.startswith("headers", at) and not bare[:at].rstrip().endswith(".")
        if name != name.lower() and is_ours and "headers" not in bound:
            why = f"no header is called {name}: their names are in lower case"
            raise _fault(text, found.start(group) + 1, why, f"write {name.lower()}")
    for found in _MATCHES.finditer(text):
        if not bare.startswith("matches", found.start()):
            continue  # it stands in a string itself
        try:
            _compile(f'"".matches({found["string"]})').execute({})
        except (RuntimeError, ValueError) as error:
            why = f"no regular expression: {str(error).splitlines()[-1].removeprefix('error: ').partition('. ')[0]}"
            raise _fault(text, found.start("string") + 1, why) from error


def _fault(text: str, column: int, why: str, hint: str = "") -> UsageError:
    """Make the error of an expression, with a mark below the place."""
    if not hint:
        hint = f"{text}\n  {' ' * (column - 1)}^" if "\n" not in text else ""
    return UsageError.of(text, f"column {column}: {why}", hint)


def _bare(text: str) -> str:
    """Give an expression with its strings blanked, each character in its place."""
    return _STRING.sub(lambda match: " " * len(match[0]), text)


def _unquoted(literal: str) -> str:
    return literal.lstrip("rR")[1:-1]


def _column(text: str, name: str) -> int:
    match = re.search(rf"(?<![\w.]){re.escape(name)}\b", _bare(text)) or re.search(
        rf"\b{re.escape(name)}\b", _bare(text)
    )
    return match.start() + 1 if match is not None else 1


def _depth(text: str) -> int:
    deepest = depth = 0
    for character in _bare(text):
        if character in "([{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in ")]}":
            depth -= 1
    return deepest
