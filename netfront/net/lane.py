"""The lane: one trio task that owns one epoll and steps connections itself.

The problem. Waking a trio task costs more than parsing and forwarding a request, and a proxied request waits
at least twice. Yet cancellation, exceptions and clean-up are worth having from trio.

The way. Every connection *is* a trio task. While it only waits for sockets it is *detached* from trio's
scheduler (`temporarily_detach_coroutine_object`) and the lane calls `coro.send` when one of its sockets turns
ready. Each socket is registered once for its life, edge-triggered; an edge is latched in a `Signal`, so an
edge nobody waited for is not lost. Where a connection wants trio itself it says `async with in_trio():`, which
attaches the task again for that block.

The states of a `Seat` (what the lane knows of a connection):

    attached            trio owns the coroutine; the lane must not step it, and `wake` does nothing
    detached, parked    it stands at `await _park`; whoever has something for it calls `wake`
    detached, due       it stands in `lane.due` and will be stepped once, at the next turn
    running             the lane is inside `coro.send`; `_here.seat` is this seat

An `Aside` is what a connection has done beside itself, such as a part of an answer made of several: a coroutine that
is stepped as connections are and has no trio task of its own, which would cost 20 us. It is born detached and runs to
its first wait within the step of who begins it. Who begins it ends it: `end` raises ClientGone where it waits, in whose
clean-up nothing awaits (see the rules for a `finally`), so that it is over at once and trio need not know that it was
there. The first time it says `in_trio` it is *carried*: a task is begun that goes on with its coroutine from where it
stands, with a `Seat` of its own, for good; from then on `end` cancels that task.

What breaks if you change it:
- A seat that is stepped while trio holds it, or rescheduled while the lane holds it, corrupts both. Hence
  `wake` looks at `attached`, and a step looks again, because a seat may attach after it became due.
- A connection that ended while detached would end the lane: `Lane.run` attaches it again in its `finally`.
- A wait may return for nothing (two reasons in one turn), so every wait is a loop, and every exit of one
  takes its waiter out again: a waiter left behind wakes somebody else's wait.
- Cancellation: trio calls our abort function on a detached task. It keeps `raise_cancel`, makes the seat due
  and returns FAILED; the wait then attaches and raises. A seat cancelled before its first park finds out at
  once, because `_detach` looks.
- All ready events of one poll are latched before the first connection is stepped. So a descriptor that is
  closed and opened again by a step cannot receive its predecessor's event.
- Whoever stops watching names itself: by the time a task is cancelled its descriptor may be somebody else's.
- While a connection is stepped trio's current task is unset (`GLOBAL_RUN_CONTEXT.task`, the one private name
  this costs): a scope, nursery or lock used outside `in_trio` refuses at once, instead of taking the lane's own
  task for its own. A foreign yield is undone by its abort function and raised in the connection.
- The one thing of trio's that a connection may use while it is stepped is `start_soon` of a nursery that is open
  (a task for a new connection, a second try beside a first): it neither waits nor asks who calls. Who calls it
  sets `trio_due`, or the new task waits until the lane has nothing else to do.
- The lane blocks in its own poll for at most `_BLOCK` and runs for at most `_TURN` before trio gets a turn;
  with nothing to do it sleeps in trio, and `ring` wakes it through an eventfd.

When a wait is over though nothing came, in three ways by what each costs and how late it is:

    deadline            one float of the connection, looked at every `_SWEEP`; raises `Overdue`
    first(until=)       a heap of timers; late by `_BLOCK` at most
    either(until=)      `Seat.until`, looked at every `_SOON`: for the wait of every request, nearly none of which
                        comes to its end. A seat stands in `Lane.soon` at most once, from its first such wait until a
                        look finds it in none: who asks again and again is not entered again and again

Without epoll (macOS), and in tests on memory streams, the same connection code runs in a plain trio task:
`first` and `in_trio` are then thin wrappers over trio's own waiting.
"""

import heapq
import logging
import math
import os
import select
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator
from contextlib import asynccontextmanager
from typing import Any, Protocol, cast
from weakref import WeakKeyDictionary

