"""The rows that can be measured: what is done, to whom, and what figure must come out."""

import contextlib
import socket
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial

from tests.bench import memory, start
from tests.bench.cpu import active_opens, cpu, resident_kib
from tests.bench.load import Result, handshakes, requests
from tests.bench.peers import BACKENDS, BLIND_PEERS, ROUTES, Bench, Proxy
from tests.support.issuer import Signer

__all__ = ["ROWS", "Invalid", "Measured", "Options", "Row"]

IDLE = 5000
_THOUSAND = [f"/r{number}={{origin}}" for number in range(1000)]


class Invalid(Exception):
    """A measurement in which something went wrong, so that it measured something else."""


@dataclass(frozen=True)
class Options:
    """How long and whom."""

    peers: tuple[str, ...]
    seconds: float
    rounds: int


@dataclass
class Measured:
    """The figures of a row: by case, in `unit`; and one figure to hold against `must`."""

    unit: str
    figures: dict[str, float]
    verdict: float | None = None
    spread: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    name: str
    text: str
    must: float
    aim: float
    measure: Callable[[Bench, Options], Measured]


Load = Callable[[Bench, Proxy, float], Result]


def _cost(bench: Bench, proxy: Proxy, load: Load, seconds: float, *, connections_each: bool = False) -> float:
    """Give the microseconds of CPU that a proxy needs for one request of a load."""
    pids = proxy.pids
    opened, before = active_opens(), cpu(pids)
    result = load(bench, proxy, seconds)
    used = cpu(pids) - before
    if result.errors or not result.requests:
        raise Invalid(f"{proxy.name}: {result.errors} errors in {result.requests} requests")
    if connections_each and active_opens() - opened < result.requests:
        raise Invalid(f"{proxy.name}: connections were kept")
    return used / result.requests * 1e6


def _interleaved(cases: dict[str, Callable[[float], float]], options: Options) -> Measured:
    """Measure A B C A B C, and take medians; each case is warmed up for a second before."""
    for case in cases.values():
        case(1.0)
    taken: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(options.rounds):
        for name, case in cases.items():
            taken[name].append(case(options.seconds))
    figures = {name: statistics.median(values) for name, values in taken.items()}
    spread = {name: (max(values) - min(values)) / figures[name] for name, values in taken.items()}
    return Measured("µs", figures, None, spread)


def _beside(
    load: Load,
    *,
    tls: bool = False,
    connections_each: bool = False,
    blind: bool = False,
    against: str = "nginx",
) -> Callable[[Bench, Options], Measured]:
    """Make the measurement that compares netfront with another.

    Args:
        blind: they relay TCP, those that can.
    """

    def measure(bench: Bench, options: Options) -> Measured:
        with ExitStack() as stack:
            cases: dict[str, Callable[[float], float]] = {}
            for peer in options.peers:
                if not blind or peer in BLIND_PEERS:
                    proxy = stack.enter_context(bench.running(peer, tls=tls, blind=blind))
                    cases[peer] = partial(_cost, bench, proxy, load, connections_each=connections_each)
            measured = _interleaved(cases, options)
        measured.verdict = _ratio(measured, "netfront", against)
        return measured

    return measure


def _ratio(measured: Measured, one: str, other: str) -> float | None:
    figures = measured.figures
    return figures[one] / figures[other] if one in figures and other in figures else None


def _plain(path: str, *, tls: bool = False, connections: int = 64, **kinds: bool) -> Load:
    def load(bench: Bench, proxy: Proxy, seconds: float) -> Result:
        return requests(
            proxy.url(tls=tls) + path, bench.place, seconds=seconds, connections=connections, **kinds
        )

    return load


def _handshakes(bench: Bench, proxy: Proxy, seconds: float) -> Result:
    return handshakes(proxy.url(tls=True) + "/", seconds=seconds, size=1024)


_ROW_1 = _plain("/")


@contextmanager
def _idle(proxy: Proxy, count: int) -> Iterator[None]:
    """Hold connections on which one request was answered and no more comes."""
    asked = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with ExitStack() as stack:
        held = []
        for _ in range(count):
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", proxy.port), timeout=10))
            sock.sendall(asked)
            got = b""
            while len(got.partition(b"\r\n\r\n")[2]) < 1024:
                got += sock.recv(65536)
            sock.setblocking(False)
            held.append(sock)
        yield
        for sock in held:
            with contextlib.suppress(BlockingIOError):
                sock.recv(1)
                raise Invalid(f"{proxy.name}: idle connections were closed")


def _beside_idle(bench: Bench, options: Options) -> Measured:
    """Row 1 with idle connections beside, against row 1 alone, of each peer."""

    def crowded(proxy: Proxy, seconds: float) -> float:
        with _idle(proxy, IDLE):
            return _cost(bench, proxy, _ROW_1, seconds)

    with ExitStack() as stack:
        cases: dict[str, Callable[[float], float]] = {}
        for peer in options.peers:
            proxy = stack.enter_context(bench.running(peer))
            cases[peer] = partial(_cost, bench, proxy, _ROW_1)
            cases[f"{peer}+idle"] = partial(crowded, proxy)
        measured = _interleaved(cases, options)
    measured.verdict = _ratio(measured, "netfront+idle", "netfront")
    return measured


