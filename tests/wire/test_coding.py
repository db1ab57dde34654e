"""Content codings taken off within bounds."""

import gzip
import zlib

import brotli
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netfront.wire.coding import TooLong, codings_of, decode
from netfront.wire.fields import Fields

CODERS = {b"gzip": gzip.compress, b"deflate": zlib.compress, b"br": brotli.compress}


def raw_deflate(data):
    coder = zlib.compressobj(9, zlib.DEFLATED, -15)
    return coder.compress(data) + coder.flush()


@pytest.mark.parametrize("name", CODERS)
@given(data=st.binary(max_size=2000))
def test_what_was_coded_comes_back(name, data):
    assert decode(CODERS[name](data), [name], most=2000) == data


def test_deflate_without_its_wrapping_comes_back():
    assert decode(raw_deflate(b"abc" * 9), [b"deflate"], most=100) == b"abc" * 9


def test_codings_come_off_in_reverse():
    assert decode(gzip.compress(brotli.compress(b"x")), [b"br", b"gzip"], most=100) == b"x"


@pytest.mark.parametrize("name", CODERS)
def test_exactly_as_much_as_is_allowed_passes(name):
    assert len(decode(CODERS[name](b"ab" * 500), [name], most=1000)) == 1000


@pytest.mark.parametrize("name", CODERS)
@pytest.mark.parametrize(
    ("spoil", "most", "why"),
    [
        (lambda code: code(b"x" * 1001), 1000, "it is over 1000 bytes"),
        (lambda code: code(b"hello")[:-3], 100, "its content coding breaks off"),
        (lambda code: b"\xff\xff\xff garbage", 100, "its content coding is broken"),
    ],
)
def test_what_cannot_be_taken_off_is_refused(name, spoil, most, why):
    with pytest.raises(ValueError, match=why):
        decode(spoil(CODERS[name]), [name], most=most)


@pytest.mark.parametrize("name", [b"gzip", b"deflate"])
def test_what_stands_behind_a_coding_is_refused(name):
    with pytest.raises(ValueError, match="more behind"):
        decode(CODERS[name](b"a") + b"b", [name], most=100)


def test_an_unknown_coding_and_too_many_are_refused():
    with pytest.raises(ValueError, match="zstd is unknown"):
        decode(b"", [b"zstd"], most=1)
    with pytest.raises(ValueError, match="3 content codings"):
        decode(b"", [b"gzip"] * 3, most=1)


def test_codings_are_listed_without_identity():
    fields = Fields.of((b"Content-Encoding", b"GZip, identity"), (b"content-encoding", b"br"))
    assert codings_of(fields) == (b"gzip", b"br")
    assert codings_of(Fields()) == ()


def test_two_codings_allow_no_more_growth_than_one():
    inner = gzip.compress(bytes(3_000_000))
    outer = gzip.compress(inner.ljust(len(inner), b"\0"))
    with pytest.raises(TooLong):
        decode(outer, [b"gzip", b"gzip"], most=2_999_999)


@pytest.mark.parametrize("name", CODERS)
def test_what_repeats_itself_may_grow_as_far_as_is_allowed(name):
    assert decode(CODERS[name](b"x" * 10**6), [name], most=10**6) == b"x" * 10**6


def test_gzip_may_have_members():
    members = b"".join(gzip.compress(b"%d," % at) for at in range(16))
    assert decode(members, [b"gzip"], most=100) == b"".join(b"%d," % at for at in range(16))
    with pytest.raises(TooLong):
        decode(members, [b"gzip"], most=20)
    with pytest.raises(ValueError, match="too many members"):
        decode(members + gzip.compress(b"x"), [b"gzip"], most=100)
    with pytest.raises(ValueError, match="breaks off"):
        decode(members[:-3], [b"gzip"], most=100)