import trio
from trio._core._run import GLOBAL_RUN_CONTEXT
from trio.lowlevel import (
    Abort,
    RaiseCancelT,
    Task,
    cancel_shielded_checkpoint,
    current_task,
    reattach_detached_coroutine_object,
    reschedule,
    temporarily_detach_coroutine_object,
    wait_readable,
    wait_task_rescheduled,
)

from netfront.errors import ClientGone, Overdue

__all__ = [
    "Aside",
    "Deadline",
    "Lane",
    "Signal",
    "Wait",
    "breathe",
    "clock",
    "deadline",
    "either",
    "first",
    "in_trio",
    "lane",
    "plainly",
]

_log = logging.getLogger("netfront")
_BLOCK = 0.002
"""Seconds of a poll that waits: how late a timer may be, and how long trio's own tasks wait for the lane."""
_TURN = 0.002
"""Seconds of stepping before trio has a turn; of that come the 2.3 ms by which other tasks are late at full load."""
_SWEEP = 0.25
"""Seconds between two looks at the deadlines of connections: routine ones, which are rarely met and never exact."""
_SOON = 0.01
"""Seconds between two looks at those whose wait ends soon."""
_OPERATIONS = 32
"""Socket operations that did not block before a connection lets the others go on."""
_NEVER = math.inf
_PARKED = "parked"
_ATTACHED = "attached"
_IN = (
    select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR
    if hasattr(select, "EPOLLIN")
    else 0
)
_OUT = select.EPOLLOUT | select.EPOLLHUP | select.EPOLLERR if _IN else 0
_HUNG = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR if _IN else 0
_LOST = select.EPOLLHUP | select.EPOLLERR if _IN else 0
_MARKED = select.EPOLLPRI if _IN else 0
_RARE = _HUNG | _MARKED
_EDGES = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | _MARKED | select.EPOLLET if _IN else 0


class Waiter(Protocol):
    """Who stands at a wait: a seat of the lane, or a trio task."""

    def wake(self) -> None:
        """Let it go on; may come too often, never from another thread."""
        ...


class Wait(Protocol):
    """Something one can wait for: a stream's readiness, or a Signal. Waiting consumes nothing."""

    is_set: bool

    def add(self, waiter: Waiter) -> None:
        """Have this waiter woken when it is set."""
        ...

    def remove(self, waiter: Waiter) -> None:
        """Take a waiter out again."""
        ...

    async def wait_in_trio(self) -> None:
        """Wait for it in a trio task."""
        ...


class Signal:
    """A level-triggered flag. Set from a connection or from trio, in this thread.

    Args:
        by_trio: how a trio task waits for it where nobody calls `set`: a socket without a lane.
    """

    __slots__ = ("_by_trio", "_others", "is_set", "waiter")

    def __init__(self, is_set: bool = False, by_trio: Callable[[], Awaitable[None]] | None = None) -> None:
        self.is_set = is_set
        self.waiter: Waiter | None = None
        self._others: list[Waiter] | None = None
        """None until two have waited at once: then a wait is taken out by `remove` alone."""
        self._by_trio = by_trio

    def set(self) -> None:
        """Set it and wake everybody who waits."""
        self.is_set = True
        waiter, others = self.waiter, self._others
        if waiter is not None:
            if not others:
                waiter.wake()
                return
            for one in (waiter, *others):
                one.wake()

    def clear(self) -> None:
        """Unset it."""
        self.is_set = False

    def add(self, waiter: Waiter) -> None:
        """Have this waiter woken when it is set."""
        if self.waiter is None:
            self.waiter = waiter
        elif self._others is None:
            self._others = [waiter]
        else:
            self._others.append(waiter)

    def remove(self, waiter: Waiter) -> None:
        """Take a waiter out again."""
        if self.waiter is waiter:
            self.waiter = self._others.pop() if self._others else None
        elif self._others is not None and waiter in self._others:
            self._others.remove(waiter)

    async def wait_in_trio(self) -> None:
        """Wait in a trio task until it is set."""
        if self._by_trio is not None and not self.is_set:
            await self._by_trio()
            self.is_set = True
        while not self.is_set:
            waiter = _TrioWaiter(current_task())
            self.add(waiter)
            try:
                await wait_task_rescheduled(waiter.abort)
            finally:
                self.remove(waiter)


