"""ServePlan: all that the flags of a serving command say, as pure data with every default explicit.

Made once, before any socket opens, by `planning.py`; read by the assembly, by `--explain` and by nobody else.
There is no I/O here and none is needed to make one: files are named, not read. Times are seconds and `inf`
is for ever; sizes are bytes and None is no limit.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from netfront.cli.gate.compose_plan import DEFAULT_MEMORY
from netfront.cli.gate.edge_plan import EdgePlan
from netfront.cli.gate.limit_plan import RedisPlan
from netfront.cli.gate.plan import NO_GATE, AnswerPlan, GatePlan
from netfront.cli.health import HealthPlan
from netfront.endpoint import Endpoint
from netfront.policy.condition import Condition
from netfront.policy.route import Scope
from netfront.policy.statuses import NO_STATUS, StatusSet

if TYPE_CHECKING:
    from netfront.cli.scoped import Policy

__all__ = [
    "DRAIN",
    "LOG_FORMATS",
    "BackendTlsPlan",
    "BalancePlan",
    "CertificatePlan",
    "FieldEdit",
    "HostPlan",
    "LbPlan",
    "LimitsPlan",
    "ListenerPlan",
    "LogPlan",
    "Place",
    "PoolPlan",
    "ReadyPlan",
    "RetryPlan",
    "RoutePlan",
    "Secret",
    "ServePlan",
    "Settings",
    "TargetPlan",
    "TellPlan",
    "TlsPlan",
    "Variant",
    "places",
]


LOG_FORMATS = ("common", "combined", "json", "logfmt")
DRAIN = 30.0
"""Seconds that what is under way may take at the end, unless --drain says otherwise."""


@dataclass(frozen=True, slots=True)
class Secret:
    """Where a secret is to be read from: exactly one of the two. It is never part of a plan itself."""

    file: str | None = None
    variable: str | None = None

    def __str__(self) -> str:
        return f"@{self.file}" if self.file is not None else f"env:{self.variable}"


@dataclass(frozen=True, slots=True)
class ListenerPlan:
    """One place to listen on.

    Args:
        endpoint: scheme "http", "https", "tcp", "tls" or "udp"; host "localhost" is both loopback families, "*" every
            address.
        accept_proxy: whether a trusted peer's connection begins with a PROXY line.
        redirects_to: the index of the listener that its 308 names; None for a listener that serves.
    """

    endpoint: Endpoint
    accept_proxy: bool = False
    redirects_to: int | None = None

    @property
    def tls(self) -> bool:
        """Whether TLS ends here."""
        return self.endpoint.scheme in ("https", "tls")

    @property
    def kind(self) -> str:
        """What it serves: "http", "tcp" (bytes, with or without TLS ended) or "udp"."""
        return {"https": "http", "tls": "tcp"}.get(self.endpoint.scheme, self.endpoint.scheme)

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return self.endpoint.is_loopback


@dataclass(frozen=True, slots=True)
class CertificatePlan:
    """A certificate with its chain, its private key, and where the key's password is found.

    Args:
        key: None where it is in the certificate's file.
    """

    cert: str
    key: str | None = None
    password: Secret | None = None


@dataclass(frozen=True, slots=True)
class TlsPlan:
    """How TLS ends at the listeners that have it.

    Args:
        certificates: SNI picks among them; none means one from the local CA.
        names: that clients call us by: of --name and, with the local CA, of routes. Its certificate carries
            them beside the loopback names; certificates that were given have to cover them.
        client_ca: the file of CAs that clients' certificates must come from; None asks for none.
        may_come_without: whether a client may show none: then it is asked for by --mtls.
    """

    certificates: tuple[CertificatePlan, ...] = ()
    names: tuple[str, ...] = ()
    client_ca: str | None = None
    may_come_without: bool = False

    @property
    def is_local(self) -> bool:
        """Whether the certificate comes from the local CA."""
        return not self.certificates


@dataclass(frozen=True, slots=True)
class BackendTlsPlan:
    """How TLS is spoken to a backend. Equal plans may share one context.

    Args:
        server_name: for SNI and the check of its certificate.
        ca: the file of CAs to verify it by; None is the system's store.
        cert: our own certificate for it, with its `key`, which may be in the same file.
        insecure: do not verify it.
        is_http: whether HTTP is what we speak within it, and say so (RFC 7301): else it is not ours to name.
    """

    server_name: str
    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    insecure: bool = False
    is_http: bool = True


@dataclass(frozen=True, slots=True)
class TargetPlan:
    """One backend of a pool.

    Args:
        endpoint: scheme "http", "https", "demo", "tcp", "tls" or "udp"; its `base` replaces the route's prefix.
        label: how logs call it.
        authority: what Host says where the client's is replaced or missing.
        host: what Host is set to; None passes the client's.
        max: most requests at once; 0 for any number.
        proxy: the version of the PROXY line that opens its connections; 0 for none.
        alpn: it takes only TLS connections that offer this protocol, where TLS is passed on; None takes all.
        is_service: its host is the name of a service (SRV), which says where to dial.
        apart: each address of its name is a backend of its own.
    """

    endpoint: Endpoint
    label: str
    authority: str
    host: str | None = None
    weight: int = 1
    backup: bool = False
    max: int = 0
    proxy: int = 0
    alpn: str | None = None
    is_service: bool = False
    apart: bool = False
    tls: BackendTlsPlan | None = None

    @property
    def identity(self) -> object:
        """What makes it the same backend as another one: as Member.identity has it."""
        server_name = self.tls.server_name if self.tls is not None else None
        return self.endpoint, server_name, self.host, self.proxy


@dataclass(frozen=True, slots=True)
class LbPlan:
    """How a backend is picked.

    Args:
        policy: "rr", "least", "p2c", "latency", "random", "first", "hash" or "sticky".
        key: what is hashed: "ip", "url", "path", "header:NAME" or "cookie:NAME"; of "sticky" the cookie's name.
    """

    policy: str = "rr"
    key: str = ""

    def __str__(self) -> str:
        return f"{self.policy}:{self.key}" if self.key else self.policy


@dataclass(frozen=True, slots=True)
class BalancePlan:
    """What a pool goes by, the same for all requests to it.

    Args:
        health: how its backends are probed; None for not at all.
        eject_on: statuses of answers that count as failures.
        slow_start: seconds until a backend that came back has its whole share.
        queue: most requests that wait while all backends are full, and `queue_timeout` for how long.
    """

    lb: LbPlan = LbPlan()
    health: HealthPlan | None = None
    eject_on: StatusSet = NO_STATUS
    slow_start: float = 0.0
    queue: int = 100
    queue_timeout: float = 5.0


@dataclass(frozen=True, slots=True)
class PoolPlan:
    """The backends of one route, and how they are used."""

    name: str
    targets: tuple[TargetPlan, ...]
    balance: BalancePlan = BalancePlan()

    @property
    def may_have_several(self) -> bool:
        """Whether there is, or may come to be, more than one backend."""
        own = {target.identity for target in self.targets}
        return len(own) > 1 or any(target.is_service or target.apart for target in self.targets)


@dataclass(frozen=True, slots=True)
class FieldEdit:
    """What becomes of one field: all its lines are replaced by these values, or removed if there are none."""

    name: bytes
    values: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class RetryPlan:
    """What is tried again elsewhere beside what never reached a backend: no answer, or answers of these statuses."""

    resets: bool = True
    statuses: StatusSet = NO_STATUS


@dataclass(frozen=True, slots=True)
class Settings:
    """What may differ from scope to scope.

    Args:
        timeout: to the first byte of the answer.
        max_body: of a request.
        usual_body: the same where no flag says anything.
        gate: what stands before the service in a gateway.
        balance: of the route's pool: alike in all parts of a route.
        retry_body: most of a request's body that is kept to be sent again.
        hedge: an answer is late that is slower than this part of those before, 0.95 for p95; 0.0 is the default way,
            four times p99; None hedges nothing.
    """

    timeout: float = 60.0
    max_body: int | None = None
    usual_body: int | None = None
    balance: BalancePlan = BalancePlan()
    retry: RetryPlan = RetryPlan()
    retry_body: int = 65536
    hedge: float | None = 0.0
    gate: GatePlan = NO_GATE
    request_edits: tuple[FieldEdit, ...] = ()
    response_edits: tuple[FieldEdit, ...] = ()

    @property
    def most_body(self) -> int | None:
        """The bytes that a request's body may have; None for any number."""
        return self.max_body if self.max_body is not None else self.usual_body


