"""TLS over a stream that fails: whoever sends learns whether anything has left."""

import ssl

import pytest
import trio

from netfront.net.certfile import load_certificate
from netfront.net.lane import Signal
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


# -- ends


class Peer:
    """The other end of TLS in memory, and a stream to it that takes no more than `room` bytes and never waits."""

    def __init__(self, context):
        self.facts = Facts(("", 0), ("", 0))
        self.readable, self.writable = Signal(True), Signal(True)
        self.has_ended = self.is_broken = False
        self.room = 1 << 30
        self._come, self._gone = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._come, self._gone, server_side=True)

    def send_now(self, data):
        if self.is_broken:
            raise BrokenPipeError(32, "broken")
        taken = min(len(data), self.room)
        self.room -= taken
        self._come.write(data[:taken])
        return taken

    async def send_all(self, data):
        assert self.send_now(data) == len(data)

    def receive_now(self, max_bytes=65536):
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            pass
        return self._gone.read(max_bytes) or None

    def end_now(self):
        self.has_ended = True
        return True

    def close(self):
        with pytest.raises(ssl.SSLWantReadError):
            self.tls.unwrap()


@pytest.fixture(params=["TLSv1_2", "TLSv1_3"])
def peer_and_stream(tmp_path, request):
    served = load_certificate(*write_pem(tmp_path, "leaf", make_leaf(CA, "localhost")))
    trusting = ssl.create_default_context(cadata=CA.pem.decode())
    trusting.maximum_version = ssl.TLSVersion[request.param]
    peer = Peer(ServerTls([served]).context)
    stream = TlsStream(peer, trusting, server_side=False, server_name="localhost")
    trio.run(stream.handshake)
    assert stream.receive_now() is None  # a ticket, at most
    assert peer.tls.version() == request.param.replace("_", ".")
    return peer, stream


def test_what_came_before_our_end_is_still_read_behind_it(peer_and_stream):
    peer, stream = peer_and_stream
    for part in (b"one", b"two", b"three"):
        peer.tls.write(part)
    assert stream.receive_now() == b"one"  # the others are taken off the stream, and not decrypted
    assert stream.end_now()
    assert peer.has_ended
    assert peer.tls.read(10) == b""
    peer.tls.write(b"four")
    assert [stream.receive_now() for _ in range(3)] == [b"two", b"three", b"four"]
    peer.tls.unwrap()
    assert stream.receive_now() == b""


def test_an_end_that_does_not_fit_waits_and_is_said_once(peer_and_stream):
    peer, stream = peer_and_stream
    peer.room = 5
    assert not stream.end_now()
    assert not peer.has_ended
    peer.room = 3
    assert not stream.end_now()
    peer.tls.write(b"meanwhile")
    assert stream.receive_now() == b"meanwhile"
    peer.room = 100
    assert stream.end_now()
    assert peer.has_ended
    assert peer.tls.read(10) == b""
    assert peer.room > 60


def test_the_end_is_found_by_everybody_who_asks(peer_and_stream):
    peer, stream = peer_and_stream
    peer.close()
    peer.readable.clear()
    assert [stream.receive_now() for _ in range(3)] == [b"", b"", b""]
    assert stream.readable.is_set


def test_an_answer_of_tls_that_cannot_leave_takes_no_bytes_with_it(peer_and_stream):
    """Such as to a request for new keys, behind which the peer has closed."""
    peer, stream = peer_and_stream
    peer.tls.write(b"last words")
    peer.is_broken = True
    stream._outgoing.write(b"an answer of OpenSSL's")  # Python's ssl cannot ask for new keys
    assert stream.receive_now() == b"last words"
    with pytest.raises(BrokenPipeError):
        stream.send_now(b"more")
