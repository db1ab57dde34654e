"""The PROXY protocol out: each connection says whose it is, so none is lent to another client."""

import pytest

from tests.support.certificates import make_ca, make_leaf, write_pem
from tests.support.client import connect
from tests.support.named import named, tally, until
from tests.support.netfront import running
from tests.support.servers import free_port, nginx


@pytest.fixture(scope="module")
def proxied_port():
    """The port of an nginx that wants a PROXY line, and tells what it said."""
    port = free_port()
    told = '"$proxy_protocol_addr:$proxy_protocol_port"'
    with nginx(f"listen 127.0.0.1:{port} proxy_protocol; location / {{ return 200 {told}; }}"):
        yield port


def asked(port):
    """Where a client dialled from, and whom the backend took it for, twice on one connection."""
    with connect(port) as client:
        told = []
        for _ in range(2):
            client.send(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
            told.append(client.read_answer().body.decode())
        host, number = client.socket.getsockname()
        return f"{host}:{number}", told


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_each_client_is_told_by_its_own_line(version, proxied_port):
    with running("proxy", f"127.0.0.1:{proxied_port}+proxy={version}") as netfront:
        for _ in range(3):
            own, told = asked(netfront.port)
            assert told == [own, own]


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_one_that_wants_it_before_tls_is_dialled_so_and_comes_back(version, tmp_path):
    """Who dials to see whether it is well has a line to send too: else TLS stands where that is due."""
    port = free_port()
    certificate, key = write_pem(tmp_path, "leaf", make_leaf(make_ca(), "localhost"))
    server = (
        f"listen 127.0.0.1:{port} ssl proxy_protocol; ssl_certificate {certificate}; ssl_certificate_key {key};"
        "location / { return 200 secure; }"
    )
    target = f"https://127.0.0.1:{port}+proxy={version}"
    with named(1) as (a,), running("balance", target, f"http://{a.place}", "-k") as front:
        assert set(tally(front.port, 8)) == {"a"}
        until(lambda: f"{target.partition('+')[0]} is down: connection refused" in front.stderr)
        with nginx(server):
            until(lambda: "secure" in tally(front.port, 2))
            until(lambda: " is up" in front.stderr)
    with nginx(server), running("balance", target, "-k") as front:
        until(lambda: "(answers)" in front.stderr)