class _TrioWaiter:
    __slots__ = ("_woken", "task")

    def __init__(self, task: Task) -> None:
        self.task = task
        self._woken = False

    def wake(self) -> None:
        if not self._woken:
            self._woken = True
            reschedule(self.task)
            if (active := lane()) is not None:
                active.trio_due = True

    def abort(self, _: RaiseCancelT) -> Abort:
        self._woken = True
        return Abort.SUCCEEDED


class Deadline:
    """When the connection that runs here must have got on, and which time-out it is. Looked at by a sweeper."""

    __slots__ = ("__weakref__", "at", "which")

    def __init__(self) -> None:
        self.at = math.inf
        self.which = ""


class Seat:
    """What the lane knows of one connection. See the states above."""

    __slots__ = ("attached", "deadline", "due", "is_looked_at", "lane", "raise_cancel", "send", "task", "timer",
                 "until")  # fmt: skip

    def __init__(self, lane: "Lane", task: Task) -> None:
        self.lane = lane
        self.task = task
        self.send: Callable[[None], object] = task.coro.send  # type: ignore[assignment]  # our own traps
        self.attached = True
        self.due = False
        self.deadline = Deadline()
        self.raise_cancel: RaiseCancelT | None = None
        self.timer: _Timer | None = None
        self.until = math.inf
        """When the wait that it is in ends; looked at where it stands in `Lane.soon`."""
        self.is_looked_at = False

    def wake(self) -> None:
        if not self.due and not self.attached:
            self.due = True
            lane = self.lane
            lane.due.append(self)
            if lane.is_asleep:
                lane.ring()

    def throw(self, error: BaseException) -> object:
        """Raise an error where it waits."""
        return self.task.coro.throw(error)

    def _abort(self, raise_cancel: RaiseCancelT) -> Abort:
        self.raise_cancel = raise_cancel
        self.wake()
        return Abort.FAILED

    async def detach(self) -> None:
        """Trio to lane. Raises trio.Cancelled, attached, if the task was cancelled meanwhile."""
        self.attached = False
        self.wake()
        await temporarily_detach_coroutine_object(self._abort)
        self.lane.visitors -= 1
        if self.raise_cancel is not None:
            await self.face()

    async def attach(self) -> None:
        """Lane to trio."""
        self.attached = True
        self.lane.visitors += 1
        self.lane.trio_due = True
        await reattach_detached_coroutine_object(self.task, _ATTACHED)

    async def face(self) -> None:
        """Raise what has befallen this connection, if anything: a cancellation, or its deadline."""
        if self.raise_cancel is not None:
            raise_cancel, self.raise_cancel = self.raise_cancel, None
            await self.attach()
            raise_cancel()
        deadline = self.deadline
        if deadline.at <= self.lane.now:
            deadline.at = math.inf
            raise Overdue(deadline.which)


