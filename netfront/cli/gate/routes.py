"""The flags that make routes, and what a route sends: --match, --redirect, --respond, --rewrite.

match    = [scope ": "] condition " => " targets
redirect = scope ": " [status SP] url            url with {name} of the scope; the scope is exact
respond  = scope ": " status [SP text]           likewise exact
rewrite  = [scope ": "] path                     path with {name} of the scope
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from netfront.cli.argv import Word, as_word
from netfront.cli.faults import Faults
from netfront.cli.flags import ServeFlags
from netfront.cli.gate.answer import RedirectPlan, RespondPlan
from netfront.cli.gate.plan import AnswerPlan
from netfront.cli.grammar import RouteArg, parse_targets, split_policy
from netfront.cli.plan import Settings
from netfront.cli.scoped import Policy, refuse_twice
from netfront.errors import Fault, UsageError
from netfront.policy.condition import parse_condition
from netfront.policy.rewriting import Rewriting, names_in
from netfront.policy.scope import Scope
from netfront.policy.template import Template

__all__ = ["AnswerArg", "make_routes", "read_answers", "read_matches", "rewrite_policies"]

_EVERYTHING = Scope()
_STATUS = re.compile(r"(\d{3})(?: +(.*))?", re.ASCII | re.DOTALL)
_URL = re.compile(r"https?://([^/?#]+)([/?#].*)?|/(?!/).*", re.ASCII)
_AUTHORITY = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?")
_REDIRECTS = (301, 302, 303, 307, 308)
_BODILESS = (204, 205, 304)
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class AnswerArg:
    """A scope that is answered by ourselves.

    Args:
        scope: as written.
        given: with its flag.
        methods: of its route, where the scope names none.
    """

    scope: Scope
    plan: AnswerPlan
    given: str
    word: str
    methods: tuple[str, ...] = ()

    @property
    def served(self) -> Scope:
        """The scope of its route, which is exact."""
        return replace(self.scope, is_exact=True, methods=self.scope.methods or self.methods)


def make_routes(flags: ServeFlags) -> bool:
    """Tell whether flags make a route, so that no target need be named."""
    return any((flags.match, flags.redirect, flags.respond, flags.compose))


def read_matches(flags: ServeFlags, faults: Faults) -> list[tuple[Word, RouteArg]]:
    """Read the routes that ask for more than a scope, in the order given."""
    found = []
    for text in flags.match or ():
        word = as_word(text)
        try:
            scope, value = split_policy(word)
            found.append((word, _parse_match(word, scope, value)))
        except UsageError as error:
            faults.take(error, "--match", word=word)
    return found


def read_answers(flags: ServeFlags, faults: Faults) -> list[AnswerArg]:
    """Read the scopes that are answered by ourselves."""
    return [
        *_read("--redirect", flags.redirect, _parse_redirect, faults),
        *_read("--respond", flags.respond, _parse_respond, faults),
    ]


def rewrite_policies(flags: ServeFlags, faults: Faults) -> Iterator[Policy]:
    """Read --rewrite."""
    yield from refuse_twice(_rewrites(flags, faults), "a request is rewritten once: give one of them", faults)


def _rewrites(flags: ServeFlags, faults: Faults) -> Iterator[Policy]:
    for text in flags.rewrite or ():
        try:
            scope, value = split_policy(as_word(text))
            rewriting = Rewriting(scope or _EVERYTHING, value)
            yield Policy(scope, partial(_set_rewrite, rewriting), f"--rewrite {text!r}", text)
        except UsageError as error:
            faults.take(error, "--rewrite", word=text)


def _set_rewrite(rewriting: Rewriting, settings: Settings) -> Settings:
    return replace(settings, gate=replace(settings.gate, rewrite=rewriting))


def _parse_match(word: Word, scope: Scope | None, value: str) -> RouteArg:
    head, arrow, tail = value.rpartition("=>")
    if not arrow or not head.strip() or not tail.strip():
        raise UsageError.of(word, "no condition and target", "as in '/api: header:X-Version=2 => :3002'")
    condition = parse_condition(head.strip())
    try:
        targets = parse_targets(tail.strip())
    except UsageError as error:
        raise UsageError(*(_within(word, fault) for fault in error.faults)) from error
    return RouteArg(scope or _EVERYTHING, None, targets, condition)


def _within(word: Word, fault: Fault) -> Fault:
    return replace(fault, what=f"{word}: {fault.what}" if fault.what else word)


def _read(
    flag: str,
    given: Sequence[str] | None,
    parse: Callable[[Scope, str], AnswerPlan],
    faults: Faults,
) -> Iterator[AnswerArg]:
    for text in given or ():
        word = as_word(text)
        try:
            scope, value = split_policy(word)
            if scope is None:
                raise UsageError.of(word, "it has no scope", "as in '/x: …'; '/**: …' is every path")
            yield AnswerArg(scope, parse(scope, value), f"{flag} {text!r}", text)
        except UsageError as error:
            faults.take(error, flag, word=word)


def _parse_redirect(scope: Scope, value: str) -> AnswerPlan:
    match = _STATUS.fullmatch(value)
    status, url = (int(match[1]), match[2] or "") if match is not None else (308, value)
    if status not in _REDIRECTS:
        raise UsageError.of(value, f"{status} is no redirect", f"there are {', '.join(map(str, _REDIRECTS))}")
    found = _URL.fullmatch(url)
    if found is None or (found[1] is not None and _AUTHORITY.fullmatch(found[1]) is None):
        raise UsageError.of(value, "not where one can be sent", "write https://HOST/PATH or /PATH")
    place = url.partition("?")[0].partition("#")[0]
    # a GET that follows a POST may well ask for the same path
    comes_again = not scope.methods or "GET" in scope.methods or status in (307, 308)
    if comes_again and place.replace("{**}", "**") == replace(scope, is_exact=False).path:
        raise UsageError.of(value, "it leads back to where it came from, for ever", "name another path")
    has_rest = scope.segments[-1:] == ("**",)
    names = (*names_in(scope), "**") if has_rest else names_in(scope)
    return AnswerPlan(redirect=RedirectPlan(status, Template(url, names), len(scope.segments) - has_rest))


def _parse_respond(scope: Scope, value: str) -> AnswerPlan:
    match = _STATUS.fullmatch(value)
    if match is None or not 200 <= int(match[1]) <= 599:
        raise UsageError.of(value, "it begins with no status", "as in '503 back soon', from 200 to 599")
    status, text = int(match[1]), match[2] or ""
    if text and status in _BODILESS:
        raise UsageError.of(value, f"an answer with {status} has no content", f"write {status} alone")
    if _CONTROLS.search(text):
        raise UsageError.of(f"{status} …", "its text holds a control character")
    return AnswerPlan(respond=RespondPlan(status, text))
