"""Outward: from a URL that netfront asks by itself to the handler that forwards there.

Each place has a pool of its own like any service, so that its name is followed, connections are kept, and a reload
keeps both. Most places stand in the plan (outpools.py). An issuer may name others once it is asked (RFC 8414 §2): those
are made then, a bounded number of them, and spoken to as the issuer is.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from netfront.cli.gate.outpools import outward_pool
from netfront.cli.gate.way import Way
from netfront.cli.plan import BackendTlsPlan
from netfront.cli.services import Service, sources_of
from netfront.errors import NoBackend
from netfront.http.attempts import Dialling
from netfront.http.client import Patience
from netfront.http.forward import forward
from netfront.http.message import Handler
from netfront.http.transport import Transport

if TYPE_CHECKING:
    from netfront.cli.render import Console

__all__ = ["Outward"]

_MOST_FOUND = 64
"""Places that issuers may name: each names a handful."""
_ANSWER = 60.0
"""Seconds to the first byte of an answer; whoever asks sets a deadline of its own."""


class Outward:
    """The ways out of one app.

    Args:
        services: of the plan, by the names of their pools.
        read: seconds between two reads of a body.
        kept: of the app before: the places that were found stay.
    """

    def __init__(
        self,
        services: Mapping[str, Service],
        transport: Transport,
        dialling: Dialling,
        read: float,
        console: "Console",
        kept: "Outward | None" = None,
    ) -> None:
        self._services = services
        self._transport = transport
        self._dialling = dialling
        self._read = read
        self._console = console
        self._handlers: dict[str, Handler] = {}
        self.found: dict[str, Service] = kept.found if kept is not None else {}
        """Services that are not in the plan."""
        self.start: Callable[[Service], None] | None = None
        """Starts a service; there once the app runs."""

    def handler(self, way: Way, by: Way | None = None) -> Handler:
        """Give what forwards to the place of a way. Paths are the requests' own; their Host is too.

        Args:
            by: who named it, where the plan does not know it.
        Raises:
            NoBackend: a place too many.
        """
        name = way.pool
        known = self._handlers.get(name)
        if known is None:
            service = self._services.get(name) or self.found.get(name) or self._find(way, by)
            known = self._handlers[name] = forward(
                service.pool,
                self._transport,
                dialling=self._dialling,
                patience=Patience(_ANSWER, self._read, self._read),
            )
        return known

    def _find(self, way: Way, by: Way | None) -> Service:
        if len(self.found) >= _MOST_FOUND or self.start is None:
            raise NoBackend(f"{way.pool}: no more than {_MOST_FOUND} places are asked that no flag names")
        plan = outward_pool(way, self._spoken(by))
        contexts = {}
        if (tls := plan.targets[0].tls) is not None:
            from netfront.net.tls import client_context  # not where nobody speaks TLS

            contexts[tls] = client_context(ca=tls.ca, cert=tls.cert, key=tls.key)
        service = Service(plan, sources_of(plan, contexts, None), self._console, bytes)
        self.found[way.pool] = service
        self.start(service)
        return service

    def _spoken(self, by: Way | None) -> BackendTlsPlan:
        """Tell how TLS is spoken to who named a place."""
        service = self._services.get(by.pool) if by is not None else None
        tls = service.plan.targets[0].tls if service is not None else None
        return tls or BackendTlsPlan("")