class Aside:
    """What a connection has done beside itself: see the top of this file.

    Args:
        start: begins a trio task, where one is needed.
    """

    __slots__ = ("_coro", "_scope", "_start", "attached", "deadline", "due", "is_looked_at", "is_over", "lane",
                 "raise_cancel", "seat", "timer", "until")  # fmt: skip

    def __init__(
        self,
        lane: "Lane",
        coro: Coroutine[object, None, None],
        start: Callable[[Callable[[], Awaitable[None]]], None],
    ) -> None:
        self.lane = lane
        self.attached = False
        """Whether it is not the lane who steps it: trio does, or nobody any more."""
        self.due = False
        self.deadline = Deadline()
        self.raise_cancel: RaiseCancelT | None = None
        self.timer: _Timer | None = None
        self.until = math.inf
        self.is_looked_at = False
        self.seat: Seat | None = None
        self.is_over = False
        self._coro = coro
        self._start = start
        self._scope: trio.CancelScope | None = None

    def wake(self) -> None:
        """Have it stepped at the next turn."""
        if not self.due and not self.attached:
            self.due = True
            lane = self.lane
            lane.due.append(self)
            if lane.is_asleep:
                lane.ring()

    def end(self) -> None:
        """End it, wherever it waits; idempotent. One that ends itself just goes on."""
        if self.is_over or self._coro.cr_running:  # type: ignore[attr-defined]  # of every coroutine
            return
        if self._scope is not None:
            self._scope.cancel()
            self.lane.trio_due = True
            return
        before, _here.seat = _here.seat, self
        try:
            self.throw(ClientGone())
        finally:
            _here.seat = before

    def throw(self, error: BaseException) -> object:
        """Raise an error where it waits."""
        try:
            return self._coro.throw(error)
        except BaseException as left:
            return self._leave(left)

    def send(self, _: None) -> object:
        """Have it go on to its next wait."""
        try:
            return self._coro.send(None)
        except BaseException as left:
            return self._leave(left)

    def _leave(self, error: BaseException) -> object:
        """Be over. What it raises has nobody to go to: whoever began it is told by other ways."""
        self.is_over = self.attached = True
        self.lane.leaves(self)
        if not isinstance(error, (StopIteration, ClientGone)):
            _log.error("an error of netfront's own beside a connection", exc_info=error)
        return _PARKED

    async def attach(self) -> None:
        """Lane to trio, for good: it is carried by a task from here on."""
        if self.seat is not None:
            await self.seat.attach()
            return
        self._scope = trio.CancelScope()
        self.attached = True
        self.lane.visitors += 1
        self.lane.trio_due = True
        self._start(self._carry)
        await _attach

    async def detach(self) -> None:
        """Trio to lane: that of the task which carries it."""
        assert self.seat is not None
        await self.seat.detach()

    async def face(self) -> None:
        """Raise what is overdue."""
        deadline = self.deadline
        if deadline.at <= self.lane.now:
            deadline.at = math.inf
            raise Overdue(deadline.which)

    async def _carry(self) -> None:
        lane, scope = self.lane, self._scope
        assert scope is not None
        self.seat = seat = Seat(lane, current_task())
        seat.deadline = self.deadline
        lane.takes_over(self, seat)
        try:
            with scope:
                try:
                    await _Rest(self._coro)
                except Exception as error:
                    self._leave(error)
                finally:
                    if not seat.attached:
                        await seat.attach()
        finally:
            self.is_over = True
            lane.visitors -= 1
            lane.leaves(seat)


class _Rest:
    """The rest of a coroutine that was begun elsewhere."""

    __slots__ = ("_coro",)

    def __init__(self, coro: Coroutine[object, None, None]) -> None:
        self._coro = coro

    def __await__(self) -> Generator[Any, Any, None]:
        return self._coro.__await__()


class _Timer:
    __slots__ = ("seat",)

    def __init__(self, seat: Seat | Aside) -> None:
        self.seat: Seat | Aside | None = seat


class _Here(threading.local):
    seat: Seat | Aside | None = None
    lane: "Lane | None" = None


_here = _Here()
_plain_deadlines: "WeakKeyDictionary[Task, Deadline]" = WeakKeyDictionary()


class Watched(Protocol):
    """A socket the lane watches for its owner."""

    readable: Signal
    writable: Signal
    hung: Signal
    has_ended: bool
    ended_at: float
    is_lost: bool
    is_marked: bool
    """Whether urgent data has ever come: reads stop before it, though there is more (RFC 6093 §2)."""


