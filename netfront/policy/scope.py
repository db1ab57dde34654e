"""Scopes: which requests, by method, host and path. How they are written, and how two of them lie to each other.

    scope = [method {"," method} SP] (host [path] | path)
    host  = ["*."] label {"." label}       a host has a dot, or is "localhost"; no port
    path  = "/" [seg {"/" seg}] ["$"]      seg = text | "{" name "}" | "*" | "**" (last)

A path is a prefix on segment borders ("/api" and "/api/" are one), or exact with a final "$". GET covers HEAD. The
text of segments is kept in the spelling that `Target.normalised` has, so that the two can be compared.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from ipaddress import IPv6Address
from operator import eq
from typing import Generic, TypeVar

from netfront.errors import BadMessage, UsageError
from netfront.wire.target import canonical

__all__ = ["Near", "Scope", "host_covers", "is_text", "parse_scope", "with_head"]

T = TypeVar("T")
_METHODS = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:,[!#$%&'*+.^_`|~0-9A-Za-z-]+)*")
_USUAL_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?"
_HOST = re.compile(rf"\*\.{_LABEL}(?:\.{_LABEL})*|{_LABEL}(?:\.{_LABEL})+")
_ADDRESS = re.compile(r"\[[0-9A-Fa-f:.]+\]")
_TEXT = re.compile(r"[A-Za-z0-9._~!&'()*@:%-]+")
_PARAMETER = re.compile(r"\{[A-Za-z_][A-Za-z0-9_]*\}")


@dataclass(frozen=True, slots=True)
class Scope:
    """Which requests.

    Args:
        methods: as written; empty for any.
        host: in lower case; "*.x" is any name below x; empty for any.
        segments: of the path: text, "{name}", "*", or "**" at the end; empty for every path.
        is_exact: whether the path must end there.
        ignores_case: whether text compares without regard to ASCII case, methods too: so for what restricts, as a
            backend may take /Admin for /admin.
    """

    methods: tuple[str, ...] = ()
    host: str = ""
    segments: tuple[str, ...] = ()
    is_exact: bool = False
    ignores_case: bool = False

    @property
    def path(self) -> str:
        """The path as it is written."""
        return "/" + "/".join(self.segments) + ("$" if self.is_exact else "")

    @property
    def prefix(self) -> str:
        """The literal path that a target's base replaces; up to the first segment that is no text."""
        literal = []
        for segment in self.segments:
            if not is_text(segment):
                break
            literal.append(segment)
        return "/" + "/".join(literal)

    @property
    def first(self) -> str | None:
        """The text in lower case that all paths in it begin with; None where they need not."""
        return self.segments[0].lower() if self.segments and is_text(self.segments[0]) else None

    @property
    def has_path(self) -> bool:
        """Whether it tells requests of one host apart by their path."""
        return bool(self.segments) or self.is_exact

    @property
    def meant(self) -> tuple[object, ...]:
        """What it means: scopes of which this is equal match the same requests, however they are written."""
        segments = ["*" if segment.startswith("{") else segment for segment in self.segments]
        rests = segments[-1:] == ["**"]
        if rests:
            segments.pop()
        return frozenset(with_head(self.methods)), self.host, tuple(segments), self.is_exact and not rests

    def __str__(self) -> str:
        methods = ",".join(self.methods) + " " if self.methods else ""
        path = "" if self.host and self.path == "/" else self.path
        return f"{methods}{self.host}{path}"

    def covers(self, other: "Scope") -> bool:
        """Tell whether every request of the other scope is one of this."""
        if self.methods:
            if not other.methods or (other.ignores_case and not self.ignores_case):
                return False
            if not _methods(other, self) <= _methods(self, other):
                return False
        return host_covers(self.host, other.host) and _path_covers(self, other, _equal(self, other))

    def is_wider(self, than: "Scope") -> bool:
        """Tell whether it has every request of the other scope, and more."""
        return self.covers(than) and not than.covers(self)

    @property
    def caseless(self) -> "Scope":
        """The same, but that text compares without regard to case."""
        return replace(self, ignores_case=True)

    def meets(self, other: "Scope") -> bool:
        """Tell whether a request can lie in both."""
        if self.methods and other.methods and not _methods(self, other) & _methods(other, self):
            return False
        if not (host_covers(self.host, other.host) or host_covers(other.host, self.host)):
            return False
        return _paths_meet(self, other, _alike if self.ignores_case or other.ignores_case else eq)

    def lies_below(self, host: bytes, path: bytes) -> bool:
        """Tell whether it has requests below a path that it has not itself, whatever their method.

        Args:
            host, path: as `matcher` takes them.
        """
        if not host_covers(self.host, host.decode(errors="replace")):
            return False
        here = path.decode(errors="replace").rstrip("/").split("/")[1:]
        segments = self.segments[:-1] if self.segments[-1:] == ("**",) else self.segments
        if len(here) >= len(segments):
            return False
        equal = _alike if self.ignores_case else eq
        return all(
            not is_text(mine) or equal(mine, theirs) for mine, theirs in zip(segments, here, strict=False)
        )

    def matches(self, method: bytes, host: bytes, path: bytes) -> bool:
        """Tell whether a request lies in it; see `matcher`."""
        return self.matcher()(method, host, path)

    def matcher(self) -> Callable[[bytes, bytes, bytes], bool]:
        """Make the function that tells whether a request lies in it.

        It takes the method; the host in lower case, without port and trailing dot; the path in its normal form.
        """
        methods = frozenset(method.encode() for method in _methods(self, self))
        ignores_case = self.ignores_case
        wanted = self.host.encode()
        suffix = wanted[1:] if wanted.startswith(b"*") else None
        has_path = self.has_path
        find = re.compile(_pattern(self), re.IGNORECASE if ignores_case else 0).match

        def matches(method: bytes, host: bytes, path: bytes) -> bool:
            if methods and method not in methods and not (ignores_case and method.upper() in methods):
                return False
            if suffix is None:
                if wanted and host != wanted:
                    return False
            elif not host.endswith(suffix):
                return False
            return not has_path or find(path) is not None

        return matches


