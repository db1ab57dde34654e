"""A serving process from its plan to its end: open, tell, serve, reload, drain, stop.

Everything that can be wrong is found before the first socket opens; the sockets open before anything is said; the
ready file and descriptor are written right after. Signals: SIGINT and SIGTERM stop (a second one cuts),
SIGHUP reads certificates and `@file`s again, SIGUSR1 opens the access log again, SIGQUIT tells the state and goes on.
What an `@file` says is made into a second plan and put together beside the first; only when nothing is wrong with it
does it take over, with the same sockets, pools and connections.
"""

import contextlib
import gc
import logging
import math
import os
import signal
import stat
import tempfile
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

import trio

from netfront.cli.application import App
from netfront.cli.assembly import build
from netfront.cli.plan import ServePlan
from netfront.cli.render import Console
from netfront.errors import CannotListen, ExitCode, Fault, UsageError, words
from netfront.net.bind import raise_descriptor_limit
from netfront.net.datagram import flows_for
from netfront.net.lane import Lane, Signal
from netfront.net.listen import Accepting, Admission, Listener, close_listeners
from netfront.net.listen import serve as accept_and_serve
from netfront.net.watchfile import FileWatch, watch_files

if TYPE_CHECKING:
    from netfront.cli.live import Live

__all__ = ["serve"]

_HEEDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGQUIT)
_SWEEP = 1.0
_FLUSH = 0.25
_PATIENCE = 0.5
"""Seconds for which the readers of stdout and stderr are waited for at the end."""
_LOOK = 2.0
"""Seconds between two looks at the certificates' files."""
_RESERVED = 100
_log = logging.getLogger("netfront")
_MOST_CONNECTIONS = 10_000


def serve(plan: ServePlan, plan_again: Callable[[], ServePlan]) -> int:
    """Serve until told to stop.

    Args:
        plan_again: reads the command line once more, with what its `@file`s say by then.

    Returns:
        an ExitCode.

    Raises:
        UsageError: a file of the plan is unreadable or wrong; nothing was opened.
        CannotListen: a listener could not be opened; none is left open.
    """
    descriptors = raise_descriptor_limit()
    watch = FileWatch(_watched(plan))
    if plan.files:
        plan = plan_again()  # or what was written between the first reading and the watch would never be seen
    console = Console.of(plan.log)
    console.heed(logging.getLogger("netfront"))
    app = build(plan, console)
    accepting = Accepting(app.open_listeners())
    try:
        _settle_collector()
        return trio.run(_Run(plan, plan_again, watch, app, accepting, descriptors, console).run)
    finally:
        close_listeners(accepting.listeners)


