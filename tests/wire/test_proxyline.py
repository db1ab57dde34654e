"""The PROXY line: both versions, written, read, split everywhere, and refused."""

import struct
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netfront.errors import BadMessage
from netfront.wire.proxyline import LOCAL, PROXY, ProxyHeader, parse_proxy, render_v1, render_v2

SIGNATURE = bytes.fromhex("0d0a0d0a000d0a515549540a")
PORTS = st.integers(0, 65535)
V4 = st.tuples(st.ip_addresses(v=4).map(str), PORTS)
V6 = st.tuples(st.ip_addresses(v=6).map(str), PORTS)
ENDS = st.one_of(st.tuples(V4, V4), st.tuples(V6, V6))


def v2(command, family, block, size=None):
    return SIGNATURE + struct.pack("!BBH", command, family, len(block) if size is None else size) + block


TCP4 = bytes([192, 0, 2, 1, 192, 0, 2, 9]) + struct.pack("!HH", 40000, 443)
TCP6 = bytes(15) + b"\x01" + bytes(15) + b"\x02" + struct.pack("!HH", 1, 65535)


@pytest.mark.parametrize(
    ("line", "source", "destination"),
    [
        (b"PROXY TCP4 192.0.2.1 192.0.2.9 40000 443\r\n", ("192.0.2.1", 40000), ("192.0.2.9", 443)),
        (b"PROXY TCP6 2001:DB8::1 ::1 0 65535\r\n", ("2001:db8::1", 0), ("::1", 65535)),
        (b"PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n", ("::ffff:192.0.2.1", 1), ("::1", 2)),
        (b"PROXY UNKNOWN\r\n", None, None),
        (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", None, None),
        (v2(0x21, 0x11, TCP4), ("192.0.2.1", 40000), ("192.0.2.9", 443)),
        (v2(0x21, 0x12, TCP4), ("192.0.2.1", 40000), ("192.0.2.9", 443)),
        (v2(0x21, 0x21, TCP6), ("::1", 1), ("::2", 65535)),
        (v2(0x21, 0x31, bytes(216)), None, None),
        (v2(0x21, 0x00, b""), None, None),
    ],
)
def test_line_is_read(line, source, destination):
    header = parse_proxy(line + b"GET / HTTP/1.1\r\n")
    assert header is not None
    assert (header.consumed, header.command) == (len(line), PROXY)
    assert (header.source, header.destination) == (_normal(source), _normal(destination))


def _normal(place):
    """Write an address as the ipaddress module of this Python does."""
    return place and (str(ip_address(place[0])), place[1])


def test_local_header_tells_no_ends_whatever_its_block_holds():
    assert parse_proxy(v2(0x20, 0x77, b"anything")) == ProxyHeader(24, LOCAL)


def test_longest_line_of_version_1_is_read():
    most = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
    line = f"PROXY UNKNOWN {most} {most} 65535 65535\r\n".encode()
    assert len(line) == 107
    assert parse_proxy(line) == ProxyHeader(107, PROXY)


def test_tlvs_of_version_2_are_given():
    tlvs = b"\x02\x00\x03abc" + b"\x04\x00\x00"
    header = parse_proxy(v2(0x21, 0x11, TCP4 + tlvs))
    assert header is not None
    assert header.tlvs == ((2, b"abc"), (4, b""))


@pytest.mark.parametrize(
    "line",
    [
        b"GET / HTTP/1.1\r\n",
        b"proxy TCP4 192.0.2.1 192.0.2.9 1 2\r\n",
        b"PROXY\tTCP4 192.0.2.1 192.0.2.9 1 2\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.9 1 2\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.9 1\r2\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.9 1 2 \r\n",
        b"PROXY TCP4  192.0.2.1 192.0.2.9 1 2\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.9 1 65536\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.9 01 2\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.9 +1 2\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.9 -1 2\r\n",
        b"PROXY TCP4 192.0.2.01 192.0.2.9 1 2\r\n",
        b"PROXY TCP4 192.0.2 192.0.2.9 1 2\r\n",
        b"PROXY TCP4 ::1 ::1 1 2\r\n",
        b"PROXY TCP6 192.0.2.1 192.0.2.9 1 2\r\n",
        b"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n",
        b"PROXY TCP6 1::2::3 ::1 1 2\r\n",
        b"PROXY TCP5 192.0.2.1 192.0.2.9 1 2\r\n",
        b"PROXY UDP4 192.0.2.1 192.0.2.9 1 2\r\n",
        b"PROXY UNKNOWNX\r\n",
        b"PROXY UNKNOWN \x00\r\n",
        b"PROXY \r\n",
        b"PROXY \n",
        b"PROXY UNKNOWN " + b"x" * 92 + b"\r\n",
        b"PROXY " + b"x" * 101,
        SIGNATURE + b"\x11",
        SIGNATURE + b"\x22",
        SIGNATURE + b"\x31",
        v2(0x21, 0x11, TCP4[:-1]),
        v2(0x21, 0x21, TCP6[:-1]),
        v2(0x21, 0x31, bytes(215)),
        v2(0x21, 0x10, TCP4),
        v2(0x21, 0x13, TCP4),
        v2(0x21, 0x41, TCP6),
        v2(0x21, 0x11, b"", size=4097),
        v2(0x20, 0x00, b"", size=65535),
        v2(0x21, 0x11, TCP4 + b"\x02"),
        v2(0x21, 0x11, TCP4 + b"\x02\x00"),
        v2(0x21, 0x11, TCP4 + b"\x02\x00\x05abc"),
    ],
)
def test_malformed_line_is_refused(line):
    with pytest.raises(BadMessage):
        parse_proxy(line)


@given(ENDS, st.sampled_from([render_v1, render_v2]), st.binary(max_size=40))
def test_what_is_written_is_read_as_the_same_and_only_when_whole(ends, render, behind):
    line = render(*ends)
    for size in range(len(line)):
        assert parse_proxy(line[:size]) is None
    assert parse_proxy(line + behind) == ProxyHeader(len(line), PROXY, *ends)


@pytest.mark.parametrize("render", [render_v1, render_v2])
def test_ends_of_two_families_are_written_in_the_wider(render):
    header = parse_proxy(render(("192.0.2.1", 5), ("2001:db8::9", 443)))
    assert header is not None
    assert header.source == _normal(("::ffff:192.0.2.1", 5))
    assert header.destination == ("2001:db8::9", 443)


@pytest.mark.parametrize("render", [render_v1, render_v2])
@pytest.mark.parametrize("ends", [(None, None), (("", 0), ("::1", 1)), (("::1", 1), ("@", 0))])
def test_end_without_an_address_is_written_as_unknown(render, ends):
    line = render(*ends)
    assert parse_proxy(line) == ProxyHeader(len(line), PROXY)


def test_zone_of_an_address_is_not_told():
    assert render_v1(("fe80::1%eth0", 5), ("fe80::2%eth0", 6)) == b"PROXY TCP6 fe80::1 fe80::2 5 6\r\n"


def test_local_header_is_written_without_ends():
    line = render_v2(("192.0.2.1", 5), ("192.0.2.2", 6), command=LOCAL)
    assert parse_proxy(line) == ProxyHeader(len(line), LOCAL)


@given(st.one_of(st.binary(max_size=150), st.binary(max_size=300).map(lambda data: SIGNATURE + data)))
def test_garbage_raises_only_bad_message(data):
    try:
        header = parse_proxy(data)
    except BadMessage:
        return
    assert header is None or header.consumed <= len(data)


@given(st.binary(max_size=120))
def test_garbage_behind_the_word_raises_only_bad_message(data):
    try:
        header = parse_proxy(b"PROXY " + data)
    except BadMessage:
        return
    assert header is None or header.consumed <= 107