class Near(Generic[T]):
    """Values by their scopes, so that a scope need not be held against those that it cannot meet.

    Scopes whose paths begin with different text never meet, nor does one of them cover the other.
    """

    def __init__(self, items: Iterable[tuple[Scope | None, T]]) -> None:
        self._all: list[T] = []
        self._by_text: dict[str, list[int]] = {}
        self._loose: list[int] = []
        for at, (scope, value) in enumerate(items):
            self._all.append(value)
            text = scope.first if scope is not None else None
            (self._loose if text is None else self._by_text.setdefault(text, [])).append(at)

    def of(self, scope: Scope | None) -> list[T]:
        """Give, in order, all whose scope may meet this one; None meets all, and is met by all."""
        text = scope.first if scope is not None else None
        if text is None:
            return self._all
        return [self._all[at] for at in sorted((*self._loose, *self._by_text.get(text, ())))]


def is_text(segment: str) -> bool:
    """Tell whether a segment of a scope stands for itself."""
    return segment not in ("*", "**") and not segment.startswith("{")


def with_head(methods: Iterable[str]) -> set[str]:
    """Give the methods that are meant by these."""
    meant = set(methods)
    return meant | {"HEAD"} if "GET" in meant else meant


def parse_scope(text: str) -> Scope:
    """Read a scope. Raises UsageError: what is wrong with it."""
    head, space, rest = text.partition(" ")
    methods: tuple[str, ...] = ()
    place = text
    if space and "/" not in head:
        methods, place = _parse_methods(text, head), rest.strip(" ")
    host, slash, path = place.partition("/")
    if host and host != "localhost" and _HOST.fullmatch(host) is None and _ADDRESS.fullmatch(host) is None:
        raise UsageError.of(
            text,
            f"{host!r} is no host",
            "a host has a dot or is localhost, and no port: ports belong to --listen",
        )
    if not host and not slash:
        raise UsageError.of(
            text or "(empty)", "a scope is a host, a path, or both", "write '/api' or 'app.localhost'"
        )
    if host.startswith("["):
        host = _parse_address(text, host)
    segments = _parse_segments(text, path.removesuffix("$"))
    return Scope(methods, host.lower(), segments, path.endswith("$"))


def _parse_address(text: str, host: str) -> str:
    try:
        return f"[{IPv6Address(host[1:-1]).compressed}]"
    except ValueError as error:
        raise UsageError.of(text, f"{host!r} is no IPv6 address") from error


