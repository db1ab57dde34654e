"""Sticking: a request that brings the token of a backend goes there again, as long as that may be picked."""

from collections.abc import Callable, Container, Sequence
from typing import Generic, TypeVar

from netfront.policy.candidate import Candidate
from netfront.policy.pick import Picker

__all__ = ["Sticky"]

_C = TypeVar("_C", bound=Candidate)


class Sticky(Generic[_C]):
    """Pick by token, else as another picker does.

    Args:
        others: picks where there is no token, or none that leads anywhere.
        token: of a candidate's name.
    """

    __slots__ = ("_by_token", "_others", "_token")

    def __init__(self, others: Picker[_C], token: Callable[[bytes], bytes]) -> None:
        self._others = others
        self._token = token
        self._by_token: dict[bytes, _C] = {}

    @property
    def follows_load(self) -> bool:
        """Whether the other picker does."""
        return self._others.follows_load

    def arrange(self, candidates: Sequence[_C]) -> None:
        """Take note of who may be picked."""
        self._by_token = {self._token(candidate.name): candidate for candidate in candidates}
        self._others.arrange(candidates)

    def pick(self, key: bytes | None, tried: Container[_C], now: float) -> _C | None:
        """Pick whom the token `key` names; the others decide if it names nobody."""
        named = self.bound(key)
        if named is not None and named not in tried:
            return named
        return self._others.pick(None, tried, now)

    def bound(self, key: bytes | None) -> _C | None:
        """Give whom the token `key` names, where that may be picked: nobody else knows of what came before."""
        return self._by_token.get(key) if key is not None else None

    def names(self, key: bytes | None, candidate: _C) -> bool:
        """Tell whether the token `key` is that of a candidate, be it free to be picked or not."""
        return key is not None and self._token(candidate.name) == key

    def moved(self, candidate: _C) -> None:
        """Pass it on."""
        self._others.moved(candidate)
