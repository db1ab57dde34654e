"""Listeners and their certificates: from flags to ListenerPlans, the TlsPlan and the HostPlan."""

import re
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import zip_longest

from netfront.cli.argv import path_in, path_of
from netfront.cli.faults import Faults
from netfront.cli.flags import ServeFlags
from netfront.cli.grammar import parse_secret
from netfront.cli.plan import CertificatePlan, HostPlan, ListenerPlan, Secret, TlsPlan
from netfront.endpoint import Endpoint, is_loopback_name, parse_listen
from netfront.errors import UsageError

__all__ = ["is_local_name", "plan_hosts", "plan_listeners", "plan_tls", "secure_schemes"]

_NEEDS_CERT = "give --cert FILE --key FILE, or listen on http://; local are localhost, *.localhost and *.test"
_DEFAULTS = {
    "proxy": "https://localhost:8443",
    "gateway": "https://localhost:8443",
    "balance": "http://localhost:8080",
}
_WILDCARDS = frozenset({"0.0.0.0", "::"})
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_NAME = re.compile(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL})*\.?|[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*")


def plan_listeners(command: str, flags: ServeFlags, faults: Faults) -> tuple[ListenerPlan, ...]:
    """Make the listeners in the order given, the redirecting one last."""
    listeners: list[ListenerPlan] = []
    parse = partial(_parse_serving, command)
    for text in (*(flags.listen or ()), *(flags.from_ or ())):
        endpoint = faults.read("--listen", text, parse, None)
        if endpoint is None:
            continue
        _refuse_taken("--listen", text, endpoint, listeners, faults)
        listeners.append(ListenerPlan(endpoint, flags.accept_proxy and endpoint.scheme != "udp"))
    if not listeners:
        listeners.append(ListenerPlan(parse(_DEFAULTS[command]), flags.accept_proxy))
    if flags.accept_proxy and all(listener.kind == "udp" for listener in listeners):
        faults.add("--accept-proxy", "it has no effect", "every --listen is udp://")
    if flags.redirect_http is not None:
        _add_redirect(listeners, flags.redirect_http, flags.accept_proxy, faults)
    return tuple(listeners)


def plan_tls(
    command: str, flags: ServeFlags, listeners: Sequence[ListenerPlan], routed: Sequence[str], faults: Faults
) -> TlsPlan | None:
    """Make the plan of TLS for clients; None when no listener ends it.

    Args:
        routed: the hosts of routes.
    """
    for flag, used in (("--cert", flags.cert), ("--key", flags.key), ("--client-ca", flags.client_ca)):
        if used and not any(listener.tls for listener in listeners):
            faults.add(flag, "it has no effect", f"no --listen is {secure_schemes(command)}")
    certificates = _certificates(flags, faults)
    names = tuple(name for name in flags.name or () if _is_name("--name", name, faults))
    if not any(listener.tls for listener in listeners):
        return None
    if not flags.cert and not flags.key:
        for name in names:
            if not is_local_name(name):
                faults.add(f"--name {name}", "the local CA may not certify it", _NEEDS_CERT, word=name)
        for name in routed:
            if not is_local_name(name):
                faults.add(f"the host {name}", "the local CA may not certify it", _NEEDS_CERT)
        names = tuple(dict.fromkeys((*names, *routed)))
    return TlsPlan(certificates, tuple(map(str, names)), path_of(flags.client_ca), bool(flags.mtls))


def plan_hosts(flags: ServeFlags, routed: Iterable[str], faults: Faults) -> HostPlan:
    """Make the list of names that clients may call us by where Host is replaced."""
    allowed = [name for name in flags.allow_host or () if _is_name("--allow-host", name, faults)]
    own = (*(flags.name or ()), *routed, *allowed)
    return HostPlan(tuple(dict.fromkeys(name.lower().rstrip(".") for name in own)))


def secure_schemes(command: str) -> str:
    """Name the schemes with TLS that a command knows."""
    return "https://" if command == "proxy" else "https:// or tls://"


def is_local_name(name: str) -> bool:
    """Tell whether the local CA may certify a name: localhost, .localhost, .test, a loopback address.

    RFC 6761 reserves both names; nobody can own one on the Internet.
    """
    name = name.lower().rstrip(".").removeprefix("*.")
    return is_loopback_name(name) or name == "test" or name.endswith(".test")


def _parse_serving(command: str, text: str) -> Endpoint:
    endpoint = parse_listen(text)
    if endpoint.path is not None:
        return Endpoint("http", "", 0, path=path_in(text, endpoint.path))
    if endpoint.scheme not in ("", "http", "https") and command == "proxy":
        hint = "listen on https:// or http://, or use netfront balance"
        raise UsageError.of(text, f"{endpoint.scheme}:// is not served here", hint)
    usual = _DEFAULTS[command].partition(":")[0]
    return Endpoint(endpoint.scheme or usual, endpoint.host, endpoint.port)


def _add_redirect(listeners: list[ListenerPlan], text: str, accept_proxy: bool, faults: Faults) -> None:
    endpoint = faults.read("--redirect-http", text, parse_listen, None)
    https = [index for index, listener in enumerate(listeners) if listener.tls and listener.kind == "http"]
    to = https[0] if https else None
    if to is None:
        faults.add("--redirect-http", "there is nothing to send clients on to", "no --listen is https://")
    elif endpoint is not None:
        if endpoint.scheme not in ("", "http"):
            faults.add(
                f"--redirect-http {text}", "it answers plain http", "write http:// or no scheme", word=text
            )
        path = None if endpoint.path is None else path_in(text, endpoint.path)
        endpoint = Endpoint("http", endpoint.host, endpoint.port, path)
        _refuse_taken("--redirect-http", text, endpoint, listeners, faults)
        listeners.append(ListenerPlan(endpoint, accept_proxy, redirects_to=to))


def _refuse_taken(
    flag: str, text: str, endpoint: Endpoint, listeners: Sequence[ListenerPlan], faults: Faults
) -> None:
    """Refuse what cannot be listened on beside those before: a port, or a socket's file, is had by one alone."""
    for listener in listeners:
        other = listener.endpoint
        if endpoint == other and (endpoint.port or endpoint.path is not None):
            faults.add(f"{flag} {text}", "given twice", word=text)
            return
        if _are_one_place(endpoint, other):
            faults.add(
                f"{flag} {text}", f"{other} has that port already", "give each a port of its own", word=text
            )
            return


def _are_one_place(one: Endpoint, other: Endpoint) -> bool:
    if one.path is not None or other.path is not None:
        return one.path == other.path
    if not one.port or one.port != other.port or (one.scheme == "udp") is not (other.scheme == "udp"):
        return False
    addresses, others = _addresses(one.host), _addresses(other.host)
    families, other_families = ({":" in address for address in each} for each in (addresses, others))
    if addresses & _WILDCARDS or others & _WILDCARDS:
        return bool(families & other_families)
    return bool(addresses & others)


def _addresses(host: str) -> frozenset[str]:
    """Give the addresses that a host to listen on stands for; a name stands for itself, of which no more is known."""
    if host == "*":
        return _WILDCARDS
    return frozenset({"127.0.0.1", "::1"}) if host == "localhost" else frozenset({host})


def _certificates(flags: ServeFlags, faults: Faults) -> tuple[CertificatePlan, ...]:
    """Pair each --cert with the --key and the --key-password at the same place; without a key it holds its own."""
    certs, keys, passwords = flags.cert or (), flags.key or (), flags.key_password or ()
    for key in keys[len(certs) :]:
        faults.add(
            f"--key {key}", "it has no --cert", "give one --cert for each --key, in the same order", word=key
        )
    if len(passwords) > max(len(certs), len(keys)):
        faults.add(
            "--key-password", "there are more passwords than keys", "give one for each encrypted --key"
        )
    secrets: list[Secret | None] = [
        faults.read("--key-password", text, parse_secret, None) for text in passwords
    ]
    if len(secrets) == 1:
        secrets *= len(certs)
    paths = [path_in(key, key) for key in keys[: len(certs)]]
    triples = zip_longest(certs, paths, secrets[: len(certs)])
    return tuple(CertificatePlan(path_in(cert, cert), path, secret) for cert, path, secret in triples)


def _is_name(flag: str, name: str, faults: Faults) -> bool:
    if _NAME.fullmatch(name):
        return True
    faults.add(
        f"{flag} {name}", "not a host name", "a name as clients write it, without scheme and port", word=name
    )
    return False
