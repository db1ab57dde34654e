"""What serves, once it is put together: its listeners, and the few things a process does with it while it runs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from netfront.cli.plan import ListenerPlan
from netfront.errors import BackendError, CannotListen
from netfront.http.server import HttpServer
from netfront.http.transport import Transport
from netfront.net.bind import free_port, open_sockets
from netfront.net.dial import dial
from netfront.net.listen import Admission, Listener, StreamHandler, close_listeners
from netfront.net.logfile import LogFile
from netfront.net.pool import Backend, Pool
from netfront.net.redial import Redialler
from netfront.net.tasks import Tasks

if TYPE_CHECKING:
    from netfront.cli.certificates import Certificates

__all__ = ["App", "Front"]

_PROBE_WAIT = 0.3
"""Seconds that the banner waits for the backends' first answers."""


@dataclass(frozen=True, slots=True)
class Front:
    """A listener before it is open: what it serves, and on what."""

    plan: ListenerPlan
    server: HttpServer
    handler: StreamHandler


class App:
    """All that serves a plan.

    Args:
        ports: of the fronts, in their order; filled in as they open, as redirects name them.
        inner: listeners of our own that backends lead to; open already.
    """

    def __init__(
        self,
        fronts: list[Front],
        pools: dict[str, Pool],
        transport: Transport,
        certificates: "Certificates | None",
        logs: list[LogFile],
        ports: list[int],
        trusted: Callable[[str], bool],
        tasks: Tasks,
        inner: tuple[Listener, ...],
        *,
        connect_timeout: float,
    ) -> None:
        self._fronts = fronts
        self._pools = pools
        self._transport = transport
        self._certificates = certificates
        self._logs = logs
        self._ports = ports
        self._trusted = trusted
        self.tasks = tasks
        self._inner = inner
        self._connect_timeout = connect_timeout
        self.has_logs = bool(logs)
        self.has_files = certificates is not None

    def open_listeners(self) -> tuple[Listener, ...]:
        """Open every listener of the plan, in its order, and then our own.

        Raises:
            CannotListen: of all that could not be opened; none stays open.
        """
        opened: list[Listener] = []
        refused: list[tuple[str, CannotListen]] = []
        try:
            for index, front in enumerate(self._fronts):
                place = front.plan.endpoint
                try:
                    sockets = open_sockets(place.host, place.port, place.path, shown=str(place))
                except CannotListen as error:
                    refused.append((place.host, error))
                    continue
                listener = Listener(str(index), sockets, front.handler, place.path)
                opened.append(listener)
                self._ports[index] = listener.port
            if refused:
                raise _together(refused)
        except BaseException:
            close_listeners(tuple(opened))
            raise
        return (*opened, *self._inner)

    def is_spared(self, address: str) -> bool:
        """Tell whether an address is not held to the bound for one address."""
        return _is_loopback(address) or self._trusted(address)

    # -- while it runs ----------------------------------------------------------------------------------

    @property
    def open_connections(self) -> int:
        """Client connections that are open."""
        return sum(len(front.server.open) for front in self._fronts)

    @property
    def busy(self) -> int:
        """Client connections with a request under way."""
        return sum(front.server.busy for front in self._fronts)

    def drain(self) -> None:
        """End idle client connections, and the others after their answer."""
        for front in self._fronts:
            front.server.drain()

    def close(self) -> None:
        """Close what is left towards backends."""
        self._transport.close()

    def sweep(self, now: float) -> None:
        """Close backend connections that have been idle for too long."""
        for pool in self._pools.values():
            self._transport.sweep((*pool.backends, *pool.leaving), now)
            pool.sweep(now)

    def watch_backends(self, nursery: trio.Nursery) -> None:
        """Dial backends that are down, in tasks of this nursery."""
        redialler = Redialler(nursery, timeout=self._connect_timeout)
        for pool in self._pools.values():
            nursery.start_soon(redialler.watch, pool)

    def flush_logs(self) -> None:
        """Write what the logs hold."""
        for log in self._logs:
            log.flush()

    def close_logs(self) -> None:
        """Write what the logs hold, tell what was lost, and close them."""
        for log in self._logs:
            log.close()

    def reopen_logs(self) -> None:
        """Open the log files anew (SIGUSR1)."""
        for log in self._logs:
            log.reopen()

    def reload(self) -> list[str]:
        """Read certificates again; give what is to be said of it."""
        return self._certificates.reload() if self._certificates is not None else ["nothing to reload"]

    def look_at_files(self) -> list[str]:
        """Read certificates again whose files have changed or that grow old; give what is to be said of it."""
        return self._certificates.look() if self._certificates is not None else []

    @property
    def certificate_note(self) -> str:
        """What the banner says of the certificate."""
        return self._certificates.note if self._certificates is not None else ""

    def state(self, admission: Admission) -> list[str]:
        """Describe what is going on, a line each (SIGQUIT)."""
        lines = [f"connections: {admission.open} open, {self.busy} busy, {admission.rejected} rejected"]
        lines.append(f"backend connections: {self._transport.connections}")
        for pool in self._pools.values():
            for backend in pool.backends:
                verdict = "is up" if backend.is_up else f"is down ({backend.why})"
                lines.append(
                    f"{pool.name} -> {backend.member.label} {verdict}, in flight {backend.in_flight}, "
                    f"served {backend.served}, idle connections {len(backend.idle)}"
                )
        lines += [f"access log: lines lost: {log.lost}" for log in self._logs if log.lost]
        return lines

    async def probe_all(self) -> dict[str, str]:
        """Dial each backend once; give what came of it by label. Waits for 300 ms at most."""
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
                for pool in self._pools.values():
                    for backend in pool.backends:
                        nursery.start_soon(probe, backend)
        return verdicts


def _together(refused: list[tuple[str, CannotListen]]) -> CannotListen:
    """Make one error of several, and find for each port one that may be had; while those that opened are held."""
    instead: dict[int, int] = {}
    for host, error in refused:
        if error.port and error.port not in instead:
            instead[error.port] = free_port(host, error.port, avoid=instead.values())
    return CannotListen(*[fault for _, error in refused for fault in error.faults], instead=instead)


def _is_loopback(address: str) -> bool:
    return address.startswith(("127.", "::ffff:127.")) or address in ("", "::1")
