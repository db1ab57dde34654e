"""The demo origin's WebSocket conversation: over memory streams, where an hour takes no time."""

import pytest
import trio
from trio.testing import MockClock, memory_stream_pair

from netfront.demo.conversation import EchoConversation
from netfront.demo.websocket import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Message,
    MessageReader,
    close_frame,
    frame,
)
from netfront.net.stream import Facts
from tests.support.memory import TrioStream

KEY = b"\x01\x02\x03\x04"


def ask(opcode, data, *, is_final=True):
    return frame(opcode, data, mask=KEY, is_final=is_final)


def converse(*sent, early=b"", ends=False):
    """What the conversation says to a client that sends this, until it ends; and how long that takes."""

    async def run():
        near, far = memory_stream_pair()
        said = []
        took = -1.0

        async def talk():
            nonlocal took
            began = trio.current_time()
            await EchoConversation().run(TrioStream(far, Facts(("", 0), ("", 0))), early)
            took = trio.current_time() - began
            await far.aclose()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(talk)
            for data in sent:
                await near.send_all(data)
            if ends:
                await near.send_eof()
            reader = MessageReader(limit=1 << 30, masked=False)
            while data := await near.receive_some():
                reader.feed(data)
                while (message := reader.next()) is not None:
                    said.append(message)
        return said, took

    return trio.run(run, clock=MockClock(autojump_threshold=0))


BYE = Message(CLOSE, b"\x03\xe8", 1000)


@pytest.mark.parametrize(
    "message", [Message(TEXT, "h\u00e9llo".encode()), Message(BINARY, b"\xff\x00" * 70_000)]
)
def test_message_is_said_back(message):
    said, _ = converse(ask(message.kind, message.data), close_frame(1000, mask=KEY))
    assert said == [message, BYE]


def test_fragments_are_said_back_as_one_message():
    sent = ask(TEXT, b"one ", is_final=False), ask(PING, b"?"), ask(CONTINUATION, b"two")
    said, _ = converse(*sent, close_frame(1000, mask=KEY))
    assert said == [Message(PONG, b"?"), Message(TEXT, b"one two"), BYE]


def test_pong_nobody_asked_for_is_let_pass():
    said, _ = converse(ask(PONG, b"!"), close_frame(1000, mask=KEY))
    assert said == [BYE]


def test_what_came_with_the_handshake_is_read_first():
    said, _ = converse(close_frame(1000, mask=KEY), early=ask(TEXT, b"early"))
    assert said == [Message(TEXT, b"early"), BYE]


@pytest.mark.parametrize("code", [1000, 1001, 3999, 4000])
def test_close_is_answered_with_its_code(code):
    said, _ = converse(close_frame(code, "so long", mask=KEY))
    assert said == [Message(CLOSE, code.to_bytes(2, "big"), code)]


def test_close_without_a_code_is_answered_without_one():
    said, _ = converse(ask(CLOSE, b""))
    assert said == [Message(CLOSE, b"", None)]


@pytest.mark.parametrize(("sent", "code"), [(frame(TEXT, b"bare"), 1002), (ask(TEXT, b"\xff"), 1007)])
def test_violation_ends_it_with_its_code(sent, code):
    said, took = converse(ask(TEXT, b"before"), sent, ends=True)
    assert [message.code for message in said] == [None, code]
    assert took < 0.1


def test_too_long_a_message_ends_it_with_1009():
    said, _ = converse(b"\x82\xff" + (1 << 32).to_bytes(8, "big") + KEY, ends=True)
    assert said[-1].code == 1009


def test_client_that_does_not_end_after_a_violation_is_waited_for_two_seconds():
    said, took = converse(frame(TEXT, b"bare"))
    assert said[-1].code == 1002
    assert took == pytest.approx(2, abs=0.1)


def test_client_that_ends_without_a_close_ends_it():
    said, took = converse(ask(TEXT, b"a"), ends=True)
    assert said == [Message(TEXT, b"a")]
    assert took < 0.1


def test_silence_of_an_hour_ends_it_with_1001():
    said, took = converse(ask(TEXT, b"a"))
    assert said[-1].code == 1001
    assert took == pytest.approx(3602, abs=1)