@dataclass(frozen=True, slots=True)
class Variant:
    """Settings for the part of a route that lies in all of these scopes, merged already."""

    scopes: tuple[Scope, ...]
    settings: Settings


@dataclass(frozen=True, slots=True)
class RoutePlan:
    """Which requests go to which pool, and how.

    Args:
        scope: which requests, or connections: of those only the host counts.
        pool: the name of its pool; None where netfront answers by itself.
        kind: of the listeners it serves: "http", "tcp" or "udp".
        listener: the index of the only listener it serves; None for all that serve.
        settings: where no variant applies.
        variants: the first whose scopes all match a request applies in place of `settings`.
        answer: where there is no pool, what netfront answers.
        condition: what requests must carry; those of one scope that do are served by this route rather than by the
            one without.
    """

    scope: Scope
    pool: str | None
    kind: str = "http"
    listener: int | None = None
    settings: Settings = Settings()
    variants: tuple[Variant, ...] = ()
    answer: AnswerPlan | None = None
    condition: Condition | None = None

    @property
    def named(self) -> str:
        """How it is told: its scope, and its condition."""
        return str(self.scope) if self.condition is None else f"{self.scope} {self.condition}"


@dataclass(frozen=True, slots=True)
class Place:
    """The routes of one scope.

    Args:
        plain: the one without a condition.
        others: those with one, in the order in which they are tried.
    """

    scope: Scope
    plain: RoutePlan | None
    others: tuple[RoutePlan, ...]


