"""What serves, once it is put together: its listeners, and the few things a process does with it while it runs."""

import random
import socket
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

import trio

from netfront.cli.figures import Figures, ListenerRow
from netfront.cli.fronts import Front, Observers
from netfront.cli.gate.credentials import Credentials
from netfront.cli.gate.limiting import Limiting
from netfront.cli.gate.outward import Outward
from netfront.cli.plan import ListenerPlan, ServePlan
from netfront.cli.render import Console, url_of
from netfront.cli.services import Demo, Service
from netfront.errors import BackendError, CannotListen
from netfront.http.transport import Transport
from netfront.http.watch import Turns
from netfront.net.backend import Backend
from netfront.net.bind import free_port, open_sockets
from netfront.net.dial import dial
from netfront.net.follow import Follower
from netfront.net.hosts import HostsFile
from netfront.net.listen import (
    Admission,
    Listener,
    close_listeners,
)
from netfront.net.logfile import LogFile
from netfront.net.pipe import Pipes
from netfront.net.redial import Redialler
from netfront.net.resolve import Resolver
from netfront.net.tasks import Tasks
from netfront.policy.shared import Shared

if TYPE_CHECKING:
    from netfront.cli.certificates import Certificates
    from netfront.cli.gate.issuers import Tokens

__all__ = ["App"]

_PATIENCE = 1.0
"""Seconds for which a slow reader of a log is waited for at the end."""
_PROBE_WAIT = 0.3
"""Seconds that the banner waits for the backends' first answers."""