class Lane:
    """See the top of this file. `now` is the time of this turn, on trio's clock."""

    def __init__(self) -> None:
        self.now = trio.current_time()
        self.due: list[Seat | Aside] = []
        self.is_asleep = False
        self.trio_due = False
        self.visitors = 0
        self.operations = 0
        self._clock = trio.lowlevel.current_clock().current_time
        self._epoll = select.epoll()
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._bell, select.EPOLLIN)
        self._watched: dict[int, Watched] = {}
        self._seats: set[Seat | Aside] = set()
        self._timers: list[tuple[float, int, _Timer]] = []
        self._timer_count = 0
        self.soon: list[Seat | Aside] = []
        """Those whose wait ends at a time (`until`) that is looked at every `_SOON`: nearly each ends before, and a
        timer for it costs 1.4 us. They stay until a look finds that they wait for no time any more."""
        self._next_look = self._next_sweep = 0.0
        self._stopped = False

    # -- for connections ------------------------------------------------------------------------------

    async def run(self, connection: Callable[..., Awaitable[None]], *args: object) -> None:
        """Run `connection(*args)` in this trio task, detached; returns or raises as it does."""
        seat = Seat(self, current_task())
        self._seats.add(seat)
        self.visitors += 1
        try:
            try:
                await seat.detach()
                await connection(*args)
            finally:
                if not seat.attached:
                    await seat.attach()
                self.visitors -= 1
        finally:
            self._seats.discard(seat)

    def begin(
        self,
        run: Callable[[], Coroutine[object, None, None]],
        start: Callable[[Callable[[], Awaitable[None]]], None],
    ) -> Callable[[], None]:
        """Run something beside the connection that runs here, up to its first wait; give what ends it at once.

        Args:
            start: begins a trio task, in a nursery that outlives the connection.
        """
        aside = Aside(self, run(), start)
        self._seats.add(aside)
        before, _here.seat = _here.seat, aside
        try:
            said = aside.send(None)
            if said is not _PARKED and said is not _ATTACHED:
                self._undo(aside, said)
        finally:
            _here.seat = before
        return aside.end

    def takes_over(self, aside: Aside, seat: Seat) -> None:
        """Know a seat in place of what it carries."""
        self._seats.discard(aside)
        self._seats.add(seat)

    def leaves(self, seat: Seat | Aside) -> None:
        """Know a seat no more."""
        self._seats.discard(seat)

    def watch(self, fd: int, stream: Watched) -> None:
        """Watch a socket until `forget`; it is registered once, for every direction."""
        self._watched[fd] = stream
        self._epoll.register(fd, _EDGES)

    def forget(self, fd: int, stream: Watched) -> None:
        """Stop watching for this stream; it is the close of the descriptor that takes it out of the epoll."""
        if self._watched.get(fd) is stream:
            del self._watched[fd]

    def ring(self) -> None:
        """Wake the lane from its sleep in trio."""
        self.is_asleep = False
        os.eventfd_write(self._bell, 1)

    @property
    def connections(self) -> int:
        """How many connections run here."""
        return len(self._seats)

    def set_timer(self, seat: Seat | Aside, at: float) -> None:
        """Wake this seat at a precise time, unless its timer is dropped before."""
        self._timer_count += 1
        seat.timer = _Timer(seat)
        heapq.heappush(self._timers, (at, self._timer_count, seat.timer))
        if len(self._timers) > 4 * len(self._seats) + 64:
            self._timers = [entry for entry in self._timers if entry[2].seat is not None]
            heapq.heapify(self._timers)

    # -- the task that steps ----------------------------------------------------------------------------

    def stop(self) -> None:
        """End `serve` once the present turn is over; all connections must have ended."""
        self._stopped = True
        self.ring()

    async def serve(self) -> None:
        """Step connections until `stop`. Run it shielded: it must outlive every connection."""
        if _here.lane is not None:
            raise RuntimeError("this thread has a lane already")
        _here.lane = self
        try:
            self._next_sweep = self.now + _SWEEP
            while not self._stopped:
                await self._turn()
                if self.now >= self._next_sweep:
                    self._sweep()
                    self._next_sweep = self.now + _SWEEP
        finally:
            _here.lane = None
            self._epoll.close()
            os.close(self._bell)

    async def _turn(self) -> None:
        """Poll and step for up to `_TURN`, then let trio go on; sleep in trio when there is nothing to do."""
        poll, clock = self._epoll.poll, self._clock
        began = self.now = clock()
        while True:
            busy = self.due or self.visitors or self.trio_due
            events = poll(0 if busy else self._patience())
            self.now = now = clock()
            if events:
                self._latch(events)
            if self._timers:
                self._ring_timers(now)
            if self.soon and now >= self._next_look:
                self._look_soon(now)
            if self.due:
                self._step_all()
            elif not events:
                break
            if self.trio_due or now - began > _TURN:
                self.trio_due = False
                await cancel_shielded_checkpoint()
                return
        if self.trio_due:
            self.trio_due = False
            await cancel_shielded_checkpoint()
        else:
            await self._sleep()

    def _patience(self) -> float:
        if not self._timers:
            return _BLOCK
        return max(0.0, min(_BLOCK, self._timers[0][0] - self.now))

    async def _sleep(self) -> None:
        if self.due or self._stopped:
            await cancel_shielded_checkpoint()
            return
        until = self._next_sweep if self._seats else math.inf
        if self._timers:
            until = min(until, self._timers[0][0])
        if self.soon:
            until = min(until, self.now + _SOON)
        self.is_asleep = True
        with trio.CancelScope(deadline=until):
            await wait_readable(self._epoll.fileno())
        self.is_asleep = False

    def _latch(self, events: list[tuple[int, int]]) -> None:
        watched = self._watched.get
        for fd, event in events:
            stream = watched(fd)
            if stream is None:
                if fd == self._bell:
                    os.eventfd_read(fd)
                continue
            if event & _RARE:
                if event & _MARKED:
                    stream.is_marked = True
                if event & _LOST:
                    stream.has_ended = stream.is_lost = True
                    stream.ended_at = self.now
                    stream.hung.set()
                elif (
                    event & _HUNG and not stream.has_ended
                ):  # an end is told again with whatever comes behind it
                    stream.has_ended = True
                    stream.ended_at = self.now
                    stream.hung.set()
            if event & _IN:
                signal = stream.readable
                signal.is_set = True
                waiter = signal.waiter
                if waiter is not None:
                    if waiter.__class__ is Seat and not signal._others:
                        if not waiter.due and not waiter.attached:  # Seat.wake, for the wait that all make
                            waiter.due = True
                            self.due.append(waiter)
                    else:
                        signal.set()
            if event & _OUT:
                signal = stream.writable
                if not signal.is_set:
                    signal.set()

    def _step_all(self) -> None:
        due, self.due = self.due, []
        here, context = _here, GLOBAL_RUN_CONTEXT
        task = context.task
        del context.task
        try:
            for seat in due:
                seat.due = False
                if seat.attached:
                    continue
                self.operations = _OPERATIONS
                here.seat = seat
                said = seat.send(None)
                if said is not _PARKED and said is not _ATTACHED:
                    self._undo(seat, said)
        finally:
            here.seat = None
            context.task = task

    def _undo(self, seat: Seat | Aside, said: object) -> None:
        """Take back a trio primitive used outside `in_trio`, and raise there; as often as it is tried."""
        while said is not _PARKED and said is not _ATTACHED:
            abort = getattr(said, "abort_func", None)
            if abort is not None:
                abort(lambda: None)
            said = seat.throw(RuntimeError(f"a connection used trio outside in_trio: {said!r}"))

    def _ring_timers(self, now: float) -> None:
        timers = self._timers
        while timers and timers[0][0] <= now:
            seat = heapq.heappop(timers)[2].seat
            if seat is not None:
                seat.wake()

    def _look_soon(self, now: float) -> None:
        self._next_look = now + _SOON
        stay = []
        for seat in self.soon:
            until = seat.until
            if until < math.inf:
                stay.append(seat)
                if until <= now:
                    seat.wake()
            else:
                seat.is_looked_at = False
        self.soon = stay

    def _sweep(self) -> None:
        now = self.now
        for seat in self._seats:
            if seat.deadline.at <= now:
                seat.wake()


