"""WebSocket without I/O (RFC 6455): the opening handshake, and messages out of bytes and back.

What the standard forbids ends the conversation with the close code it names, as a `Violation`. No extension
is offered or accepted, so a reserved bit is a violation. Messages are joined whole, up to a limit.

A reader's states are two flags: whether a fragmented message is open (`_kind` is not None), and whether the
other side has closed (`_closed`). Control frames may stand between fragments and change neither the first.
Every check stands where the bytes it needs are complete, so that how the bytes were split cannot matter.
"""

import base64
import binascii
import hashlib
from dataclasses import dataclass

from netfront.errors import Refusal
from netfront.wire.fields import Fields, field

__all__ = [
    "BINARY",
    "CLOSE",
    "CONTINUATION",
    "PING",
    "PONG",
    "TEXT",
    "Message",
    "MessageReader",
    "Violation",
    "accept_key",
    "close_frame",
    "frame",
    "opening_fields",
]

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
_KNOWN = frozenset({CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG})
_FINAL, _RESERVED, _MASKED = 0x80, 0x70, 0x80
_LONGEST_CONTROL = 125
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_VERSION = b"13"
_DEFINED_CODES = frozenset({1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014})
"""Of RFC 6455 §7.4 and IANA's registry, without those that must not be sent (1004, 1005, 1006, 1015)."""


class Violation(Exception):
    """The other side broke the protocol; whoever catches it sends a close frame with `code` and ends."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code = code
        self.why = why


@dataclass(frozen=True, slots=True)
class Message:
    """One message or control frame.

    Args:
        kind: TEXT (its data is valid UTF-8), BINARY, PING, PONG or CLOSE.
        code: of a close frame; None when it carried none.
    """

    kind: int
    data: bytes
    code: int | None = None


class MessageReader:
    """Reads messages out of one direction of a connection.

    Args:
        limit: most bytes a message may have; 1009 above.
        masked: whether frames must be masked, as a client's must (RFC 6455 §5.1); else they must not.
    """

    __slots__ = ("_buffer", "_closed", "_joined", "_kind", "_limit", "_masked")

    def __init__(self, *, limit: int, masked: bool = True) -> None:
        self._limit = limit
        self._masked = masked
        self._buffer = bytearray()
        self._joined = bytearray()
        self._kind: int | None = None
        self._closed = False

    def feed(self, data: bytes) -> None:
        """Take bytes; then call `next` until it gives None. What comes behind a close frame is forgotten."""
        if not self._closed:
            self._buffer += data

    def next(self) -> Message | None:
        """Give the next message or control frame, or None until more bytes come.

        Raises:
            Violation: 1002, 1007 or 1009; nothing after it can be read.
        """
        while not self._closed and (read := self._frame()) is not None:
            is_final, opcode, payload = read
            if opcode == CLOSE:
                self._closed = True
                self._buffer.clear()
                return Message(CLOSE, payload, _close_code(payload))
            if opcode in (PING, PONG):
                return Message(opcode, payload)
            if opcode != CONTINUATION:
                self._kind = opcode
            self._joined += payload
            if is_final:
                return self._message()
        return None

    def _message(self) -> Message:
        kind, data = self._kind, bytes(self._joined)
        assert kind is not None
        self._kind = None
        self._joined = bytearray()
        if kind == TEXT:
            _check_text(data)
        return Message(kind, data)

    def _frame(self) -> tuple[bool, int, bytes] | None:
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        is_final, opcode = buffer[0] >= _FINAL, buffer[0] & 0x0F
        self._check_start(buffer[0], buffer[1])
        head, size = 2, buffer[1] & 0x7F
        if size > _LONGEST_CONTROL:
            head += 2 if size == 126 else 8
            if len(buffer) < head:
                return None
            size = _long_size(buffer[2:head])
        if opcode < CLOSE and len(self._joined) + size > self._limit:
            raise Violation(1009, f"a message of over {self._limit} bytes")
        start = head + 4 if self._masked else head
        if len(buffer) < start + size:
            return None
        payload = bytes(memoryview(buffer)[start : start + size])
        if self._masked:
            payload = _mask(payload, bytes(buffer[head:start]))
        del buffer[: start + size]
        return is_final, opcode, payload

    def _check_start(self, first: int, second: int) -> None:
        """Check what the first two bytes of a frame say (RFC 6455 §5.2, §5.4, §5.5)."""
        opcode = first & 0x0F
        if first & _RESERVED:
            raise Violation(1002, "a reserved bit is set")
        if opcode not in _KNOWN:
            raise Violation(1002, f"opcode {opcode:#x} is not defined")
        if (second >= _MASKED) is not self._masked:
            raise Violation(1002, "a frame must be masked" if self._masked else "a frame must not be masked")
        if opcode >= CLOSE:
            if first < _FINAL:
                raise Violation(1002, "a fragmented control frame")
            if second & 0x7F > _LONGEST_CONTROL:
                raise Violation(1002, "a control frame of over 125 bytes")
        elif opcode == CONTINUATION and self._kind is None:
            raise Violation(1002, "a fragment without its beginning")
        elif opcode != CONTINUATION and self._kind is not None:
            raise Violation(1002, "a fragment is missing")


def frame(opcode: int, data: bytes, *, mask: bytes | None = None, is_final: bool = True) -> bytes:
    """Render one frame; with `mask` (four bytes) as a client must."""
    size, flag = len(data), 0 if mask is None else _MASKED
    head = bytes([opcode | (_FINAL if is_final else 0)])
    if size <= _LONGEST_CONTROL:
        head += bytes([flag | size])
    elif size < 1 << 16:
        head += bytes([flag | 126]) + size.to_bytes(2, "big")
    else:
        head += bytes([flag | 127]) + size.to_bytes(8, "big")
    return head + data if mask is None else head + mask + _mask(data, mask)


def close_frame(code: int | None, reason: str = "", *, mask: bytes | None = None) -> bytes:
    """Render a close frame; the reason is cut to what fits, on a character's border."""
    if code is None:
        return frame(CLOSE, b"", mask=mask)
    text = reason.encode()[: _LONGEST_CONTROL - 2].decode(errors="ignore").encode()
    return frame(CLOSE, code.to_bytes(2, "big") + text, mask=mask)


