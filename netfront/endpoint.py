"""Endpoints: where to listen or dial, parsed from one string.

    place  = port | [scheme "://"] authority [base] | "unix:" file | "demo:" [base]
    listen = [scheme "://"] [ip | "localhost" | "*"] ":" port | "unix:" file

Text in, values out: nothing is looked up and nothing is opened here. An IPv6 address stands in brackets in
text and without them in `host`. Port ranges (`3001-3003`) are several places, told apart before they come here.
"""

import ipaddress
import re
from dataclasses import dataclass
from difflib import get_close_matches

from netfront.errors import UsageError

__all__ = [
    "DEFAULT_PORTS",
    "Endpoint",
    "is_loopback_name",
    "parse_listen",
    "parse_place",
    "parse_resolver",
    "parse_server_name",
    "service_domain",
]

DEFAULT_PORTS = {"http": 80, "https": 443, "h2c": 80, "tls": 443}
"""The port of a scheme where none is given."""
_DIALLED = frozenset({"http", "https", "h2c", "tcp", "tls", "udp", "srv", "srv+https", "srv+tls"})
_LISTENED = frozenset({"http", "https", "tcp", "tls", "udp"})
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_AUTHORITY = re.compile(
    r"(?P<host>\[[^\]]*\]|[^:/?#\[\]@]*)(?::(?P<port>[^/?#]*))?(?P<rest>[/?#].*)?", re.DOTALL
)
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")
_BASE = re.compile(r"/(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*")
_SOCKET = re.compile(r"https?://unix:/|unix(?://|@)", re.IGNORECASE)
"""A unix socket as nginx, Caddy or HAProxy name it."""
_PORTS = re.compile(r"([0-9]+):([0-9]+)")
_PORT_HINT = "a port is a number from {least} to 65535"
_RANGE_HINT = "a range has no host, and is of this machine: {}"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A place to listen on or to dial.

    Args:
        scheme: in lower case; empty where the text named none.
        host: in lower case, IPv6 without brackets; "localhost" stands for both loopback addresses, "*" for
            every address of the machine; empty for a unix socket and for the built-in origin.
        port: 0 for "any free one" when listening, for a unix socket and for the built-in origin.
        path: of a unix socket's file; None for all else.
        base: what replaces a route's prefix, with its leading slash; empty keeps the path as it came.
    """

    scheme: str
    host: str
    port: int
    path: str | None = None
    base: str = ""

    @property
    def is_demo(self) -> bool:
        """Whether it is the built-in origin."""
        return self.scheme == "demo"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can be on the other side; true of a unix socket."""
        return self.path is not None or self.is_demo or is_loopback_name(self.host)

    @property
    def authority(self) -> str:
        """Host and port as a URL writes them; the port is left out where the scheme implies it."""
        if DEFAULT_PORTS.get(self.scheme) == self.port:
            return self._host
        return f"{self._host}:{self.port}" if self.host else ""

    @property
    def url(self) -> str:
        """How it is shown to people: as a URL without a port that goes without saying."""
        return f"{self.scheme}://{self.authority}{self.base}" if self.scheme and self.host else str(self)

    @property
    def _host(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host

    def __str__(self) -> str:
        """Write it so that parsing gives the same endpoint again."""
        if self.path is not None:
            return f"unix:{self.path}"
        if self.is_demo:
            return f"demo:{self.base}"
        address = f"{self._host}:{self.port}{self.base}"
        return f"{self.scheme}://{address}" if self.scheme else address


def is_loopback_name(host: str) -> bool:
    """Tell whether a host can only be this machine: localhost, a name below it, or a loopback address.

    RFC 6761 §6.3 reserves localhost and all names under it.
    """
    host = host.rstrip(".").lower()
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def service_domain(name: str) -> str:
    """Give the domain of a service's name: shop.internal of _http._tcp.shop.internal (RFC 2782).

    That is who is asked for, and so what certificates are checked for: targets come from DNS, which anybody may forge.
    """
    labels = name.split(".")
    while len(labels) > 1 and labels[0].startswith("_"):
        del labels[0]
    return ".".join(labels)


def parse_resolver(text: str) -> tuple[str, int]:
    """Parse a DNS server: an address, and a port where it is not 53.

    Raises:
        UsageError: of a single fault, which names the text as given.
    """
    if _is_address(text):
        return str(ipaddress.ip_address(text)), 53
    host, port, base = _split_authority(text, text)
    if base or not _is_address(host):
        hint = "as in 10.0.0.53, 127.0.0.1:5353 or [::1]:53"
        raise UsageError.of(text, "a resolver is the address of a DNS server", hint)
    return host, _port(text, port, least=1) if port else 53


def parse_place(text: str) -> Endpoint:
    """Parse where to dial.

    Raises:
        UsageError: of a single fault, which names the text as given.
    """
    known = text[:5].lower()
    if known == "demo:":
        return Endpoint("demo", "", 0, base=_base(text, text[5:]))
    if known == "unix:":
        return Endpoint("", "", 0, path=_file(text))
    if text.isascii() and text.isdigit():
        return Endpoint("", "localhost", _port(text, text, least=1))
    if _SOCKET.match(text):
        raise UsageError.of(text, "not how a socket is named", "write unix:FILE, as in unix:/run/app.sock")
    if (pair := _PORTS.fullmatch(text)) is not None:
        raise UsageError.of(
            text, f"{pair[1]} is no host", f"to serve {pair[2]} on {pair[1]} write {pair[2]} -l :{pair[1]}"
        )
    scheme, rest = _split_scheme(text, _DIALLED)
    host, port, base = _split_authority(text, rest)
    base = _base(text, base)
    if host in ("", "*"):
        if host or not port:
            raise UsageError.of(text, "no host to dial", "write a port, host:port, a URL, unix:FILE or demo:")
        host = "localhost"
    if not port:
        if scheme in ("tcp", "udp"):
            raise UsageError.of(text, f"{scheme}:// needs a port", f"write {text}:PORT")
        return Endpoint(scheme, host, DEFAULT_PORTS.get(scheme or "http", 0), base=base)
    return Endpoint(scheme, host, _port(text, port, least=1), base=base)


def _base(text: str, base: str) -> str:
    """Check what a target replaces the prefix of its route by, with its leading slash; empty where it keeps it."""
    if base and base[0] not in "/?#":
        raise UsageError.of(
            text, "the built-in origin has neither host nor port", "write demo:, or demo:/ as a base"
        )
    if "?" in base or "#" in base:
        raise UsageError.of(text, "a target takes a path, but neither a query nor a fragment")
    if base and not _BASE.fullmatch(base):
        raise UsageError.of(text, "its path has a character that no path has", "write it percent-encoded")
    return base


def parse_listen(text: str) -> Endpoint:
    """Parse where to listen. No host is "localhost", which is loopback in both families.

    Raises:
        UsageError: of a single fault, which names the text as given.
    """
    if text[:5].lower() == "unix:":
        return Endpoint("", "", 0, path=_file(text))
    if text.isascii() and text.isdigit():
        raise UsageError.of(text, "a listen address starts with a colon or a host", f"write :{text}")
    scheme, rest = _split_scheme(text, _LISTENED)
    if rest.isascii() and rest.isdigit():
        raise UsageError.of(
            text, "a listen address starts with a colon or a host", f"write {scheme}://:{rest}"
        )
    host, port, base = _split_authority(text, rest)
    if base:
        raise UsageError.of(text, "a listen address has no path", "paths belong to routes, as in /api=:8000")
    is_ours = host in ("", "*", "localhost") or _is_address(host)
    if not port and is_ours:
        raise UsageError.of(text, "a listen address needs a port", f"write {text.rstrip(':')}:8443")
    number = _port(text, port or "0", least=0)
    if not is_ours:
        raise UsageError.of(
            text,
            f"{host} is not an address of this machine",
            "listen on localhost, an IP address or *; names for the certificate come from --name",
        )
    return Endpoint(scheme, host or "localhost", number)


def _split_scheme(text: str, known: frozenset[str]) -> tuple[str, str]:
    match = _SCHEME.fullmatch(text)
    if match is None:
        return "", text
    scheme = match[1].lower()
    if scheme not in known:
        near = get_close_matches(scheme, sorted(known), n=1, cutoff=0.7)
        hint = f"did you mean {near[0]}://?" if near else f"there are {', '.join(sorted(known))}"
        raise UsageError.of(text, f"unknown scheme {scheme}://", hint)
    return scheme, match[2]


def _split_authority(text: str, rest: str) -> tuple[str, str, str]:
    if "@" in rest.split("/", 1)[0]:
        raise UsageError.of(text, "an address has no credentials", "send them to a backend with --header")
    match = _AUTHORITY.fullmatch(rest)
    if match is None:
        hint = "an IPv6 address stands in brackets: [::1]:3000" if rest.count(":") > 1 else ""
        raise UsageError.of(text, "not an address", hint)
    host, port, base = match["host"], match["port"] or "", match["rest"] or ""
    if host.startswith("["):
        if not _is_address(host[1:-1]) or ":" not in host:
            raise UsageError.of(text, f"{host} is not an IPv6 address", "as in [::1]:3000")
        return str(ipaddress.ip_address(host[1:-1])), port, base
    if ":" in port:
        raise UsageError.of(text, "not an address", "an IPv6 address stands in brackets: [::1]:3000")
    if host and host != "*" and not _NAME.fullmatch(host):
        why = (
            "a host is ASCII; write it in its xn-- form"
            if not host.isascii()
            else f"{host!r} is not a host name"
        )
        raise UsageError.of(text, why)
    if host and re.fullmatch(r"[0-9.]+", host) and not _is_address(host):
        raise UsageError.of(text, f"{host} is not an IPv4 address", "as in 127.0.0.1:3000")
    return host.lower(), port, base


def parse_server_name(text: str) -> str:
    """Read a name that a server is to have in its certificate. Raises UsageError: it is no host name and no address."""
    if not (_NAME.fullmatch(text) or _is_address(text)):
        raise UsageError.of(
            text or "(empty)", "not a host name", "as certificates have it, without scheme and port"
        )
    return text.lower()


def _port(text: str, port: str, *, least: int) -> int:
    if not (port.isascii() and port.isdigit()):
        is_range = least and re.fullmatch("[0-9]+-[0-9]+", port)  # as of targets; we listen on none
        hint = _RANGE_HINT.format(port) if is_range else _PORT_HINT.format(least=least)
        raise UsageError.of(text, f"{port!r} is not a port", hint)
    if len(port) > 9 or not least <= int(port) <= 65535:
        raise UsageError.of(text, f"no such port as {port}", _PORT_HINT.format(least=least))
    return int(port)


def _file(text: str) -> str:
    path = text[5:]
    if path.startswith("//"):
        path = path[2:]
    if not path or "\0" in path:
        raise UsageError.of(text, "no file after unix:", "as in unix:/run/app.sock")
    return path


def _is_address(host: str) -> bool:
    try:
        return not getattr(ipaddress.ip_address(host), "scope_id", None)
    except ValueError:
        return False
