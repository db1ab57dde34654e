"""Issuers: what one says of itself, and the keys it signs with, remembered and renewed.

The keys that were good last stay until others have come: an issuer that is down takes nobody's access away. They are
asked for anew

    by time             as the answer's Cache-Control says, within bounds
    by an unknown key   of a token that may be good: the issuer may have begun to sign with a new one

and for whatever reason never more than once in `_PAUSE`, one at a time, in a task of their own: whoever waits for that
may leave, and the others still get it. Who comes with an unknown key too early for another look waits until it may be
had, or it would be refused for having come at the wrong moment; a bounded number of them may. A key that was looked
for and not found is remembered, so that forged tokens neither wait nor make the issuer work.

Nothing is fetched within a request once keys are there, but for an unknown key.
"""

import math
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING

from netfront.errors import BackendError, BadMessage, ClientGone, NoBackend, Refusal
from netfront.http.discovery import Ask, fetch
from netfront.net.lane import Signal, clock, first
from netfront.policy.metadata import Metadata

if TYPE_CHECKING:
    from netfront.http.message import Client
    from netfront.policy.token import Keys

__all__ = ["Issuer", "lifetime"]

_PAUSE = 10.0
"""Seconds between two looks at an issuer's keys."""
_USUAL, _SHORTEST, _LONGEST = 300.0, 60.0, 3600.0
"""Seconds for which keys are good where Cache-Control says nothing, and the bounds of what it may say: a key that was
withdrawn is not to be believed for a day, and an issuer not to be asked all the time."""
_HELD = 12.0
"""Seconds that a request waits for keys: a pause, and an answer of usual speed."""
_MOST_HELD = 4096
"""Requests that wait for keys: more than a few addresses may have connections, as anybody may invent a key's name."""
_MOST_MISSED = 1024
_FAILURES = (BackendError, NoBackend, BadMessage, Refusal, OSError, ValueError)


def lifetime(values: Iterable[bytes]) -> float:
    """Tell for how many seconds keys are good, by the Cache-Control they came with (RFC 9111 §5.2.2)."""
    seconds = _USUAL
    for value in values:
        for part in value.lower().split(b","):
            name, _, said = part.strip().partition(b"=")
            if name in (b"no-cache", b"no-store"):
                return _SHORTEST
            if name == b"max-age" and said.strip(b' "').isdigit():
                seconds = float(said.strip(b' "')[:9])
    return min(max(seconds, _SHORTEST), _LONGEST)


class Issuer:
    """An issuer.

    Args:
        discover: gives its metadata.
        parse: reads a JWK set; raises ValueError.
        spawn: runs something in a task of its own.
        tell: tells people, once for each failure and each recovery.
    """

    def __init__(
        self,
        name: str,
        discover: Callable[[], Awaitable[Metadata]],
        ask: Ask,
        parse: "Callable[[bytes], Keys]",
        *,
        spawn: Callable[[Callable[[], Awaitable[None]]], None],
        tell: Callable[[str], None],
    ) -> None:
        self.name = name
        self._discover = discover
        self._ask = ask
        self._parse = parse
        self._spawn = spawn
        self._tell = tell
        self.metadata: Metadata | None = None
        self.keys: Keys | None = None
        """The last good ones."""
        self.generation = 0
        """Grows when a key has gone: what was verified by it is to be verified anew."""
        self.is_fixed = False
        self.why = "not asked yet"
        """Why the last look failed; empty if it did not."""
        self.looks = 0
        """How often it was looked at: for tests and people."""
        self._over = Signal()
        self._under_way = False
        self._began = -math.inf
        self._due = -math.inf
        self._held = 0
        self._discovered = -math.inf
        self._missed: dict[str, float] = {}
        """By names of keys, when the look began that did not find them."""

    # -- in the background -----------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep the keys fresh, until cancelled. One task for each issuer; it needs no client.

        It looks in tasks of their own: the connections that are kept of it are then on the lane, as requests want them.
        """
        never = Signal()
        while True:
            now = clock()
            if now >= self._due and not self._under_way and now >= self._began + _PAUSE:
                self._begin()
                await first(self._over)
            await first(never, until=max(self._due, self._began + _PAUSE, clock() + 0.1))

    def _begin(self) -> None:
        self._under_way = True
        self._over.clear()
        self._spawn(self._look)

    async def _look(self) -> None:
        """Look at the keys."""
        self._began = now = clock()
        self.looks += 1
        try:
            if self.metadata is None or self.why or now - self._discovered > _LONGEST:
                self.metadata = await self._discover()
                self._discovered = now
            answer = await fetch(self._ask, self.metadata.jwks)
            keys = self._parse(answer.body)
            if not keys.keys:
                raise ValueError("none of its keys can be used")
        except _FAILURES as error:
            why = getattr(error, "why", None) or str(error)
            if why != self.why:
                stays = ", its last keys stay" if self.keys is not None else ""
                self._tell(f"{self.name}: {why}{stays}")
            self.why = why
            self._due = clock() + _PAUSE
        else:
            if self.why and self.looks > 1:
                self._tell(f"{self.name} answers")
            self.why = ""
            self._take(keys)
            self._due = clock() + lifetime(answer.fields.get_all(b"cache-control"))
        finally:
            self._under_way = False
            self._over.set()

    def _take(self, keys: "Keys") -> None:
        before = self.keys
        if before is not None and before.marks - keys.marks:
            self.generation += 1
        if before is None or before.marks != keys.marks:
            for why in keys.unused:
                self._tell(f"{self.name}: not used, {why}")
            self._missed.clear()
        self.keys = keys

    def go_by(self, discover: Callable[[], Awaitable[Metadata]], ask: Ask) -> None:
        """Ask in another way from here on."""
        self._ask = ask
        self._discover = discover

    # -- for requests ----------------------------------------------------------------------------------------

    def has_missed(self, key_id: str) -> bool:
        """Tell whether the last look was for this key too, was of late, and did not find it."""
        return self._missed.get(key_id) == self._began and clock() < self._began + _PAUSE

    def miss(self, key_id: str) -> None:
        """Remember that this key was looked for, and was not there."""
        if len(self._missed) >= _MOST_MISSED:
            self._missed.clear()
        self._missed[key_id] = self._began

    @property
    def issuer(self) -> str | None:
        """Its name, as its tokens have it."""
        return self.metadata.issuer if self.metadata is not None else None

    @property
    def began(self) -> float:
        """When the last look began (of `clock`)."""
        return self._began

    async def look_again(self, client: "Client") -> bool:
        """Wait until the issuer was looked at once more, as soon as it may be; tell whether it answered.

        A look that is under way counts: see `began`. False at once where there are no keys and none are to be had soon.

        Raises:
            Refusal: 503, too many wait already.
            ClientGone: the client has left.
        """
        if self._held >= _MOST_HELD:
            raise Refusal(503, "too many wait for keys", [(b"Retry-After", b"1")])
        until = clock() + _HELD
        never = Signal()
        self._held += 1
        try:
            while not self._under_way and clock() < self._began + _PAUSE:
                if self.keys is None:
                    return False
                await self._wait(never, client, min(until, self._began + _PAUSE))
            if not self._under_way:
                self._begin()
            while self._under_way and clock() < until:
                await self._wait(self._over, client, until)
            return not self._under_way and not self.why
        finally:
            self._held -= 1

    async def _wait(self, signal: Signal, client: "Client", until: float) -> None:
        if await first(signal, client.gone, until=until) is client.gone and client.has_left():
            raise ClientGone
