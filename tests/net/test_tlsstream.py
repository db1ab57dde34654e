"""TLS over a stream that fails: whoever sends learns whether anything has left."""

import ssl

import pytest
import trio

from netfront.net.certfile import load_certificate
from netfront.net.stream import Facts
from netfront.net.tls import ServerTls
from netfront.net.tlsstream import TlsStream
from tests.support.certificates import make_ca, make_leaf, write_pem

CA = make_ca()


class Wire:
    """A stream to a TLS server in memory, which breaks after so many sends."""

    def __init__(self, context):
        self.facts = Facts(("", 0), ("", 0))
        self.sent = 0
        self.breaks_after = 1000
        self._to_server, self._to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._server = context.wrap_bio(self._to_server, self._to_client, server_side=True)

    def send_now(self, data):
        if self.breaks_after == 0:
            raise ConnectionResetError("broken")
        self.breaks_after -= 1
        self.sent += len(data)
        self._to_server.write(data)
        return len(data)

    async def send_all(self, data):
        self.send_now(data)

    def receive_now(self, max_bytes=65536):
        try:
            self._server.do_handshake()
        except ssl.SSLWantReadError:
            pass
        return self._to_client.read()


@pytest.fixture
def connected(tmp_path):
    served = load_certificate(*write_pem(tmp_path, "leaf", make_leaf(CA, "localhost")))
    trusting = ssl.create_default_context(cadata=CA.pem.decode())
    wire = Wire(ServerTls([served]).context)
    secure = TlsStream(wire, trusting, server_side=False, server_name="localhost")
    trio.run(secure.handshake)
    wire.sent = 0
    return wire, secure


def test_a_send_of_which_nothing_has_left_raises(connected):
    wire, secure = connected
    wire.breaks_after = 0
    with pytest.raises(ConnectionResetError):
        secure.send_now(b"x" * 100_000)
    assert wire.sent == 0


def test_a_send_of_which_some_has_left_tells_how_much_and_the_next_one_raises(connected):
    wire, secure = connected
    wire.breaks_after = 1
    taken = secure.send_now(b"x" * 100_000)
    assert 0 < taken < wire.sent < 100_000
    with pytest.raises(ConnectionResetError):
        secure.send_now(b"x" * (100_000 - taken))
