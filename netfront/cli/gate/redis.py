"""--redis and what belongs to it: from their text to a plan, and to words for --explain."""

import re
from collections.abc import Iterator
from dataclasses import replace

from netfront.cli.argv import path_of
from netfront.cli.faults import Faults, nearest
from netfront.cli.flags import ServeFlags
from netfront.cli.gate.limit_plan import RedisPlan
from netfront.cli.grammar import parse_secret
from netfront.errors import UsageError
from netfront.units import parse_count

__all__ = ["explain_redis", "parse_redis", "plan_redis"]

_URL = re.compile(r"(rediss?)(?:\+(sentinel|cluster))?://(?:([^@/]*)@)?([^/@]+)(/.*)?")
_PLACE = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::(\d{1,5}))?")
_DOWN = ("local", "allow", "refuse")
_REDIS_PORT, _SENTINEL_PORT = 6379, 26379


def plan_redis(flags: ServeFlags, faults: Faults) -> RedisPlan | None:
    """Read --redis and what belongs to it."""
    if flags.redis is None:
        for name in ("redis_password", "redis_down"):
            if getattr(flags, name) is not None:
                faults.add(f"--{name.replace('_', '-')}", "it has no effect", "there is no --redis")
        return None
    plan = faults.read("--redis", flags.redis, parse_redis, None)
    password = None
    if flags.redis_password is not None:
        password = faults.read("--redis-password", flags.redis_password, parse_secret, None)
    down = flags.redis_down or "local"
    if down not in _DOWN:
        faults.add(f"--redis-down {down}", "no such way", nearest(down, _DOWN) or "local, allow or refuse")
    if not flags.limit:
        faults.add("--redis", "it has no effect", "there is no --limit to share")
    return None if plan is None else replace(plan, password=password)


def parse_redis(text: str) -> RedisPlan:
    """Read 'redis[s][+sentinel|+cluster]://[USER@]HOST[:PORT],…[/NAME][/DB][,ca=FILE]' or 'unix:///PATH'.

    Raises:
        UsageError: it is none, or has a password in it, which is not repeated.
    """
    url, *options = text.split(",ca=")
    ca = path_of(options[0]) if options else None
    if url.startswith("unix://"):
        if len(url) < 9 or options:
            raise UsageError.of(text, "not the path of a socket", "as in unix:///run/redis.sock")
        return RedisPlan("one", (), path=path_of(url[7:]))
    match = _URL.fullmatch(url)
    if match is None:
        raise UsageError.of(_without_password(text), "not a URL of Redis", _REDIS_HINT)
    scheme, kind, user, hosts, path = match.groups()
    if user and ":" in user:
        raise UsageError.of(
            _without_password(text),
            "a password is not given inline",
            "give it by --redis-password @FILE or env:NAME",
        )
    if ca is not None and scheme != "rediss":
        raise UsageError.of(text, "it has a CA but no TLS", f"write rediss{url[5:]},ca={ca}")
    port = _SENTINEL_PORT if kind == "sentinel" else _REDIS_PORT
    places = tuple(_parse_place(text, host, port) for host in hosts.split(","))
    if kind is None and len(places) > 1:
        raise UsageError.of(text, "several hosts", "write redis+sentinel://… or redis+cluster://…")
    parts = [part for part in (path or "").split("/") if part]
    service = parts.pop(0) if kind == "sentinel" and parts else ""
    if kind == "sentinel" and not service:
        raise UsageError.of(text, "which service?", "as in redis+sentinel://s1,s2,s3/mymaster")
    if len(parts) > 1 or (parts and kind == "cluster"):
        raise UsageError.of(text, "a path that means nothing", _REDIS_HINT)
    database = parse_count(parts[0], most=65535) if parts else 0
    return RedisPlan(
        kind or "one", places, service=service, database=database, user=user or None, tls=scheme == "rediss", ca=ca
    )  # fmt: skip


_REDIS_HINT = (
    "as in redis://cache:6379, rediss://cache/0, redis+sentinel://s1,s2/NAME or redis+cluster://c1,c2"
)


def _parse_place(text: str, given: str, port: int) -> tuple[str, int]:
    match = _PLACE.fullmatch(given)
    if match is None or not 0 < int(match[3] or port) < 65536:
        is_told = (
            "?" not in given and "@" not in text.partition("//")[2].partition("/")[2]
        )  # else it may be a password
        why = f"{given!r} is no host and port" if is_told else "it has no host and port"
        raise UsageError.of(_without_password(text), why, _REDIS_HINT)
    return match[1] or match[2], int(match[3] or port)


def _without_password(text: str) -> str:
    return re.sub(r"\?.*", "?…", re.sub(r"//([^:/@]*):.*@", r"//\1:…@", text))


def explain_redis(plan: RedisPlan | None, down: str) -> Iterator[tuple[str, str]]:
    """Tell who counts along."""
    if plan is not None:
        opened = f", opened by {plan.password}" if plan.password is not None else ""
        verified = f", verified by {plan.ca}" if plan.ca is not None else ""
        meanwhile = {
            "local": "each process counts by itself",
            "allow": "everything passes",
            "refuse": "requests under a limit are refused with 503",
        }[down]
        yield (
            "redis",
            f"{plan.url} counts for all that share it{opened}{verified}; while it is down {meanwhile}",
        )
