"""Counting together: limits whose counters are in Redis (or Valkey), shared by any number of processes.

The problem. A request under a limit has to ask another machine, which may be slow, frozen, restarting or gone; no
request may fail of it or wait for more than 50 ms, and its connection runs on the lane, where no client library does.

The way. One trio task has the connection to Redis. A request puts what it asks into a row and waits for a Signal, for
at most `_PATIENCE`. The task sends all that has come together as one script call: one round trip whatever the number of
limits, and under load one for many requests. Time is the server's, so clocks of machines do not matter.

A circuit, in two states:

    closed    requests ask; any error, or the first that has waited in vain, opens it, and all others that wait are
              let go at once
    open      requests ask nobody and go by `down`. The task waits for the call that is under way a while longer, and
              then connects again, soon and each second at most; the first answer that a request would have waited for
              closes it. One that is late is asked again at once, as it may have been a moment's pause, and then each
              second: a server that is slow for good holds up nobody

What the server said last of a key is noted in our own counters, so that counting by ourselves goes on from there. A
silent server is found without requests too: where none has come for `_QUIET`, it is pinged.

All keys begin with one hash tag, so in a cluster one node has them: limits of one request must be decided by one.
"""

from __future__ import annotations

import math
import random
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import coredis
import trio
from coredis.connection import TCPLocation
from coredis.retry import NoRetryPolicy

from netfront.errors import Refusal
from netfront.net.lane import Signal, clock, first
from netfront.policy.limit import Counters, Rate, Spent

__all__ = ["Ask", "Place", "SharedCounters", "open_redis"]

Ask = Callable[[Sequence[bytes], Sequence[int | float]], Awaitable[list[int]]]
"""Runs the script over keys and arguments."""
Open = Callable[[], AbstractAsyncContextManager[Ask]]

_PATIENCE, _GRACE = 0.04, 0.004
"""Seconds a request waits: with the 2 ms that a timer may be late under 50. The second is for an answer that is here
already: where this process itself had no processor for a while, its timers are due before its sockets are read."""
_CALL = 0.3
"""Seconds until a call is given up and its connection with it. A pause of less costs no connection."""
_CONNECT = 1.0
_QUIET = 1.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 1.0
"""Seconds between tries to connect, doubling: the first is soon, as a moment's pause of the server is over by then."""
_MOST_AT_ONCE = 128
_TAG = b"{netfront}"
_MICRO = 1e6

_SCRIPT = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local said, key, arg = {}, 0, 1
if #ARGV == 0 then
  redis.call('SET', KEYS[1], '', 'PX', 1)
  redis.call('DEL', KEYS[1])
