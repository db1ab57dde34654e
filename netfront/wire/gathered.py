"""Bytes that come in pieces and are held whole."""

from io import BytesIO

__all__ = ["Gathered"]


class Gathered:
    """Pieces become one as they come: of a million tiny ones a list would take fifty times their bytes.

    A whole that comes in one piece is that piece.
    """

    __slots__ = ("_buffer", "_first")

    def __init__(self) -> None:
        self._first = b""
        self._buffer: BytesIO | None = None

    def add(self, data: bytes) -> None:
        """Put some behind what is there."""
        if self._buffer is not None:
            self._buffer.write(data)
        elif not self._first:
            self._first = data
        else:
            self._buffer = BytesIO()
            self._buffer.write(self._first)
            self._buffer.write(data)
            self._first = b""

    def __len__(self) -> int:
        return len(self._first) if self._buffer is None else self._buffer.tell()

    def whole(self) -> bytes:
        """Give all of it."""
        return self._first if self._buffer is None else self._buffer.getvalue()
