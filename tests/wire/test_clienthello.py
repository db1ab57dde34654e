"""ClientHellos as OpenSSL writes them, in every cut, in records of any size, and damaged: what it reads, we read."""

import shutil
import socket
import ssl
import struct
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netfront.errors import BadMessage
from netfront.wire.clienthello import MOST_HELLO, ClientHello, parse_client_hello
from tests.support.certificates import make_leaf, write_pem

V2, V3 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


def hello(name="a.example", protocols=("h2", "http/1.1"), least=V2, most=V3):
    """A ClientHello by Python's ssl."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version, context.maximum_version = least, most
    if protocols:
        context.set_alpn_protocols(list(protocols))
    outgoing = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def in_records(data, *sizes):
    """The handshake message of one record, told in records of these sizes; the rest goes into one more."""
    message, told, at = data[5:], b"", 0
    for size in [*sizes, len(message)]:
        part = message[at : at + size]
        if part:
            told += data[:3] + struct.pack("!H", len(part)) + part
        at += size
    return told


def with_extensions(*extensions, session=b"", ciphers=b"\x13\x01", compressions=b"\0", version=b"\x03\x03"):
    """A ClientHello by hand."""
    block = b"".join(struct.pack("!HH", kind, len(content)) + content for kind, content in extensions)
    body = version + bytes(32) + bytes([len(session)]) + session
    body += struct.pack("!H", len(ciphers)) + ciphers + bytes([len(compressions)]) + compressions
    body += struct.pack("!H", len(block)) + block if extensions else b""
    message = b"\1" + len(body).to_bytes(3, "big") + body
    return b"\x16\x03\x01" + struct.pack("!H", len(message)) + message


def name_of(*names, kind=0):
    listed = b"".join(bytes([kind]) + struct.pack("!H", len(name)) + name for name in names)
    return 0, struct.pack("!H", len(listed)) + listed


def protocols_of(*protocols):
    listed = b"".join(bytes([len(protocol)]) + protocol for protocol in protocols)
    return 16, struct.pack("!H", len(listed)) + listed


@pytest.mark.parametrize(("least", "most"), [(V2, V2), (V2, V3), (V3, V3)])
@pytest.mark.parametrize("name", [None, "a.example", "xn--mnchen-3ya.example", "a" * 60 + ".example"])
@pytest.mark.parametrize("protocols", [(), ("h2",), ("h2", "http/1.1"), ("acme-tls/1",)])
def test_hellos_of_openssl_are_read(least, most, name, protocols):
    data = hello(name, protocols, least, most)
    expected = ClientHello(name and name.encode(), tuple(map(str.encode, protocols)), len(data))
    assert parse_client_hello(data) == expected
    assert parse_client_hello(data + b"more, such as early data") == expected


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3", "-no_tls1_3", "-no_ticket"])
def test_hellos_of_the_openssl_command_are_read(version):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        line = ["openssl", "s_client", "-connect", f"127.0.0.1:{listener.getsockname()[1]}", version]
        line += ["-servername", "B.Example", "-alpn", "h2,postgresql"]
        with subprocess.Popen(
            line, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as client:
            listener.settimeout(10)
            accepted, _ = listener.accept()
            with accepted:
                accepted.settimeout(10)
                data = b""
                while (seen := parse_client_hello(data)) is None:
                    data += accepted.recv(100)
            client.wait(10)
    assert seen == ClientHello(b"b.example", (b"h2", b"postgresql"), len(data))


@given(st.data())
def test_every_cut_gives_the_same(data):
    sizes = data.draw(st.lists(st.integers(1, 200), max_size=20))
    whole = in_records(hello(), *sizes)
    cut = data.draw(st.integers(0, len(whole) - 1))
    assert parse_client_hello(whole[:cut]) is None
    assert parse_client_hello(whole) == ClientHello(b"a.example", (b"h2", b"http/1.1"), len(whole))


def test_each_byte_that_is_missing_is_waited_for():
    whole = in_records(hello(), 1, 2, 3, 100)
    assert [parse_client_hello(whole[:cut]) for cut in range(len(whole))] == [None] * len(whole)


@given(st.binary(max_size=300))
def test_garbage_raises_only_bad_message(data):
    for start in (b"", b"\x16\x03\x01", b"\x16\x03\x01\x00\x80\x01\x00\x00\x7c\x03\x03" + bytes(32)):
        try:
            assert parse_client_hello(start + data) is None or start
        except BadMessage:
            pass


def server_reading(tmp_path_factory):
    """A function that gives what OpenSSL, as a server, reads as the name; None where it does not come to that."""
    place = tmp_path_factory.mktemp("hello")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*write_pem(place, "a", make_leaf(None, "a.example")))
    named = []
    context.sni_callback = lambda _, name, __: named.append(name)

    def read(data):
        named.clear()
        incoming = ssl.MemoryBIO()
        incoming.write(data)
        try:
            context.wrap_bio(incoming, ssl.MemoryBIO(), server_side=True).do_handshake()
        except ssl.SSLError:
            pass
        return named[0] if named else None

    return read


@pytest.fixture(scope="module")
def openssl_reads(tmp_path_factory):
    return server_reading(tmp_path_factory)


def test_the_stranger_reads_what_we_read(openssl_reads):
    assert openssl_reads(hello("c.example")) == "c.example"


# Python's ssl cannot give a name to its callback that is not ASCII
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@settings(max_examples=400, deadline=None)
@given(st.data())
def test_a_damaged_hello_has_the_name_that_openssl_reads_or_is_refused(openssl_reads, data):
    whole = bytearray(hello(least=V2))
    begin = whole.index(b"a.example") - 12
    for _ in range(data.draw(st.integers(1, 3))):
        near = st.integers(begin, begin + 24) | st.integers(0, len(whole) - 1)
        whole[data.draw(near)] = data.draw(st.sampled_from([0, 1, 2, 9, 16, 255]) | st.integers(0, 255))
    theirs = openssl_reads(bytes(whole))
    try:
        ours = parse_client_hello(bytes(whole))
    except BadMessage:
        return
    if theirs is not None and ours is not None:
        assert ours.sni == theirs.lower().removesuffix(".").encode()


REFUSED = {
    "plain HTTP": b"GET / HTTP/1.1\r\n",
    "the first byte of something else": b"\x15",
    "an SSL 2 hello": b"\x80\x2e\x01\x03\x01",
    "another major version of records": b"\x16\x02",
    "an empty record": b"\x16\x03\x01\x00\x00",
    "a record over 16 KiB": b"\x16\x03\x01\x40\x01",
    "a ServerHello": b"\x16\x03\x01\x00\x04\x02",
    "a hello over the bound": b"\x16\x03\x01\x00\x04\x01" + (MOST_HELLO - 8).to_bytes(3, "big"),
    "another message in the record": b"\x16\x03\x01\x01\x00\x01\x00\x00\x80",
    "another record between": in_records(hello(), 50)[:55] + b"\x14\x03\x01\x00\x01\x01",
    "too many records": in_records(hello(), *[1] * 100),
    "another major version": with_extensions(version=b"\x02\x00"),
    "a long session": with_extensions(session=bytes(33)),
    "half a cipher": with_extensions(ciphers=b"\x13"),
    "no cipher": with_extensions(ciphers=b""),
    "no compression": with_extensions(compressions=b""),
    "a length beyond the end": with_extensions((0, b"\x00\x05\x00\x00\x09a")),
    "two names": with_extensions(name_of(b"a.example", b"b.example")),
    "a name twice": with_extensions(name_of(b"a.example"), name_of(b"b.example")),
    "any extension twice": with_extensions((43, b""), (43, b"")),
    "an empty list of names": with_extensions((0, b"\0\0")),
    "an empty extension of names": with_extensions((0, b"")),
    "an empty name": with_extensions(name_of(b"")),
    "a name of another kind": with_extensions(name_of(b"a.example", kind=1)),
    "a NUL in a name": with_extensions(name_of(b"a.example\0.b")),
    "a line feed in a name": with_extensions(name_of(b"a.example\n")),
    "a name over 255": with_extensions(name_of(b"a" * 256)),
    "no protocol": with_extensions(protocols_of()),
    "an empty protocol": with_extensions(protocols_of(b"h2", b"")),
    "a protocol beyond its list": with_extensions((16, b"\0\3\x05h2")),
}


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED)
def test_what_could_be_read_in_two_ways_is_refused(data):
    with pytest.raises(BadMessage):
        parse_client_hello(data)


def test_a_hello_by_hand_is_read():
    data = with_extensions(name_of(b"A.Example."), protocols_of(b"h2"))
    assert parse_client_hello(data) == ClientHello(b"a.example", (b"h2",), len(data))
    assert parse_client_hello(with_extensions()) == ClientHello(None, (), 50)
    padded = with_extensions((21, bytes(MOST_HELLO - 56)))
    assert parse_client_hello(padded) == ClientHello(None, (), len(padded))
