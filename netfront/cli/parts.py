"""What the fronts of an app are made of, put together once."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from netfront.cli.fronts import Observers
from netfront.cli.gate.guarding import AddressOf, Makers
from netfront.cli.gate.limiting import Limiting
from netfront.cli.gate.outward import Outward
from netfront.cli.plan import RoutePlan, ServePlan
from netfront.cli.services import Service
from netfront.http.message import Filter
from netfront.http.transport import Transport
from netfront.net.pipe import Pipes
from netfront.net.tasks import Tasks
from netfront.policy.shared import Shared
from netfront.wire.head import HeadLimits, HeadMemory, RequestBlock

if TYPE_CHECKING:
    from netfront.cli.certificates import Certificates

__all__ = ["Parts"]


@dataclass(frozen=True, slots=True)
class Parts:
    """What the fronts are made of."""

    plan: ServePlan
    services: dict[str, Service]
    transport: Transport
    tasks: Tasks
    pipes: Pipes
    heads: HeadLimits
    memory: HeadMemory[RequestBlock]
    trusted: Callable[[str], bool]
    address_of: AddressOf
    outward: Outward
    makers: Makers
    logging_in: Filter | None
    ports: list[int]
    certificates: "Certificates | None"
    observers: Observers
    limiting: Limiting
    composed: Shared
    """What answers being composed may hold."""

    def behind(self, route: RoutePlan) -> Service:
        """Give the service of a route that has a pool."""
        assert route.pool is not None
        return self.services[route.pool]
