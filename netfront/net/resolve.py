"""Asking for a name once: its addresses or its services (RFC 1035, RFC 2782), with the time they may be kept.

The hosts file answers first, then DNS: of the system's servers (/etc/resolv.conf with its search domains, read again
when it has changed), or of one server that was named. What asks again and again is `follow.py`.

dnspython does the asking and is imported with the first question: a netfront that follows no name does without it.
Its own trio backend is used, in a trio task; nothing here is called from a connection.
"""

from dataclasses import dataclass
from enum import Enum
from ipaddress import ip_address
from math import inf
from typing import TYPE_CHECKING, Protocol

import trio

from netfront.errors import words
from netfront.net.hosts import HostsFile
from netfront.net.watchfile import FileWatch

if TYPE_CHECKING:
    import dns.asyncresolver
    import dns.resolver

__all__ = ["Ask", "Found", "Lookup", "LookupFailed", "Resolver", "Service"]

RESOLV_CONF = "/etc/resolv.conf"
_LIFETIME = 5.0
"""Seconds for one question, all servers and repetitions included."""


class Lookup(Enum):
    """How a question can end without an address."""

    FAILED = "failed"  # nobody could be asked, or nobody answered
    NO_NAME = "no name"  # NXDOMAIN: who must know says that there is no such name
    EMPTY = "empty"  # there is the name, and it has nothing of what was asked for


class LookupFailed(Exception):
    """A name led nowhere: in which way, and in which words."""

    def __init__(self, how: Lookup, why: str) -> None:
        super().__init__(why)
        self.how = how
        self.why = why


@dataclass(frozen=True, slots=True)
class Found:
    """Where a name leads.

    Args:
        addresses: at least one.
        ttl: seconds for which that holds.
        unknown: IP versions that could not be asked for, while the other one was answered.
    """

    addresses: tuple[str, ...]
    ttl: float
    unknown: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Service:
    """One SRV record. The lowest priority is preferred; weights hold among equals, 0 is a little (RFC 2782)."""

    priority: int
    weight: int
    port: int
    target: str


class Ask(Protocol):
    """Who answers questions; `Resolver`, or a test's own."""

    @property
    def hosts(self) -> HostsFile:
        """What is answered without asking."""
        ...

    async def addresses(self, name: str) -> Found:
        """Ask where a name leads."""
        ...

    async def services(self, name: str) -> tuple[tuple[Service, ...], float]:
        """Ask who serves a service."""
        ...


