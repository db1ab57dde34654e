"""What a serving process says: a banner, a line when a backend comes or goes, a line for each request with -v.

For people on stderr, plain in a pipe; with --json one object a line on stdout, and all else still on stderr. What
came from outside is escaped. `-q` leaves only the errors that end the process.
"""

import json
import logging
import os
import re
import sys
from collections.abc import Callable, Sequence

from netfront.cli.gate.open_ways import open_ways
from netfront.cli.plan import ListenerPlan, LogPlan, RoutePlan, ServePlan
from netfront.cli.streams import Voice
from netfront.errors import Fault
from netfront.http.message import Exchange
from netfront.net.backend import Backend
from netfront.net.listen import Listener
from netfront.net.members import Changes
from netfront.net.passage import Passage
from netfront.net.stream import Facts

__all__ = ["Console", "shown", "url_of"]

_MOST_LINES = 6
_MOST_ROUTES = 4
"""Shown one a line; more are counted. With the line of URLs they leave one for all that is to be said besides."""
_MOST_LABELS = 4
_ANSWERS = "answers"
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_RESET, _BOLD, _DIM, _RED, _GREEN, _YELLOW = (f"\x1b[{code}m" for code in (0, 1, 2, 31, 32, 33))
_COLORS = {"up": _GREEN, "down": _RED, "drained": _YELLOW}


