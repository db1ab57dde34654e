"""Connections without a lane: coroutines that wait by the lane's own words, stepped by hand at a time of the test's.

For code that decides by the order in which several connections go on: the test says who is stepped when.
"""

import math
from collections.abc import Awaitable, Callable
from typing import Any

from netfront.errors import Overdue
from netfront.net import lane as lanes  # who runs and at what time is known there alone
from netfront.net.lane import Deadline

__all__ = ["Hand", "Steps"]


class Steps:
    """The time, and a place for each coroutine. `clock` tells this time inside `with`."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now
        self.is_asleep = False
        self.soon: list[Hand] = []
        self._idle = Hand(self)

    def __enter__(self) -> "Steps":
        lanes._here.seat = self._idle  # type: ignore[assignment]  # as much of a seat as waiting needs
        return self

    def __exit__(self, *_: object) -> None:
        lanes._here.seat = None

    def set_timer(self, hand: "Hand", at: float) -> None:
        """Note when a hand wants to go on."""
        hand.rings_at = at
        hand.timer = hand

    def begin(self, run: Callable[[], Awaitable[Any]]) -> "Hand":
        """Begin a coroutine and step it to its first wait."""
        hand = Hand(self, run())
        hand.step()
        return hand


class Hand:
    """One coroutine. `is_due` says whether something it waits for has happened, its time included."""

    def __init__(self, steps: Steps, coro: Any = None) -> None:
        self.lane = steps
        self.coro = coro
        self.attached = False
        self.raise_cancel = None
        self.deadline = Deadline()
        self.seat: Hand | None = None
        self.timer: Hand | None = None
        self.rings_at = self.until = math.inf
        self.is_looked_at = False
        self.is_over = False
        self.result: Any = None
        self.error: BaseException | None = None
        self._is_woken = False

    def wake(self) -> None:
        """What a signal calls."""
        self._is_woken = True

    @property
    def is_due(self) -> bool:
        """Whether it would go on."""
        until = min(self.rings_at if self.timer is not None else math.inf, self.until)
        return not self.is_over and (self._is_woken or self.lane.now >= min(until, self.deadline.at))

    async def face(self) -> None:
        """Raise what is overdue."""
        if self.deadline.at <= self.lane.now:
            self.deadline.at = math.inf
            raise Overdue(self.deadline.which)

    def step(self, cut: BaseException | None = None) -> None:
        """Let it go on to its next wait or its end; with `cut` that is raised where it waits."""
        self._is_woken = False
        before, lanes._here.seat = lanes._here.seat, self  # type: ignore[assignment]
        try:
            if cut is not None:
                self.coro.throw(cut)
            else:
                self.coro.send(None)
        except StopIteration as stop:
            self.is_over, self.result = True, stop.value
        except BaseException as error:
            self.is_over, self.error = True, error
        finally:
            lanes._here.seat = before
