"""Fronts: what serves one listener each, and what becomes of it when another plan takes over."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from netfront.cli.figures import Figures
from netfront.cli.plan import ListenerPlan
from netfront.http.message import Observer
from netfront.http.server import HttpServer
from netfront.net.datagram import Datagrams
from netfront.net.inbound import TurnedAway
from netfront.net.listen import Listener, StreamHandler
from netfront.net.passage import Passage
from netfront.net.passthrough import Passthrough
from netfront.net.stream import Facts

__all__ = ["Front", "Observers"]


def _nobody(_: Facts, why: str) -> None:
    """Hear of it where nobody wants to."""


@dataclass(frozen=True, slots=True)
class Observers:
    """Who is told of requests, connections and flows as they end, and of who was turned away."""

    exchanges: tuple[Observer, ...] = ()
    tcp: tuple[Callable[[Passage], None], ...] = ()
    udp: tuple[Callable[[Passage], None], ...] = ()
    turned_away: TurnedAway = _nobody

    def and_also(self, figures: Figures) -> "Observers":
        """Give these and the figures."""
        return replace(
            self,
            exchanges=(*self.exchanges, figures.exchange),
            tcp=(*self.tcp, figures.passage),
            udp=(*self.udp, figures.passage),
        )


@dataclass(slots=True, eq=False)
class Front:
    """What serves one listener, and the listener once it is open.

    Args:
        server, passthrough, datagrams: one of them; who serves it.
    """

    plan: ListenerPlan
    handler: StreamHandler
    server: HttpServer | None = None
    passthrough: Passthrough | None = None
    datagrams: Datagrams | None = None
    listener: Listener | None = None

    @property
    def open(self) -> int:
        """Connections, or flows, that are open."""
        if self.server is not None:
            return len(self.server.open)
        if self.passthrough is not None:
            return len(self.passthrough.open)
        return self.datagrams.open if self.datagrams is not None else 0

    def retire(self, successor: "Front | None", observers: Observers) -> None:
        """Serve what is open here as the front that stands at the same endpoint by now.

        Where there is none requests under way are answered, and what is passed on goes on; the new observers are told.
        """
        if self.server is not None:
            if successor is not None and successor.server is not None:
                self.server.become(successor.server)
            else:
                self.server.observers = observers.exchanges
                self.server.drain()
        if self.passthrough is not None:
            self.passthrough.observers = observers.tcp
        if self.datagrams is not None:
            self.datagrams.observers = observers.udp