class Console:
    """Where a serving process speaks.

    Args:
        quiet: say nothing but what ends the process.
        json_events: one object a line on stdout.
        color: whether stderr takes colour.
    """

    def __init__(self, *, quiet: bool, json_events: bool, color: bool) -> None:
        self._quiet = quiet
        self._json = json_events
        self._color = color
        self._take: Callable[[str], None] | None = None
        self._err = Voice(sys.stderr)
        self._out = Voice(sys.stdout)

    @classmethod
    def of(cls, log: LogPlan) -> "Console":
        """Make the one that a plan asks for."""
        color = log.color
        if color is None:
            color = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
        return cls(quiet=log.quiet, json_events=log.json, color=color)

    @property
    def color(self) -> bool:
        """Whether there is colour."""
        return self._color

    def divert(self, take: Callable[[str], None] | None) -> None:
        """Have each line taken by somebody who shows it, in place of stderr; None ends that."""
        self._take = take

    def repeat(self, lines: Sequence[str]) -> None:
        """Write lines as they are that were shown elsewhere."""
        for line in lines:
            self._say(line)

    def flush(self, patience: float = 0.0) -> None:
        """Say what readers were too slow for, and what was lost of it; waits for them for so many seconds."""
        lost = self._out.flush(patience)
        failure = self._out.failure()
        if failure and not self._quiet:
            self._err.say(f"netfront: stdout: {failure}; events are being lost\n")
        if lost and not self._quiet:
            self._err.say(f"netfront: {_lost(lost, 'event')} on stdout: its reader is too slow\n")
        lost = self._err.flush(patience)
        if lost:
            self._err.say(f"netfront: {_lost(lost, 'line')} here: the reader is too slow\n")

    def heed(self, logger: logging.Logger) -> None:
        """Say what is logged, as it stands there, even when quiet."""
        logger.addHandler(_Logged(self))

    def logged(self, text: str) -> None:
        """Say what was logged."""
        if self._take is not None:
            for line in text.splitlines():
                self._take(line)
            return
        self._err.say(text + "\n")

    def note(self, text: str) -> None:
        """Say one line."""
        if self._json:
            self._event("note", text=text)
        self._say(f"netfront: {text}")

    def state(self, lines: list[str]) -> None:
        """Say what was asked for by a signal, even when quiet."""
        self.logged("\n".join(line if self._take is not None else f"netfront: {line}" for line in lines))

    def backend_changed(self, pool: str, backend: Backend) -> None:
        """Say that a backend has come or gone, or was drained or brought back by hand."""
        label, why = backend.member.label, backend.why
        state = "drained" if backend.takes_none else "up" if backend.is_up else "down"
        if self._json:
            self._event("backend", pool=pool, backend=label, state=state, up=backend.is_up, why=why)
        word = self._paint(_COLORS[state], state)
        where = "" if pool == "/" else f"{pool} -> "
        self._say(f"netfront: {where}{label} is {word}" + (f": {shown(why)}" if why else ""))

    def members_changed(self, changes: Changes) -> None:
        """Say who has joined or left a pool."""
        if self._json:
            self._event(
                "members", pool=changes.pool, joined=changes.joined, left=changes.left, changed=changes.changed,
                count=changes.count,
            )  # fmt: skip
        self._say(f"netfront: {shown(str(changes))}")

    def stopping(self, busy: int) -> None:
        """Say that the process is about to end."""
        if self._json:
            self._event("stopping", busy=busy)
        if busy:
            self._say(f"netfront: finishing {busy} request{'s' if busy > 1 else ''}; once more cuts them")

    def exchange(self, exchange: Exchange) -> None:
        """Say one line of a request that has ended (-v)."""
        status, backend = exchange.status, exchange.backend
        color = _GREEN if status < 400 else _YELLOW if status < 500 else _RED
        target = shown(exchange.target.decode("latin-1"))
        method = shown(exchange.method.decode("latin-1"))
        milliseconds = (exchange.ended - exchange.started) * 1000
        label = backend.member.label if backend is not None else None
        to = f" -> {label}" if label is not None else ""
        tries = _tries(exchange.tries, exchange.retried)
        why = f" [{shown(exchange.outcome)}]" if exchange.outcome else ""
        if self._json:
            self._event(
                "request", method=method, target=target, status=status, milliseconds=round(milliseconds, 3),
                sent=exchange.sent, received=exchange.received, backend=label,
                tries=exchange.tries, retried=exchange.retried, outcome=exchange.outcome,
            )  # fmt: skip
        self._say(
            f"{self._paint(color, str(status))} {method} {target}{to}{tries} {milliseconds:.1f} ms "
            f"{exchange.sent} B{why}"
        )

    def passage(self, passage: Passage) -> None:
        """Say one line of a connection or flow that was passed on (-v)."""
        backend, client = passage.backend, _client(passage.facts)
        seconds = passage.ended - passage.started
        label = backend.member.label if backend is not None else None
        if self._json:
            self._event(
                "connection", client=client, name=passage.name.decode("latin-1"), backend=label, tries=passage.tries,
                retried=passage.retried, received=passage.received, sent=passage.sent, seconds=round(seconds, 6),
                outcome=passage.outcome,
            )  # fmt: skip
        tries = _tries(passage.tries, passage.retried)
        why = f" [{shown(passage.outcome)}]" if passage.outcome else ""
        self._say(
            f"{client} -> {label or 'nobody'}{tries} {seconds:.1f} s {passage.received} B in, {passage.sent} B out{why}"
        )

    def turned_away(self, facts: Facts, why: str) -> None:
        """Say one line of a connection that was closed before anything was served (-v)."""
        client = _client(facts)
        if self._json:
            self._event("refused", client=client, why=why)
        self._say(f"{client} turned away: {shown(why)}")

    def refused(self, faults: Sequence[Fault]) -> None:
        """Say why a reload was refused."""
        if self._json:
            self._event("reload", ok=False, faults=[str(fault) for fault in faults])
        for fault in faults:
            self._say(f"netfront: {self._paint(_RED, 'not reloaded')}: {_printable(str(fault))}")
        self._say("netfront: what was before goes on")

    def reloaded(self, plan: ServePlan, *, fixed: Sequence[str], opened: int, closed: int) -> None:
        """Say that a reload was done, and what it could not change."""
        if self._json:
            self._event("reload", ok=True, opened=opened, closed=closed, unchanged=list(fixed))
        counts = [f"{opened} listener{'s' if opened > 1 else ''} opened"] if opened else []
        counts += [f"{closed} closed"] if closed else []
        self._say(f"netfront: reloaded{': ' if counts else ''}{', '.join(counts)}")
        for flag in fixed:
            self._say(f"netfront: {flag} stays as it was: it holds until the end")
        for note in () if self._quiet else _open(plan):
            self._say(f"netfront: {note}")

    def banner(
        self, plan: ServePlan, listeners: tuple[Listener, ...], verdicts: dict[str, str], certificate: str
    ) -> None:
        """Say what serves what, in six lines at most, once the first probes are in."""
        open_ones = [listener for listener in listeners if not listener.is_inner]
        urls = [
            url_of(front, listener, host=_only_host(plan, index))
            for index, (front, listener) in enumerate(zip(plan.listeners, open_ones, strict=True))
        ]
        if self._json:
            self._event(
                "ready",
                urls=urls,
                ports=[listener.port for listener in open_ones],
                routes=[
                    {"scope": str(route.scope), "backends": _labels(plan, route)} for route in plan.routes
                ],
                backends={label: why or "answers" for label, why in verdicts.items()},
            )
        if self._quiet:
            return
        notes = []
        if any(
            target.tls is not None and target.tls.insecure for pool in plan.pools for target in pool.targets
        ):
            notes.append("the certificates of backends are not checked (--insecure)")
        if any(not listener.is_loopback for listener in plan.listeners):
            notes.append("open to the network")
        if certificate:
            notes.append(certificate)
        notes += _open(plan)
        if self._take is not None:  # what is served can be seen
            self.repeat(notes)
            return
        notes.append(self._paint(_DIM, "stop with Ctrl-C"))
        urls = [
            url if front.redirects_to is None else f"{url} (redirects)"
            for front, url in zip(plan.listeners, urls, strict=True)
        ]
        lines = [self._paint(_BOLD, urls[0]) + (f"  {' '.join(urls[1:])}" if len(urls) > 1 else "")]
        lines += self._routes(plan, verdicts)
        for line in (*lines, *_folded(notes, _MOST_LINES - len(lines))):
            self._say(line)

    def _routes(self, plan: ServePlan, verdicts: dict[str, str]) -> list[str]:
        routes = plan.routes
        if len(routes) > _MOST_ROUTES:
            down = sum(1 for why in verdicts.values() if why)
            dialled = [
                target.label
                for pool in plan.pools
                for target in pool.targets
                if target.endpoint.scheme != "udp"
            ]
            silent = sum(_verdict(label, verdicts) is None for label in dict.fromkeys(dialled))
            verdict = "all answer" if not down and not silent else f"{down + silent} not yet answering"
            return [f"  {len(routes)} routes to {_backends(plan)} backends ({verdict})"]
        return [self._route(plan, route, verdicts) for route in routes]

    def _route(self, plan: ServePlan, route: RoutePlan, verdicts: dict[str, str]) -> str:
        labels = _labels(plan, route)
        states = [_state(_verdict(label, verdicts)) for label in labels]
        state = states[0] if len(set(states)) == 1 else ", ".join(states)
        if len(labels) > _MOST_LABELS:
            labels = [*labels[: _MOST_LABELS - 1], f"{len(labels) - _MOST_LABELS + 1} more"]
            if len(set(states)) > 1:
                state = f"{states.count(_ANSWERS)} of {len(states)} answer"
        color = _GREEN if state == _ANSWERS else _YELLOW
        scope = "" if route.named == "/" else f"{route.named} "
        if route.listener is not None and len(plan.listeners) > 1:
            scope = f":{plan.listeners[route.listener].endpoint.port} {scope}"
        if route.answer is not None:
            return f"  {scope}-> {route.answer.named}"
        if route.kind == "udp":  # nobody answers an empty datagram
            return f"  {scope}-> {', '.join(labels)}"
        return f"  {scope}-> {', '.join(labels)} ({self._paint(color, state)})"

    def _paint(self, color: str, text: str) -> str:
        return f"{color}{text}{_RESET}" if self._color and self._take is None else text

    def _say(self, line: str) -> None:
        if self._take is not None:
            self._take(line)
        elif not self._quiet:
            self._err.say(line + "\n")

    def _event(self, event: str, **facts: object) -> None:
        self._out.say(json.dumps({"event": event, **facts}) + "\n")