def _parse_methods(text: str, given: str) -> tuple[str, ...]:
    if _METHODS.fullmatch(given) is None:
        raise UsageError.of(text, f"{given!r} is no list of methods", "write 'GET,POST /path'")
    methods = tuple(given.split(","))
    for method in methods:
        if method not in _USUAL_METHODS and method.upper() in _USUAL_METHODS:
            raise UsageError.of(
                text, f"{method!r} is no method", f"methods are in upper case: {given.upper()}"
            )
    return methods


def _parse_segments(text: str, path: str) -> tuple[str, ...]:
    given = [segment for segment in path.split("/") if segment]
    names = [segment for segment in given if _PARAMETER.fullmatch(segment)]
    for name in names:
        if names.count(name) > 1:
            raise UsageError.of(text, f"{name} is there twice", "give each its own name")
    if "**" in given[:-1]:
        raise UsageError.of(text, "'**' stands only at the end")
    return tuple(
        segment if segment in ("*", "**") or segment in names else _parse_text(text, segment)
        for segment in given
    )


def _parse_text(text: str, segment: str) -> str:
    if _TEXT.fullmatch(segment) is None:
        raise UsageError.of(
            text, f"{segment!r} is no path segment", "a segment is text, {name}, * or a final **"
        )
    try:
        spelt = canonical(segment.encode()).decode()
    except BadMessage as error:
        raise UsageError.of(text, f"{segment!r} holds {error.why}", "a literal '%' is written %25") from error
    if spelt in (".", ".."):
        raise UsageError.of(
            text, f"{segment!r} is no path segment", "requests match with such segments resolved"
        )
    return spelt


def _pattern(scope: Scope) -> bytes:
    """Give a pattern for the paths in a scope, to be matched at their start."""
    parts = [
        b"/" + (re.escape(segment.encode()) if is_text(segment) else b"[^/]+")
        for segment in scope.segments
        if segment != "**"
    ]
    is_exact = scope.is_exact and scope.segments[-1:] != ("**",)
    return b"".join(parts) + (rb"/?\Z" if is_exact else rb"(?:/|\Z)")


def _methods(scope: Scope, beside: Scope) -> set[str]:
    """Give the methods that a scope means, to be held against those of another."""
    meant = with_head(scope.methods)
    return {method.upper() for method in meant} if scope.ignores_case or beside.ignores_case else meant


def host_covers(wide: str, narrow: str) -> bool:
    """Tell whether every request to the second host of a scope is one to the first."""
    if not wide or wide == narrow:
        return True
    return wide.startswith("*.") and narrow != "" and narrow.removeprefix("*").endswith(wide[1:])


def _alike(one: str, other: str) -> bool:
    return one == other or one.lower() == other.lower()  # text of scopes is ASCII


def _equal(wide: Scope, narrow: Scope) -> Callable[[str, str], bool]:
    """Give what tells whether the wider scope's text has in it all that the narrower one's stands for."""
    if wide.ignores_case:
        return _alike
    if narrow.ignores_case:
        return lambda mine, theirs: mine == theirs and theirs.lower() == theirs.upper()
    return eq


def _path_covers(wide: Scope, narrow: Scope, equal: Callable[[str, str], bool]) -> bool:
    for index, wanted in enumerate(wide.segments):
        if wanted == "**":
            return True
        if index >= len(narrow.segments) or narrow.segments[index] == "**":
            return False
        if is_text(wanted) and not (
            is_text(narrow.segments[index]) and equal(wanted, narrow.segments[index])
        ):
            return False
    if not wide.is_exact:
        return True
    return narrow.is_exact and len(narrow.segments) == len(wide.segments)


def _paths_meet(one: Scope, other: Scope, equal: Callable[[str, str], bool]) -> bool:
    for mine, theirs in zip(one.segments, other.segments, strict=False):
        if "**" in (mine, theirs):
            return True
        if is_text(mine) and is_text(theirs) and not equal(mine, theirs):
            return False
    shorter, longer = sorted((one, other), key=lambda scope: len(scope.segments))
    if longer.segments[len(shorter.segments) :] == ("**",):
        return True
    return not shorter.is_exact or len(longer.segments) == len(shorter.segments)
