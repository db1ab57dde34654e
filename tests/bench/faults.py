"""What clients see when backends fail: each fault injected for real, every result counted.

    python -m tests.bench.faults                                     every case before netfront: about two minutes
    python -m tests.bench.faults killed hung --proxy nginx           some, before another balancer
    python -m tests.bench.faults --proxy netfront,haproxy --json F   beside each other; one object a line into F

Behind the balancer stand real processes (backend.py), before it 16 kept-alive clients in a process of their own
(clients.py), which together ask for 1 KiB 800 times a second and give up after 2 s. What a case must show stands in it,
next to how the fault is made; the same cases run small in tests/e2e/test_balance_faults.py.
"""

import argparse
import json
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import SubprocessError

from tests.bench.backend import Backend, backends
from tests.bench.balancers import BALANCERS, Balancer, balancer
from tests.bench.clients import OK, WRONG, Load, Plan, loaded
from tests.support.netfront import NotReady
from tests.support.origins import closed_port, full_queue

__all__ = ["CASES", "FULL", "SHORT", "Case", "Must", "Report", "Sizes", "run_case"]


@dataclass(frozen=True)
class Sizes:
    """How much load for how long. `pace` is the length of a case's stretches, as a share of the whole."""

    clients: int = 16
    rate: float = 800
    pace: float = 1.0
    sockets: int = 50


FULL = Sizes()
SHORT = Sizes(clients=8, rate=160, pace=0.2, sockets=9)


@dataclass(frozen=True)
class Must:
    """A figure, and what it may be at most.

    Args:
        counts: it counts results, and so does not depend on the machine's speed.
    """

    what: str
    value: float
    most: float
    counts: bool = True

    @property
    def is_met(self) -> bool:
        """Whether it is as it must be."""
        return self.value <= self.most

    def __str__(self) -> str:
        value, most = (f"{number:.3g}" for number in (self.value, self.most))
        return f"{self.what} {value} (must be ≤ {most}{'' if self.is_met else ', MISSED'})"


@dataclass
class Report:
    """What came of a case.

    Args:
        extra: requests that reached backends beyond those that clients sent, as a share.
    """

    load: Load
    musts: list[Must]
    extra: float | None = None

    @property
    def missed(self) -> list[Must]:
        """What is not as it must be."""
        return [must for must in self.musts if not must.is_met]

    def __str__(self) -> str:
        load = self.load
        times = [load.percentile(share) * 1000 for share in (0.5, 0.99, 1)]
        parts = [f"failed {len(load.failed)} of {len(load.results)}"]
        parts.append("p50 {:.1f} p99 {:.1f} max {:.0f} ms".format(*times))
        if self.extra is not None and self.extra > 0:
            parts.append(f"extra load {self.extra:.1%}")
        if load.outcomes:
            parts.append(", ".join(f"{count} × {outcome}" for outcome, count in load.outcomes.most_common(4)))
        return " · ".join([*parts, *map(str, self.musts)])


@dataclass
class Stage:
    """Where a case plays."""

    proxy: str
    sizes: Sizes
    place: Path
    behind: list[Backend] = field(default_factory=list)

    @contextmanager
    def backends(self, count: int = 3) -> Iterator[list[Backend]]:
        """Run backends."""
        with backends(count, self.place) as self.behind:
            yield self.behind

    def balancer(
        self, ports: Sequence[int | Backend], *flags: str, plain: bool = False
    ) -> AbstractContextManager[Balancer]:
        """Run the balancer before these."""
        numbers = [place if isinstance(place, int) else place.port for place in ports]
        return balancer(self.proxy, numbers, self.place, *flags, plain=plain)

    @contextmanager
    def load(self, front: Balancer, **more: object) -> Iterator[Load]:
        """Put the load on it."""
        sizes = self.sizes
        plan = Plan(front.port, **{"clients": sizes.clients, "rate": sizes.rate, **more})  # type: ignore[arg-type]
        with loaded(plan) as load:
            yield load

    def go_on(self, seconds: float) -> None:
        """Let the load go on for a stretch."""
        time.sleep(seconds * self.sizes.pace)

    def misbehave(self, mode: str, seconds: float) -> None:
        """Let the first backend go over to a mode for a stretch. Raises RuntimeError: no request has met it."""
        backend = self.behind[0]
        backend.behave(mode)
        before = len(backend.arrivals())
        self.go_on(seconds)
        if len(backend.arrivals()) == before:
            raise RuntimeError(f"no request was sent to the backend that is to {mode}")

    def report(self, load: Load, *musts: Must) -> Report:
        """Sum a case up."""
        arrived = sum(len(backend.arrivals()) for backend in self.behind)
        return Report(load, list(musts), arrived / len(load.results) - 1 if load.results else None)


