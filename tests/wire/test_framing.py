"""Where a body ends: the table of RFC 9112 §6.3, and all that is refused because two readers could differ."""

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netfront.errors import BadMessage
from netfront.wire.framing import (
    CHUNKED,
    LENGTH,
    NONE,
    UNTIL_CLOSE,
    Framing,
    request_framing,
    response_framing,
)

LARGEST = 2**63 - 1
BAD_LENGTHS = [
    *(
        b"",
        b"-1",
        b"+5",
        b"5_0",
        b"0x5",
        b"5 ",
        b" 5",
        b"5\t",
        b"5.0",
        b"5e1",
        b"5;",
        b"five",
        b"5 5",
        b"\x0b5",
    ),
    *(b"5,5", b"5, 5", b"5,", b",5", b"5, 6"),
    *("٥".encode(), "５".encode(), b"\xb2", b"5\xa0", b"\xc2\xa05"),
    *(b"12345678901234567890", b"0" * 20, b"%d" % (LARGEST + 1)),
]


def refusal(call, *args):
    with pytest.raises(BadMessage) as caught:
        call(*args)
    return caught.value.status


@pytest.mark.parametrize(
    ("lengths", "codings", "expected"),
    [
        ([], [], Framing(NONE)),
        ([b"0"], [], Framing(LENGTH, 0)),
        ([b"5"], [], Framing(LENGTH, 5)),
        ([b"0005"], [], Framing(LENGTH, 5)),
        ([b"%d" % LARGEST], [], Framing(LENGTH, LARGEST)),
        ([], [b"chunked"], Framing(CHUNKED)),
        ([], [b"Chunked"], Framing(CHUNKED)),
        ([], [b"CHUNKED"], Framing(CHUNKED)),
    ],
)
@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"POST", b"OPTIONS", b"X"])
def test_body_of_a_request_ends(method, lengths, codings, expected):
    assert request_framing(method, b"1", lengths, codings) == expected


def test_request_in_http_10_has_a_length_or_no_body():
    assert request_framing(b"POST", b"0", [b"5"], []) == Framing(LENGTH, 5)
    assert request_framing(b"POST", b"0", [], []) == Framing(NONE)


@pytest.mark.parametrize("value", BAD_LENGTHS)
def test_malformed_length_is_refused(value):
    assert refusal(request_framing, b"POST", b"1", [value], []) == 400
    refusal(response_framing, b"GET", 200, b"1", [value], [])
    refusal(response_framing, b"HEAD", 200, b"1", [value], [])
    refusal(response_framing, b"GET", 304, b"1", [value], [])


@pytest.mark.parametrize("lengths", [[b"5", b"5"], [b"5", b"6"], [b"0", b"0"], [b"5", b""]])
def test_second_length_is_refused_even_if_equal(lengths):
    assert refusal(request_framing, b"POST", b"1", lengths, []) == 400
    refusal(response_framing, b"GET", 200, b"1", lengths, [])


@pytest.mark.parametrize("minor", [b"0", b"1"])
def test_length_beside_transfer_encoding_is_refused(minor):
    assert refusal(request_framing, b"POST", minor, [b"5"], [b"chunked"]) == 400
    refusal(response_framing, b"GET", 200, minor, [b"5"], [b"chunked"])
    refusal(response_framing, b"HEAD", 200, minor, [b"5"], [b"chunked"])


def test_transfer_encoding_in_http_10_is_refused():
    assert refusal(request_framing, b"POST", b"0", [], [b"chunked"]) == 400
    refusal(response_framing, b"GET", 200, b"0", [], [b"chunked"])


