"""The PROXY protocol out: each connection says whose it is, so none is lent to another client."""

import pytest

from tests.support.client import connect
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