@dataclass(frozen=True)
class Case:
    """One row of the table."""

    name: str
    text: str
    play: Callable[[Stage], Report]


def run_case(name: str, proxy: str = "netfront", sizes: Sizes = FULL) -> Report:
    """Play a case before a balancer."""
    with tempfile.TemporaryDirectory(prefix="netfront-faults-") as place:
        Path(place).chmod(0o755)
        return CASES[name].play(Stage(proxy, sizes, Path(place)))


def _failed(load: Load, most: float = 0) -> Must:
    return Must("failed", len(load.failed), most)


def _used_after(load: Load, backend: Backend, moment: float) -> float:
    """Give the seconds from a moment until a backend's first answer after it."""
    used = (one.ended for one in load.results if one.backend == backend.name and one.ended > moment)
    return min(used, default=float("inf")) - moment


# -- the cases ----------------------------------------------------------------------------------------------


def _refusing(stage: Stage) -> Report:
    """A lone client asks 200 times; nothing listens on the first backend's port."""
    with closed_port() as port, stage.backends(1) as (backend,):
        with (
            stage.balancer([port, backend], plain=True) as front,
            stage.load(front, clients=1, rate=200, patience=5) as load,
        ):
            stage.go_on(1)
        return stage.report(load, _failed(load), Must("p99 s", load.percentile(0.99), 0.05, counts=False))


def _full_queue(stage: Stage) -> Report:
    """The first backend's accept queue is full: a connection to it is neither taken nor refused."""
    with full_queue() as port, stage.backends(1) as (backend,):
        with (
            stage.balancer([port, backend], plain=True) as front,
            stage.load(front, clients=1, rate=20, patience=5) as load,
        ):
            stage.go_on(4)
        return stage.report(load, _failed(load), Must("max s", load.percentile(1), 0.6, counts=False))


def _killed(stage: Stage) -> Report:
    """SIGKILL one of three; later it is started again."""
    with stage.backends() as behind, stage.balancer(behind) as front:
        with stage.load(front) as load:
            stage.go_on(2)
            behind[0].kill()
            stage.go_on(3)
            behind[0].start()
            back = time.monotonic()
            stage.go_on(4)
        used = _used_after(load, behind[0], back)
        return stage.report(load, _failed(load), Must("back in use after s", used, 3, counts=False))


def _rolling(stage: Stage) -> Report:
    """One after the other is ended and started again."""
    with stage.backends() as behind, stage.balancer(behind) as front:
        with stage.load(front) as load:
            stage.go_on(1)
            for backend in behind:
                backend.kill()
                stage.go_on(0.7)
                backend.start()
                time.sleep(
                    1
                )  # whoever rolls waits until a backend is ready, and balancers look every half second
            stage.go_on(1)
        return stage.report(load, _failed(load))


def _hung(stage: Stage) -> Report:
    """One of three reads and never answers, from the start."""
    with stage.backends() as behind, stage.balancer(behind) as front:
        behind[0].behave("hang")
        with stage.load(front) as load:
            stage.go_on(8)
        return _hung_report(stage, load)


