"""A backend's connection whose other end is the test: what is sent stands in `sent`, what comes is fed."""

from netfront.net.lane import Signal
from netfront.net.stream import Facts

__all__ = ["FakeStream"]


class FakeStream:
    """A net.stream.Stream. Nothing waits in it but by its signals."""

    def __init__(self) -> None:
        self.facts = Facts(("", 0), ("", 0))
        self.readable = Signal()
        self.writable = Signal(True)
        self.hung = Signal()
        self.ended_at = 0.0
        self.is_lost = False
        self.is_held_up = False
        self.is_closed = False
        self.sent = b""
        self._held = b""
        self._ended = False
        self._broken: OSError | None = None

    def feed(self, data: bytes) -> None:
        """Let bytes arrive."""
        self._held += data
        self.readable.set()

    def end(self) -> None:
        """Let the other side end."""
        self._ended = True
        self.readable.set()

    def break_off(self) -> None:
        """Let a reset arrive."""
        self._broken = ConnectionResetError(104, "Connection reset by peer")
        self.readable.set()

    def receive_now(self, max_bytes: int = 65536) -> bytes | None:
        """Give what has come."""
        if self.is_closed:
            raise OSError(9, "closed")
        if self._held:
            data, self._held = self._held[:max_bytes], self._held[max_bytes:]
            return data
        if self._broken is not None:
            raise self._broken
        if self._ended:
            return b""
        self.readable.clear()
        return None

    def send_now(self, data: bytes) -> int:
        """Take all."""
        if self._broken is not None:
            raise self._broken
        self.sent += bytes(data)
        return len(data)

    def push(self) -> bool:
        """All has left."""
        return True

    def abort(self) -> None:
        """Close."""
        self.is_closed = True
        self.readable.set()

    reset = abort