def _most_connections(plan: ServePlan, descriptors: int) -> int:
    """Tell how many connections are let in: as many as there are descriptors for, two each, unless it is said."""
    if plan.limits.max_connections is not None:
        return plan.limits.max_connections
    udp = sum(listener.kind == "udp" for listener in plan.listeners)
    flows = udp * flows_for(descriptors, udp) if udp else 0
    return max(16, min(_MOST_CONNECTIONS, (descriptors - _RESERVED - flows) // 2))


def _settle_collector() -> None:
    """Leave what start-up made out of every later collection, and collect the young less often: 5 % of a request."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def _tell_ready(plan: ServePlan, listeners: tuple[Listener, ...]) -> None:
    """Write the ports to --port-file, whole and then renamed, and say so on --ready-fd."""
    ports = "".join(f"{listener.port}\n" for listener in listeners)
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
            raise UsageError.of(f"--port-file {path}", words(error)) from error
    if plan.ready.ready_fd is not None:
        try:
            os.write(plan.ready.ready_fd, ports.encode())
            os.close(plan.ready.ready_fd)
        except OSError as error:
            why = words(error)
            raise UsageError.of(f"--ready-fd {plan.ready.ready_fd}", why) from error


class _Run:
    """One run of the event loop.

    Args:
        watch: of the files that the plan was made of.
        descriptors: that this process may have.
    """

    def __init__(
        self,
        plan: ServePlan,
        plan_again: Callable[[], ServePlan],
        watch: FileWatch,
        app: App,
        accepting: Accepting,
        descriptors: int,
        console: Console,
    ) -> None:
        self._plan = plan
        self._plan_again = plan_again
        self._watch = watch
        self._accepting = accepting
        self._app = app
        self._descriptors = descriptors
        most = _most_connections(plan, descriptors)
        self._admission = Admission(most, plan.limits.max_per_address, app.is_spared)
        self._console = console
        self._stop = Signal()
        self._is_cut = False
        self._everything = trio.CancelScope()
        self._live: Live | None = None

    async def run(self) -> int:
        """Serve; give the exit code."""
        has_lane = hasattr(os, "eventfd") and not os.environ.get("NETFRONT_NO_LANE")
        with trio.open_signal_receiver(*_HEEDED) as received:
            _tell_ready(self._plan, self._app.listeners)  # from here on a signal finds us ready for it
            return await self._serve(received, Lane() if has_lane else None)

    async def _serve(self, received: AsyncIterator[int], lane: Lane | None) -> int:
        async with trio.open_nursery() as nursery:
            self._everything = nursery.cancel_scope
            if self._app.figures is not None:
                from netfront.cli.live import Live  # and rich with it

                self._live = Live(self._app, self._app.figures, self._console, self._end)
                nursery.start_soon(self._live.run)
            nursery.start_soon(self._heed_signals, received)
            nursery.start_soon(self._sweep)
            nursery.start_soon(self._flush)
            nursery.start_soon(self._watch_certificates)
            if self._watch.paths:
                nursery.start_soon(watch_files, self._watch, self._reload_plan)
            self._app.start(nursery, self._console)
            nursery.start_soon(self._greet)
            # who connects by then waits, and is not told that nobody is there
            await self._app.wait_until_resolved(bytes_only=True)
            await self._app.limiting.wait_until_shared()
            await accept_and_serve(
                self._accepting,
                admission=self._admission,
                stop=self._stop,
                lane=lane,
                drained=self._drained,
                tasks=self._app.tasks,
            )
            nursery.cancel_scope.cancel()
        self._app.close()
        self._app.close_logs()
        self._console.flush(_PATIENCE)
        return ExitCode.INTERRUPTED if self._is_cut else ExitCode.DONE

    async def _heed_signals(self, received: AsyncIterator[int]) -> None:
        async for number in received:
            if number == signal.SIGHUP:
                self._reload()
            elif number == signal.SIGUSR1:
                self._app.reopen_logs()
            elif number == signal.SIGQUIT:
                self._console.state(self._app.state(self._admission))
            else:
                self._end()

    def _end(self) -> None:
        """Stop accepting and finish what is under way; a second time, cut it."""
        if self._stop.is_set:
            self._is_cut = True
            self._everything.cancel()
            return
        self._console.stopping(self._app.busy)
        self._stop.set()
        if self._live is not None:
            self._live.is_stopping = True

    def _reload(self) -> None:
        """Read everything again that may have changed (SIGHUP)."""
        if self._stop.is_set:
            self._console.note("nothing is reloaded: this is stopping")
            return
        told = self._app.reload()
        if self._watch.paths:
            self._reload_plan()
        elif not told:
            told = ["nothing to reload"]
        for line in told:
            self._console.note(line)

    def _reload_plan(self) -> None:
        """Take the plan that the command line and its files amount to by now, unless something is wrong with it."""
        if self._stop.is_set:
            return  # nothing is opened any more
        old = self._app
        try:
            plan = self._plan_again()
            self._watch.change(_watched(plan))  # what is named anew is read below
            app = build(plan, self._console, old)
            try:
                opened = app.open_listeners(old)
            except CannotListen:
                app.give_up()
                raise
        except (UsageError, CannotListen) as error:
            self._console.refused(error.faults)
            return
        except Exception as error:  # what is served goes on, whatever a file has led us to
            _log.error("an error of netfront's own while files were read again", exc_info=error)
            self._console.refused([Fault("an error of netfront's own", str(error))])
            return
        for listener in opened:
            self._accepting.add(listener)
        gone = app.take_over(old)
        for listener in gone:
            self._accepting.remove(listener)
        self._console.reloaded(plan, fixed=_fixed(self._plan, plan), opened=len(opened), closed=len(gone))
        self._app, self._plan = app, plan
        if self._live is not None:
            self._live.go_on(app)
        most = _most_connections(plan, self._descriptors)
        self._admission.go_by(most, plan.limits.max_per_address, app.is_spared)

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
        while True:
            await trio.sleep(_FLUSH)
            self._app.flush_logs()
            self._console.flush()

    async def _watch_certificates(self) -> None:
        while True:
            await trio.sleep(_LOOK)
            for line in self._app.look_at_files():
                self._console.note(line)

    async def _greet(self) -> None:
        """Say what serves, with the result of a first probe of each backend."""
        if self._plan.log.quiet and not self._plan.log.json:
            return
        await self._app.wait_until_resolved()
        verdicts = await self._app.probe_all()
        self._console.banner(self._plan, self._app.listeners, verdicts, self._app.certificate_note)


def _watched(plan: ServePlan) -> list[str]:
    """List the files of which a plan is made anew when they change: `@file`s, and certificates towards backends.

    What is shown to clients has a watch of its own (certificates.py). Pipes can be read but once.
    """
    spoken = [target.tls for pool in plan.pools for target in pool.targets if target.tls is not None]
    named = [path for tls in spoken for path in (tls.ca, tls.cert, tls.key) if path is not None]
    return [*plan.files, *(path for path in dict.fromkeys(named) if not _is_pipe(path))]


def _is_pipe(path: str) -> bool:
    try:
        return stat.S_ISFIFO(os.stat(path).st_mode)
    except OSError:
        return False  # whoever reads it says what is wrong


def _fixed(old: ServePlan, new: ServePlan) -> list[str]:
    """List the flags that a reload was to change and cannot: they hold for the whole of a process."""
    pairs = {
        "--port-file": (old.ready.port_file, new.ready.port_file),
        "--ready-fd": (old.ready.ready_fd, new.ready.ready_fd),
        "--resolver": (old.resolver, new.resolver),
        "--sticky-key": (old.sticky_key, new.sticky_key),
        "--redis": (old.redis, new.redis),
        "--redis-down": (old.redis_down, new.redis_down),
        "--live": (old.log.live, new.log.live),
        "--json": (old.log.json, new.log.json),
        "--quiet": (old.log.quiet, new.log.quiet),
        "--color": (old.log.color, new.log.color),
    }
    return [flag for flag, (was, now) in pairs.items() if was != now]
