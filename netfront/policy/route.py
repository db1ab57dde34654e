"""Scopes and routes: which requests, by method, host and path, and what serves them.

    scope = [method {"," method} SP] (host [path] | path)
    host  = ["*."] label {"." label}       a host has a dot, or is "localhost"; no port
    path  = "/" [seg {"/" seg}] ["$"]      seg = text | "{" name "}" | "*" | "**" (last)

A path is a prefix on segment borders ("/api" and "/api/" are one), or exact with a final "$". Which route: host first
(exact, then the longest wildcard, then none; a request whose host has a matching route never falls back to hostless
ones), then path segment by segment (text, `{name}`, `*`, `**`; longer first), then method (GET covers HEAD). The
routes are compiled into a tree of dicts, so a thousand cost about what one costs.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from netfront.errors import UsageError

__all__ = ["Match", "NotFound", "Scope", "Table", "WrongMethod", "parse_scope"]

V = TypeVar("V")
_METHODS = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:,[!#$%&'*+.^_`|~0-9A-Za-z-]+)*")
_HOST = re.compile(
    r"(?:\*\.)?[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?)+"
)
_ADDRESS = re.compile(r"\[[0-9A-Fa-f:.]+\]")
_TEXT = re.compile(r"[A-Za-z0-9._~!&'()@:%-]+")
_PARAMETER = re.compile(r"\{[A-Za-z_][A-Za-z0-9_]*\}")


@dataclass(frozen=True, slots=True)
class Scope:
    """Which requests.

    Args:
        methods: in upper case as written; empty for any.
        host: in lower case; "*.x" is any name below x; empty for any.
        segments: of the path: text, "{name}", "*", or "**" at the end; empty for every path.
        is_exact: whether the path must end there.
    """

    methods: tuple[str, ...] = ()
    host: str = ""
    segments: tuple[str, ...] = ()
    is_exact: bool = False

    @property
    def path(self) -> str:
        """The path as it is written."""
        return "/" + "/".join(self.segments) + ("$" if self.is_exact else "")

    @property
    def prefix(self) -> str:
        """The literal path that a target's base replaces; up to the first segment that is no text."""
        literal = []
        for segment in self.segments:
            if not _is_text(segment):
                break
            literal.append(segment)
        return "/" + "/".join(literal)

    def __str__(self) -> str:
        methods = ",".join(self.methods) + " " if self.methods else ""
        path = "" if self.host and self.path == "/" else self.path
        return f"{methods}{self.host}{path}"

    def covers(self, other: "Scope") -> bool:
        """Tell whether every request of the other scope is one of this."""
        if self.methods and not (other.methods and set(other.methods) <= _with_head(self.methods)):
            return False
        if not _host_covers(self.host, other.host):
            return False
        return _path_covers(self, other)

    def meets(self, other: "Scope") -> bool:
        """Tell whether a request can lie in both."""
        if self.methods and other.methods and not _with_head(self.methods) & _with_head(other.methods):
            return False
        if not (_host_covers(self.host, other.host) or _host_covers(other.host, self.host)):
            return False
        return _paths_meet(self, other)

    def matches(self, method: bytes, host: bytes, path: bytes) -> bool:
        """Tell whether a request lies in it. `host` in lower case without port; `path` in its normal form."""
        if self.methods and method.decode("latin-1") not in _with_head(self.methods):
            return False
        if not _host_matches(self.host, host.decode("latin-1")):
            return False
        return _path_matches(self, _split(path.decode("latin-1")))


def _with_head(methods: Sequence[str]) -> set[str]:
    return {*methods, "HEAD"} if "GET" in methods else set(methods)


def _is_text(segment: str) -> bool:
    return segment not in ("*", "**") and not segment.startswith("{")


def _host_matches(pattern: str, host: str) -> bool:
    if pattern.startswith("*."):
        return host.endswith(pattern[1:]) and len(host) > len(pattern) - 1
    return not pattern or pattern == host


def _host_covers(wide: str, narrow: str) -> bool:
    if not wide or wide == narrow:
        return True
    return wide.startswith("*.") and narrow.removeprefix("*").endswith(wide[1:]) and narrow != ""


def _split(path: str) -> list[str]:
    return [segment for segment in path.split("/") if segment]


def _path_matches(scope: Scope, segments: Sequence[str]) -> bool:
    for index, wanted in enumerate(scope.segments):
        if wanted == "**":
            return True
        if index >= len(segments) or (_is_text(wanted) and wanted != segments[index]):
            return False
    return not scope.is_exact or len(segments) == len(scope.segments)


def _path_covers(wide: Scope, narrow: Scope) -> bool:
    for index, wanted in enumerate(wide.segments):
        if wanted == "**":
            return True
        if index >= len(narrow.segments) or narrow.segments[index] == "**":
            return False
        if _is_text(wanted) and wanted != narrow.segments[index]:
            return False
    return not wide.is_exact or (narrow.is_exact and len(narrow.segments) == len(wide.segments))


def _paths_meet(one: Scope, other: Scope) -> bool:
    for mine, theirs in zip(one.segments, other.segments, strict=False):
        if "**" in (mine, theirs):
            return True
        if _is_text(mine) and _is_text(theirs) and mine != theirs:
            return False
    shorter, longer = sorted((one, other), key=lambda scope: len(scope.segments))
    if longer.segments[len(shorter.segments) :] == ("**",):
        return True
    return not shorter.is_exact or len(longer.segments) == len(shorter.segments)