def _stopped(stage: Stage) -> Report:
    """SIGSTOP one of three after a while: the kernel still takes connections for it."""
    with stage.backends() as behind, stage.balancer(behind) as front:
        with stage.load(front) as load:
            stage.go_on(2)
            behind[0].signal(signal.SIGSTOP)
            stage.go_on(6)
        return _hung_report(stage, load)


def _hung_report(stage: Stage, load: Load) -> Report:
    return stage.report(
        load, _failed(load, len(load.results) * 0.01), Must("max s", load.percentile(1), 1.2, counts=False)
    )


def _flapping(stage: Stage) -> Report:
    """One of three is killed and started again, over and over."""
    with stage.backends() as behind, stage.balancer(behind) as front:
        with stage.load(front) as load:
            until = time.monotonic() + 8 * stage.sizes.pace
            while time.monotonic() < until:
                time.sleep(0.2)
                behind[0].kill()
                time.sleep(0.2)
                behind[0].start()
        return stage.report(load, _failed(load))


def _misbehaving(mode: str) -> Callable[[Stage], Report]:
    """One of three goes over to a mode after a while; GETs may be repeated, so none may fail."""

    def play(stage: Stage) -> Report:
        with stage.backends() as behind, stage.balancer(behind) as front:
            with stage.load(front) as load:
                stage.go_on(1)
                stage.misbehave(mode, 4)
            return stage.report(load, _failed(load))

    return play


def _cut(stage: Stage) -> Report:
    """One of three resets within the body: no retry can mend that, but no client may take it for whole."""
    with stage.backends() as behind, stage.balancer(behind) as front:
        with stage.load(front) as load:
            stage.go_on(1)
            stage.misbehave("cut", 4)
        silent = sum(result.outcome == WRONG for result in load.results)
        return stage.report(load, Must("short and silent", silent, 0))


def _posts(stage: Stage) -> Report:
    """One of three reads each POST and closes: whoever sends it again may buy twice."""
    with stage.backends() as behind, stage.balancer(behind) as front:
        with stage.load(front, method="POST") as load:
            stage.go_on(1)
            stage.misbehave("close", 4)
        times = Counter(number for backend in behind for number in backend.arrivals())
        return stage.report(load, Must("sent twice", sum(count > 1 for count in times.values()), 0))


def _all_down(stage: Stage) -> Report:
    """All three are killed, and come back after a while."""
    with stage.backends() as behind, stage.balancer(behind) as front:
        with stage.load(front) as load:
            stage.go_on(1)
            for backend in behind:
                backend.kill()
            stage.go_on(3)
            behind[0].start()
            up = time.monotonic()
            for backend in behind[1:]:
                backend.start()
            time.sleep(1.2)
            stage.go_on(3)
        served = (result.ended for result in load.results if result.outcome == OK and result.ended > up)
        late = [result for result in load.failed if result.began > up + 1]
        again = min(served, default=float("inf")) - up
        return stage.report(
            load,
            Must("serves again after s", again, 1, counts=False),
            Must("failed after that", len(late), 0),
        )


def _hedged(stage: Stage) -> Report:
    """One of three takes a second for 5 % of its requests; without hedging, and with --hedge p95."""
    p99 = []
    with stage.backends() as behind:
        behind[0].behave("slow 0.05 1.0")
        for flags in (("--hedge", "none"), ("--hedge", "p95")) if stage.proxy == "netfront" else ((), ()):
            before = sum(len(backend.arrivals()) for backend in behind)
            with stage.balancer(behind, *flags) as front, stage.load(front) as load:
                stage.go_on(6)
            p99.append(load.percentile(0.99))
        arrived = sum(len(backend.arrivals()) for backend in behind) - before
        extra = arrived / max(1, len(load.results)) - 1
        share = p99[1] / p99[0] if p99[0] else float("inf")
        return Report(
            load,
            [
                _failed(load),
                Must("p99 with / without", share, 0.2, counts=False),
                Must("extra load", extra, 0.1, counts=False),
            ],
            extra,
        )


