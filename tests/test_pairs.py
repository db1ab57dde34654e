"""Every two flags together: either both show their effect in the plan, or the pair is refused."""

from collections import Counter
from dataclasses import fields, is_dataclass
from functools import cache
from itertools import combinations

import pytest

from netfront.cli.explain import explain_plan
from netfront.cli.flags import ServeFlags
from netfront.cli.plan import ServePlan
from netfront.cli.planning import plan_serving
from netfront.errors import UsageError

COMMANDS = ("proxy", "balance", "gateway")
BASE = {
    "proxy": {"targets": ["https://back.example", "/x=http://localhost:3000+max=9"]},
    "balance": {
        "targets": ["https://back.example", "/x=http://localhost:3000+max=9", "udp://192.0.2.1:53"],
        "listen": ["https://:9443", "udp://:9053"],
    },
    "gateway": {"targets": ["https://back.example", "/x=http://localhost:3000+max=9"]},
}
SAMPLES = {
    "to": ["/y=http://localhost:3001"],
    "from_": ["https://:9100"],
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
    "lb": ["/x: sticky:c"],
    "sticky_key": "env:X",
    "health": ["/x: /healthz,interval=5s"],
    "health_body": ["/x: ok"],
    "eject_on": ["/x: 502,503"],
    "slow_start": ["/x: 30s"],
    "queue": ["/x: 7"],
    "queue_timeout": ["/x: 9s"],
    "retry_on": ["/x: 502,reset"],
    "retry_body": ["/x: 1k"],
    "hedge": ["/x: p95"],
    "resolver": "192.0.2.53",
    "backend_header": True,
    "udp_timeout": "5s",
    "live": True,
    "files": ("pool.nf",),
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
GATE = {
    "basic": ["/x: @htpasswd"],
    "api_key": ["/x: @keys,header=X-Key"],
    "auth_url": ["/x: http://127.0.0.1:9100/check,open,fields=X-User"],
    "oidc": ["/x: https://id.example,client-id=web,client-secret=env:S"],
    "session_key": "env:K",
    "jwt": ["/x: https://id.example,aud=shop"],
    "mtls": ["/x"],
    "public": ["/x/open"],
    "token_scope": ["/x: admin"],
    "claim": ["/x: sub=ann"],
    "ip": ["/x: 192.0.2.0/24"],
    "allow": ['/x: user == "ann"'],
    "pass_identity": ["/x: X-User=sub"],
    "match": ["/x: header:X-Version=2 => http://localhost:3002"],
    "rewrite": ["/x: /new"],
    "redirect": ["/moved: 302 /x"],
    "respond": ["/down: 503 back soon"],
    "limit": ["/x: 5/s:ip"],
    "concurrency": ["/x: 5:ip"],
    "redis": "redis://cache",
    "redis_password": "env:X",
    "redis_down": "refuse",
    "cors": ["/x: https://app.example"],
    "secure_headers": True,
    "request_id": False,
    "compose": ["/whole = x:/x/a + y[]?=0:/x/{x.ids[]} | {z: z}"],
    "compose_each": ["GET /whole$: 3"],
    "compose_status": ["GET /whole$: pass"],
    "compose_timeout": ["GET /whole$: 7s"],
    "compose_part": ["GET /whole$: 7k"],
    "compose_memory": "7M",
    "compose_cookie": ["GET /whole$: session"],
    "server_timing": True,
}
"""Those of the gateway alone."""
UNREAD: frozenset[str] = frozenset()
"""Those that nothing reads yet."""
COMPOSED = {"compose": ["/whole = x:/x/a + y[]:/x/{x.ids[]}"]}
NEEDS = {
    "redis": {"limit": ["/x: 9/m"]},
    "redis_password": {"limit": ["/x: 9/m"], "redis": "redis://other"},
    "redis_down": {"limit": ["/x: 9/m"], "redis": "redis://other"},
    **dict.fromkeys(
        (
            "compose_each",
            "compose_status",
            "compose_timeout",
            "compose_part",
            "compose_memory",
            "compose_cookie",
            "server_timing",
        ),
        COMPOSED,
    ),
    "mtls": {"client_ca": "ca"},
    "public": {"basic": ["/x: @htpasswd"]},
    "token_scope": {"api_key": ["/x: @keys"]},
    "claim": {"api_key": ["/x: @keys"]},
    "allow": {"basic": ["/x: @htpasswd"]},
    "pass_identity": {"basic": ["/x: @htpasswd"]},
    "session_key": {"oidc": ["/x: https://id.example,client-id=web"]},
    "accept_proxy": {"trust_proxy": ["127.0.0.1"]},
    "key": {"cert": ["c"]},
    "key_password": {"cert": ["c"]},
    "backend_key": {"backend_cert": "c"},
    "log_format": {"access_log": "-"},
    "hsts": {"cert": ["c"], "name": ["a.example"]},
    "sticky_key": {"lb": ["/x: sticky"]},
    "health_body": {"health": ["/x: /h"]},
}
"""What flags that mean nothing alone need beside them."""
REFUSED = {
    ("quiet", "verbose"): "--verbose: it contradicts --quiet",
    ("backend_ca", "insecure"): "--insecure: it contradicts --backend-ca",
    ("access_log", "json"): "--access-log -: stdout carries the events of --json",
    ("json", "log_format"): "--access-log -: stdout carries the events of --json",
    ("hsts", "name"): "--hsts: a.test is a local name",
    ("allow_host", "change_host_header"): "--allow-host: it has no effect",
    ("live", "verbose"): "--live: it contradicts --verbose",
    ("live", "quiet"): "--live: it contradicts --quiet",
    ("json", "live"): "--live: it contradicts --json",
}
"""Pairs that are refused, and the reason given."""
NO_UDP = {"udp_timeout": "--udp-timeout: it has no effect"}
NOT_FOR = {"proxy": NO_UDP, "balance": {}, "gateway": NO_UDP}
"""Flags that a command refuses, as nothing of it could heed them."""
UNEXPLAINED = {"explain", "new_key"}
"""Flags that `--explain` does not tell of: itself, and what prints something else. It shows every other one."""


def leaves(value, at=""):
    """Give every leaf of a plan with the attribute it stands in; which one of several does not matter."""
    if is_dataclass(value):
        for part in fields(value):
            if (
                not isinstance(value, ServePlan) or part.name != "rules"
            ):  # which are functions; routes have what they give
                yield from leaves(getattr(value, part.name), f"{at}.{part.name}")
    elif isinstance(value, tuple) and any(map(is_dataclass, value)):
        for part in value:
            yield from leaves(part, at)
    else:
        yield at, value


def sample(command, name):
    """Give a value for a flag that leaves the rest of the base something to do."""
    given = (SAMPLES | GATE)[name]
    return [*given, "udp://:9053"] if (command, name) == ("balance", "listen") else given


def names_of(command):
    return sorted({*SAMPLES, *(GATE if command == "gateway" else ())} - NOT_FOR[command].keys())


FLAGS = [(command, name) for command in COMMANDS for name in names_of(command)]
PAIRS = [
    (command, pair)
    for command in COMMANDS
    for pair in combinations(names_of(command), 2)
    if command != "gateway" or GATE.keys() & {*pair}  # the others pair as in proxy
]


@cache
def made(command, *names, beside=()):
    """Give the plan of these flags with what they need, and with what those `beside` need."""
    given = dict(BASE[command])
    for name in (*beside, *names):
        given |= NEEDS.get(name, {})
    return plan_serving(command, ServeFlags(**given | {name: sample(command, name) for name in names}))


@cache
def told(command, *names, beside=()):
    return explain_plan(made(command, *names, beside=beside))


@cache
def effect(command, name):
    """Give the leaves that a flag brings into a plan."""
    without = Counter(leaves(made(command, beside=(name,))))
    return tuple((Counter(leaves(made(command, name))) - without).elements())


def test_every_flag_has_a_sample():
    assert {*SAMPLES, *GATE, *UNREAD, *UNEXPLAINED, "targets"} == set(ServeFlags.__dataclass_fields__)


@pytest.mark.parametrize(("command", "name"), FLAGS)
def test_flag_alone_shows_its_effect(command, name):
    assert effect(command, name)


@pytest.mark.parametrize(("command", "name"), FLAGS)
def test_flag_alone_is_explained(command, name):
    assert told(command, name) != told(command, beside=(name,))


@pytest.mark.parametrize("command", COMMANDS)
def test_what_a_command_cannot_have_is_refused(command):
    for name, reason in NOT_FOR[command].items():
        with pytest.raises(UsageError) as refused:
            made(command, name)
        assert [str(fault).splitlines()[0] for fault in refused.value.faults] == [reason]


@pytest.mark.parametrize(("command", "pair"), PAIRS)
def test_pair_shows_both_effects_or_is_refused(command, pair):
    if pair in REFUSED:
        with pytest.raises(UsageError) as refused:
            made(command, *pair)
        assert [str(fault).splitlines()[0] for fault in refused.value.faults] == [REFUSED[pair]]
        return
    together = made(command, *pair)
    held = list(leaves(together))
    for one, other in (pair, pair[::-1]):
        others = {at for name in (other, *NEEDS.get(other, {})) for at, _ in effect(command, name)}
        assert [leaf for leaf in effect(command, one) if not is_held(leaf, held, others)] == []
        if one not in NEEDS.get(other, {}):
            assert told(command, *pair) != told(command, other, beside=(one,))


def is_held(leaf, held, others):
    """Tell whether a leaf is there: as it was, as part of a longer row, or an empty one that the other flag filled."""
    at, value = leaf
    filled = [*others, *(other.replace(".variants.", ".") for other in others)]
    # a part of a route is filled as the whole is
    if leaf in held or (not value and any(other.startswith((at, _whole(at))) for other in filled)):
        return True
    return isinstance(value, tuple) and any(place == at and {*value} <= {*found} for place, found in held)


def _whole(at):
    return at.replace(".variants.", ".")