def parse_scope(text: str) -> Scope:
    """Read a scope. Raises UsageError: what is wrong with it."""
    head, space, rest = text.partition(" ")
    methods: tuple[str, ...] = ()
    place = text
    if space:
        if _METHODS.fullmatch(head) is None:
            raise UsageError.of(text, f"{head!r} is no list of methods", "write 'GET,POST /path'")
        methods, place = tuple(head.split(",")), rest.strip()
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
    is_exact = path.endswith("$")
    segments = tuple(_split(path.removesuffix("$")))
    for index, segment in enumerate(segments):
        if segment == "**" and index < len(segments) - 1:
            raise UsageError.of(text, "'**' stands only at the end")
        if segment in ("*", "**") or _PARAMETER.fullmatch(segment):
            continue
        if _TEXT.fullmatch(segment) is None:
            raise UsageError.of(
                text, f"{segment!r} is no path segment", "a segment is text, {name}, * or a final **"
            )
    return Scope(methods, host.lower(), segments, is_exact)


@dataclass(frozen=True, slots=True)
class Match(Generic[V]):
    """The route found, and what its `{name}` segments were."""

    value: V
    scope: Scope
    params: dict[str, bytes]


@dataclass(frozen=True, slots=True)
class NotFound:
    """No route at all."""


@dataclass(frozen=True, slots=True)
class WrongMethod:
    """Routes for the place, none for the method. `allow` is the value of Allow."""

    allow: bytes


@dataclass(slots=True)
class _Node(Generic[V]):
    """What may follow a row of segments; and the routes that end here, as prefixes or exactly."""

    text: "dict[bytes, _Node[V]]" = field(default_factory=dict)
    parameter: "_Node[V] | None" = None
    star: "_Node[V] | None" = None
    rest: "list[tuple[Scope, V]]" = field(default_factory=list)
    prefixes: "list[tuple[Scope, V]]" = field(default_factory=list)
    exact: "list[tuple[Scope, V]]" = field(default_factory=list)


class Table(Generic[V]):
    """Routes, compiled. `only` is the value that serves every request, where one route of no conditions does."""

    def __init__(self, routes: Iterable[tuple[Scope, V]]) -> None:
        self._exact: dict[bytes, _Node[V]] = {}
        self._wild: dict[bytes, _Node[V]] = {}
        self._any: _Node[V] = _Node()
        entries = list(routes)
        self.scopes = tuple(scope for scope, _ in entries)
        for scope, value in entries:
            _insert(self._root(scope.host), scope, value)
        self.only: Match[V] | None = None
        if len(entries) == 1 and entries[0][0] in (Scope(), Scope(segments=("**",))):
            self.only = Match(entries[0][1], entries[0][0], {})

    def _root(self, host: str) -> _Node[V]:
        if not host:
            return self._any
        if host.startswith("*."):
            return self._wild.setdefault(host[2:].encode(), _Node())
        return self._exact.setdefault(host.encode(), _Node())

    def find(self, method: bytes, host: bytes, path: bytes) -> Match[V] | NotFound | WrongMethod:
        """Find the route of a request.

        Args:
            host: in lower case, without port and trailing dot.
            path: in its normal form.
        """
        segments = [segment for segment in path.split(b"/") if segment]
        asked = method.decode("latin-1")
        for root in self._roots(host):
            allowed: list[str] = []
            for ending in _walk(root, segments, 0):
                for scope, value in ending:
                    if (
                        not scope.methods
                        or asked in scope.methods
                        or (asked == "HEAD" and "GET" in scope.methods)
                    ):
                        return Match(value, scope, _params(scope, segments))
                    allowed += scope.methods
            if allowed:
                return WrongMethod(", ".join(sorted(_with_head(allowed))).encode())
        return NotFound()

    def _roots(self, host: bytes) -> Iterator[_Node[V]]:
        """Give the roots that speak for a host, the nearest first; the hostless one last."""
        root = self._exact.get(host)
        if root is not None:
            yield root
        if self._wild:
            below = host
            while b"." in below:
                below = below.partition(b".")[2]
                root = self._wild.get(below)
                if root is not None:
                    yield root
        yield self._any


def _insert(node: _Node[V], scope: Scope, value: V) -> None:
    for segment in scope.segments:
        if segment == "**":
            node.rest.append((scope, value))
            return
        if segment == "*":
            node.star = node = node.star or _Node()
        elif segment.startswith("{"):
            node.parameter = node = node.parameter or _Node()
        else:
            node = node.text.setdefault(segment.encode(), _Node())
    (node.exact if scope.is_exact else node.prefixes).append((scope, value))


def _walk(node: _Node[V], segments: list[bytes], depth: int) -> Iterator[list[tuple[Scope, V]]]:
    """Give the rows of routes that match the path, the most specific first."""
    if depth < len(segments):
        below = node.text.get(segments[depth])
        if below is not None:
            yield from _walk(below, segments, depth + 1)
        if node.parameter is not None:
            yield from _walk(node.parameter, segments, depth + 1)
        if node.star is not None:
            yield from _walk(node.star, segments, depth + 1)
    elif node.exact:
        yield node.exact
    if node.rest:
        yield node.rest
    if node.prefixes:
        yield node.prefixes


def _params(scope: Scope, segments: list[bytes]) -> dict[str, bytes]:
    return {
        wanted[1:-1]: segment
        for wanted, segment in zip(scope.segments, segments, strict=False)
        if wanted.startswith("{")
    }
