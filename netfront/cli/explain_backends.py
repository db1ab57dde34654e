"""What `--explain` says of the backends of a route: how one is picked, what is tried again, and where is dialled."""

from collections.abc import Iterator

from netfront.cli.health import HealthPlan
from netfront.cli.plan import (
    BackendTlsPlan,
    BalancePlan,
    LbPlan,
    PoolPlan,
    RetryPlan,
    Secret,
    Settings,
    TargetPlan,
)
from netfront.policy.health import HealthRules
from netfront.units import render_duration, render_percent, render_size

__all__ = ["explain_balancing", "explain_retries", "explain_target"]

_PICKS = {
    "rr": "in turn, by weight",
    "least": "who has the fewest requests for its weight",
    "p2c": "the less loaded of two drawn by weight",
    "latency": "who answers soonest",
    "random": "at random, by weight",
    "first": "the first that is up",
}
_KEYS = {"ip": "the client's address", "url": "host, path and query", "path": "the path"}


def explain_balancing(pool: PoolPlan, kind: str, sticky_key: Secret | None) -> Iterator[tuple[str, str]]:
    """Tell how a backend is picked, when it is out of use, and who waits for one.

    Args:
        kind: of the listeners: "http", "tcp" or "udp".
        sticky_key: what signs cookies.
    """
    balance = pool.balance
    if balance.lb != LbPlan() or pool.may_have_several:
        yield "pick", _pick(balance.lb, sticky_key)
    if balance.eject_on.ranges:
        rules = HealthRules()
        within = render_duration(rules.within)
        yield "eject", f"answers of {balance.eject_on} count as failures; {rules.failures} in {within} eject"
    if balance.health is not None:
        yield "health", _health(balance.health)
    if balance.slow_start:
        yield "return", f"to a whole share within {render_duration(balance.slow_start)}"
    if kind != "udp" and any(target.max for target in pool.targets):
        yield (
            "queue",
            _queue(balance, *(("requests", "503") if kind == "http" else ("connections", "a reset"))),
        )


def explain_retries(settings: Settings, *, may_have_several: bool) -> Iterator[tuple[str, str]]:
    """Tell which requests are sent to another backend too.

    Args:
        may_have_several: whether there is another one; if not, only what was asked for is told.
    """
    plain = Settings()
    if may_have_several or (settings.retry, settings.retry_body) != (plain.retry, plain.retry_body):
        yield "retry", _retry(settings.retry, settings.retry_body)
    if may_have_several or settings.hedge != plain.hedge:
        yield "hedge", _hedge(settings.hedge)


def explain_target(target: TargetPlan, kind: str) -> str:
    """Tell where is dialled, and how.

    Args:
        kind: of the listeners: "http", "tcp" or "udp".
    """
    endpoint, host = target.endpoint, target.host
    place = f"{endpoint.scheme}://{endpoint.host}{endpoint.base}" if target.is_service else endpoint.url
    is_told = target.is_service and target.label.startswith("srv")  # it is named by its scheme as given
    notes = [
        *(["wherever its SRV records lead"] if target.is_service else []),
        *(["each of its addresses apart"] if target.apart else []),
        *([f"as {target.label}"] if target.label != place and not is_told else []),
        *([] if target.weight == 1 else [f"weight {target.weight}"]),
        *(["backup"] if target.backup else []),
        *([f"at most {target.max} at once"] if target.max else []),
        *([f"for clients that offer {target.alpn}"] if target.alpn else []),
        *([f"PROXY v{target.proxy} first"] if target.proxy else []),
        *([f"Host: {host}" if host else "Host as it came"] if kind == "http" else []),
        *(_backend_tls(target.tls) if target.tls else []),
    ]
    return ", ".join([place, *notes])


def _pick(lb: LbPlan, sticky_key: Secret | None) -> str:
    if lb.policy == "sticky":
        return f"who the cookie {lb.key} names, signed by {sticky_key or 'a key that is kept'}; else {_PICKS['rr']}"
    if lb.policy != "hash":
        return f"{lb.policy}: {_PICKS[lb.policy]}"
    kind, _, name = lb.key.partition(":")
    return f"by hash of {f'the {kind} {name}' if name else _KEYS[kind]}; nobody gets 1.25 times its share"


def _health(health: HealthPlan) -> str:
    asked = {"tcp": "connect", "tls": "shake hands by TLS"}.get(
        health.kind, f"{health.method} {health.path}, {health.statuses} is well"
    )
    notes = [
        *([f"on port {health.port}"] if health.port is not None else []),
        *([f"with Host: {health.host}"] if health.host is not None else []),
        *([f"the answer has to match {health.body}"] if health.body is not None else []),
        f"within {render_duration(health.timeout)}",
        f"up after {health.rise}, down after {health.fall}",
    ]
    return f"every {render_duration(health.interval)}: {', '.join([asked, *notes])}"


def _queue(balance: BalancePlan, what: str, otherwise: str) -> str:
    if not balance.queue:
        return f"none: {otherwise} while all are full"
    patience = render_duration(balance.queue_timeout)
    return f"{balance.queue} {what} wait up to {patience} while all are full; else {otherwise}"


def _retry(retry: RetryPlan, body: int) -> str:
    causes = [
        *(["no answer"] if retry.resets else []),
        *([f"answers of {retry.statuses}"] if retry.statuses.ranges else []),
    ]
    always = "elsewhere, what never reached a backend"
    if not causes:
        return f"{always}, and nothing else"
    return (
        f"{always}; of methods that may be repeated {' and '.join(causes)}, bodies up to {render_size(body)}"
    )


def _hedge(quantile: float | None) -> str:
    if quantile is None:
        return "none"
    late = f"p{render_percent(quantile).removesuffix('%')}" if quantile else "four times p99"
    return f"what only asks is asked elsewhere too when its answer is later than {late}"


def _backend_tls(tls: BackendTlsPlan) -> Iterator[str]:
    if tls.insecure:
        yield f"its certificate is NOT verified, asked for as {tls.server_name}"
    else:
        yield f"verified as {tls.server_name} by {tls.ca or 'the system store'}"
    if tls.cert:
        yield f"with our certificate {tls.cert} and the key {tls.key or 'in it'}"
