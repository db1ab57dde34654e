"""The race of a request's tries: what waits for the first answer once that is late, and who is asked beside it.

The first try is a connection's own (`client.py`); each of the others is a `Rival`, which a `Hedge` begins. Nobody is
cut for being late: the first of them to answer wins, and only then is the silence of the others worth something. An
answer by which a backend says that it cannot answer is kept for when there is no better one.
"""

import math
from typing import Protocol

from netfront.errors import ClientGone
from netfront.http.message import Request, Response
from netfront.net.lane import Signal, clock, first
from netfront.net.pool import GIVEN_UP, Lease

__all__ = ["Hedge", "Race", "Rival"]

_ASK_AGAIN = 0.05
"""Seconds after which one more try that could not be had is thought of again; doubling, to:"""
_ASK_AGAIN_MOST = 0.25
_HELD = 0.9
"""The part of its time for which a try is waited for though somebody else has said that they cannot answer; at most:"""
_HELD_MOST = 10.0
"""Seconds."""


class Rival(Protocol):
    """A try beside the first."""

    over: Signal
    """Set when it has an answer, or has failed."""

    @property
    def began(self) -> float:
        """When (of `clock`)."""
        ...

    @property
    def status(self) -> int | None:
        """Of its answer; None where it has none."""
        ...

    @property
    def late(self) -> float:
        """When (of `clock`) it is as late itself as the first was."""
        ...

    def take_over(self, request: Request, *, is_late: bool) -> tuple[Response, str]:
        """Give its answer to the request it was made for, and what the silence of the first try amounts to.

        Args:
            is_late: whether the first was silent for so long that it counts whatever the others have answered.
        Returns:
            The second is the outcome of the first try's lease.
        """
        ...

    def abandon(self, *, is_beaten: bool = False) -> None:
        """Want it no longer; idempotent.

        Args:
            is_beaten: whether somebody else has answered, so that its silence may count.
        """
        ...


class Hedge(Protocol):
    """Who begins tries beside the first."""

    def begin(self, request: Request, lease: Lease) -> Rival | None:
        """Begin one beside that of this lease, unless it is not worth it or not affordable."""
        ...

    def has_another(self, request: Request, lease: Lease) -> bool:
        """Tell whether there is one more to ask beside that of this lease and those that were."""
        ...

    def is_unwell(self, status: int) -> bool:
        """Tell whether an answer with this status says that its backend cannot answer."""
        ...


