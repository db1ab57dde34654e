"""Passing through: a connection goes to a backend of a pool as it came, byte for byte.

Which pool is found by the name a client asks for: that of its ClientHello, or of the TLS that was ended before. The
ClientHello is waited for only where a route has a host or a backend takes certain protocols alone, since in some
protocols it is the server that speaks first.

As long as no byte was relayed a failure is nobody's loss, and another backend is tried; afterwards the end of one
side is the end of the other: an EOF an EOF, a reset a reset.
"""

from collections.abc import Callable, Container, Iterable
from functools import partial

from netfront.errors import BackendError, BadMessage, ClientGone, NoBackend, Overdue, words
from netfront.net.backend import Backend, Member
from netfront.net.dial import dial_any, proxy_line
from netfront.net.lane import Signal, clock, first
from netfront.net.leases import Leases
from netfront.net.passage import CLIENT, Passage
from netfront.net.pipe import Pipes
from netfront.net.pool import DONE, GIVEN_UP, Lease, Pool
from netfront.net.relay import Relay
from netfront.net.stream import SocketStream, Stream
from netfront.policy.retry import TRIES
from netfront.policy.route import Match, Scope, Table
from netfront.wire.clienthello import MOST_HELLO, parse_client_hello

__all__ = ["Passthrough"]

_HELLO_TIME = 3.0
"""Seconds for the ClientHello; who then has sent none is served by the route without a host."""


class Passthrough:
    """Passes connections through.

    Args:
        routes: which pool; only the host of a scope counts, and of two with the same one the first.
        connect_time: seconds to connect to a backend, TLS included.
        idle: seconds without a byte in either direction after which a connection is given up.
        hello_time: seconds for a ClientHello.
        hears: whether it is waited for though no route has a host: a backend takes certain protocols alone.
        pipes: for bulk; None copies always.
        observers: told of each passage, after its end.
    """

    def __init__(
        self,
        routes: Iterable[tuple[Scope, Pool]],
        *,
        connect_time: float = 3.0,
        idle: float = 300.0,
        hello_time: float = _HELLO_TIME,
        hears: bool = False,
        pipes: Pipes | None = None,
        observers: Iterable[Callable[[Passage], None]] = (),
    ) -> None:
        by_host: dict[Scope, Pool] = {}
        for scope, pool in routes:
            by_host.setdefault(Scope(host=scope.host), pool)
        self._table = Table(by_host.items())
        self._unnamed = by_host.get(Scope())
        self._hears = hears or any(scope.host for scope in by_host)
        self._connect_time = connect_time
        self._idle = idle
        self._hello_time = hello_time
        self._pipes = pipes
        self.observers = tuple(observers)
        self.open: set[Passage] = set()
        """The connections under way."""

    async def serve(self, stream: Stream) -> None:
        """Serve one connection to its end, whatever that is; the StreamHandler. The stream is closed by the caller."""
        passage = Passage(stream.facts, clock(), outcome="cut")
        self.open.add(passage)
        try:
            tries, early = (
                await self._find(stream, passage) if self._hears else (self._unheard(stream, passage), b"")
            )
            if not early:
                early = stream.receive_now() or b""  # what is there goes into the handshake with the backend
            if not tries.begin():
                await tries.wait(self._connect_time)
            while not passage.ended:
                try:
                    backend, out = await dial_any(tries, timeout=self._connect_time, has_words=bool(early))
                except BackendError:
                    if not await tries.wait_for_others():
                        raise
                    continue
                tries.won(backend)
                if isinstance(out, SocketStream):
                    out.keep_urgent()
                relay = Relay(stream, out, idle=self._idle, from_one=early, pipes=self._pipes)
                outcome = GIVEN_UP
                try:
                    await relay.run()
                    outcome = DONE
                    passage.outcome = ""
                    passage.ended = clock()
                except OSError as error:
                    if relay.broke is not out:
                        raise
                    outcome = words(error)
                    if relay.sent or relay.received or not tries.has_more:
                        raise BackendError("stream", retry_safe=False, why=outcome) from error
                    early = relay.unsent
                finally:
                    tries.done(out, relay, outcome)
        except (BackendError, NoBackend, Overdue) as error:
            passage.outcome = str(error)
        except OSError as error:
            passage.outcome = f"{CLIENT}{words(error)}"
        except ClientGone:
            passage.outcome = f"{CLIENT}it left"
        finally:
            if passage.outcome:
                stream.reset()  # or what was cut would look complete
            self.open.discard(passage)
            passage.ended = clock()
            for observe in self.observers:
                observe(passage)

    def _unheard(self, stream: Stream, passage: Passage) -> "_Tries":
        if self._unnamed is None:
            raise NoBackend("no route")
        return _Tries(self._unnamed, None, stream, passage)

    async def _find(self, stream: Stream, passage: Passage) -> tuple["_Tries", bytes]:
        """Find the pool by what the client says; give also the bytes read for that."""
        passage.name, protocols, early = await self._hear(stream)
        found = self._table.find(b"", passage.name, b"/")
        if not isinstance(found, Match):
            raise NoBackend("no route")
        return _Tries(found.value, protocols, stream, passage), early

    async def _hear(self, stream: Stream) -> tuple[bytes, tuple[bytes, ...], bytes]:
        """Learn for what name and in which protocols a client asks; give also the bytes read for that."""
        facts = stream.facts
        if facts.tls:
            name = (facts.sni or "").lower().removesuffix(".")
            return name.encode(), (facts.alpn.encode(),) if facts.alpn else (), b""
        data = b""
        until = clock() + self._hello_time
        try:
            while (hello := parse_client_hello(data)) is None:
                got = stream.receive_now(MOST_HELLO)
                if got == b"":
                    break
                if got:
                    data += got
                elif await first(stream.readable, until=until) is None:
                    break
            else:
                return hello.sni or b"", hello.alpn, data
        except BadMessage:
            pass
        return b"", (), data


