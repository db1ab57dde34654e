"""Answers to questions for names, without a network: a table that tests change, and when what was asked."""

import trio

from netfront.net.hosts import HostsFile
from netfront.net.resolve import Found, Lookup, LookupFailed, Service

__all__ = ["Answers"]


class Answers:
    """In the shape of a Resolver. `table` has, by name, a Found, services with their ttl, or a LookupFailed."""

    def __init__(self, hosts: str = "/nonexistent") -> None:
        self.hosts = HostsFile(hosts)
        self.table: dict[str, object] = {}
        self.asked: list[tuple[float, str]] = []
        self.held: set[str] = set()
        """Names that are answered for never."""

    def lead(self, name: str, *addresses: str, ttl: float = 60, unknown: tuple[int, ...] = ()) -> None:
        """Have a name lead to addresses."""
        self.table[name] = Found(addresses, ttl, frozenset(unknown))

    def serve(self, name: str, *records: tuple[int, int, int, str], ttl: float = 60) -> None:
        """Have a service served by (priority, weight, port, target)."""
        self.table[name] = tuple(Service(*record) for record in sorted(records)), ttl

    def fail(self, name: str, how: Lookup = Lookup.FAILED, why: str = "no answer") -> None:
        """Have a name fail."""
        self.table[name] = LookupFailed(how, why)

    def times(self, name: str) -> list[float]:
        """Tell when a name was asked for, in tenths of seconds."""
        return [round(moment, 1) for moment, asked in self.asked if asked == name]

    async def addresses(self, name: str) -> Found:
        """Answer from the hosts file or the table."""
        known = self.hosts.addresses(name)
        if known:
            return Found(known, float("inf"))
        return await self._answer(name)

    async def services(self, name: str) -> tuple[tuple[Service, ...], float]:
        """Answer from the table."""
        return await self._answer(name)

    async def _answer(self, name):
        self.asked.append((trio.current_time(), name))
        await trio.lowlevel.checkpoint()
        if name in self.held:
            await trio.sleep_forever()
        answer = self.table.get(name, LookupFailed(Lookup.NO_NAME, "there is no such name"))
        if isinstance(answer, LookupFailed):
            raise answer
        return answer