class App:
    """All that serves a plan.

    Args:
        ports: of the fronts, in their order; filled in as they open, as redirects name them.
        opened: closes what was opened for this one alone, should it never take over.
        figures: counted for --live.
        renewed: what is to be done to services that are kept when this takes over.
        limiting: counts requests under limits; the same after a reload.
        composed: what answers being composed may hold; likewise.
    """

    def __init__(
        self,
        plan: ServePlan,
        fronts: list[Front],
        services: dict[str, Service],
        transport: Transport,
        certificates: "Certificates | None",
        logs: list[LogFile],
        ports: list[int],
        trusted: Callable[[str], bool],
        tasks: Tasks,
        pipes: Pipes,
        observers: Observers,
        opened: ExitStack,
        demo: Demo | None,
        figures: Figures | None,
        renewed: list[Callable[[], None]],
        outward: Outward,
        credentials: Credentials | None,
        limiting: Limiting,
        composed: Shared,
        tokens: "Tokens | None",
    ) -> None:
        self.plan = plan
        self.services = services
        self.transport = transport
        self.logs = logs
        self.tasks = tasks
        self.pipes = pipes
        self.demo = demo
        self.figures = figures
        self.outward = outward
        self.limiting = limiting
        self.composed = composed
        self._fronts = fronts
        self._retired: list[Front] = []
        """Of plans before: they serve what connected to them."""
        self.certificates = certificates
        self.credentials = credentials
        self.tokens = tokens
        self._nursery: trio.Nursery | None = None
        self._ports = ports
        self._trusted = trusted
        self._renewed = renewed
        self._left: list[Service] = []
        """Of plans before: what they began goes on, and they get nothing more."""
        self._observers = observers
        self._opened = opened
        self._redialler: Redialler | None = None
        self._start: Callable[[Service], None] | None = None

    @property
    def listeners(self) -> tuple[Listener, ...]:
        """Those that are open, in the order of the plan."""
        return tuple(front.listener for front in self._fronts if front.listener is not None)

    def open_listeners(self, kept: "App | None" = None) -> tuple[Listener, ...]:
        """Open every listener of the plan, in its order, and then our own.

        Args:
            kept: whose listeners are taken over where they are the same.

        Raises:
            CannotListen: of all that could not be opened; none stays open.
        """
        opened: list[Listener] = []
        refused: list[tuple[str, CannotListen]] = []
        known = [(_place(front.plan), front.listener) for front in kept._fronts] if kept is not None else []
        try:
            for index, front in enumerate(self._fronts):
                place = front.plan.endpoint
                same = next((pair for pair in known if pair[0] == _place(front.plan)), None)
                if same is not None:
                    known.remove(same)  # of two that are alike each is taken over once
                listener = same[1] if same is not None else None
                if listener is None:
                    try:
                        listener = self._open(index, front)
                    except CannotListen as error:
                        refused.append((place.host, error))
                        continue
                    opened.append(listener)
                front.listener = listener
                self._ports[index] = listener.port
            if refused:
                raise _together(refused)
        except BaseException:
            close_listeners(tuple(opened))
            raise
        inner = (self.demo.listener,) if self.demo is not None else ()
        return (*opened, *(one for one in inner if kept is None or kept.demo is not self.demo))

    def _open(self, index: int, front: Front) -> Listener:
        place = front.plan.endpoint
        kind = socket.SOCK_DGRAM if front.datagrams is not None else socket.SOCK_STREAM
        datagrams = front.datagrams.serve if front.datagrams is not None else None
        sockets = open_sockets(place.host, place.port, place.path, shown=str(place), kind=kind)
        return Listener(str(index), sockets, front.handler, place.path, datagrams=datagrams)

    def take_over(self, old: "App") -> list[Listener]:
        """Go on in place of another app, whose listeners are open here already; give those that are of no use any more.

        Connections that are open go on, and answer their next request by this plan. Where it does not listen any more
        they end with what is under way.
        """
        self._opened.pop_all()
        for renew in self._renewed:
            renew()
        self._renewed.clear()
        serving = {front.listener: front for front in old._fronts}
        for front in self._fronts:
            before = serving.get(front.listener) if front.listener is not None else None
            if front.listener is None or before is None:
                continue
            front.listener.handler = front.handler
            if front.datagrams is not None and before.datagrams is not None:
                before.datagrams.become(front.datagrams)
                front.datagrams = before.datagrams
        by_endpoint = {front.plan.endpoint: front for front in self._fronts}
        for front in (*old._retired, *old._fronts):
            front.retire(by_endpoint.get(front.plan.endpoint), self._observers)
        self._retired = [front for front in (*old._retired, *old._fronts) if _is_used(front)]
        self._start, self._redialler = old._start, old._redialler
        if self._redialler is not None:
            self._redialler.timeout = self.plan.limits.connect_timeout
        if self._start is not None:
            for service in self.services.values():
                if service not in old.services.values():
                    self._start(service)
        self._left = list(old._left)
        for service in old.services.values():
            if service not in self.services.values():
                service.leave()
                self._left.append(service)
        self.outward.start = self._start
        self._nursery = old._nursery
        self._start_tokens(old)
        for log in old.logs:
            if log not in self.logs:
                log.close()
        return [one for one in old.listeners if one not in self.listeners]

    def give_up(self) -> None:
        """Close what was opened for this one alone: it does not take over."""
        self._opened.close()

    def is_spared(self, address: str) -> bool:
        """Tell whether an address is not held to the bound for one address."""
        return _is_loopback(address) or self._trusted(address)

    # -- while it runs ----------------------------------------------------------------------------------

    @property
    def _all_fronts(self) -> list[Front]:
        return [*self._fronts, *self._retired]

    @property
    def open_connections(self) -> int:
        """Client connections that are open."""
        return sum(_open_in(front) for front in self._all_fronts)

    @property
    def busy(self) -> int:
        """Client connections with a request under way, or bytes that are passed on."""
        return sum(
            front.server.busy if front.server is not None else _open_in(front) for front in self._all_fronts
        )

    @property
    def unit(self) -> str:
        """What it serves, to be counted: "requests", "connections", "flows"; of several kinds all that is "served"."""
        kinds = {front.plan.kind for front in self._fronts}
        units = {"http": "requests", "tcp": "connections", "udp": "flows"}
        return units[kinds.pop()] if len(kinds) == 1 else "served"

    def listener_rows(self) -> tuple[ListenerRow, ...]:
        """Give each listener with what is open at it, also of plans before."""
        return tuple(
            ListenerRow(
                url_of(front.plan, front.listener),
                sum(one.open for one in self._all_fronts if one.plan.endpoint == front.plan.endpoint),
            )
            for front in self._fronts
            if front.listener is not None
        )

    def drain(self) -> None:
        """End idle client connections, and the others after their answer; what is passed on ends as it will."""
        for front in self._all_fronts:
            if front.server is not None:
                front.server.drain()

    def close(self) -> None:
        """Close what is left towards backends."""
        self.transport.close()

    def sweep(self, now: float) -> None:
        """Close backend connections that have been idle for too long, and let time do its work in the pools."""
        for service in (*self.services.values(), *self.outward.found.values(), *self._left):
            pool = service.pool
            # what a service that was left has open is of no use to the one in its place
            keeps = service not in self._left
            self.transport.sweep((*pool.backends, *pool.leaving), now, keeps=keeps)
            pool.sweep(now)
        self._left = [service for service in self._left if service.is_used]
        self._retired = [front for front in self._retired if _is_used(front)]

    def start(self, nursery: trio.Nursery, console: Console) -> None:
        """Follow names, probe backends and dial those that are down, in tasks of this nursery."""
        limits = self.plan.limits
        redialler = self._redialler = Redialler(nursery, timeout=limits.connect_timeout)
        follower = Follower(
            Resolver(self.plan.resolver, hosts=HostsFile()), nursery, rng=random.Random(), tell=console.note
        )
        turns = Turns()

        def start(service: Service) -> None:
            service.start(nursery, follower, turns, redialler)

        self._start = self.outward.start = start
        for service in self.services.values():
            start(service)
        self.limiting.start(nursery)
        self._nursery = nursery
        self._start_tokens(None)

    def _start_tokens(self, old: "App | None") -> None:
        """Have the keys of issuers kept fresh, and those of the plan before no more."""
        if self.tokens is not None and self._nursery is not None:
            self.tokens.start(self._nursery)
        elif old is not None and old.tokens is not None:
            old.tokens.stop()

    def flush_logs(self) -> None:
        """Write what the logs hold."""
        for log in self.logs:
            log.flush()

    def close_logs(self) -> None:
        """Write what the logs hold, tell what was lost, and close them."""
        for log in self.logs:
            log.close(_PATIENCE)

    def reopen_logs(self) -> None:
        """Open the log files anew (SIGUSR1)."""
        for log in self.logs:
            log.reopen()

    def reload(self) -> list[str]:
        """Read certificates and credentials again; give what is to be said of it."""
        read = (self.certificates, self.credentials, self.tokens)
        return [line for files in read if files is not None for line in files.reload()]

    def look_at_files(self) -> list[str]:
        """Read certificates and credentials again that have changed or grow old; give what is to be said of it."""
        watched = (self.certificates, self.credentials, self.tokens)
        return [line for files in watched if files is not None for line in files.look()]

    @property
    def certificate_note(self) -> str:
        """What the banner says of the certificate."""
        return self.certificates.note if self.certificates is not None else ""

    def state(self, admission: Admission) -> list[str]:
        """Describe what is going on, a line each (SIGQUIT)."""
        lines = [f"connections: {admission.open} open, {self.busy} busy, {admission.rejected} rejected"]
        lines.append(f"backend connections: {self.transport.connections}")
        for service in self.services.values():
            pool = service.pool
            for backend in pool.backends:
                verdict = "is up" if backend.is_up else f"is down ({backend.why})"
                lines.append(
                    f"{pool.name} -> {backend.member.label} {verdict}, in flight {backend.in_flight}, "
                    f"served {backend.served}, idle connections {len(backend.idle)}"
                )
        lines += [f"access log: lines lost: {log.lost}" for log in self.logs if log.lost]
        return lines

    async def wait_until_resolved(self, *, bytes_only: bool = False) -> None:
        """Return when each name was asked for once, or after a second.

        Args:
            bytes_only: leave out those of HTTP, whose requests wait each by itself.
        """
        async with trio.open_nursery() as nursery:
            for route in self.plan.routes:
                if route.pool is not None and (route.kind != "http" or not bytes_only):
                    nursery.start_soon(self.services[route.pool].wait_until_resolved)

    async def probe_all(self) -> dict[str, str]:
        """Dial each backend once, but for UDP; give what came of it by label. Waits for 300 ms at most."""
        verdicts: dict[str, str] = {}

        async def probe(backend: Backend) -> None:
            try:
                stream = await dial(backend, timeout=_PROBE_WAIT)
            except BackendError as error:
                verdicts[backend.member.label] = error.why
            else:
                stream.abort()
                verdicts[backend.member.label] = ""

        with trio.move_on_after(_PROBE_WAIT):
            async with trio.open_nursery() as nursery:
                for service in self.services.values():
                    for backend in service.pool.backends:
                        if backend.member.endpoint.scheme != "udp":
                            nursery.start_soon(probe, backend)
        return verdicts


def _together(refused: list[tuple[str, CannotListen]]) -> CannotListen:
    """Make one error of several, and find for each port one that may be had; while those that opened are held."""
    instead: dict[int, int] = {}
    for host, error in refused:
        if error.port and error.port not in instead:
            instead[error.port] = free_port(host, error.port, avoid=instead.values())
    return CannotListen(*[fault for _, error in refused for fault in error.faults], instead=instead)


def _place(plan: ListenerPlan) -> tuple[str, int, str | None, bool]:
    """Give what makes a listener's socket: what is spoken on it may change."""
    return plan.endpoint.host, plan.endpoint.port, plan.endpoint.path, plan.kind == "udp"


def _open_in(front: Front) -> int:
    """Count what is waited for at the end: connections, not flows, of which nobody knows when they are over."""
    return front.open if front.datagrams is None else 0


def _is_used(front: Front) -> bool:
    return _open_in(front) > 0


def _is_loopback(address: str) -> bool:
    return address.startswith(("127.", "::ffff:127.")) or address in ("", "::1")
