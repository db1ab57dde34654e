"""Rewriting: the path that is sent in place of the one that came.

The segments of the scope are replaced, and what follows them stays behind, unless the new path ends in `$`. The query
stays too, behind the one that the new path brings.
"""

from netfront.errors import UsageError
from netfront.policy.query import loose_names
from netfront.policy.scope import Scope
from netfront.policy.template import Template
from netfront.wire.target import Target

__all__ = ["Rewriting", "names_in"]


def names_in(scope: Scope) -> tuple[str, ...]:
    """Give the `{name}` segments of a scope."""
    return tuple(segment[1:-1] for segment in scope.segments if segment.startswith("{"))


class Rewriting:
    """What becomes of the paths in a scope.

    Args:
        path: the new one, with names of the scope.
    Raises:
        UsageError: not a path, or with another name.
    """

    __slots__ = (
        "_keeps_rest",
        "_lies_in",
        "_names",
        "_query",
        "_query_names",
        "_segments",
        "_template",
        "text",
    )

    def __init__(self, scope: Scope, path: str) -> None:
        if not path.startswith("/") or path.startswith("//"):
            raise UsageError.of(path, "not a path", "a path begins with one slash")
        place, mark, query = path.partition("?")
        if "#" in path or _moves(place):
            raise UsageError.of(
                path, "not a path that can be sent", "it has no '#', and no '.' or '..' segment"
            )
        self.text = path
        self._lies_in = Scope(segments=scope.segments, is_exact=scope.is_exact).matcher()
        self._keeps_rest = not place.endswith("$")
        place = place.removesuffix("$").removesuffix("**")
        names = names_in(scope)
        self._template = Template(place, names)
        self._query = Template("?" + query, names) if mark else None
        self._query_names = frozenset(loose_names(query.encode()))
        wanted = [segment for segment in scope.segments if segment != "**"]
        self._segments = len(wanted)
        self._names = [(at, name[1:-1]) for at, name in enumerate(wanted) if name.startswith("{")]

    def clash(self, target: Target) -> str | None:
        """Give a name that the new path brings in its query and the old one has too: one of both would count."""
        if not self._query_names or target.query is None:
            return None
        return next((name for name in loose_names(target.query) if name in self._query_names), None)

    def of_another(self, target: Target) -> bytes | None:
        """Give what becomes of a target that may be in no such scope; None if it is not.

        Raises:
            BadMessage: 400, it cannot be normalised safely.
        """
        is_in_scope = all(self._lies_in(b"", b"", reading) for reading in target.readings)
        return self.of(target) if is_in_scope else None

    def of(self, target: Target) -> bytes:
        """Give the target that is sent.

        Args:
            target: of a request in the scope.
        Raises:
            BadMessage: 400, it cannot be normalised safely.
        """
        segments = target.resolved.split(b"/")[1:]
        values = {name: segments[at] for at, name in self._names}
        sent = self._template.fill(values)
        rest = segments[self._segments :]
        if self._keeps_rest and rest:
            sent = sent.rstrip(b"/") + b"/" + b"/".join(rest)
        if self._query is not None:
            # what is judged by has no parameters, and in a path they are the server's to cut
            sent += self._query.fill({name: value.partition(b";")[0] for name, value in values.items()})
        if target.query is not None:
            sent += (b"?" if self._query is None else b"&") + target.query
        return sent

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rewriting) and (self.text, self._names) == (other.text, other._names)

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"Rewriting({self.text!r})"


def _moves(path: str) -> bool:
    return any(segment.lower().replace("%2e", ".") in (".", "..") for segment in path.split("/"))
