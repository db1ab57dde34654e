"""Load balancers over the same backends: how each is started, and told of other members while it runs.

netfront has its defaults and the flags of the case. The others are set up as their documentation advises, so that
they fail over at all; `plain` is what they do without a word about failures:

    nginx      defaults in both: proxy_next_upstream error timeout, max_fails=1 fail_timeout=10s; keepalive 32
    HAProxy    check inter 1s, option redispatch, retries 3; plain: neither check nor redispatch
    Caddy      lb_try_duration 5s, fail_duration 5s; plain: a bare reverse_proxy
"""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.netfront import running
from tests.support.servers import caddy_binary, free_port, nginx_binary, serving

__all__ = ["BALANCERS", "Balancer", "balancer"]


@dataclass
class Balancer:
    """One that runs.

    Args:
        change: makes it read its members again: these ports on loopback.
    """

    port: int
    change: Callable[[Sequence[int]], None]


@contextmanager
def balancer(
    name: str, ports: Sequence[int], place: Path, *flags: str, plain: bool = False
) -> Iterator[Balancer]:
    """Run one as long as the block lasts.

    Args:
        flags: of netfront alone.
    """
    place = place / name
    place.mkdir(exist_ok=True)
    place.chmod(0o755)
    with BALANCERS[name](list(ports), place, flags, plain) as served:
        yield served


@contextmanager
def _netfront(ports: list[int], place: Path, flags: Sequence[str], plain: bool) -> Iterator[Balancer]:
    members = place / "pool.nf"

    def write(those: Sequence[int]) -> None:
        fresh = place / "pool.new"
        fresh.write_text("".join(f"127.0.0.1:{port}\n" for port in those))
        fresh.replace(members)

    write(ports)
    with running("balance", f"@{members}", *flags) as served:

        def change(those: Sequence[int]) -> None:
            write(those)
            served.process.send_signal(signal.SIGHUP)

        yield Balancer(served.port, change)


_NGINX = """
{user} worker_processes 1; daemon off; pid {place}/pid; error_log {place}/error.log crit;
worker_shutdown_timeout 30s;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {place}/t1; proxy_temp_path {place}/t2; fastcgi_temp_path {place}/t3;
  uwsgi_temp_path {place}/t4; scgi_temp_path {place}/t5;
  map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
  upstream app {{ {servers} keepalive 32; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Host $http_host;
      proxy_set_header Connection $connection_upgrade; proxy_set_header Upgrade $http_upgrade;
    }}
  }}
}}
"""


@contextmanager
def _nginx(ports: list[int], place: Path, flags: Sequence[str], plain: bool) -> Iterator[Balancer]:
    port, conf = free_port(), place / "nginx.conf"
    user = "user root;" if os.geteuid() == 0 else ""

    def write(those: Sequence[int]) -> None:
        servers = " ".join(f"server 127.0.0.1:{one};" for one in those)
        conf.write_text(_NGINX.format(user=user, place=place, port=port, servers=servers))

    write(ports)
    binary = nginx_binary(prefer_system=True)
    line = [binary, "-p", str(place), "-e", str(place / "error.log"), "-c", str(conf)]
    with serving(line, port, place) as served:

        def change(those: Sequence[int]) -> None:
            write(those)
            served.process.send_signal(signal.SIGHUP)

        yield Balancer(port, change)


_HAPROXY = """
global
  nbthread 1
  hard-stop-after 30s
defaults
  mode http
  timeout connect 3s
  timeout client 75s
  timeout server 60s
  timeout tunnel 1h
  {failures}
frontend in
  bind 127.0.0.1:{port}
  default_backend app
backend app
  balance roundrobin
  {servers}
"""


@contextmanager
def _haproxy(ports: list[int], place: Path, flags: Sequence[str], plain: bool) -> Iterator[Balancer]:
    port, conf = free_port(), place / "haproxy.cfg"
    failures = "" if plain else "retries 3\n  option redispatch 1"
    check = "" if plain else " check inter 1s"

    def write(those: Sequence[int]) -> None:
        servers = "\n  ".join(f"server s{one} 127.0.0.1:{one}{check}" for one in those)
        conf.write_text(_HAPROXY.format(port=port, failures=failures, servers=servers))

    write(ports)
    binary = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
    if binary is None:
        raise FileNotFoundError("haproxy is not installed")
    with serving([binary, "-W", "-f", str(conf)], port, place) as served:

        def change(those: Sequence[int]) -> None:
            write(those)
            served.process.send_signal(signal.SIGUSR2)

        yield Balancer(port, change)


_CADDY = """
{{
  admin 127.0.0.1:{admin}
  auto_https off
  persist_config off
}}
http://:{port} {{
  bind 127.0.0.1
  reverse_proxy {servers} {{
    {failures}
  }}
}}
"""


@contextmanager
def _caddy(ports: list[int], place: Path, flags: Sequence[str], plain: bool) -> Iterator[Balancer]:
    port, admin, conf = free_port(), free_port(), place / "Caddyfile"
    failures = "" if plain else "lb_policy round_robin\n    lb_try_duration 5s\n    fail_duration 5s"

    def write(those: Sequence[int]) -> None:
        servers = " ".join(f"127.0.0.1:{one}" for one in those)
        conf.write_text(_CADDY.format(admin=admin, port=port, servers=servers, failures=failures))

    write(ports)
    adapted = ["--adapter", "caddyfile", "--config", str(conf)]
    with serving([caddy_binary(), "run", *adapted], port, place):

        def change(those: Sequence[int]) -> None:
            write(those)
            line = [caddy_binary(), "reload", *adapted, "--address", f"127.0.0.1:{admin}"]
            subprocess.run(line, check=True, capture_output=True, timeout=20)

        yield Balancer(port, change)


BALANCERS = {"netfront": _netfront, "nginx": _nginx, "haproxy": _haproxy, "caddy": _caddy}