class Race:
    """The tries of one request, of which the first is somebody else's.

    Args:
        readable: set when something of the first try has come.
        late: when (of `clock`) its answer is late.
        patience: for how many seconds the first is waited for; an answer that is kept is not taken for most of them,
            in hope of a better one.

    Attributes:
        silence: what the silence of the first amounts to, once another has answered: the outcome of its lease.
    """

    __slots__ = (
        "_again",
        "_hedge",
        "_hold",
        "_kept",
        "_late",
        "_lease",
        "_readable",
        "_request",
        "_rivals",
        "silence",
    )

    def __init__(
        self,
        request: Request,
        lease: Lease,
        readable: Signal,
        hedge: Hedge | None,
        late: float,
        patience: float,
    ) -> None:
        self._request = request
        self._lease = lease
        self._readable = readable
        self._hedge = hedge
        self._late = late
        self._again = _ASK_AGAIN
        self._hold = request.exchange.asked + min(patience * _HELD, _HELD_MOST)
        self._rivals: list[Rival] = []
        self._kept: Rival | None = None
        """The first whose backend cannot answer, though it has."""
        self.silence = GIVEN_UP

    async def wait(self) -> Response | None:
        """Wait for the first try and all others. Raises ClientGone.

        Returns:
            The answer of another, whose rivals are all given up then; None where something of the first has come,
            which may be less than an answer: the others go on until it is one.
        """
        readable, client = self._readable, self._request.client
        while True:
            overs = [rival.over for rival in self._rivals]
            until = min(self._late, self._hold) if self._kept is not None else self._late
            got = await first(readable, client.gone, *overs, until=until)
            if got is readable:
                return None
            if got is None:
                is_alone = not self._rivals and not self._lease.backend.is_up
                if self._kept is not None and (is_alone or clock() >= self._hold):
                    return self._won(self._kept)
                self._ask()
            elif got is not client.gone:
                if (answered := self._end(got)) is not None:
                    return answered
                self._late = clock()  # there may be one more to ask
            elif client.has_left():
                raise ClientGone

    async def better(self, status: int) -> Response | None:
        """Wait for a better answer than that of the first try, if there may be one. Raises ClientGone.

        Args:
            status: of its answer.
        Returns:
            None where the first try's is to be taken; all others are given up.
        """
        client = self._request.client
        self._late = max((rival.late for rival in self._rivals), default=0.0)
        is_held_out = False
        while self._rivals and self._is_unwell(status):
            overs = [rival.over for rival in self._rivals]
            got = await first(*overs, client.gone, until=min(self._late, self._hold))
            if got is None:
                is_held_out = clock() >= self._hold
                if is_held_out:
                    break
                self._ask()
            elif got is not client.gone:
                if (answered := self._end(got)) is not None:
                    return answered
                self._late = clock()
                self._ask()  # else there may be nobody left to wait for
            elif client.has_left():
                raise ClientGone
        self.abandon(is_beaten=is_held_out)
        return None

    async def outlive(self, *, asks: bool) -> Response | None:
        """Wait for the answer of another try, the first having failed. Raises ClientGone, and all are given up.

        Args:
            asks: whether somebody else may be asked in their place.
        Returns:
            None where they have failed too, or are late themselves and there is somebody else.
        """
        client = self._request.client
        late = max((rival.late for rival in self._rivals), default=0.0) if asks else math.inf
        try:
            while self._rivals:
                got = await first(*(rival.over for rival in self._rivals), client.gone, until=late)
                if got is None:
                    if self._has_another():
                        break
                    late = math.inf
                elif got is not client.gone:
                    if (answered := self._end(got)) is not None:
                        return answered
                elif client.has_left():
                    raise ClientGone
            if self._kept is not None and not (asks and self._has_another()):
                return self._won(self._kept)
        except BaseException:
            self.abandon()
            raise
        self.abandon()
        return None

    def abandon(self, *, is_beaten: bool = False, began: float = math.inf) -> None:
        """Want none of the others any longer; idempotent.

        Args:
            is_beaten: whether somebody has answered.
            began: when the try that was answered began: those begun after it have had less time.
        """
        for rival in self._rivals:
            rival.abandon(is_beaten=is_beaten and rival.began < began)
        self._rivals.clear()
        if self._kept is not None:
            self._kept.abandon()
            self._kept = None

    def _is_unwell(self, status: int) -> bool:
        return self._hedge is not None and self._hedge.is_unwell(status)

    def _has_another(self) -> bool:
        return self._hedge is not None and self._hedge.has_another(self._request, self._lease)

    def _ask(self) -> None:
        rival = self._hedge.begin(self._request, self._lease) if self._hedge is not None else None
        if rival is not None:
            self._rivals.append(rival)
            self._late = rival.late
        else:
            self._late = clock() + self._again
            self._again = min(self._again * 2.0, _ASK_AGAIN_MOST)

    def _end(self, over: object) -> Response | None:
        """Give the answer of the try that is over, if it is one to be taken at once."""
        rival = next(one for one in self._rivals if one.over is over)
        self._rivals.remove(rival)
        if rival.status is None:
            return None
        if not self._is_unwell(rival.status):
            return self._won(rival)
        if self._kept is None:
            self._kept = rival
        else:
            rival.abandon()
        return None

    def _won(self, rival: Rival) -> Response:
        """Take the answer of a try; then all others are given up."""
        answered, self.silence = rival.take_over(self._request, is_late=clock() >= self._hold)
        if rival is self._kept:
            self._kept = None
        self.abandon(is_beaten=answered.status < 500, began=rival.began)
        return answered