end
while arg <= #ARGV do
  local count = tonumber(ARGV[arg])
  local free, admitted = {}, 1
  for i = 1, count do
    local step, most = tonumber(ARGV[arg + 2 * i - 1]), tonumber(ARGV[arg + 2 * i])
    local held = redis.pcall('GET', KEYS[key + i])
    local at = math.max(now, type(held) == 'string' and tonumber(held) or now)
    free[i] = at
    if at + step - now > most + 0.5 then admitted = 0 end
  end
  said[#said + 1] = admitted
  for i = 1, count do
    if admitted == 1 then
      free[i] = free[i] + tonumber(ARGV[arg + 2 * i - 1])
      local lasts = math.ceil((free[i] - now) / 1000) + 1
      redis.call('SET', KEYS[key + i], string.format('%.2f', free[i]), 'PX', lasts)
    end
    said[#said + 1] = free[i] - now
  end
  key = key + count
  arg = arg + 1 + 2 * count
end
return said
"""
"""What Counters.spend does, for each of several requests. In: the number of keys, then interval and largest debt of
each. Out: whether it is admitted, then the debt of each key. Times are microseconds. Of none, it finds out whether
anything can be written: a replica, and one whose disk or memory is full, answers and refuses that. What stands under
a key of ours and is no number was not written by us, and is written over."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where Redis is. See RedisPlan, which says the same to people.

    Args:
        context: for TLS; None where none is spoken.
    """

    kind: str
    hosts: tuple[tuple[str, int], ...]
    path: str | None = None
    service: str = ""
    database: int = 0
    user: str | None = None
    context: ssl.SSLContext | None = None


class _Asked:
    """What one request asks, and what came of it."""

    __slots__ = ("done", "keys", "rates", "spent")

    def __init__(self, keys: Sequence[bytes], rates: Sequence[Rate]) -> None:
        self.keys = keys
        self.rates = rates
        self.done = Signal()
        self.spent: Spent | None = None


class SharedCounters:
    """Counters that others share; see above. `spend` stands where Counters.spend does.

    Args:
        open: connects; within it the script can be run.
        local: counts while the circuit is open.
        down: by what requests go then: "local" (these counters), "allow" or "refuse".
        tell: takes what is to be said when the circuit opens and closes.
    """

    def __init__(self, open: Open, local: Counters, down: str, tell: Callable[[str], None]) -> None:
        self._open = open
        self._local = local
        self._down = down
        self._tell = tell
        self._asked: list[_Asked] = []
        self._under_way: list[_Asked] = []
        self._wanted = Signal()
        self.is_closed = False
        self.was_tried = Signal()
        """Set when the first connection has come about, or not."""
        self._was_told = ""

    def spend(self, keys: Sequence[bytes], rates: Sequence[Rate], now: float) -> Spent | Awaitable[Spent]:
        """Count one request under each of its keys, if all of them have room for it.

        Raises:
            Refusal: 503, Redis is down and requests shall not pass by then.
        """
        if not self.is_closed:
            return self._spend_alone(keys, rates, now)
        return self._spend_together(keys, rates)

    async def _spend_together(self, keys: Sequence[bytes], rates: Sequence[Rate]) -> Spent:
        asked = _Asked(keys, rates)
        self._asked.append(asked)
        self._wanted.set()
        if await first(asked.done, until=clock() + _PATIENCE) is None:
            await first(asked.done, until=clock() + _GRACE)
        spent, now = asked.spent, clock()
        if spent is None:
            if self.is_closed:
                self._let_go()
            return self._spend_alone(keys, rates, now)
        for key, debt in zip(keys, spent.debts, strict=True):
            self._local.note(key, debt, now)
        return spent

    def _spend_alone(self, keys: Sequence[bytes], rates: Sequence[Rate], now: float) -> Spent:
        if self._down == "local":
            return self._local.spend(keys, rates, now)
        if self._down == "allow":
            return Spent(True, [0.0] * len(keys))
        raise Refusal(503, "the counters of its limits cannot be asked", [(b"Retry-After", b"1")])

    # -- the task that asks ------------------------------------------------------------------------------

    async def run(self) -> None:
        """Connect, ask and connect again, for ever."""
        pause = _FIRST_PAUSE
        while True:
            try:
                with trio.CancelScope(deadline=trio.current_time() + _CONNECT) as connecting:
                    async with self._open() as ask:
                        await ask([], [])  # has the script loaded: two round trips
                        connecting.deadline = math.inf
                        pause = _FIRST_PAUSE
                        self._wanted.set()
                        await self._answer(ask)
                if connecting.cancelled_caught:
                    self._fail(_why(trio.TooSlowError()))
            except Exception as error:  # whatever befalls a client library must not end the serving
                self._fail(_why(error))
            await trio.sleep(pause * random.uniform(0.8, 1.2))
            pause = min(_LONGEST_PAUSE, 2 * pause)

    async def _answer(self, ask: Ask) -> None:
        """Ask for whoever comes; until something fails."""
        while True:
            with trio.move_on_after(_QUIET):
                await self._wanted.wait_in_trio()
            self._wanted.clear()
            batch = self._under_way = self._asked[:_MOST_AT_ONCE]
            del self._asked[:_MOST_AT_ONCE]
            if self._asked:
                self._wanted.set()
            keys = [_TAG + key for one in batch for key in one.keys]
            began = trio.current_time()
            try:
                with trio.fail_after(_CALL):
                    said = await ask(keys, _arguments(batch))
            except Exception as error:
                self._fail(_why(error))  # at once: to leave the connection may take a while
                raise
            if not self.is_closed:
                if trio.current_time() - began < _PATIENCE:
                    self._close()
                elif batch:
                    self._wanted.set()
                else:
                    self._fail(_why(trio.TooSlowError()))
            at = 0
            for one in batch:
                end = at + 1 + len(one.keys)
                one.spent = Spent(said[at] == 1, [debt / _MICRO for debt in said[at + 1 : end]])
                one.done.set()
                at = end

    def _close(self) -> None:
        self.is_closed = True
        self.was_tried.set()
        if self._was_told:
            self._tell("redis: it answers again, limits are shared")
        self._was_told = ""

    def _let_go(self) -> None:
        """Open the circuit, and let all go that wait. Called on the lane too."""
        self.is_closed = False
        waiting, self._asked, self._under_way = [*self._under_way, *self._asked], [], []
        for one in waiting:
            one.done.set()

    def _fail(self, why: str) -> None:
        """Open the circuit, and say why."""
        self.was_tried.set()
        self._let_go()
        if why != self._was_told:
            self._was_told = why
            self._tell(f"redis: {why}; {_MEANWHILE[self._down]}")


_MEANWHILE = {
    "local": "each process counts by itself",
    "allow": "requests pass uncounted",
    "refuse": "requests under a limit are refused",
}


def _arguments(batch: Sequence[_Asked]) -> list[int | float]:
    arguments: list[int | float] = []
    for one in batch:
        arguments.append(len(one.rates))
        for rate in one.rates:
            arguments += (rate.interval * _MICRO, rate.most * _MICRO)
    return arguments


def _why(error: BaseException) -> str:
    """Give what went wrong, in few words."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, trio.TooSlowError):
        return "it does not answer in time"
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror.lower()
        cause = cause.__cause__ or cause.__context__
    return str(error) or type(error).__name__


# -- the client library ------------------------------------------------------------------------------------


def open_redis(place: Place, password: str | None) -> Open:
    """Make what connects to Redis.

    Connecting may take for ever: whoever does it has a deadline.
    """

    @asynccontextmanager
    async def connected() -> AsyncIterator[Ask]:
        async with AsyncExitStack() as stack:
            client = await _client(place, password, stack)
            script = client.register_script(_SCRIPT)

            async def ask(keys: Sequence[bytes], arguments: Sequence[int | float]) -> list[int]:
                said: list[int] = await script(keys=keys or [_TAG], args=arguments)
                return said

            yield ask

    return connected


async def _client(
    place: Place, password: str | None, stack: AsyncExitStack
) -> coredis.Redis[bytes] | coredis.RedisCluster[bytes]:
    """Enter a client; the stack leaves it. It tries nothing twice: that is for the circuit."""
    nodes = [TCPLocation(host, port) for host, port in place.hosts]
    if place.kind == "cluster":
        cluster: coredis.RedisCluster[bytes] = coredis.RedisCluster(
            startup_nodes=nodes,
            username=place.user,
            password=password,
            ssl=place.context is not None,
            ssl_context=place.context,
            connect_timeout=_CONNECT,
            retry_policy=NoRetryPolicy(),
            decode_responses=False,
        )
        return await stack.enter_async_context(cluster)
    if place.kind == "sentinel":
        sentinel: coredis.Sentinel[bytes] = coredis.Sentinel(
            nodes,
            sentinel_kwargs={"connect_timeout": _CONNECT, "ssl_context": place.context},
            db=place.database,
            username=place.user,
            password=password,
            ssl_context=place.context,
            connect_timeout=_CONNECT,
        )
        await stack.enter_async_context(sentinel)
        return await stack.enter_async_context(sentinel.primary_for(place.service))
    host, port = place.hosts[0] if place.hosts else (None, None)
    client: coredis.Redis[bytes] = coredis.Redis(
        host,
        port,
        place.database,
        username=place.user,
        password=password,
        unix_socket_path=place.path,
        ssl_context=place.context,
        connect_timeout=_CONNECT,
        retry_policy=NoRetryPolicy(),
    )
    return await stack.enter_async_context(client)