def _routes(bench: Bench, options: Options) -> Measured:
    """Many routes against one, the last of them asked for."""
    load = _plain(f"/r{ROUTES - 1}/x")
    with ExitStack() as stack:
        cases: dict[str, Callable[[float], float]] = {}
        for peer in options.peers:
            if peer != "caddy":
                one = stack.enter_context(bench.running(peer))
                many = stack.enter_context(bench.running(peer, routes=ROUTES))
                cases[peer] = partial(_cost, bench, one, load)
                cases[f"{peer}+routes"] = partial(_cost, bench, many, load)
        measured = _interleaved(cases, options)
    measured.verdict = _ratio(measured, "netfront+routes", "netfront")
    return measured


def _balance(first: int, second: int) -> Callable[[Bench, Options], Measured]:
    """Make the measurement of netfront with so many backends against itself with so many; 0 is `netfront proxy`."""

    def measure(bench: Bench, options: Options) -> Measured:
        with ExitStack() as stack:
            cases: dict[str, Callable[[float], float]] = {}
            for count in (first, second):
                proxy = stack.enter_context(bench.running("netfront", backends=count))
                cases[f"balance {count}" if count else "proxy"] = partial(_cost, bench, proxy, _ROW_1)
            measured = _interleaved(cases, options)
        one, other = measured.figures.values()
        measured.verdict = one / other
        return measured

    return measure


def _gateway(one: Sequence[str], other: Sequence[str], path: str) -> Callable[[Bench, Options], Measured]:
    """Make the measurement of a gateway with these words against one with those; none is `netfront proxy`."""

    def measure(bench: Bench, options: Options) -> Measured:
        with ExitStack() as stack:
            cases: dict[str, Callable[[float], float]] = {}
            for name, words in (("gateway", one), ("against", other)):
                proxy = stack.enter_context(bench.running("netfront", gateway=words))
                cases[name] = partial(_cost, bench, proxy, _plain(path))
            measured = _interleaved(cases, options)
        measured.verdict = _ratio(measured, "gateway", "against")
        return measured

    return measure


_DEAR = 1.3
_DEARER = 5.0
"""A request that is guarded may cost so many times, or so many microseconds more, whichever is more."""


def _guarded(bench: Bench, options: Options) -> Measured:
    """A gateway that checks a token, counts and says who asks, against one that lets everybody in."""
    signer = Signer("k1", "RS256")
    keys = bench.place / "jwks.json"
    keys.write_bytes(signer.jwks)
    keys.chmod(0o600)
    fields = {"Authorization": "Bearer " + signer.token(exp=int(time.time()) + 86400).decode()}
    words = [
        "/={origin}",
        "--jwt",
        f"/: @{keys},aud=shop",
        "--limit",
        "1000000/s:user",
        "--pass-identity",
        "X-User=sub",
    ]

    def load(bench: Bench, proxy: Proxy, seconds: float) -> Result:
        return requests(proxy.url() + "/", bench.place, seconds=seconds, fields=fields)

    with ExitStack() as stack:
        cases: dict[str, Callable[[float], float]] = {}
        for name, some in (("guarded", words), ("open", words[:1])):
            proxy = stack.enter_context(bench.running("netfront", gateway=some))
            cases[name] = partial(_cost, bench, proxy, load)
        measured = _interleaved(cases, options)
    least = measured.figures["open"]
    measured.verdict = measured.figures["guarded"] / max(least * _DEAR, least + _DEARER)
    return measured


def _composed(path: str) -> Callable[[Bench, Options], Measured]:
    """Make the measurement of an answer of three parts against three plain requests for them."""
    words = [f"{path}={{origin}}", "--compose", f"/home = a:{path}/a + b:{path}/b + c:{path}/c"]

    def measure(bench: Bench, options: Options) -> Measured:
        with bench.running("netfront", gateway=words) as proxy:
            cases = {
                "composed": partial(_cost, bench, proxy, _plain("/home")),
                "plain": partial(_cost, bench, proxy, _plain(f"{path}/a")),
            }
            measured = _interleaved(cases, options)
        measured.verdict = measured.figures["composed"] / (3 * measured.figures["plain"])
        return measured

    return measure


def _latency(bench: Bench, options: Options) -> Measured:
    """The median answer time of one connection, in microseconds."""

    def p50(proxy: Proxy, seconds: float) -> float:
        result = _plain("/", connections=1)(bench, proxy, seconds)
        if result.errors:
            raise Invalid(f"{proxy.name}: {result.errors} errors")
        return result.p50 * 1e6

    with ExitStack() as stack:
        cases = {peer: partial(p50, stack.enter_context(bench.running(peer))) for peer in options.peers}
        measured = _interleaved(dict(cases), options)
    measured.verdict = _ratio(measured, "netfront", "nginx")
    return measured