def _members(stage: Stage) -> Report:
    """Reload; one of three leaves and a fourth comes; it comes back: WebSockets on those that stay must last."""
    with stage.backends(4) as behind:
        stay, leaves, comes = behind[:2], behind[2], behind[3]
        with stage.balancer([*stay, leaves]) as front, stage.load(front, sockets=stage.sizes.sockets) as load:
            stage.go_on(1)
            front.change([backend.port for backend in (*stay, leaves)])
            stage.go_on(2)
            front.change([backend.port for backend in (*stay, comes)])
            changed = time.monotonic()
            time.sleep(0.5)
            stage.go_on(2)
            front.change([backend.port for backend in behind])
            stage.go_on(2)
        names = {backend.name for backend in stay}
        sockets = [one for one in load.sockets if one.backend in names]
        if not sockets:
            raise RuntimeError(f"no WebSocket is on a backend that stays: {load.sockets}")
        return stage.report(
            load,
            _failed(load),
            Must("WebSockets broken", sum(bool(one.broken) or not one.echoes for one in sockets), 0),
            Must("new one in use after s", _used_after(load, comes, changed), 2, counts=False),
        )


_ALL = (
    Case("refusing", "one of two refuses, 200 GETs of a lone client", _refusing),
    Case("queue", "one of two has a full accept queue, GETs of a lone client", _full_queue),
    Case("killed", "one of three killed and started again", _killed),
    Case("rolling", "all three restarted one after the other", _rolling),
    Case("hung", "one of three reads and never answers, from the start", _hung),
    Case("stopped", "one of three stopped (SIGSTOP) after a while", _stopped),
    Case("flapping", "one of three up for 0.2 s, down for 0.2 s", _flapping),
    Case("resets", "one of three resets before it answers", _misbehaving("reset")),
    Case("garbage", "one of three answers with what is no HTTP", _misbehaving("garbage")),
    Case("cut", "one of three resets within the body", _cut),
    Case("posts", "one of three reads each POST and closes", _posts),
    Case("down", "all three down, then up", _all_down),
    Case("hedge", "one of three takes 1 s for 5 %, without and with --hedge p95", _hedged),
    Case("members", "reload, one leaves, one comes; 50 WebSockets", _members),
)
CASES = {case.name: case for case in _ALL}


def main() -> int:
    """Play the cases named, all of them if none is; exit 1 if one misses what it must."""
    args = _arguments()
    missed = 0
    for name in args.cases or CASES:
        _say(f"{name:9} {CASES[name].text}")
        for proxy in args.proxy.split(","):
            try:
                report = run_case(name, proxy, SHORT if args.short else FULL)
            except (RuntimeError, AssertionError, OSError, SubprocessError, NotReady) as error:
                missed += 1
                _say(f"  {proxy:8} INVALID: {error}")
                continue
            missed += bool(report.missed)
            _say(f"  {proxy:8} {report}")
            if args.json:
                _append(args.json, name, proxy, report)
    return int(missed > 0)


def _arguments() -> argparse.Namespace:
    rows = "\n".join(f"  {case.name:9} {case.text}" for case in CASES.values())
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.faults",
        description="What clients see when backends fail.\n\ncases:\n" + rows,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("cases", nargs="*", metavar="CASE", choices=[*CASES, []], help="default: all")
    parser.add_argument("--proxy", default="netfront", help=f"of {','.join(BALANCERS)}; several with commas")
    parser.add_argument("--short", action="store_true", help="with the sizes of the end-to-end tests")
    parser.add_argument("--json", metavar="FILE", help="also append one object a case")
    return parser.parse_args()


def _append(path: str, name: str, proxy: str, report: Report) -> None:
    load = report.load
    told = {
        "case": name,
        "proxy": proxy,
        "failed": len(load.failed),
        "total": len(load.results),
        "outcomes": load.outcomes,
        "seconds": {str(share): load.percentile(share) for share in (0.5, 0.99, 1)},
        "extra": report.extra,
        "musts": [[must.what, must.value, must.most] for must in report.musts],
    }
    with Path(path).open("a") as file:
        file.write(json.dumps(told) + "\n")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