# -- the words with which a connection waits ---------------------------------------------------------------


class _Park:
    """Stand until somebody steps the coroutine. A tuple's iterator yields once, all in C: 0.2 us less."""

    __slots__ = ()
    __await__ = (_PARKED,).__iter__


class _Attach:
    """Stand until a task goes on with the coroutine."""

    __slots__ = ()
    __await__ = (_ATTACHED,).__iter__


_park = cast(Awaitable[None], _Park())  # awaitable for the interpreter, which typing cannot see
_attach = cast(Awaitable[None], _Attach())  # likewise


def lane() -> Lane | None:
    """Give the lane of this thread, or None where connections are plain trio tasks."""
    return _here.lane


def clock() -> float:
    """Tell the time, in seconds on trio's clock; on the lane that of the present turn."""
    seat = _here.seat
    return seat.lane.now if seat is not None else trio.current_time()


def deadline() -> Deadline:
    """Give the deadline of the connection that runs here; set `at` and `which` as it gets on."""
    seat = _here.seat
    if seat is not None:
        return seat.deadline
    return _plain_deadlines.setdefault(current_task(), Deadline())


async def ready(wait: Signal) -> None:
    """Wait for one thing, with the connection's deadline. Raises Overdue."""
    if wait.is_set:
        return
    seat = _here.seat
    if seat is None:
        await _first_in_trio((wait,), math.inf)
        return
    if wait.waiter is None:
        wait.waiter = seat
    else:
        wait.add(seat)
    lane, due = seat.lane, seat.deadline
    try:
        while True:
            await _park
            if seat.raise_cancel is not None or due.at <= lane.now:
                await seat.face()
            if wait.is_set:
                return
    finally:
        if wait._others is None:
            wait.waiter = None
        else:
            wait.remove(seat)


