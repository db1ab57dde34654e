"""Datagrams: UDP to the backends of a pool, by flows.

A flow is a client's address and the backend that its datagrams go to, for as long as some pass. It has a socket of
its own that is connected to the backend, so that what comes back on it is for this client, and an ICMP refusal is told
on it as an error. Replies leave from the listening socket, that is from the address the client had written to.

A client that never pauses would keep a backend for ever. So its next datagram goes elsewhere once the backend has left
the pool, or is down while another is up: nobody can tell where in a protocol that is, but where it was nothing comes
back from. (Envoy does so for a host that its probes take down; nginx keeps a session where it is.) One that is drained
keeps its flows, as it keeps its connections; so does one that only replies, until its client speaks.

Theory. Most flows of DNS are one datagram each way, so what a flow costs is what matters: it is no task, only a
socket and an entry. One coroutine for each listening socket does everything: it waits for a single signal, which the
listening socket and every flow's socket set (they are watched by the lane, and are their own waiters). Without a
lane a trio task for each socket waits for it and sets the same. Nothing here waits for a send: what a socket does not
take at once is dropped, as any network may.

Names of backends are looked up in a task beside; until then what a client sends is held, one datagram for a flow. The
same is held while it is the only one that has no answer yet, so that a refusal loses nothing where one asks and waits.
"""

import errno
import socket
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence

import trio

from netfront.errors import BackendError, NoBackend, words
from netfront.net.backend import Backend
from netfront.net.bind import PKTINFO, ask_destination
from netfront.net.dial import Address, addresses_of, resolve
from netfront.net.lane import Lane, Signal, breathe, clock, plainly, ready
from netfront.net.passage import Passage
from netfront.net.pool import DONE, GIVEN_UP, Lease, Pool
from netfront.net.stream import Facts, unmapped
from netfront.policy.retry import TRIES

__all__ = ["Datagrams", "flows_for"]

_IDLE = 30.0
_MOST_FLOWS = 8192
"""Flows at once, each with a descriptor; the one unused for the longest makes room for a new one."""
_AT_ONCE = 64
"""Datagrams taken from clients in a turn."""
_REPLIES = 16
"""Datagrams taken from one backend's socket in a turn."""
_LARGEST = 65535
_MOST_HELD = 4096
"""Bytes of a datagram that is kept until it is answered; a larger one is not sent a second time."""
_TRIAL = 1.0
"""Seconds for which a flow stays with a backend that is down and is tried by it."""
_MOST_WAITING = 256
"""Flows that wait for a name to be looked up, each with the one datagram held."""
_LOOK_UP = 5.0
_SWEEP = 1.0
_NOT_THE_BACKENDS = frozenset({errno.EMSGSIZE, errno.ENOBUFS, errno.ENOMEM, errno.EPERM})
_UNHEEDED = Signal(True)
Control = Sequence[tuple[int, int, bytes]]