def places(routes: Iterable[RoutePlan]) -> list[Place]:
    """Put routes together by scope. Of two alike the first serves: a listener's own comes before one for all."""
    by_scope: dict[Scope, list[RoutePlan]] = {}
    for route in routes:
        by_scope.setdefault(route.scope, []).append(route)
    return [
        Place(
            scope,
            next((route for route in alike if route.condition is None), None),
            tuple(route for route in alike if route.condition is not None),
        )
        for scope, alike in by_scope.items()
    ]


@dataclass(frozen=True, slots=True)
class LimitsPlan:
    """The deadlines and ceilings of connections and messages."""

    head_timeout: float = 10.0
    handshake_timeout: float = 10.0
    idle_timeout: float = 60.0
    body_timeout: float = 30.0
    send_timeout: float = 60.0
    backend_idle_timeout: float = 30.0
    connect_timeout: float = 3.0
    read_timeout: float = 60.0
    stream_timeout: float = 3600.0
    udp_timeout: float = 30.0
    max_line: int = 8192
    max_field: int = 8192
    max_head: int = 32768
    max_fields: int = 100
    max_connections: int | None = None
    """None: as many as descriptors allow, at most 10,000."""
    max_per_address: int = 200
    """Of addresses that are neither loopback nor trusted."""


@dataclass(frozen=True, slots=True)
class TellPlan:
    """What is told about the client, the way and the server.

    Args:
        trust_proxy: networks (CIDR) whose forwarded fields and PROXY lines are believed.
        forwarded: send the Forwarded field too (RFC 7239).
        via: append Via to requests.
        keep_server: pass Server and X-Powered-By of backends on.
        hsts: max-age in seconds of Strict-Transport-Security; None sends none.
        backend: name the backend in X-Backend of each answer.
    """

    trust_proxy: tuple[str, ...] = ()
    forwarded: bool = False
    via: bool = True
    keep_server: bool = False
    hsts: int | None = None
    backend: bool = False


@dataclass(frozen=True, slots=True)
class HostPlan:
    """Which Host is let in where Host is replaced on a loopback listener (DNS rebinding); others get 421.

    Args:
        own: names of --name, routes and --allow-host, beside the loopback names; "*.x" is any name below x.
    """

    own: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LogPlan:
    """What is said, and where.

    Args:
        access_log: the file, "-" for stdout, None for none.
        access_format: "common", "combined", "json" or "logfmt".
        color: None means where stderr is a terminal and NO_COLOR is not set.
    """

    access_log: str | None = None
    access_format: str = "combined"
    verbose: bool = False
    quiet: bool = False
    json: bool = False
    live: bool = False
    color: bool | None = None


@dataclass(frozen=True, slots=True)
class ReadyPlan:
    """Whom to tell that all listeners are open: a file that gets their ports, and a descriptor."""

    port_file: str | None = None
    ready_fd: int | None = None


@dataclass(frozen=True, slots=True)
class ServePlan:
    """Everything a serving command does.

    Args:
        command: "proxy", "balance" or "gateway"; for messages.
        tls: None when no listener ends TLS.
        sticky_key: where the secret is that signs sticky cookies; None for one of the data directory.
        edges: what a gateway does to all messages.
        redis: what limits are shared by; None where each process counts by itself.
        redis_down: what becomes of limits while it is down: "local", "allow" or "refuse".
        compose_memory: bytes that are held for answers being composed.
        session_key: where the secret is that seals sessions; None for one of the data directory.
        resolver: address and port of the DNS server that is asked; None for the system's.
        rules: the policies that say what stands before services, from the least to the most specific. Each route has
            what they come to; they are for places that no route leads to.
        files: `@file` arguments that were read; they are read again when they change.
        drain: seconds that what is under way may take when the process is told to stop.
        debug: show tracebacks.
    """

    command: str
    listeners: tuple[ListenerPlan, ...]
    routes: tuple[RoutePlan, ...]
    pools: tuple[PoolPlan, ...]
    tls: TlsPlan | None = None
    limits: LimitsPlan = field(default_factory=LimitsPlan)
    tell: TellPlan = field(default_factory=TellPlan)
    host: HostPlan = field(default_factory=HostPlan)
    log: LogPlan = field(default_factory=LogPlan)
    ready: ReadyPlan = field(default_factory=ReadyPlan)
    sticky_key: Secret | None = None
    session_key: Secret | None = None
    redis: RedisPlan | None = None
    redis_down: str = "local"
    compose_memory: int = DEFAULT_MEMORY
    edges: EdgePlan = field(default_factory=EdgePlan)
    resolver: tuple[str, int] | None = None
    rules: "tuple[Policy, ...]" = ()
    files: tuple[str, ...] = ()
    drain: float = DRAIN
    debug: bool = False

    def pool(self, name: str) -> PoolPlan:
        """Give the pool of that name."""
        return next(pool for pool in self.pools if pool.name == name)

    def behind(self, route: RoutePlan) -> PoolPlan | None:
        """Give the pool of a route; None where netfront answers by itself."""
        return self.pool(route.pool) if route.pool is not None else None

    def targets(self, route: RoutePlan) -> tuple[TargetPlan, ...]:
        """Give the backends of a route."""
        pool = self.behind(route)
        return pool.targets if pool is not None else ()