class Resolver:
    """Whom to ask.

    Args:
        server: address and port of the only server to be asked, without search domains; None asks the system's.
        port: of the system's servers; its file can name none.
        lifetime: seconds for one question.
    """

    def __init__(
        self,
        server: tuple[str, int] | None = None,
        *,
        hosts: HostsFile,
        resolv_conf: str = RESOLV_CONF,
        port: int = 53,
        lifetime: float = _LIFETIME,
    ) -> None:
        self.hosts = hosts
        self._server = server
        self._port = port
        self._resolv_conf = resolv_conf
        self._watch = FileWatch([resolv_conf])
        self._lifetime = lifetime
        self._asked: dns.asyncresolver.Resolver | None = None

    async def addresses(self, name: str) -> Found:
        """Ask for a name's addresses of both families at once.

        Raises:
            LookupFailed: there is none. If one family has none and the other could not be asked, it has failed.
        """
        if known := self.hosts.addresses(name):
            return Found(known, inf)
        answers: dict[int, dns.resolver.Answer | LookupFailed] = {}

        async def ask(version: int, kind: str) -> None:
            try:
                answers[version] = await self._resolve(name, kind)
            except LookupFailed as error:
                answers[version] = error

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, 6, "AAAA")
            nursery.start_soon(ask, 4, "A")
        found: dict[int, list[str]] = {4: [], 6: []}
        ttl = inf
        errors: dict[int, LookupFailed] = {}
        for version, answer in answers.items():
            if isinstance(answer, LookupFailed):
                errors[version] = answer
            elif answer.rrset is not None:
                found[version] = [str(ip_address(record.to_text())) for record in answer.rrset]
                ttl = min(ttl, answer.chaining_result.minimum_ttl)
        if not (addresses := _interleave(found[6], found[4])):
            raise min(errors.values(), key=_gravity, default=LookupFailed(Lookup.EMPTY, "it has no address"))
        return Found(
            addresses,
            ttl,
            frozenset(version for version, error in errors.items() if error.how is Lookup.FAILED),
        )

    async def services(self, name: str) -> tuple[tuple[Service, ...], float]:
        """Ask for a service's SRV records, and how long they hold.

        Raises:
            LookupFailed: there are none; also where it is said that it is not offered (a target of ".").
        """
        answer = await self._resolve(name, "SRV")
        records = [] if answer.rrset is None else [_service(record.to_text()) for record in answer.rrset]
        offered = tuple(sorted({record for record in records if record.target and record.port}, key=_order))
        if not offered:
            why = "it says that it is not offered" if records else "it has no SRV record"
            raise LookupFailed(Lookup.EMPTY, why)
        return offered, answer.chaining_result.minimum_ttl

    async def _resolve(self, name: str, kind: str) -> "dns.resolver.Answer":
        import dns.asyncbackend
        import dns.exception
        import dns.resolver

        try:
            return await self._system().resolve(
                name,
                kind,
                lifetime=self._lifetime,
                search=self._server is None,
                raise_on_no_answer=False,
                backend=dns.asyncbackend.get_backend("trio"),
            )
        except dns.resolver.NXDOMAIN as error:
            raise LookupFailed(Lookup.NO_NAME, "there is no such name") from error
        except (dns.resolver.NoNameservers, dns.resolver.LifetimeTimeout) as error:
            raise LookupFailed(Lookup.FAILED, _complaint(error.kwargs.get("errors", []))) from error
        except (dns.exception.DNSException, OSError, ValueError) as error:
            raise LookupFailed(Lookup.FAILED, str(error).rstrip(".").lower()) from error

    def _system(self) -> "dns.asyncresolver.Resolver":
        """Give who does the asking, made anew when resolv.conf has changed."""
        import dns.asyncresolver

        if self._asked is not None and (self._server is not None or not self._watch.changed()):
            return self._asked
        if self._server is None:
            self._asked = None  # a file that turned bad is looked at again with the next question
            resolver = dns.asyncresolver.Resolver(self._resolv_conf)
            resolver.port = self._port
        else:
            resolver = dns.asyncresolver.Resolver(configure=False)
            resolver.nameservers, resolver.port = [self._server[0]], self._server[1]
        self._asked = resolver
        return resolver


def _interleave(first: list[str], second: list[str]) -> tuple[str, ...]:
    """Put one of each family beside the other, IPv6 first, as they are to be dialled (RFC 8305 §4)."""
    both = min(len(first), len(second))
    mixed = [address for pair in zip(first, second, strict=False) for address in pair]
    return tuple(dict.fromkeys([*mixed, *first[both:], *second[both:]]))


def _gravity(error: LookupFailed) -> int:
    return (Lookup.FAILED, Lookup.NO_NAME, Lookup.EMPTY).index(error.how)


def _service(text: str) -> Service:
    priority, weight, port, target = text.split()
    return Service(int(priority), int(weight), int(port), target.rstrip(".").lower())


def _order(record: Service) -> tuple[int, int, str, int]:
    return record.priority, -record.weight, record.target, record.port


def _complaint(errors: "list[dns.resolver.ErrorTuple]") -> str:
    """Say what came of the servers that were asked, each once."""
    import dns.exception

    said: dict[str, None] = {}
    for server, _, _, what, _ in errors:
        place = (server or "").removeprefix("Do53:").replace("@", ":")
        if isinstance(what, str):
            said[f"{place} answers {what}"] = None
        elif isinstance(what, dns.exception.Timeout):
            said[f"no answer from {place}"] = None
        elif isinstance(what, OSError):
            said[f"{place}: {words(what)}"] = None
        else:
            said[f"{place} answers nonsense"] = None
    return ", ".join(said) or "no answer"