def accept_key(key: bytes) -> bytes:
    """Work out Sec-WebSocket-Accept from Sec-WebSocket-Key (RFC 6455 §4.2.2)."""
    return base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())


def opening_fields(upgrade: bytes | None, fields: Fields) -> Fields:
    """Answer an opening handshake: the fields of the 101 (RFC 6455 §4.2).

    The first subprotocol offered is taken: a browser that offered some drops a connection that took none.

    Args:
        upgrade: the protocols the request asks to change to.
        fields: of the request.
    Raises:
        Refusal: 400, malformed; 426, no WebSocket asked for, or another version.
    """
    asked = [protocol.strip(b" \t").lower() for protocol in (upgrade or b"").split(b",")]
    if b"websocket" not in asked:
        raise Refusal(
            426, "WebSocket is spoken here", ((b"Upgrade", b"websocket"), (b"Connection", b"Upgrade"))
        )
    versions = fields.get_all(b"sec-websocket-version")
    if versions != [_VERSION]:
        raise Refusal(426, "version 13 of WebSocket is spoken here", ((b"Sec-WebSocket-Version", _VERSION),))
    keys = fields.get_all(b"sec-websocket-key")
    if len(keys) != 1 or not _is_key(keys[0]):
        raise Refusal(400, "Sec-WebSocket-Key is not 16 bytes in base64")
    answer = [field(b"Upgrade", b"websocket"), field(b"Sec-WebSocket-Accept", accept_key(keys[0]))]
    offered = b",".join(fields.get_all(b"sec-websocket-protocol")).split(b",")[0].strip(b" \t")
    if offered:
        answer.append(field(b"Sec-WebSocket-Protocol", offered))
    return Fields(answer)


def _is_key(key: bytes) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == 16
    except binascii.Error:
        return False


def _mask(data: bytes, key: bytes) -> bytes:
    """Mask or unmask (RFC 6455 §5.3); as one large number, as a loop over bytes is slow."""
    size = len(data)
    keys = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(data, "little") ^ int.from_bytes(keys, "little")).to_bytes(size, "little")


def _long_size(data: bytearray) -> int:
    """Read a length of two or eight bytes, which must have needed them (RFC 6455 §5.2)."""
    size = int.from_bytes(data, "big")
    if size >= 1 << 63 or size < (126 if len(data) == 2 else 1 << 16):
        raise Violation(1002, "a length that is not in its shortest form")
    return size


def _close_code(payload: bytes) -> int | None:
    """Read the code of a close frame (RFC 6455 §5.5.1, §7.4)."""
    if not payload:
        return None
    code = int.from_bytes(payload[:2], "big")
    if len(payload) == 1 or not (code in _DEFINED_CODES or 3000 <= code <= 4999):
        raise Violation(1002, "a close code that must not be sent")
    _check_text(payload[2:])
    return code


def _check_text(data: bytes) -> None:
    try:
        data.decode()
    except UnicodeDecodeError as error:
        raise Violation(1007, "text that is not UTF-8") from error
