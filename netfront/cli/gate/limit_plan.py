"""What --limit, --concurrency and --redis say, as pure data."""

from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from netfront.cli.plan import Secret

__all__ = ["LimitKey", "LimitPlan", "RedisPlan", "SeatPlan"]

_KNOWN_EARLY = frozenset({"", "ip", "route", "header", "cookie"})


@dataclass(frozen=True, slots=True)
class LimitKey:
    """What requests are told apart by.

    Args:
        kind: "" (not at all), "ip", "route", "header", "cookie", "key", "user" or "claim".
        name: of the header, cookie or claim.
        v4, v6: bits of addresses that count.
    """

    kind: str = ""
    name: str = ""
    v4: int = 32
    v6: int = 64

    @property
    def is_known_early(self) -> bool:
        """Whether it can be told before authentication."""
        return self.kind in _KNOWN_EARLY

    def __str__(self) -> str:
        if self.kind == "ip" and self.v6 != 64:
            return f"ip/{self.v6}"
        if self.kind == "ip" and self.v4 != 32:
            return f"ip/{self.v4}"
        return f"{self.kind}:{self.name}" if self.name else self.kind


@dataclass(frozen=True, slots=True)
class LimitPlan:
    """How often requests may come.

    Args:
        count, period: so many in so many seconds.
        burst: how many at once after a pause.
        key: each has this limit of its own.
        scope: where it was given, empty for everywhere: it is one limit over all routes there.
    """

    count: float
    period: float
    burst: int
    key: LimitKey = LimitKey()
    scope: str = ""

    @property
    def name(self) -> str:
        """The limit as its flag has it, without the burst."""
        unit = {1: "s", 60: "m", 3600: "h", 86400: "d"}[int(self.period)]
        return f"{self.count:g}/{unit}{':' if self.key.kind else ''}{self.key}"

    @property
    def id(self) -> bytes:
        """What tells it from other limits, here and on whatever machine is given the same."""
        return _digest(f"{self.name}\0{self.burst}\0{self.scope}")


@dataclass(frozen=True, slots=True)
class SeatPlan:
    """How many requests may be under way at once. See LimitPlan."""

    most: int
    key: LimitKey = LimitKey()
    scope: str = ""

    @property
    def name(self) -> str:
        """The limit as its flag has it."""
        return f"{self.most}{':' if self.key.kind else ''}{self.key}"

    @property
    def id(self) -> bytes:
        """What tells it from others; it stays the same with another number."""
        return _digest(f"seats\0{self.key}\0{self.scope}")


@dataclass(frozen=True, slots=True)
class RedisPlan:
    """The server that limits are shared by.

    Args:
        kind: "one", "sentinel" or "cluster".
        places: host and port of it, of the sentinels, or of some of the cluster.
        path: of its socket, in place of a host and port.
        service: what the sentinels call it.
        password: where that is found; None for none.
        tls: whether TLS is spoken, verified by the CAs in the file `ca` or by the system's.
    """

    kind: str
    places: tuple[tuple[str, int], ...]
    path: str | None = None
    service: str = ""
    database: int = 0
    user: str | None = None
    password: "Secret | None" = None
    tls: bool = False
    ca: str | None = None

    @property
    def url(self) -> str:
        """It as a URL."""
        scheme = ("rediss" if self.tls else "redis") + ("" if self.kind == "one" else f"+{self.kind}")
        hosts = ",".join(
            f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.places
        )
        user = f"{self.user}@" if self.user else ""
        tail = f"/{self.service}" if self.service else ""
        tail += f"/{self.database}" if self.database else ""
        return f"unix://{self.path}" if self.path is not None else f"{scheme}://{user}{hosts}{tail}"


def _digest(text: str) -> bytes:
    return blake2b(text.encode(errors="surrogateescape"), digest_size=8).digest()
