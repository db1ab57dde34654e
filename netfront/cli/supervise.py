"""A serving process from its plan to its end: open, tell, serve, reload, drain, stop.

Everything that can be wrong is found before the first socket opens; the sockets open before anything is said; the
ready file and descriptor are written right after. Signals: SIGINT and SIGTERM stop (a second one cuts),
SIGHUP reads certificates again, SIGUSR1 opens the access log again, SIGQUIT tells the state and goes on.
"""

import contextlib
import gc
import math
import os
import signal
import tempfile
from collections.abc import AsyncIterator

import trio

from netfront.cli.application import App
from netfront.cli.assembly import build
from netfront.cli.plan import ServePlan
from netfront.cli.render import Console
from netfront.errors import ExitCode, UsageError
from netfront.net.bind import raise_descriptor_limit
from netfront.net.lane import Lane, Signal
from netfront.net.listen import Admission, Listener, close_listeners
from netfront.net.listen import serve as accept_and_serve

__all__ = ["serve"]

_HEEDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGQUIT)
_SWEEP = 1.0
_FLUSH = 0.25
_LOOK = 2.0
"""Seconds between two looks at the certificates' files."""
_RESERVED = 100
_MOST_CONNECTIONS = 10_000


def serve(plan: ServePlan) -> int:
    """Serve until told to stop.

    Returns:
        an ExitCode.

    Raises:
        UsageError: a file of the plan is unreadable or wrong; nothing was opened.
        CannotListen: a listener could not be opened; none is left open.
    """
    descriptors = raise_descriptor_limit()
    console = Console.of(plan.log)
    app = build(plan, console)
    most = plan.limits.max_connections
    if most is None:
        most = max(16, min(_MOST_CONNECTIONS, (descriptors - _RESERVED) // 2))
    admission = Admission(most, plan.limits.max_per_address, app.is_spared)
    listeners = app.open_listeners()
    try:
        _settle_collector()
        return trio.run(_Run(plan, app, listeners, admission, console).run)
    finally:
        close_listeners(listeners)


def _settle_collector() -> None:
    """Leave what start-up made out of every later collection, and collect the young less often: 5 % of a request."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def _tell_ready(plan: ServePlan, listeners: tuple[Listener, ...]) -> None:
    """Write the ports to --port-file, whole and then renamed, and say so on --ready-fd."""
    ports = "".join(f"{listener.port}\n" for listener in listeners if not listener.is_inner)
    path = plan.ready.port_file
    if path is not None:
        try:
            with tempfile.NamedTemporaryFile(
                "w", dir=os.path.dirname(os.path.abspath(path)), prefix=".ports-", delete=False
            ) as file:
                file.write(ports)
                os.fchmod(file.fileno(), 0o644)
            os.replace(file.name, path)
        except OSError as error:
            raise UsageError.of(f"--port-file {path}", (error.strerror or str(error)).lower()) from error
    if plan.ready.ready_fd is not None:
        try:
            os.write(plan.ready.ready_fd, ports.encode())
            os.close(plan.ready.ready_fd)
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise UsageError.of(f"--ready-fd {plan.ready.ready_fd}", why) from error


class _Run:
    """One run of the event loop."""

    def __init__(
        self,
        plan: ServePlan,
        app: App,
        listeners: tuple[Listener, ...],
        admission: Admission,
        console: Console,
    ) -> None:
        self._plan = plan
        self._app = app
        self._listeners = listeners
        self._admission = admission
        self._console = console
        self._stop = Signal()
        self._is_cut = False

    async def run(self) -> int:
        """Serve; give the exit code."""
        has_lane = hasattr(os, "eventfd") and not os.environ.get("NETFRONT_NO_LANE")
        with trio.open_signal_receiver(*_HEEDED) as received:
            _tell_ready(self._plan, self._listeners)  # from here on a signal finds us ready for it
            return await self._serve(received, Lane() if has_lane else None)

    async def _serve(self, received: AsyncIterator[int], lane: Lane | None) -> int:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._heed_signals, received, nursery.cancel_scope)
            nursery.start_soon(self._sweep)
            nursery.start_soon(self._flush)
            nursery.start_soon(self._watch_files)
            nursery.start_soon(self._greet)
            self._app.watch_backends(nursery)
            await accept_and_serve(
                self._listeners,
                admission=self._admission,
                stop=self._stop,
                lane=lane,
                drained=self._drained,
                tasks=self._app.tasks,
            )
            nursery.cancel_scope.cancel()
        self._app.close()
        self._app.close_logs()
        return ExitCode.INTERRUPTED if self._is_cut else ExitCode.DONE

    async def _heed_signals(self, received: AsyncIterator[int], everything: trio.CancelScope) -> None:
        async for number in received:
            if number == signal.SIGHUP:
                self._reload()
            elif number == signal.SIGUSR1:
                self._app.reopen_logs()
            elif number == signal.SIGQUIT:
                self._console.state(self._app.state(self._admission))
            elif self._stop.is_set:
                self._is_cut = True
                everything.cancel()
            else:
                self._console.stopping(self._app.busy)
                self._stop.set()

    def _reload(self) -> None:
        for line in self._app.reload():
            self._console.note(line)

    async def _drained(self) -> None:
        """Return when what was under way has ended, or --drain is over."""
        self._app.drain()
        limit = self._plan.drain
        with trio.move_on_after(limit) if limit < math.inf else contextlib.nullcontext():
            while self._app.open_connections:
                self._admission.freed.clear()
                await self._admission.freed.wait_in_trio()
        left = self._app.busy
        if left:
            self._console.note(f"cut {left} connection{'s' if left > 1 else ''} still busy after the drain")

    async def _sweep(self) -> None:
        while True:
            await trio.sleep(_SWEEP)
            self._app.sweep(trio.current_time())

    async def _flush(self) -> None:
        while self._app.has_logs:
            await trio.sleep(_FLUSH)
            self._app.flush_logs()

    async def _watch_files(self) -> None:
        while self._app.has_files:
            await trio.sleep(_LOOK)
            for line in self._app.look_at_files():
                self._console.note(line)

    async def _greet(self) -> None:
        """Say what serves, with the result of a first probe of each backend."""
        if self._plan.log.quiet and not self._plan.log.json:
            return
        verdicts = await self._app.probe_all()
        self._console.banner(self._plan, self._listeners, verdicts, self._app.certificate_note)
