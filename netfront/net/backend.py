"""Backends: one server each that we forward to, as the source of membership names it, and what is known of it.

What it is worth knowing is found out elsewhere: by the pool, which picks and hears of each use, by the transport and
the dialler, which keep here what they have of it, and by probes.
"""

import random
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field

from netfront.endpoint import Endpoint
from netfront.policy.health import Health, HealthRules
from netfront.policy.latency import PeakEwma

__all__ = ["BACKUP", "SILENT", "Backend", "Member"]

BACKUP = 1 << 16
"""The tier of one that is a backup by the word of a user: behind all that a service can have (RFC 2782: 16 bits)."""
_LONG_PAUSE = 1.0
"""Seconds: garbage is collected in less."""
SILENT = "no answer"
"""What is wrong with one who neither connects nor refuses."""


@dataclass(frozen=True, slots=True)
class Member:
    """A backend as the source of membership names it.

    Args:
        label: how it is called in logs.
        authority: what Host says where the client's is replaced.
        host: None keeps the client's Host; else what is sent in its place.
        base: the path that replaces the route's prefix; empty keeps the path as it came.
        weight: its share of the requests; 0 drains it.
        tier: it is picked only while nobody of a lower one is up; 0 is preferred.
        max: most requests at once; 0 is no limit.
        tls: how TLS is spoken to it; None for none.
        tls_terms: what that was made of, to be compared: a `tls` made anew is another object each time.
        server_name: for SNI and for the certificate's check.
        proxy: the version of the PROXY line sent first, or 0.
        alpn: takes only those TLS connections whose client offers this protocol; None takes all.
        addresses: where the endpoint's host leads, as whoever follows the name found out; empty leaves the name to
            the dialler. Where each address of a name is a member of its own, the address is the endpoint's host, and
            the name is in `authority` and `server_name` only.
    """

    endpoint: Endpoint
    label: str
    authority: bytes
    host: bytes | None = None
    base: bytes = b""
    weight: int = 1
    tier: int = 0
    max: int = 0
    tls: ssl.SSLContext | None = field(default=None, compare=False)
    tls_terms: object = None
    server_name: str | None = None
    proxy: int = 0
    alpn: bytes | None = None
    addresses: tuple[str, ...] = ()

    @property
    def name(self) -> bytes:
        """What it is drawn and remembered by, the same in every process that has it in its pool."""
        apart = (self.server_name or "", (self.host or b"").decode("latin-1"), self.proxy or "")
        return " ".join(map(str, (self.endpoint, *apart))).rstrip().encode()

    @property
    def identity(self) -> tuple[Endpoint, str | None, bytes | None, int]:
        """What makes it the same backend as before: where it is dialled, and as whom it is spoken to."""
        return self.endpoint, self.server_name, self.host, self.proxy


class Backend:
    """One server we forward to: a member, and what is known of it. A policy.pick.Candidate."""

    __slots__ = (
        "_ewma",
        "_silent_at",
        "_silent_since",
        "addresses",
        "failures",
        "generation",
        "health",
        "heard_at",
        "idle",
        "in_flight",
        "is_drained",
        "is_suspect",
        "latency",
        "member",
        "name",
        "probed",
        "served",
        "weight",
    )

    def __init__(self, member: Member, health: Health | None = None) -> None:
        self.member = member
        self.name = member.name
        self.health = health or Health(HealthRules(), random.Random())
        self.weight = float(member.weight)
        self.latency = 0.0
        self.in_flight = 0
        self.served = 0
        self.failures = 0
        self.probed = ""
        """The verdict of the last probe, in words."""
        self.is_drained = False
        """Whether somebody took it out by hand."""
        self.is_suspect = False
        """Whether it has failed since it was last heard of as well: only then is a success news."""
        self._silent_since = self._silent_at = 0.0
        self.heard_at = 0.0
        """When it last began an answer, where there are others to be asked."""
        self.idle: list[object] = []
        """The transport's own: connections not in use, the last used one last."""
        self.addresses: Sequence[object] = ()
        """The dialler's own: where the name led last time."""
        self.generation = 0
        """Counts how often it left the pool, an address of its name went, or TLS came to be spoken on other terms: a
        connection of an earlier one may end what it is doing, and is not used again."""
        self._ewma: PeakEwma | None = None

    @property
    def is_up(self) -> bool:
        """Whether it is thought to be well."""
        return self.health.is_up

    @property
    def why(self) -> str:
        """Why it is not."""
        return self.health.why

    @property
    def takes_none(self) -> bool:
        """Whether it is drained: taken out by hand, or of weight 0."""
        return self.is_drained or not self.member.weight

    @property
    def is_full(self) -> bool:
        """Whether it has as many requests as it may have at once."""
        return 0 < self.member.max <= self.in_flight

    @property
    def state(self) -> str:
        """Whether it is picked, in a word: "drained", "down", "full", "backup" (up, for when no other is) or "up"."""
        if self.takes_none:
            return "drained"
        if not self.is_up:
            return "down"
        if self.is_full:
            return "full"
        return "backup" if self.member.tier else "up"

    def answered(self, seconds: float, now: float) -> None:
        """Note how long an answer took to begin; only where somebody picks by it."""
        ewma = self._ewma
        if ewma is None:
            ewma = self._ewma = PeakEwma()
        ewma.record(seconds, now)
        self.latency = ewma.peak

    def lost(self, asked: float, now: float, limit: float) -> bool:
        """Note that another has answered what this one was asked; tell whether its silence counts against it.

        That of a request which was answered so quickly elsewhere that it says nothing counts with the next ones, as
        long as nothing comes. A pause that several requests meet counts once, unless it has become a long one.

        Args:
            asked: when it was asked.
            limit: seconds after which silence is more than a slow answer.
        """
        if not self.is_suspect or not self._silent_since:
            self._silent_since = asked
        self.is_suspect = True  # so that its next answer is heard of
        if now - self._silent_since < limit or (asked < self._silent_at and now - asked < _LONG_PAUSE):
            return False
        self._silent_at = now
        return True

    def is_left(self, asked: float, now: float, limit: float) -> bool:
        """Tell whether it counts against it that a client has left without an answer while others gave some.

        Not where something was heard of it since it was asked, and of several that leave within a pause one counts.

        Args:
            asked: when it was asked.
            limit: seconds after which silence is more than a slow answer.
        """
        is_deaf = now - asked >= max(limit, _LONG_PAUSE) and self.heard_at < asked
        if not is_deaf or now - self._silent_at < _LONG_PAUSE:
            return False
        self._silent_at = now
        return True

    def is_silent(self, now: float) -> bool:
        """Tell whether others have answered in its place for so long that it is no pause any more."""
        return self.is_suspect and 0.0 < self._silent_since <= now - _LONG_PAUSE

    def heard(self) -> None:
        """Note that it has answered after it was suspect."""
        self._silent_since = 0.0
        self.is_suspect = not self.is_up  # one that is down goes on being so until it is brought back

    def __repr__(self) -> str:
        return f"<Backend {self.member.label} in_flight={self.in_flight} {'up' if self.is_up else 'down'}>"
