"""`--live`: a table of what is going on, in place of lines, with a few keys.

A task beside those that serve draws what figures.py has counted, as drawing.py has it, at most four times a second and
never for more than a tenth of the time. It draws on the other screen that terminals have, so what was there before is
there again afterwards; what would have been said is shown below the table, and the last of it said at the end.

The terminal is taken and given back by `_show` and `_hide`, and nobody else. It is shown while we are in the
foreground: ^Z gives it back before the process stops, and `fg` takes it again. When nobody sits at it any more the
table ends, and what is served goes on.
"""

import io
import logging
import signal
import time
from collections import deque
from collections.abc import AsyncIterator, Callable

import trio
from rich.console import Console as RichConsole
from rich.live import Live as RichLive

from netfront.cli.application import App
from netfront.cli.drawing import draw
from netfront.cli.figures import Figures, View
from netfront.cli.keys import DRAIN, QUIT, REDRAW, Command, Keys
from netfront.cli.render import Console
from netfront.cli.terminal import Terminal

__all__ = ["Live"]

_EVERY = 0.25
_SPARING = 9
"""How many times as long as a drawing took no other begins: it takes a tenth of the time, whatever there is to draw."""
_NOTES = 20
_log = logging.getLogger("netfront")


class Live:
    """Shows what goes on, and heeds keys.

    Args:
        stop: what q does.
    Raises:
        OSError: there is no terminal.
    """

    def __init__(self, app: App, figures: Figures, console: Console, stop: Callable[[], None]) -> None:
        self.is_stopping = False
        self._figures = figures
        self._app = app
        figures.services = app.services
        self._console = console
        self._stop = stop
        self._terminal = Terminal()
        self._keys = Keys()
        self._notes: deque[str] = deque(maxlen=_NOTES)
        self._tracebacks: list[str] = []
        self._frame = io.StringIO()
        self._rich = RichConsole(
            file=self._frame, force_terminal=True, no_color=not console.color, highlight=False,
            markup=False, emoji=False,
        )  # fmt: skip
        self._live: RichLive | None = None
        self._drawn: tuple[object, ...] = ()

    def go_on(self, app: App) -> None:
        """Show what serves after a reload."""
        self._app = app
        self._figures.services = app.services

    async def run(self) -> None:
        """Show it until cancelled, or until nobody sits at the terminal any more."""
        handler = _Handler(self._heard)
        _log.addHandler(handler)
        self._figures.begin(trio.current_time())
        try:
            with trio.open_signal_receiver(signal.SIGTSTP, signal.SIGCONT) as received:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._heed_signals, received)
                    nursery.start_soon(self._heed_keys)
                    await self._draw_again()
                    nursery.cancel_scope.cancel()
        finally:
            self._hide()
            self._terminal.close()
            _log.removeHandler(handler)
            self._console.repeat([*self._notes, *self._tracebacks])

    # -- the terminal -----------------------------------------------------------------------------------------

    def _show(self) -> None:
        if self._live is None:
            self._terminal.take()
            self._console.divert(self._note)
            live = RichLive(
                console=self._rich, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
            )  # fmt: skip
            live.start()
            self._live, self._drawn = live, ()

    def _hide(self) -> None:
        live, self._live = self._live, None
        if live is not None:
            self._taken()
            live.stop()
            self._terminal.give_back(self._taken())
            self._console.divert(None)

    async def _heed_signals(self, received: AsyncIterator[int]) -> None:
        async for number in received:
            if number == signal.SIGTSTP:
                self._hide()
                heeded = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
                signal.raise_signal(signal.SIGTSTP)  # here the process stands still
                signal.signal(signal.SIGTSTP, heeded)
            elif self._live is not None and self._terminal.is_ours:
                self._terminal.take()  # whoever stopped us by SIGSTOP may have changed it
                self._drawn = ()

    # -- drawing ----------------------------------------------------------------------------------------------

    async def _draw_again(self) -> None:
        while not self._terminal.is_gone:
            began = time.perf_counter()
            if self._terminal.is_ours:
                self._show()
                frame = self._draw()
                took = time.perf_counter() - began
                await self._terminal.write(frame)
            else:
                self._hide()
                took = 0.0
            await trio.sleep(max(_EVERY, took * _SPARING))

    def _draw(self) -> str:
        """Give what is to be written; nothing where nothing has changed."""
        view, size = self._view(trio.current_time()), self._terminal.size
        if self._live is None or self._drawn == (view, size):
            return self._taken()
        self._rich.size = size
        if not self._drawn or self._drawn[1] != size:
            self._rich.clear()
        self._drawn = view, size
        self._live.update(draw(view, size.columns, size.lines), refresh=True)
        return self._taken()

    def _taken(self) -> str:
        text = self._frame.getvalue()
        self._frame.seek(0)
        self._frame.truncate()
        return text

    def _view(self, now: float) -> View:
        app, figures = self._app, self._figures
        listeners = app.listener_rows()
        return View(
            app.plan.command,
            app.unit,
            figures.seconds(now),
            figures.rows(now),
            listeners,
            figures.totals(now, sum(row.open for row in listeners)),
            tuple(self._notes),
            self._keys.typed,
            self._keys.hint,
            self.is_stopping,
        )

    # -- what is said and typed -------------------------------------------------------------------------------

    def _note(self, line: str) -> None:
        clock = time.strftime("%H:%M:%S")
        self._notes += [f"{clock} {part}" for part in line.removeprefix("netfront: ").splitlines()]

    def _heard(self, line: str, traceback: str) -> None:
        """Take what the log would have written into the table."""
        self._note(line)
        if traceback and len(self._tracebacks) < _NOTES:
            self._tracebacks.append(traceback)

    async def _heed_keys(self) -> None:
        while not self._terminal.is_gone:
            if self._live is None:
                await trio.sleep(_EVERY)
                continue
            for command in self._keys.feed(await self._terminal.read()):
                self._do(command)

    def _do(self, command: Command) -> None:
        if command.word == QUIT:
            self._stop()
        elif command.word == REDRAW:
            self._drawn = ()
        elif (found := self._figures.find(command.number)) is None:
            self._keys.hint = f"there is no backend {command.number}"
        else:
            pool, backend = found
            if backend.is_drained is (command.word == DRAIN):
                self._keys.hint = (
                    f"{command.number} is {'drained already' if backend.is_drained else 'not drained'}"
                )
            pool.drain(backend, is_drained=command.word == DRAIN)
            if not any(one.is_up and not one.takes_none for one in pool.backends):
                self._keys.hint = f"nobody is left that is up and serves {pool.name}"


class _Handler(logging.Handler):
    """Gives a line, and a traceback where there is one, of each record."""

    def __init__(self, take: Callable[[str, str], None]) -> None:
        super().__init__(logging.WARNING)
        self._take = take

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record."""
        error = record.exc_info[1] if record.exc_info else None
        why = f": {type(error).__name__}: {error}" if error is not None else ""
        self._take(record.getMessage() + why, self.format(record) if error is not None else "")
