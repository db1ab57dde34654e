"""Targets: from one as it was given to its TargetPlan, for the kind of listener that it is behind."""

import ipaddress
from dataclasses import replace

from netfront.cli.argv import Word, path_in, path_of
from netfront.cli.faults import Faults
from netfront.cli.flags import ServeFlags
from netfront.cli.grammar import TargetArg
from netfront.cli.plan import BackendTlsPlan, TargetPlan
from netfront.endpoint import Endpoint, is_loopback_name, service_domain

__all__ = ["NO_TLS", "follows_name", "is_spoken_over_tls", "plan_target"]

_SPOKEN = {"http": ("http", "https"), "tcp": ("tcp", "tls"), "udp": ("udp",)}
"""Schemes in which backends are spoken to, by the kind of listener."""
NO_TLS = "datagrams are passed on as they come: udp:// has no TLS"


def plan_target(word: Word, target: TargetArg, kind: str, flags: ServeFlags, faults: Faults) -> TargetPlan:
    """Make the plan of one backend; an option that its kind does not heed is a fault."""
    is_service = target.endpoint.scheme.startswith("srv")
    if is_service and target.has_port:
        faults.add(
            word,
            "a service has its ports in DNS",
            f"write {target.endpoint.scheme}://{target.endpoint.host}",
            word=word,
        )
    endpoint = _dialled(word, target.endpoint, kind, faults)
    if kind != "http" and not (target.has_port or is_service or endpoint.path is not None):
        why = f"{endpoint.host} has no port, and {kind}:// has no usual one"
        faults.add(word, why, f"write {endpoint.host}:PORT", word=word)
    is_tls = endpoint.scheme in ("https", "tls")
    for key, is_given, is_heeded, why in (
        ("sni", target.sni, is_tls, "is not dialled with TLS"),
        ("insecure", target.insecure, is_tls, "is not dialled with TLS"),
        ("ca", target.ca, is_tls, "is not dialled with TLS"),
        ("host", target.host, kind == "http", "is sent no Host"),
        ("proxy", target.proxy, not endpoint.is_demo and kind != "udp", "is sent no PROXY line"),
        ("alpn", target.alpn, kind == "tcp", "gets no TLS that is passed on"),
        ("all", target.all, bool(follows_name(endpoint)) or is_service, "has no name with several addresses"),
        ("weight", target.weight != 1, not is_service, "has its weights in DNS"),
        ("backup", target.backup, not is_service, "has its priorities in DNS"),
    ):
        if is_given and not is_heeded:
            faults.add(word, f"+{key} has no effect", f"{target.endpoint} {why}", word=word)
    authority = (service_domain(endpoint.host) if is_service else endpoint.authority) or "localhost"
    return TargetPlan(
        endpoint=endpoint,
        label=target.name
        or (f"{endpoint.scheme}://{endpoint.host}{endpoint.base}" if is_service else endpoint.url),
        authority=authority,
        host=_host(target, endpoint, authority, flags.change_host_header),
        weight=target.weight,
        backup=target.backup,
        max=target.max,
        proxy=target.proxy,
        alpn=target.alpn,
        is_service=is_service,
        apart=target.all,
        tls=_backend_tls(word, target, endpoint, flags, is_service=is_service) if is_tls else None,
    )


def follows_name(endpoint: Endpoint) -> bool:
    """Tell whether an endpoint has a name that may lead elsewhere in time."""
    if endpoint.path is not None or endpoint.is_demo or is_loopback_name(endpoint.host):
        return False
    try:
        ipaddress.ip_address(endpoint.host)
    except ValueError:
        return True
    return False


def is_spoken_over_tls(endpoint: Endpoint) -> bool:
    """Tell whether the scheme of a target, as it was given, asks for TLS."""
    return endpoint.scheme.removeprefix("srv+") in ("https", "tls")


def _dialled(word: Word, endpoint: Endpoint, kind: str, faults: Faults) -> Endpoint:
    """Make everything explicit that a target left open."""
    plain = _SPOKEN[kind][0]
    if endpoint.path is not None:
        if kind == "udp":
            faults.add(word, "a unix socket takes no datagrams here", "name host:port", word=word)
        return replace(endpoint, scheme=plain, path=path_in(word, endpoint.path))
    scheme = endpoint.scheme
    if kind == "udp" and is_spoken_over_tls(endpoint):
        faults.add(word, NO_TLS, "write host:PORT or srv://NAME", word=word)
        return replace(endpoint, scheme=plain)
    is_service = scheme.startswith("srv")
    spoken = scheme.partition("+")[2] if is_service else scheme
    if spoken and spoken not in _SPOKEN[kind] and not (kind == "http" and endpoint.is_demo):
        forms = {
            "http": "http://, https://, srv://, unix:FILE or demo:",
            "tcp": "host:port, tls://, srv:// or unix:FILE",
            "udp": "host:port or srv://",
        }
        why = f"{scheme}:// is not spoken to backends of a {plain}:// listener"
        faults.add(word, why, f"a target is {forms[kind]}", word=word)
        spoken = plain
    if is_service:
        return replace(endpoint, scheme=spoken or plain, port=0)
    if kind == "http" and endpoint.is_demo:
        return endpoint
    if kind != "http" and endpoint.base:
        faults.add(word, f"{kind}:// has no paths", f"write {endpoint.authority}", word=word)
    return replace(endpoint, scheme=spoken or plain)


def _host(target: TargetArg, endpoint: Endpoint, authority: str, change: bool | None) -> str | None:
    """Find what Host is set to: what the target says, else the flag, else a name that is surely not ours.

    A server on this machine is asked for by the name its users know; one elsewhere answers to its own.
    """
    if target.host == "keep":
        return None
    if target.host == "target":
        return authority
    if target.host is not None:
        return target.host
    if endpoint.is_demo:
        return None  # it has no name that Host could be changed to
    if change is None:
        change = endpoint.scheme == "https" and not is_loopback_name(endpoint.host)
    return authority if change else None


def _backend_tls(
    word: Word, target: TargetArg, endpoint: Endpoint, flags: ServeFlags, *, is_service: bool
) -> BackendTlsPlan:
    name = service_domain(endpoint.host) if is_service else endpoint.host
    return BackendTlsPlan(
        server_name=target.sni or flags.backend_name or name,
        ca=path_in(word, target.ca) if target.ca else path_of(flags.backend_ca),
        cert=path_of(flags.backend_cert),
        key=path_of(flags.backend_key),
        insecure=target.insecure or flags.insecure,
        is_http=endpoint.scheme == "https",
    )
