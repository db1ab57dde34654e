"""Real servers, each once by itself and once behind netfront: what both say can be compared."""

import http.server
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from tests.support.netfront import running
from tests.support.servers import caddy, nginx

__all__ = ["LARGE", "NAMES", "Pair", "pairs_of_servers"]

Pair = tuple[int, int]
"""The port of a server, and that of netfront before it."""
NAMES = ["nginx", "caddy", "http.server 1.0", "http.server 1.1"]
LARGE = bytes(range(256)) * 8192
_FILES = {
    "index.html": b"<h1>hello</h1>\n",
    "small.txt": b"small\n",
    "empty.txt": b"",
    "large.bin": LARGE,
    "long.txt": b"the same line over and over\n" * 4000,
    "deep/index.html": b"deep\n",
    "deep/a b+c.txt": b"a name with a blank\n",
    "caf\u00e9.txt": b"accent\n",
}
_NGINX = """
  etag on; gzip on; gzip_types text/plain; gzip_min_length 100; client_max_body_size 0;
  location = /uri { return 200 "$request_method $request_uri $http_host $content_length $http_te\\n"; }
  location = /none { return 204; }
  location = /gone { return 410; }
  location = /old { return 301 /small.txt; }
  location = /elsewhere { return 302 http://elsewhere.test/x; }
  location = /twice { add_header Set-Cookie "a=1; Path=/"; add_header Set-Cookie "b=2"; return 200 ok; }
  location = /echo { echo_read_request_body; echo_request_body; }
"""
_CADDY = """
  encode gzip
  handle /uri* {
    respond "{http.request.method} {http.request.orig_uri} {http.request.hostport}"
  }
  handle /none {
    respond 204
  }
  handle /echo {
    respond "{http.request.body}"
  }
  redir /old /small.txt 301
  handle {
    file_server
  }
"""


class _Handler10(http.server.SimpleHTTPRequestHandler):
    """The standard library's file server, that can also echo and stream; HTTP/1.0."""

    def do_POST(self) -> None:
        """Say the body back."""
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b"".join(iter(self._chunk, b""))
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.send_response(201, "Made It So")
        self.send_header("X-Method", self.command)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_PUT = do_PATCH = do_POST

    def do_GET(self) -> None:
        """Stream, or give a file."""
        if self.path == "/stream":
            self.stream()
        else:
            super().do_GET()

    def stream(self) -> None:
        """Send a body whose end is not told ahead."""
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.end_headers()
        for number in range(50):
            self.wfile.write(b"line %d\n" % number)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def _chunk(self) -> bytes:
        data = self.rfile.read(int(self.rfile.readline(), 16))
        if data:
            self.rfile.readline()
        return data


class _Handler11(_Handler10):
    """The same in HTTP/1.1: connections are kept, streams are chunked."""

    protocol_version = "HTTP/1.1"

    def stream(self) -> None:
        """Send a body whose end is not told ahead."""
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for number in range(50):
            line = b"line %d\n" % number
            self.wfile.write(b"%x\r\n%b\r\n" % (len(line), line))
        self.wfile.write(b"0\r\n\r\n")


@contextmanager
def pairs_of_servers(place: Path) -> Iterator[dict[str, Pair]]:
    """Run each server of `NAMES`, and netfront before each.

    Args:
        place: an empty directory, for the files they serve.
    """
    for path, content in _FILES.items():
        file = place / path
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(content)
    with ExitStack() as stack:
        ports = {
            "nginx": stack.enter_context(nginx(_NGINX, _FILES)).port,
            "caddy": stack.enter_context(caddy(_CADDY, _FILES)).port,
            "http.server 1.0": stack.enter_context(_standard(_Handler10, place)),
            "http.server 1.1": stack.enter_context(_standard(_Handler11, place)),
        }
        yield {
            name: (port, stack.enter_context(running("proxy", f":{port}", "-q")).port)
            for name, port in ports.items()
        }


@contextmanager
def _standard(handler: type[_Handler10], place: Path) -> Iterator[int]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(place)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