def flows_for(descriptors: int, listeners: int) -> int:
    """Tell how many flows each of so many listeners may have: a quarter of what there is of descriptors, in all."""
    return max(16, min(_MOST_FLOWS, descriptors // 4 // listeners))


class Datagrams:
    """Passes datagrams to the backends of a pool.

    Args:
        idle: seconds without a datagram either way after which a flow ends.
        most_flows: at once, over all sockets.
        observers: told of each flow, after its end.
    """

    def __init__(
        self,
        pool: Pool,
        *,
        idle: float = _IDLE,
        most_flows: int = _MOST_FLOWS,
        observers: Iterable[Callable[[Passage], None]] = (),
    ) -> None:
        self.pool = pool
        self.idle = idle
        self.most_flows = most_flows
        self.observers = tuple(observers)
        self.open = 0
        """Flows there are."""
        self.dropped = 0
        """Datagrams that could not be passed on."""

    def become(self, other: "Datagrams") -> None:
        """Go on as another one would; flows that are open stay where they are."""
        self.pool, self.idle, self.most_flows, self.observers = (
            other.pool, other.idle, other.most_flows, other.observers,
        )  # fmt: skip

    async def serve(self, sock: socket.socket, lane: Lane | None, listener: str = "") -> None:
        """Serve one listening socket until it is cancelled; the socket stays open."""
        await _Service(self, sock, lane, listener).run()


class _Flow:
    """One flow. Watched by the lane in place of a stream, and its own waiter."""

    __slots__ = (
        "addresses",
        "answered_at",
        "control",
        "drained",
        "ended_at",
        "generation",
        "has_ended",
        "heard",
        "held",
        "is_answered",
        "is_due",
        "is_lost",
        "is_marked",
        "last",
        "lease",
        "passage",
        "peer",
        "readable",
        "service",
        "since",
        "socket",
        "tried",
    )
    writable = _UNHEEDED
    hung = _UNHEEDED

    def __init__(self, service: "_Service", peer: tuple[object, ...], passage: Passage) -> None:
        self.service = service
        self.peer = peer
        self.passage = passage
        self.last = self.heard = passage.started
        self.control: Control = ()
        self.held: bytes | None = None
        self.lease: Lease | None = None
        self.since = self.answered_at = 0.0
        """When the lease was taken, and when its backend answered first; 0.0 before it has."""
        self.generation = 0
        """The backend's when the lease was taken."""
        self.socket: socket.socket | None = None
        self.addresses = 0
        self.is_answered = True
        self.tried: list[Backend] = []
        self.is_due = self.has_ended = self.is_lost = self.is_marked = False
        self.ended_at = 0.0
        self.readable = Signal()
        self.readable.add(self)
        self.drained = Signal()

    def wake(self) -> None:
        """Have the service look at it."""
        if not self.is_due:
            self.is_due = True
            self.service.due.append(self)
            self.service.work.set()


class _Ear:
    """The listening socket, as the lane watches it, and a waiter of its own."""

    writable = _UNHEEDED
    hung = _UNHEEDED

    def __init__(self, work: Signal) -> None:
        self._work = work
        self.readable = Signal(True)
        self.readable.add(self)
        self.drained = Signal()
        self.has_ended = self.is_lost = self.is_marked = False
        self.ended_at = 0.0

    def wake(self) -> None:
        """Have the service look at it."""
        self._work.set()


class _Service:
    """What serves one listening socket. `due` are the flows to look at, `work` is set when there is anything to do."""

    def __init__(self, settings: Datagrams, sock: socket.socket, lane: Lane | None, listener: str) -> None:
        self._settings = settings
        self._socket = sock
        self._lane = lane
        self._listener = listener
        place = sock.getsockname()
        self._local = (place[0], place[1])
        self._flows: OrderedDict[tuple[object, ...], _Flow] = OrderedDict()
        self.due: list[_Flow] = []
        self.work = Signal(True)
        self._ear = _Ear(self.work)
        self._unresolved: list[_Flow] = []
        self._wanted = Signal()
        self._nursery: trio.Nursery | None = None
        self._tells_local = ask_destination(sock, place[0])

    async def run(self) -> None:
        """Serve until it is cancelled."""
        lane, number = self._lane, self._socket.fileno()
        try:
            async with trio.open_nursery() as self._nursery:
                self._nursery.start_soon(self._sweep)
                self._nursery.start_soon(self._look_up)
                if lane is not None:
                    lane.watch(number, self._ear)
                else:
                    self._nursery.start_soon(self._listen, self._ear, self._socket)
                await (lane.run if lane is not None else plainly)(self._serve)
        finally:
            if lane is not None:
                lane.forget(number, self._ear)
            while self._flows:
                self._end(self._flows.popitem()[1])

    # -- the coroutine that does it all -------------------------------------------------------------------

    async def _serve(self) -> None:
        work, ear = self.work, self._ear
        while True:
            await ready(work)
            work.clear()
            more = ear.readable.is_set and self._take_in()
            due, self.due = self.due, []
            for flow in due:
                flow.is_due = False
                if flow.socket is not None and self._give_back(flow):
                    flow.wake()
            if more or self.due:
                work.set()
                await breathe()

    def _take_in(self) -> bool:
        """Take what clients have sent; tell whether there may be more."""
        receive, flows, now = self._socket.recvfrom, self._flows, clock()
        control: Control = ()
        for _ in range(_AT_ONCE):
            try:
                if self._tells_local:
                    data, control, _, peer = self._socket.recvmsg(_LARGEST, 64)
                else:
                    data, peer = receive(_LARGEST)
            except BlockingIOError:
                self._ear.readable.clear()
                self._ear.drained.set()
                return False
            except OSError:
                continue  # what befell an earlier reply; the socket is as good as before
            flow = flows.get(peer)
            if flow is None:
                flow = self._begin(peer, now)
            else:
                flows.move_to_end(peer)
            flow.last = flow.heard = now
            flow.control = control
            flow.passage.received += len(data)
            self._pass(flow, data)
        return True

    def _give_back(self, flow: _Flow) -> bool:
        """Take what the backend has sent and pass it to the client; tell whether there may be more."""
        sock, passage = flow.socket, flow.passage
        assert sock is not None
        for _ in range(_REPLIES):
            try:
                data = sock.recv(_LARGEST)
            except BlockingIOError:
                flow.readable.clear()
                flow.drained.set()
                return False
            except OSError as error:
                self._refused(flow, error)
                return False
            flow.last = clock()
            if not flow.answered_at:
                flow.answered_at = flow.last
                passage.connected = passage.connected or flow.last
                if flow.lease is not None:
                    flow.lease.answered(flow.last - flow.since)
            flow.held = None
            flow.is_answered = True
            try:
                if flow.control:
                    self._socket.sendmsg([data], _answering(flow.control), 0, flow.peer)
                else:
                    self._socket.sendto(data, flow.peer)
                passage.sent += len(data)
            except OSError:
                self._settings.dropped += 1
        return True

    # -- flows --------------------------------------------------------------------------------------------

    def _begin(self, peer: tuple[object, ...], now: float) -> _Flow:
        settings = self._settings
        if settings.open >= settings.most_flows and self._flows:
            self._end(self._flows.popitem(last=False)[1])
        facts = Facts((unmapped(str(peer[0])), int(peer[1])), self._local, self._listener)  # type: ignore[call-overload]
        flow = self._flows[peer] = _Flow(self, peer, Passage(facts, now))
        settings.open += 1
        return flow

    def _pass(self, flow: _Flow, data: bytes) -> None:
        """Send a datagram to the flow's backend, which is picked with the first."""
        if flow.socket is None:
            if flow.lease is None:
                flow.held = data
                del flow.tried[:-1]  # it goes elsewhere than where the last one was lost
                self._pick(flow, is_new=True)
            else:
                self._settings.dropped += 1  # a name is being looked up, and one is held
            return
        if self._is_outlived(flow) and self._move(flow, data):
            return
        # where one datagram is answered before the next is sent, the one on its way may be sent again
        flow.held = data if flow.is_answered and len(data) <= _MOST_HELD else None
        flow.is_answered = False
        self._send(flow, data)

    @staticmethod
    def _is_outlived(flow: _Flow) -> bool:
        """Tell whether a flow's backend is not what it was when it was picked: it has left, or is down."""
        backend = flow.lease.backend if flow.lease is not None else None
        return backend is not None and (backend.generation != flow.generation or not backend.is_up)

    def _move(self, flow: _Flow, data: bytes) -> bool:
        """Go on elsewhere with a flow whose backend has left or is down; tell whether there is such a place."""
        lease, pool = flow.lease, self._settings.pool
        assert lease is not None
        backend, other = lease.backend, None
        why = "it has left"
        if backend.generation == flow.generation:
            why, now = backend.why, clock()
            if lease.is_trial and now <= flow.since + _TRIAL:
                return False
            other = pool.take_beside(flow.passage.facts.peer[0].encode(), (backend,), now)
            if other is None:
                return False  # it is as good as any
        self._close(flow)
        self._hand_back(flow)
        flow.passage.why += (why,)
        flow.held = data
        flow.tried.clear()
        if other is not None:
            self._go_to(flow, other)
        else:
            self._pick(flow)
        return True

    def _pick(self, flow: _Flow, *, is_new: bool = False) -> None:
        """Take a lease for a flow, open its socket and send what is held; a new datagram may go where one was lost."""
        passage = flow.passage
        key = passage.facts.peer[0].encode()
        try:
            lease = self._settings.pool.take(key, flow.tried, clock())
        except NoBackend as error:
            if is_new and flow.tried:
                flow.tried.clear()
                self._pick(flow)
                return
            passage.outcome = error.why
            flow.held = None
            self._settings.dropped += 1
            return
        self._go_to(flow, lease)

    def _go_to(self, flow: _Flow, lease: Lease) -> None:
        """Open a socket to the backend of a lease, and send what is held."""
        flow.lease, backend, passage = lease, lease.backend, flow.passage
        flow.since, flow.answered_at, flow.generation = clock(), 0.0, backend.generation
        passage.tries += 1
        passage.backend = backend
        flow.tried.append(backend)
        flow.addresses = 0
        if not backend.addresses:
            backend.addresses = addresses_of(backend.member) or ()
        if backend.addresses:
            self._open(flow)
        elif len(self._unresolved) < _MOST_WAITING:
            self._unresolved.append(flow)
            self._wanted.set()
        else:
            self._give_up(flow, GIVEN_UP)

    def _open(self, flow: _Flow) -> None:
        """Connect a socket to the first address of the flow's backend, and send what is held."""
        assert flow.lease is not None
        address: Address = flow.lease.backend.addresses[0]  # type: ignore[assignment]  # the dialler's own
        flow.addresses += 1
        try:
            flow.socket = sock = socket.socket(address[0], socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        except OSError:
            self._give_up(flow, GIVEN_UP)  # out of descriptors: nobody's fault behind
            return
        try:
            sock.connect(address[1])  # type: ignore[arg-type]
        except OSError as error:
            self._refused(flow, error)
            return
        if self._lane is not None:
            self._lane.watch(sock.fileno(), flow)
        elif self._nursery is not None:
            self._nursery.start_soon(self._listen, flow, sock)
        data = flow.held
        if data is not None:
            if len(data) > _MOST_HELD:
                flow.held = None
            flow.is_answered = False
            self._send(flow, data)

    def _send(self, flow: _Flow, data: bytes) -> None:
        assert flow.socket is not None
        try:
            flow.socket.send(data)
        except BlockingIOError:
            self._settings.dropped += 1
        except OSError as error:
            if error.errno in _NOT_THE_BACKENDS:
                self._settings.dropped += 1
                return
            flow.held = data  # the error is of one sent before; this one has not left
            self._refused(flow, error)

    def _refused(self, flow: _Flow, error: OSError) -> None:
        """Go elsewhere with what is held: to the backend's next address, else to another backend."""
        self._close(flow)
        assert flow.lease is not None
        backend = flow.lease.backend
        if flow.addresses < len(backend.addresses):
            backend.addresses = [*backend.addresses[1:], backend.addresses[0]]
            self._open(flow)
            return
        self._give_up(flow, words(error))
        if flow.held is not None:
            if len(flow.tried) < TRIES:
                self._pick(flow)
            else:
                flow.held = None
                self._settings.dropped += 1

    def _give_up(self, flow: _Flow, outcome: str) -> None:
        """Hand the lease back of a backend that is not used; the next datagram is sent elsewhere."""
        lease, flow.lease = flow.lease, None
        if lease is not None:
            lease.done(outcome, connected=False)  # nobody listens there: no hold, once somebody does
            if outcome is not GIVEN_UP:
                flow.passage.why += (outcome,)
                flow.passage.outcome = outcome

    def _hand_back(self, flow: _Flow) -> None:
        """Hand the lease back of a backend against which nothing is to be said."""
        lease, flow.lease = flow.lease, None
        if lease is not None:
            lease.done(DONE if flow.answered_at else GIVEN_UP)

    def _close(self, flow: _Flow) -> None:
        sock, flow.socket = flow.socket, None
        if sock is not None:
            if self._lane is not None:
                self._lane.forget(sock.fileno(), flow)
            else:
                trio.lowlevel.notify_closing(sock)
                flow.drained.set()
            sock.close()
        flow.readable.clear()

    def _end(self, flow: _Flow) -> None:
        """End a flow that is out of the table."""
        self._close(flow)
        passage = flow.passage
        if flow.lease is not None:
            self._hand_back(flow)
            passage.outcome = ""
        self._settings.open -= 1
        passage.ended = clock()
        for observe in self._settings.observers:
            observe(passage)

    # -- tasks beside -------------------------------------------------------------------------------------

    async def _sweep(self) -> None:
        """End flows that are idle. They stand in the order of their clients' last datagrams."""
        flows = self._flows
        while True:
            await trio.sleep(min(_SWEEP, self._settings.idle / 2))
            limit = trio.current_time() - self._settings.idle
            while flows:
                peer, flow = next(iter(flows.items()))
                if flow.last <= limit:
                    del flows[peer]
                    self._end(flow)
                elif flow.heard <= limit:
                    flow.heard = flow.last  # replies alone keep it
                    flows.move_to_end(peer)
                else:
                    break

    async def _look_up(self) -> None:
        """Look up the names of backends that flows wait for."""
        while True:
            await self._wanted.wait_in_trio()
            self._wanted.clear()
            flows, self._unresolved = self._unresolved, []
            backends = {flow.lease.backend for flow in flows if flow.lease is not None}
            async with trio.open_nursery() as nursery:
                for backend in backends:
                    nursery.start_soon(self._look_one_up, backend, flows)

    async def _look_one_up(self, backend: Backend, flows: list[_Flow]) -> None:
        why = ""
        try:
            backend.addresses = await resolve(backend.member, clock() + _LOOK_UP)
        except BackendError as error:
            why = error.why
        for flow in flows:
            if flow.lease is not None and flow.lease.backend is backend and flow.socket is None:
                if why:
                    self._give_up(flow, why)
                    if len(flow.tried) < TRIES:
                        self._pick(flow)
                else:
                    self._open(flow)

    async def _listen(self, watched: _Flow | _Ear, sock: socket.socket) -> None:
        """Set `readable` as the lane would, where there is none."""
        try:
            while sock.fileno() >= 0:
                await trio.lowlevel.wait_readable(sock)
                watched.drained.clear()
                watched.readable.set()
                await watched.drained.wait_in_trio()
        except trio.ClosedResourceError:
            pass


def _answering(control: Control) -> Control:
    """Turn what came with a datagram into what its reply is sent with: from the address it came to."""
    for level, kind, data in control:
        if level == socket.IPPROTO_IP and kind == PKTINFO:
            return [
                (level, kind, bytes(4) + data[4:8] + bytes(4))
            ]  # in_pktinfo: interface, source, destination
        if level == socket.IPPROTO_IPV6 and kind == socket.IPV6_PKTINFO:
            return [(level, kind, data)]
    return []