async def either(one: Signal, other: Signal, until: float = _NEVER) -> Signal | None:
    """Wait for whichever of two comes first, the one if both: `first` for the wait that every request makes.

    Args:
        until: the time (of `clock`) at which to give up; late by 12 ms at most.
    Returns:
        the one, the other, or None when the time has come.
    """
    if one.is_set:
        return one
    if other.is_set:
        return other
    seat = _here.seat
    if seat is None:
        got = await _first_in_trio((one, other), until)
        return one if got is one else other if got is other else None
    lane, due = seat.lane, seat.deadline
    if until < _NEVER:
        seat.until = until
        if not seat.is_looked_at:
            seat.is_looked_at = True
            lane.soon.append(seat)
    if one.waiter is None and other.waiter is None:
        one.waiter = other.waiter = seat
    else:
        one.add(seat)
        other.add(seat)
    try:
        while True:
            await _park
            if seat.raise_cancel is not None or due.at <= lane.now:
                await seat.face()
            if one.is_set:
                return one
            if other.is_set:
                return other
            if lane.now >= until:
                return None
    finally:
        seat.until = _NEVER
        if one._others is None and other._others is None:
            one.waiter = other.waiter = None
        else:
            one.remove(seat)
            other.remove(seat)


async def first(*waits: Wait, until: float = math.inf) -> Wait | None:
    """Wait for whichever comes first; consumes nothing.

    Args:
        until: the time (of `clock`) at which to give up; late by 2 ms at most.
    Returns:
        The first in the order given that is set, or None when the time has come.
    Raises:
        Overdue: the connection's deadline passed.
    """
    for wait in waits:
        if wait.is_set:
            return wait
    seat = _here.seat
    if seat is None:
        return await _first_in_trio(waits, until)
    lane = seat.lane
    for wait in waits:
        wait.add(seat)
    if until < math.inf:
        lane.set_timer(seat, until)
    try:
        while True:
            await _park
            if seat.raise_cancel is not None or seat.deadline.at <= lane.now:
                await seat.face()
            for wait in waits:
                if wait.is_set:
                    return wait
            if lane.now >= until:
                return None
    finally:
        for wait in waits:
            wait.remove(seat)
        if seat.timer is not None:
            seat.timer.seat = None
            seat.timer = None


async def _first_in_trio(waits: tuple[Wait, ...], until: float) -> Wait | None:
    limit = _plain_deadlines.get(current_task())
    at = limit.at if limit is not None else math.inf
    with trio.move_on_at(min(until, at)):
        if len(waits) == 1:
            await waits[0].wait_in_trio()
        else:
            async with trio.open_nursery() as nursery:

                async def one(wait: Wait) -> None:
                    await wait.wait_in_trio()
                    nursery.cancel_scope.cancel()

                for wait in waits:
                    nursery.start_soon(one, wait)
                if not waits:
                    await trio.sleep_forever()
    for wait in waits:
        if wait.is_set:
            return wait
    now = trio.current_time()
    if limit is not None and at <= now:
        limit.at = math.inf
        raise Overdue(limit.which)
    return None


async def breathe() -> None:
    """Let other connections go on; called after `_OPERATIONS` that did not block."""
    seat = _here.seat
    if seat is None:
        await trio.lowlevel.checkpoint()
        return
    seat.wake()
    await _park
    if seat.raise_cancel is not None or seat.deadline.at <= seat.lane.now:
        await seat.face()


@asynccontextmanager
async def in_trio() -> AsyncIterator[None]:
    """Make any trio primitive legal within: nursery, time-out, name look-up, threads. 6 us a round trip."""
    seat = _here.seat
    if seat is None:
        yield
        return
    await seat.attach()
    try:
        yield
    finally:
        await seat.detach()


async def plainly(connection: Callable[..., Awaitable[None]], *args: object) -> None:
    """Run a connection in this trio task without a lane: what `Lane.run` is where there is no epoll."""
    await connection(*args)