def _idle_memory(bench: Bench, options: Options) -> Measured:
    """What an idle kept connection costs, in KiB of resident memory."""
    figures = {}
    for peer in options.peers:
        with bench.running(peer) as proxy:
            with _idle(proxy, 500):
                pass
            time.sleep(0.5)
            before = resident_kib(proxy.pids)
            with _idle(proxy, IDLE):
                figures[peer] = (resident_kib(proxy.pids) - before) / IDLE
    return Measured("KiB", figures, figures.get("netfront"))


def _gibibyte(bench: Bench, options: Options) -> Measured:
    """The peak of the process after 1 GiB down, up by length and up in chunks, in MiB."""
    figures = {}
    for peer in options.peers:
        for name, transfer in memory.TRANSFERS.items():
            with memory.backend(bench) as behind, behind.running(peer, tls=True) as proxy:
                figures[f"{peer} {name}"] = transfer(behind, proxy)
    own = [figure for name, figure in figures.items() if name.startswith("netfront")]
    return Measured("MiB", figures, max(own) if own else None)


def _help(bench: Bench, options: Options) -> Measured:
    """CPU of `netfront --help`."""
    taken = [start.help_cpu() for _ in range(max(5, options.rounds))]
    return Measured("s", {"netfront": statistics.median(taken)}, statistics.median(taken))


def _first_answer(bench: Bench, options: Options) -> Measured:
    """CPU of `netfront proxy demo:` from its start to its first answer."""
    taken = [start.first_answer_cpu() for _ in range(max(5, options.rounds))]
    return Measured("s", {"netfront": statistics.median(taken)}, statistics.median(taken))


_BROWSER = _plain("/u", browser=True, new_urls=True)
_COOKIES = _plain("/u", browser=True, new_urls=True, new_cookies=True)
_BIG = partial(_plain, "/1m", connections=16)

_ALL = (
    Row("keepalive", "64 kept connections, 1 KiB", 1.4, 1.2, _beside(_ROW_1)),
    Row("browser", "browser's fields, new URL, unique response fields", 1.9, 1.4, _beside(_BROWSER)),
    Row("cookies", "the same, another Cookie each", 2.4, 1.9, _beside(_COOKIES)),
    Row("tls", "TLS, 64 kept connections, 1 KiB", 1.4, 1.0, _beside(_plain("/", tls=True), tls=True)),
    Row("big", "1 MiB bodies", 1.0, 0.85, _beside(_BIG())),
    Row("big-tls", "1 MiB bodies, TLS", 1.0, 0.85, _beside(_BIG(tls=True), tls=True)),
    Row("connect", "a connection each", 1.9, 1.4, _beside(_plain("/", closing=True), connections_each=True)),
    Row(
        "handshake",
        "a whole TLS handshake each",
        2.0,
        1.3,
        _beside(_handshakes, tls=True, connections_each=True),
    ),
    Row("l4", "TCP, 64 kept connections, 1 KiB", 1.25, 1.1, _beside(_ROW_1, blind=True, against="haproxy")),
    Row("l4-bulk", "TCP, 1 MiB each", 0.9, 0.8, _beside(_BIG(), blind=True)),
    Row(
        "l4-connect",
        "TCP, a connection each",
        1.35,
        1.2,
        _beside(_plain("/", closing=True), connections_each=True, blind=True, against="haproxy"),
    ),
    Row("idle", f"{IDLE} idle connections beside / without", 1.15, 1.05, _beside_idle),
    Row("routes", f"{ROUTES} routes / one", 1.1, 1.02, _routes),
    Row("gateway", "a gateway with one route / proxy", 1.05, 1.0, _gateway(["/={origin}"], (), "/")),
    Row(
        "gateway-routes",
        f"a gateway with {len(_THOUSAND)} routes / one",
        1.05,
        1.0,
        _gateway(_THOUSAND, _THOUSAND[-1:], "/r999/x"),
    ),
    Row(
        "guarded",
        f"a JWT, a limit and who asks / (without × {_DEAR:g}, or + {_DEARER:g} µs)",
        1.0,
        0.9,
        _guarded,
    ),
    Row("compose", "an answer of three parts / three requests", 2.0, 1.4, _composed("/json")),
    Row("compose-same", "the same, where the parts' bodies come again", 2.0, 1.4, _composed("/same")),
    Row("balance", "balance of 2 backends / proxy", 1.05, 1.0, _balance(2, 0)),
    Row("backends", f"{BACKENDS} backends / 2", 1.1, 1.02, _balance(BACKENDS, 2)),
    Row("latency", "p50 of a lone connection", 1.25, 1.25, _latency),
    Row("gibibyte", "peak of 1 GiB each way, MiB", 128, 128, _gibibyte),
    Row("idle-memory", "an idle kept connection, KiB", 10, 6, _idle_memory),
    Row("help", "CPU of --help, s", 0.12, 0.12, _help),
    Row("first-answer", "CPU of proxy demo: to its first answer, s", 0.45, 0.45, _first_answer),
)
ROWS = {row.name: row for row in _ALL}