@pytest.mark.parametrize(
    ("codings", "status"),
    [
        ([b"gzip"], 501),
        ([b"gzip, chunked"], 501),
        ([b"identity"], 501),
        ([b"xchunked"], 501),
        ([b"chunkedx"], 501),
        ([b"chunked, chunked"], 400),
        ([b"chunked, identity"], 400),
        ([b"chunked,"], 400),
        ([b",chunked"], 400),
        ([b""], 400),
        ([b"chunked;q=1"], 400),
        ([b'"chunked"'], 400),
        ([b"chunked\x0b"], 400),
        ([b"\x0cchunked"], 400),
        ([b"chun ked"], 400),
        ([b"chunked\xa0"], 400),
        (["chun\u212aed".encode()], 400),  # a Kelvin sign, which str.lower() makes a k
        ([b"chunked", b"chunked"], 400),
        ([b"chunked", b"identity"], 400),
        ([b"identity", b"chunked"], 400),
        ([b"gzip", b"chunked"], 400),
    ],
)
def test_transfer_coding_other_than_one_chunked_is_refused(codings, status):
    assert refusal(request_framing, b"POST", b"1", [], codings) == status
    refusal(response_framing, b"GET", 200, b"1", [], codings)


@pytest.mark.parametrize(
    ("method", "status", "lengths", "codings", "expected"),
    [
        (b"GET", 200, [b"5"], [], Framing(LENGTH, 5)),
        (b"GET", 200, [b"0"], [], Framing(LENGTH, 0)),
        (b"GET", 200, [], [b"chunked"], Framing(CHUNKED)),
        (b"GET", 200, [], [], Framing(UNTIL_CLOSE)),
        (b"POST", 500, [], [], Framing(UNTIL_CLOSE)),
        (b"GET", 205, [b"0"], [], Framing(LENGTH, 0)),
        (b"HEAD", 200, [b"5"], [], Framing(NONE)),
        (b"HEAD", 200, [], [b"chunked"], Framing(NONE)),
        (b"HEAD", 200, [], [], Framing(NONE)),
        (b"HEAD", 404, [b"5"], [], Framing(NONE)),
        (b"GET", 304, [b"5"], [], Framing(NONE)),
        (b"GET", 304, [], [b"chunked"], Framing(NONE)),
        (b"GET", 304, [], [], Framing(NONE)),
        (b"GET", 204, [], [], Framing(NONE)),
        (b"GET", 204, [b"0"], [], Framing(NONE)),
        (b"GET", 100, [], [], Framing(NONE)),
        (b"GET", 103, [], [], Framing(NONE)),
        (b"GET", 101, [], [], Framing(NONE)),
        (b"head", 200, [b"5"], [], Framing(LENGTH, 5)),
    ],
)
def test_body_of_a_response_ends(method, status, lengths, codings, expected):
    assert response_framing(method, status, b"1", lengths, codings) == expected


@pytest.mark.parametrize(("lengths", "codings"), [([b"5"], []), ([], [b"chunked"])])
def test_204_with_a_body_is_refused(lengths, codings):
    refusal(response_framing, b"GET", 204, b"1", lengths, codings)


def test_response_in_http_10_without_length_ends_with_its_connection():
    assert response_framing(b"GET", 200, b"0", [], []) == Framing(UNTIL_CLOSE)


VALUES = st.one_of(
    st.sampled_from([b"0", b"5", b"05", b"5, 5", b"chunked", b"Chunked", b"gzip, chunked", b"identity"]),
    st.text("0159+-_ ,xchunked", max_size=8).map(str.encode),
)


@given(st.lists(VALUES, max_size=2), st.lists(VALUES, max_size=2), st.sampled_from([b"0", b"1"]))
def test_what_is_taken_h11_frames_the_same(lengths, codings, minor):
    lengths, codings = [value.strip() for value in lengths], [value.strip() for value in codings]
    try:
        ours = request_framing(b"POST", minor, lengths, codings)
    except BadMessage:
        return
    lines = [b"POST / HTTP/1.%b" % minor, b"Host: a"]
    lines += [b"Content-Length: " + value for value in lengths]
    lines += [b"Transfer-Encoding: " + value for value in codings]
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(b"\r\n".join([*lines, b"", b""]))
    headers = dict(connection.next_event().headers)
    if ours.kind == CHUNKED:
        assert headers[b"transfer-encoding"] == b"chunked"
        assert b"content-length" not in headers
    elif ours.kind == LENGTH:
        assert int(headers[b"content-length"]) == ours.length
        assert b"transfer-encoding" not in headers
    else:
        assert isinstance(connection.next_event(), h11.EndOfMessage)
