"""Every two flags together: either both show their effect in the plan, or the pair is refused."""

from dataclasses import fields, is_dataclass
from itertools import combinations

import pytest

from netfront.cli.flags import ProxyFlags
from netfront.cli.planning import plan_proxy
from netfront.errors import UsageError

BASE = {"targets": ["https://back.example", "/x=3000"]}
SAMPLES = {
    "listen": ["https://:9000"],
    "redirect_http": ":8080",
    "accept_proxy": True,
    "trust_proxy": ["127.0.0.1"],
    "port_file": "p",
    "ready_fd": "3",
    "drain": "1s",
    "cert": ["c"],
    "key": ["k"],
    "key_password": ["env:X"],
    "name": ["a.test"],
    "client_ca": "ca",
    "hsts": "1d",
    "backend_ca": "ca",
    "backend_cert": "c",
    "backend_key": "k",
    "backend_name": "n",
    "insecure": True,
    "change_host_header": False,
    "allow_host": ["b.test"],
    "header": ["X-A: b"],
    "response_header": ["/x: -X-B"],
    "keep_server": True,
    "forwarded": True,
    "via": False,
    "timeout": ["/x: 5s"],
    "max_body": ["/x: 1k"],
    "head_timeout": "5s",
    "handshake_timeout": "5s",
    "idle_timeout": "5s",
    "body_timeout": "5s",
    "send_timeout": "5s",
    "connect_timeout": "5s",
    "read_timeout": "5s",
    "stream_timeout": "5s",
    "backend_idle_timeout": "5s",
    "max_line": "1k",
    "max_field": "1k",
    "max_head": "16k",
    "max_fields": "50",
    "max_connections": "7",
    "max_per_address": "7",
    "quiet": True,
    "verbose": True,
    "json": True,
    "access_log": "-",
    "log_format": "json",
    "color": False,
    "debug": True,
}
NEEDS = {
    "accept_proxy": ["trust_proxy"],
    "key": ["cert"],
    "key_password": ["cert"],
    "backend_key": ["backend_cert"],
    "log_format": ["access_log"],
}
"""Flags that mean nothing alone, and what they need."""
REFUSED = {
    frozenset({"quiet", "verbose"}),
    frozenset({"insecure", "backend_ca"}),
    frozenset({"json", "access_log"}),
    frozenset({"json", "log_format"}),
    *(frozenset({"hsts", name}) for name in SAMPLES if name != "hsts"),
}
"""HSTS is refused wherever the local CA's certificate or a local name is: here, with every other flag."""


def flat(value, at=""):
    """Give every leaf of a plan by its place."""
    if is_dataclass(value):
        return {
            key: leaf
            for part in fields(value)
            for key, leaf in flat(getattr(value, part.name), f"{at}.{part.name}").items()
        }
    if isinstance(value, tuple) and any(map(is_dataclass, value)):
        return {
            key: leaf
            for index, part in enumerate(value)
            for key, leaf in flat(part, f"{at}[{index}]").items()
        }
    return {at: value}


def plan(*names):
    given = {name: SAMPLES[name] for flag in names for name in (flag, *NEEDS.get(flag, ()))}
    return flat(plan_proxy(ProxyFlags(**BASE, **given)))


ALONE = {name: plan(name) for name in SAMPLES if name != "hsts"}
DEFAULT = plan()


def test_every_flag_has_a_sample():
    assert {*SAMPLES, "targets", "to", "from_", "explain"} == set(ProxyFlags.__dataclass_fields__)


@pytest.mark.parametrize("name", sorted(ALONE))
def test_flag_alone_shows_its_effect(name):
    assert ALONE[name] != DEFAULT


@pytest.mark.parametrize("pair", sorted(combinations(sorted(SAMPLES), 2)))
def test_pair_shows_both_effects_or_is_refused(pair):
    if frozenset(pair) in REFUSED:
        with pytest.raises(UsageError):
            plan(*pair)
        return
    together = plan(*pair)
    for one, other in (pair, pair[::-1]):
        changed = {key: leaf for key, leaf in ALONE[one].items() if DEFAULT.get(key) != leaf}
        shared = {key for key, leaf in ALONE[other].items() if DEFAULT.get(key) != leaf}
        if "redirect_http" in pair and "accept_proxy" in pair:
            shared.add(".listeners[1].accept_proxy")  # the redirecting listener accepts it too
        lost = {key: leaf for key, leaf in changed.items() if together.get(key) != leaf and key not in shared}
        assert lost == {}
