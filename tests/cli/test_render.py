"""What a serving process says first: six lines at most, whatever it serves."""

from dataclasses import dataclass
from itertools import product

import pytest

from netfront.cli.flags import ServeFlags
from netfront.cli.planning import plan_serving
from netfront.cli.render import Console

TRUST = 'certificate of the local CA; to trust it: eval "$(netfront trust env)"'


@dataclass
class Opened:
    """A listener, as far as the banner looks at it."""

    port: int
    is_inner: bool = False


def banner(capsys, targets, verdicts=None, certificate=TRUST, **flags):
    plan = plan_serving("proxy", ServeFlags(targets=targets, **flags))
    labels = [target.label for pool in plan.pools for target in pool.targets]
    said = dict.fromkeys(labels, "") if verdicts is None else verdicts
    listeners = tuple(Opened(listener.endpoint.port or 1) for listener in plan.listeners)
    Console(quiet=False, json_events=False, color=False).banner(plan, listeners, said, certificate)
    return capsys.readouterr().err.splitlines()


def routes(count):
    return [f"/{letter}=:{port}" for port, letter in enumerate("abcdefgh"[:count], 3000)]


def test_one_route_takes_four_lines(capsys):
    assert banner(capsys, ["3000"]) == [
        "https://localhost:8443",
        "  -> http://localhost:3000 (answers)",
        TRUST,
        "stop with Ctrl-C",
    ]


def test_four_routes_beside_tls_are_shown_one_by_one(capsys):
    assert banner(capsys, routes(4)) == [
        "https://localhost:8443",
        *(f"  /{letter} -> http://localhost:{port} (answers)" for port, letter in enumerate("abcd", 3000)),
        f"{TRUST}; stop with Ctrl-C",
    ]


def test_more_routes_are_counted(capsys):
    assert banner(capsys, routes(5))[1] == "  5 routes to 5 backends (all answer)"
    assert banner(capsys, routes(6), {})[1] == "  6 routes to 6 backends (6 not yet answering)"


@pytest.mark.parametrize("count", range(1, 7))
def test_banner_never_has_more_than_six_lines_and_says_everything(capsys, count):
    for is_open, is_insecure, certificate in product((False, True), (False, True), ("", TRUST)):
        listen = ["https://*:8443"] if is_open else ["http://:1", "https://:2"]
        targets = [*routes(count - 1), "/z=https://h.test"]
        said = banner(capsys, targets, None, certificate, listen=listen, insecure=is_insecure)
        assert len(said) <= 6
        assert said[-1].endswith("stop with Ctrl-C")
        text = "\n".join(said)
        assert ("open to the network" in text, "(--insecure)" in text) == (is_open, is_insecure)
        assert certificate in text
        assert text.count(" -> ") == (count if count <= 4 else 0)


def test_many_backends_of_a_route_are_counted(capsys):
    ports = range(3000, 3006)
    labels = [f"http://localhost:{port}" for port in ports]
    targets = [",".join(map(str, ports))]
    shown = f"  -> {', '.join(labels[:3])}, 3 more"
    assert banner(capsys, targets)[1] == f"{shown} (answers)"
    assert banner(capsys, targets, {labels[0]: "", labels[1]: "refused"})[1] == f"{shown} (1 of 6 answer)"


def test_two_backends_of_a_route_are_told_apart(capsys):
    said = banner(capsys, ["3000,3001"], {"http://localhost:3000": "", "http://localhost:3001": "refused"})
    assert said[1] == (
        "  -> http://localhost:3000, http://localhost:3001 (answers, not yet answering: refused)"
    )
