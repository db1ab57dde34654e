"""The WebSocket codec: RFC 6455's own examples, what it forbids, and any split of the bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netfront.demo.websocket import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Message,
    MessageReader,
    Violation,
    accept_key,
    close_frame,
    frame,
    opening_fields,
)
from netfront.errors import Refusal
from netfront.wire.fields import Fields

KEY = b"\x37\xfa\x21\x3d"


def read(*pieces, masked=True, limit=1 << 20):
    """What comes out of these pieces: messages, then the close code if the standard was violated."""
    reader = MessageReader(limit=limit, masked=masked)
    out = []
    try:
        for piece in pieces:
            reader.feed(piece)
            while (message := reader.next()) is not None:
                out.append(message)
    except Violation as violation:
        out.append(violation.code)
    return out


def ask(opcode, data, *, is_final=True):
    return frame(opcode, data, mask=KEY, is_final=is_final)


# RFC 6455's own examples (§1.3, §5.7)


def test_accept_key_is_that_of_the_standard():
    assert accept_key(b"dGhlIHNhbXBsZSBub25jZQ==") == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@pytest.mark.parametrize(
    ("raw", "masked", "expected"),
    [
        ("81 05 48 65 6c 6c 6f", False, [Message(TEXT, b"Hello")]),
        ("81 85 37 fa 21 3d 7f 9f 4d 51 58", True, [Message(TEXT, b"Hello")]),
        ("01 03 48 65 6c 80 02 6c 6f", False, [Message(TEXT, b"Hello")]),
        ("89 05 48 65 6c 6c 6f", False, [Message(PING, b"Hello")]),
        ("8a 85 37 fa 21 3d 7f 9f 4d 51 58", True, [Message(PONG, b"Hello")]),
        ("82 7e 01 00" + " 61" * 256, False, [Message(BINARY, b"a" * 256)]),
        ("82 7f 00 00 00 00 00 01 00 00" + " 61" * 65536, False, [Message(BINARY, b"a" * 65536)]),
    ],
)
def test_examples_of_the_standard_are_read(raw, masked, expected):
    assert read(bytes.fromhex(raw), masked=masked) == expected


@pytest.mark.parametrize(
    ("rendered", "raw"),
    [
        (frame(TEXT, b"Hello"), "81 05 48 65 6c 6c 6f"),
        (frame(TEXT, b"Hello", mask=KEY), "81 85 37 fa 21 3d 7f 9f 4d 51 58"),
        (frame(TEXT, b"Hel", is_final=False) + frame(CONTINUATION, b"lo"), "01 03 48 65 6c 80 02 6c 6f"),
        (frame(BINARY, b"a" * 256)[:4], "82 7e 01 00"),
        (frame(BINARY, b"a" * 65536)[:10], "82 7f 00 00 00 00 00 01 00 00"),
        (close_frame(1000, "ok"), "88 04 03 e8 6f 6b"),
        (close_frame(None), "88 00"),
    ],
)
def test_examples_of_the_standard_are_rendered(rendered, raw):
    assert rendered == bytes.fromhex(raw)


# what it forbids


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (frame(TEXT, b"x"), 1002),
        (b"\xc1\x80" + KEY, 1002),
        (b"\xa1\x80" + KEY, 1002),
        (b"\x91\x80" + KEY, 1002),
        (ask(0x3, b""), 1002),
        (ask(0xB, b""), 1002),
        (ask(CONTINUATION, b"x"), 1002),
        (ask(TEXT, b"a", is_final=False) + ask(TEXT, b"b"), 1002),
        (ask(BINARY, b"a", is_final=False) + ask(BINARY, b"b", is_final=False), 1002),
        (ask(PING, b"", is_final=False), 1002),
        (b"\x89\xfe\x00\x7e", 1002),
        (b"\x82\xfe\x00\x7d", 1002),
        (b"\x82\xff" + (65535).to_bytes(8, "big"), 1002),
        (b"\x82\xff" + (1 << 63).to_bytes(8, "big"), 1002),
        (ask(TEXT, b"\xff"), 1007),
        (ask(TEXT, b"\xc0\xaf"), 1007),
        (ask(TEXT, b"\xed\xa0\x80"), 1007),
        (ask(TEXT, b"\xf4\x90\x80\x80"), 1007),
        (ask(TEXT, b"\xe2\x82", is_final=False) + ask(CONTINUATION, b"("), 1007),
        (ask(CLOSE, b"\x03"), 1002),
        (ask(CLOSE, (999).to_bytes(2, "big")), 1002),
        (ask(CLOSE, (1004).to_bytes(2, "big")), 1002),
        (ask(CLOSE, (1005).to_bytes(2, "big")), 1002),
        (ask(CLOSE, (1006).to_bytes(2, "big")), 1002),
        (ask(CLOSE, (1015).to_bytes(2, "big")), 1002),
        (ask(CLOSE, (2999).to_bytes(2, "big")), 1002),
        (ask(CLOSE, (5000).to_bytes(2, "big")), 1002),
        (ask(CLOSE, (1000).to_bytes(2, "big") + b"\xff"), 1007),
        (b"\x82\xff" + ((1 << 20) + 1).to_bytes(8, "big"), 1009),
    ],
)
def test_what_the_standard_forbids_ends_with_its_code(sent, code):
    assert read(sent)[-1] == code


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1011, 1014, 3000, 4999])
def test_close_with_a_code_that_may_be_sent_is_read(code):
    assert read(close_frame(code, "bye", mask=KEY)) == [
        Message(CLOSE, code.to_bytes(2, "big") + b"bye", code)
    ]


def test_close_without_a_code_is_read():
    assert read(ask(CLOSE, b"")) == [Message(CLOSE, b"", None)]


def test_text_whose_character_is_cut_by_a_fragment_border_is_read():
    sent = ask(TEXT, b"\xe2\x82", is_final=False) + ask(CONTINUATION, b"\xac")
    assert read(sent) == [Message(TEXT, "\u20ac".encode())]


def test_message_of_just_the_limit_passes():
    assert read(ask(BINARY, b"x" * 10), limit=10) == [Message(BINARY, b"x" * 10)]


def test_limit_counts_all_fragments_of_a_message():
    sent = ask(BINARY, b"x" * 6, is_final=False) + ask(CONTINUATION, b"x" * 5)
    assert read(sent, limit=10) == [1009]


def test_limit_begins_anew_with_each_message():
    assert read(ask(BINARY, b"x" * 9) * 3, limit=10) == [Message(BINARY, b"x" * 9)] * 3


def test_too_long_a_message_is_refused_before_it_comes():
    assert read(b"\x82\xff" + (1 << 40).to_bytes(8, "big")) == [1009]


def test_nothing_is_read_behind_a_close():
    assert len(read(close_frame(1000, mask=KEY) + ask(TEXT, b"more"), ask(TEXT, b"and more"))) == 1


def test_reason_of_a_close_is_cut_on_the_border_of_a_character():
    message = read(close_frame(1000, "\u20ac" * 60), masked=False)[0]
    assert message.data[2:].decode() == "\u20ac" * 41


# any split, any fragments

data_messages = st.one_of(
    st.builds(Message, st.just(TEXT), st.text(max_size=200).map(str.encode)),
    st.builds(Message, st.just(BINARY), st.binary(max_size=70_000)),
)
control_messages = st.builds(Message, st.sampled_from([PING, PONG]), st.binary(max_size=125))


@st.composite
def conversations(draw):
    """(messages as they come out, their bytes): fragmented anywhere, control frames between fragments."""
    expected, sent = [], b""
    for message in draw(st.lists(st.one_of(data_messages, control_messages), max_size=5)):
        if message.kind in (PING, PONG):
            expected.append(message)
            sent += frame(message.kind, message.data, mask=draw(st.binary(min_size=4, max_size=4)))
            continue
        borders = sorted(draw(st.lists(st.integers(0, len(message.data)), max_size=3)))
        starts, ends = [0, *borders], [*borders, len(message.data)]
        for number, (start, end) in enumerate(zip(starts, ends, strict=True)):
            is_last = number == len(ends) - 1
            opcode = CONTINUATION if number else message.kind
            sent += ask(opcode, message.data[start:end], is_final=is_last)
            if not is_last and draw(st.booleans()):
                between = draw(control_messages)
                expected.append(between)
                sent += ask(between.kind, between.data)
        expected.append(message)
    return expected, sent


def split(data, borders):
    places = sorted({border % (len(data) + 1) for border in borders})
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]


@given(conversations(), st.lists(st.integers(0, 1 << 20), max_size=20))
def test_any_split_of_a_conversation_reads_the_same(conversation, borders):
    expected, sent = conversation
    assert read(*split(sent, borders)) == expected


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=20), st.booleans())
def test_any_split_of_garbage_reads_the_same_and_raises_nothing_else(garbage, borders, masked):
    assert read(*split(garbage, borders), masked=masked) == read(garbage, masked=masked)


@given(
    conversations(),
    st.integers(0, 1 << 20),
    st.integers(0, 255),
    st.lists(st.integers(0, 1 << 20), max_size=8),
)
def test_any_split_of_a_spoilt_conversation_reads_the_same(conversation, place, byte, borders):
    sent = bytearray(conversation[1] + ask(PING, b""))
    sent[place % len(sent)] = byte
    assert read(*split(bytes(sent), borders)) == read(bytes(sent))


@given(data_messages, st.binary(min_size=4, max_size=4))
def test_masked_twice_is_the_identity(message, key):
    assert read(frame(message.kind, message.data, mask=key)) == [message]


# the opening handshake

ASKED = [(b"Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ=="), (b"Sec-WebSocket-Version", b"13")]


def test_opening_is_answered_with_the_accept_key():
    fields = opening_fields(b"websocket", Fields.of(*ASKED))
    assert fields.get(b"upgrade") == b"websocket"
    assert fields.get(b"sec-websocket-accept") == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert fields.get(b"sec-websocket-protocol") is None


def test_first_subprotocol_offered_is_taken():
    fields = opening_fields(b"WebSocket", Fields.of(*ASKED, (b"Sec-WebSocket-Protocol", b"chat, superchat")))
    assert fields.get(b"sec-websocket-protocol") == b"chat"


def test_no_extension_is_accepted():
    offer = (b"Sec-WebSocket-Extensions", b"permessage-deflate; client_max_window_bits")
    assert opening_fields(b"websocket", Fields.of(*ASKED, offer)).get(b"sec-websocket-extensions") is None


@pytest.mark.parametrize(
    ("upgrade", "pairs", "status"),
    [
        (None, ASKED, 426),
        (b"chat", ASKED, 426),
        (b"websocket", ASKED[:1], 426),
        (b"websocket", [ASKED[0], (b"Sec-WebSocket-Version", b"8")], 426),
        (b"websocket", ASKED[1:], 400),
        (b"websocket", [*ASKED, ASKED[0]], 400),
        (b"websocket", [(b"Sec-WebSocket-Key", b"c2hvcnQ="), ASKED[1]], 400),
        (b"websocket", [(b"Sec-WebSocket-Key", b"not base64 at all!!!!!!!"), ASKED[1]], 400),
    ],
)
def test_malformed_opening_is_refused(upgrade, pairs, status):
    with pytest.raises(Refusal) as caught:
        opening_fields(upgrade, Fields.of(*pairs))
    assert caught.value.status == status
