"""From --redis to counters that are shared: its files are read here, and its client library is loaded."""

import ssl
from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING

from netfront.cli.gate.limit_plan import RedisPlan
from netfront.cli.secrets import read_secret
from netfront.errors import UsageError, words
from netfront.policy.limit import Counters

if TYPE_CHECKING:
    from netfront.net.redis import SharedCounters

__all__ = ["shared_counters"]


def shared_counters(
    plan: RedisPlan, local: Counters, down: str, tell: Callable[[str], None]
) -> "SharedCounters":
    """Make the counters that a plan says.

    Args:
        local: count while Redis is down, if it is "local" that says what becomes of limits by then.
    Raises:
        UsageError: the password or the CA cannot be read, or the client library is not there.
    """
    if find_spec("coredis") is None:
        raise UsageError.of(
            f"--redis {plan.url}",
            "its client library is not installed",
            "pip install 'netfront[redis]'",
        )
    password = None
    if plan.password is not None:
        password = read_secret(plan.password, "--redis-password").decode(errors="surrogateescape")
    context = _context(plan) if plan.tls else None
    from netfront.net.redis import Place, SharedCounters, open_redis

    place = Place(plan.kind, plan.places, plan.path, plan.service, plan.database, plan.user, context)
    return SharedCounters(open_redis(place, password), local, down, tell)


def _context(plan: RedisPlan) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=plan.ca)
    except OSError as error:
        raise UsageError.of(f"--redis {plan.url},ca={plan.ca}", words(error)) from error