class _Logged(logging.Handler):
    """Has what is logged said by a console: to write it by itself could wait for who reads."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        self._console.logged(self.format(record))


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() or char == "\n" else repr(char)[1:-1] for char in text)


def shown(text: str) -> str:
    """Escape what could move the cursor or forge a line."""
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)


def _lost(count: int, what: str) -> str:
    return f"{count} {what}{'s were' if count > 1 else ' was'} lost"


def _client(facts: Facts) -> str:
    host, port = facts.peer
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}" if host else "unix"


def _tries(count: int, why: str) -> str:
    return f" ({count} tries{', ' if why else ''}{shown(why)})" if count > 1 else ""


def _verdict(label: str, verdicts: dict[str, str]) -> str | None:
    """Give what came of dialling a target: of a name or service with several addresses the first that failed."""
    own = [why for member, why in verdicts.items() if member == label or member.startswith(f"{label}@")]
    return next(filter(None, own), "") if own else None


def _state(verdict: str | None) -> str:
    """Say what came of a probe: None when nothing has yet, empty when it went well, else why not."""
    if verdict == "":
        return _ANSWERS
    return "not yet answering" + (f": {verdict}" if verdict else "")


def _folded(notes: list[str], room: int) -> list[str]:
    """Bring notes into so many lines, at least one; the last stands alone as long as there is room."""
    if len(notes) <= room:
        return notes
    if room == 1:
        return ["; ".join(notes)]
    return ["; ".join(notes[:-1]), notes[-1]]


def _open(plan: ServePlan) -> list[str]:
    """Tell of the first open way to what is guarded elsewhere."""
    ways = open_ways(plan)
    more = f" (and {len(ways) - 1} more: --explain)" if len(ways) > 1 else ""
    return [f"{way}{more}" for way in ways[:1]]


def _labels(plan: ServePlan, route: RoutePlan) -> list[str]:
    return list(dict.fromkeys(target.label for target in plan.targets(route)))


def _backends(plan: ServePlan) -> int:
    return len({target.label for route in plan.routes for target in plan.targets(route)})


def _only_host(plan: ServePlan, index: int) -> str:
    """Give the first of the hosts that a listener's routes are for, where all are for one; else nothing."""
    hosts = [
        route.scope.host
        for route in plan.routes
        if route.kind == plan.listeners[index].kind == "http" and route.listener in (None, index)
    ]
    named = [host for host in hosts if not host.startswith("*.")]
    return named[0] if named and all(hosts) else ""


def url_of(front: ListenerPlan, listener: Listener, *, host: str = "") -> str:
    """Write where a listener is reached.

    Args:
        host: that has to be asked for, where no other is served.
    """
    place = front.endpoint
    if place.path is not None:
        return f"unix:{place.path}"
    host = host or ("localhost" if place.host in ("", "localhost", "*") else place.host)
    host = f"[{host}]" if ":" in host else host
    usual = {"http": 80, "https": 443}.get(place.scheme)
    return f"{place.scheme}://{host}" + ("" if listener.port == usual else f":{listener.port}")
