"""A trio stream in the shape of ours, so that memory streams fit wherever a Stream does."""

import trio

from netfront.net.lane import Signal, clock, ready
from netfront.net.stream import CHUNK, Facts


class TrioStream:
    """A trio stream in our shape. Plain tasks only."""

    def __init__(self, stream: trio.StapledStream, facts: Facts) -> None:
        self._stream = stream
        self._held = b""
        self._ended = False
        self._told = False
        self.facts = facts
        self.is_lost = False
        self.ended_at = 0.0
        self.readable = Signal(False, self._fill)
        self._unsent = b""
        self.writable = Signal(True, self._drain)
        self.hung = Signal(False, self._fill_to_end)

    async def _fill(self) -> None:
        if self._held or self._ended:
            return
        try:
            data = await self._stream.receive_some(CHUNK)
        except trio.BrokenResourceError:
            data = b""
            self.is_lost = True
        self._held += data
        if not data:
            self._ended = True
            self.ended_at = clock()
            self.hung.is_set = True

    async def _fill_to_end(self) -> None:
        if not self._told:
            await self._fill()
        if self._told or not self._ended:
            await trio.sleep_forever()
        self._told = True

    def receive_now(self, max_bytes: int = CHUNK) -> bytes | None:
        """Give what is held, b"" at the end, or None."""
        if self._held:
            data, self._held = self._held[:max_bytes], self._held[max_bytes:]
            self.readable.is_set = bool(self._held) or self._ended
            return data
        if self._ended:
            if self.is_lost:
                raise ConnectionResetError("broken")
            return b""
        self.readable.is_set = False
        return None

    async def receive_some(self, max_bytes: int = CHUNK) -> bytes:
        """Give the next bytes, at least one; b"" at the end."""
        while (data := self.receive_now(max_bytes)) is None:
            await ready(self.readable)
        return data

    def send_now(self, data: bytes | memoryview) -> int:
        """Take it, if nothing taken before waits still: it leaves when somebody waits for `writable`."""
        if self._unsent:
            return 0
        self._unsent = bytes(data)
        self.writable.is_set = not self._unsent
        return len(data)

    @property
    def is_held_up(self) -> bool:
        """Whether something taken has not left yet."""
        return bool(self._unsent)

    def push(self) -> bool:
        """Tell whether all has left."""
        return not self._unsent

    async def _drain(self) -> None:
        try:
            await self._stream.send_all(self._unsent)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise BrokenPipeError(str(error)) from error
        self._unsent = b""

    async def send_all(self, data: bytes) -> None:
        """Send all of it."""
        await ready(self.writable)
        self.send_now(data)
        await ready(self.writable)

    def end_now(self) -> bool:
        """End our direction, once all has left."""
        if not self._unsent:
            self._stream.send_stream.close()
        return not self._unsent

    async def send_eof(self) -> None:
        """End our direction."""
        await self._stream.send_eof()

    async def aclose(self) -> None:
        """Close it."""
        await trio.aclose_forcefully(self._stream)

    def abort(self) -> None:
        """Close it; memory streams close without waiting."""
        self._ended = True
        self._stream.send_stream.close()
        self._stream.receive_stream.close()

    def reset(self) -> None:
        """As `abort`."""
        self.is_lost = True
        self.abort()

    @property
    def has_arrived(self) -> bool:
        """Memory has no way to be on."""
        return True

    def wake_reader(self) -> None:
        """Have who waits find the end: a memory stream cannot be looked at."""
        self._ended = True

    def raise_failure(self) -> None:
        """Raise, if it is broken."""
        if self.is_lost:
            raise ConnectionResetError("broken")