class _Tries:
    """The tries of one connection: who is dialled, and whose lease it has then.

    Args:
        protocols: that the client speaks; None where nobody looked, as no backend minds.
    """

    __slots__ = (
        "_first",
        "_is_full",
        "_lease",
        "_leases",
        "_passage",
        "_pool",
        "_protocols",
        "_stream",
        "_tried",
        "has_more",
    )

    def __init__(
        self, pool: Pool, protocols: tuple[bytes, ...] | None, stream: Stream, passage: Passage
    ) -> None:
        self._pool = pool
        self._stream = stream
        self._protocols = protocols
        self._passage = passage
        self._tried: list[Backend] = []
        self._first: Lease | None = None
        self._is_full = False
        """Whether there is more to dial, but for the places that others have."""
        self._leases = Leases()
        self._lease: Lease | None = None
        self.has_more = True

    def begin(self) -> bool:
        """Pick the first to dial; False where that takes a while: then `wait`. Raises NoBackend: there is none."""
        try:
            self._first = self._take()
        except NoBackend as error:
            if not (error.is_full or self._is_early):
                raise
            return False
        return True

    async def wait(self, longest: float) -> None:
        """Wait for the first to dial: until it is known who is there, and in the queue where all are busy.

        Args:
            longest: seconds to wait for names that are looked up for the first time.
        Raises:
            NoBackend: there is none, the queue is full, or it took too long.
            ClientGone: it left meanwhile.
        """
        if self._is_early:
            await self._wait_for_names(longest)
            if self.begin():
                return
        # where backends mind protocols some will not do, and a place at those is for others
        await self._wait(stands_by=len({backend.member.alpn for backend in self._pool.backends}) > 1)

    async def wait_for_others(self) -> bool:
        """Where those that were dialled have failed and the others are busy, wait until one of these may be dialled.

        Returns:
            whether there is one now.
        Raises:
            NoBackend, ClientGone: as `wait` does.
        """
        if not self._is_full or self._passage.tries >= TRIES:
            return False
        try:
            self._first = self._take(
                has_waited=True
            )  # somebody may have ended while the last one was dialled
        except NoBackend as error:
            if not error.is_full:
                return False
            await self._wait(stands_by=True)
        self._is_full, self.has_more = False, True
        return True

    @property
    def _is_early(self) -> bool:
        """Whether nobody is known yet, and somebody may be soon."""
        return self._pool.is_awaited and not self._pool.backends

    async def _wait_for_names(self, longest: float) -> None:
        pool, until = self._pool, clock() + longest
        while self._is_early and clock() < until:
            pool.changed.clear()
            await first(pool.changed, self.gone, until=until)
            if self.gone.is_set and self.has_left():
                raise ClientGone
        if self._is_early:
            raise NoBackend("the pool is empty")

    async def _wait(self, *, stands_by: bool) -> None:
        waited = partial(self._take, has_waited=True)
        pool = self._pool
        self._first = await pool.wait_for_lease(waited, self.gone, self.has_left, stands_by=stands_by)
        if self._first is None:
            raise ClientGone

    def another(self) -> Backend | None:
        """Give the next to dial; None when it is enough, or there is none."""
        if not self.has_more:
            return None
        lease, self._first = self._first, None
        if lease is None:
            try:
                lease = self._take(has_waited=True)
            except NoBackend as error:
                self.has_more, self._is_full = False, error.is_full
                return None
        backend = self._leases.add(lease)
        self._tried.append(backend)
        passage = self._passage
        passage.tries += 1
        passage.backend = backend
        self.has_more = passage.tries < TRIES
        return backend

    def failed(self, backend: Backend, error: BackendError) -> None:
        """Hand back the lease of one that could not be dialled."""
        self._passage.why += (error.why,)
        self._leases.failed(backend, error)

    def won(self, backend: Backend) -> None:
        """Note who is connected."""
        now = clock()
        passage = self._passage
        passage.backend = backend
        passage.connected = now
        self._lease, _, since = self._leases.won(backend)
        self._lease.answered(now - since)  # what is passed on may go on for days

    def done(self, out: Stream, relay: Relay, outcome: str) -> None:
        """Close the backend's side, count, and hand back the lease."""
        passage = self._passage
        received = relay.received
        passage.received += relay.sent
        passage.sent += received
        if outcome is DONE:
            out.abort()
        else:
            out.reset()
            if outcome is not GIVEN_UP:
                passage.why += (outcome,)
        # one that has answered is well, whatever came then
        lease, self._lease = self._lease, None
        if lease is not None:
            lease.done(DONE if received else outcome)

    def gave_up(self) -> None:
        """Hand back what is out still: nothing was connected."""
        self._leases.gave_up()

    def preamble(self, member: Member) -> bytes:
        """Give the PROXY line that a member wants to hear first."""
        return proxy_line(member, self._passage.facts)

    @property
    def gone(self) -> Signal:
        """Set when the client has ended its sending, or is lost."""
        return self._stream.hung

    def has_left(self) -> bool:
        """Tell whether the client is lost: one that has ended its sending may still want to hear."""
        stream = self._stream
        if not stream.is_lost:
            stream.hung.clear()
        return stream.is_lost

    def _take(self, *, has_waited: bool = False) -> Lease:
        """Take a lease: of those that want one of the client's protocols, its favourite first, else of the others."""
        key = self._passage.facts.peer[0].encode()
        if self._protocols is None:
            return self._pool.take(key, self._tried, clock(), has_waited=has_waited)
        take = partial(self._pool.take, key, now=clock(), has_waited=has_waited)
        wanted = {backend.member.alpn for backend in self._pool.backends}
        if wanted == {None}:
            return take(self._tried)
        full: NoBackend | None = None
        for protocol in (*dict.fromkeys(self._protocols), None):  # a client may name one thousands of times
            if protocol in wanted or protocol is None:
                try:
                    return take(_Unfit(protocol, self._tried))
                except NoBackend as error:
                    full = error if full is None or error.is_full else full
        if not wanted & {*self._protocols, None}:
            spoken = b", ".join(self._protocols[:4]).decode("latin-1") or "no protocol"
            raise NoBackend(f"no backend takes {spoken}, which the client speaks")
        assert full is not None
        raise full


class _Unfit(Container[Backend]):
    """Those that are not to be picked: tried already, or for another protocol."""

    def __init__(self, protocol: bytes | None, tried: Container[Backend]) -> None:
        self._protocol = protocol
        self._tried = tried

    def __contains__(self, backend: object) -> bool:
        is_fit = isinstance(backend, Backend) and backend.member.alpn == self._protocol
        return not is_fit or backend in self._tried
