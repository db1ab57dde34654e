"""TLS over any stream, the handshake included, for servers and clients alike.

OpenSSL works on memory (BIOs): one `recv` brings what several records hold, and one `send` takes what several became.
"""

import math
import ssl

from netfront.errors import Overdue
from netfront.net.lane import Signal, breathe, first, lane, ready
from netfront.net.stream import CHUNK, Stream

__all__ = ["NamedObject", "TlsStream", "client_failure"]

_ALWAYS = Signal(True)
_RECORD = 16384
"""Most content of one record (RFC 8446 §5.1), and so the most that one read of OpenSSL's gives."""

_AT_ONCE = 2 * _RECORD
"""Content encrypted before it is sent: what OpenSSL and the kernel touch in turn stays in the processor's cache.
64 KiB at once cost 0.92 to 0.98 of nginx, 32 KiB 0.87, 16 KiB 1.08 (tests/bench, big-tls)."""
_DISTRUSTS = frozenset({"UNKNOWN_CA", "BAD_CERTIFICATE", "CERTIFICATE_UNKNOWN"})
"""Alerts (RFC 8446 §6.2) of clients that do not know the CA; which of them is a matter of taste."""


class NamedObject(ssl.SSLObject):
    """A server's side of TLS in OpenSSL, with the name that the client asked for: a context's `sslobject_class`."""

    sni: str | None = None


class TlsStream:
    """TLS over another stream, handshake included (MemoryBIO).

    An end of the stream without TLS's own close is an error when data may be missing (truncation): it is
    raised as ConnectionResetError. One owner encrypts and sends at a time, or records would be reordered.
    """

    __slots__ = (
        "_has_said_close",
        "_incoming",
        "_is_dry",
        "_object",
        "_outgoing",
        "_stream",
        "_unsent",
        "facts",
    )

    def __init__(
        self, stream: Stream, context: ssl.SSLContext, *, server_side: bool, server_name: str | None = None
    ) -> None:
        self._stream = stream
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_side, server_name)
        self._unsent = b""
        self._has_said_close = False
        self._is_dry = False
        """Whether OpenSSL has nothing: asking it then costs an exception, 2 us."""
        self.facts = stream.facts

    async def handshake(self, early: bytes = b"", *, until: float = math.inf) -> None:
        """Do the handshake. Raises ssl.SSLError, OSError or Overdue; after Overdue it may be asked to go on.

        Args:
            early: bytes of it that were taken from the stream already.
            until: the time at which to give up.
        """
        if early:
            self._incoming.write(early)
        while True:
            try:
                self._object.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
                while (data := self._stream.receive_now()) is None:
                    if await first(self._stream.readable, until=until) is None:
                        raise Overdue("handshake") from None
                if data:
                    self._incoming.write(data)
                    continue
                raise ConnectionResetError("closed in the TLS handshake") from None
            except ssl.SSLError:
                await self._flush()  # the alert that tells the peer why
                raise
            break
        await self._flush()
        facts = self.facts
        facts.tls = True
        if isinstance(self._object, NamedObject):
            facts.sni = self._object.sni
        facts.alpn = self._object.selected_alpn_protocol()
        facts.client_cert = self._object.getpeercert(binary_form=True)

    @property
    def readable(self) -> Signal:
        """Set also for what is in hand already."""
        return self._stream.readable if self._is_dry else _ALWAYS

    @property
    def writable(self) -> Signal:
        """Set when the bytes encrypted last have left."""
        return self._stream.writable

    @property
    def hung(self) -> Signal:
        """As of the stream below."""
        return self._stream.hung

    @property
    def ended_at(self) -> float:
        """See Stream."""
        return self._stream.ended_at

    @property
    def is_lost(self) -> bool:
        """As of the stream below."""
        return self._stream.is_lost

    def receive_now(self, max_bytes: int = CHUNK) -> bytes | None:
        """Give what is there: bytes, b"" at the end, or None when one would have to wait."""
        incoming, read = self._incoming, self._object.read
        while True:
            if self._is_dry:
                raw = self._stream.receive_now(max_bytes)
                if raw is None:
                    return None
                if raw:
                    incoming.write(raw)
                else:
                    incoming.write_eof()
            try:
                data = read(_RECORD)
            except ssl.SSLWantReadError:
                data = None
            except ssl.SSLZeroReturnError:
                data = b""
            except ssl.SSLEOFError:
                raise ConnectionResetError("ended without TLS close") from None
            except ssl.SSLError as error:
                raise _broken(error) from error
            self._is_dry = not incoming.pending  # one read takes all of a record, so OpenSSL holds none back
            if self._outgoing.pending:
                self._answer()
            if data:
                return data
            if data is not None:
                self._is_dry = False  # so that the end, which no byte follows, is found by who asks again
                return data

    def _answer(self) -> None:
        """Send what reading has called for; that it cannot be sent is for the next send to tell."""
        try:
            self.push()
        except OSError:
            pass

    async def receive_some(self, max_bytes: int = CHUNK) -> bytes:
        """Give the next bytes, at least one; b"" at the end."""
        while True:
            data = self.receive_now(max_bytes)
            if data is not None:
                active = lane()
                if active is not None:
                    active.operations -= 1
                    if active.operations <= 0:
                        await breathe()
                return data
            await ready(self._stream.readable)

    def send_now(self, data: bytes | memoryview) -> int:
        """Encrypt and take all of `data`, unless bytes encrypted before wait still: then nothing."""
        if self._unsent and not self.push():
            return 0
        size = len(data)
        try:
            if size <= _AT_ONCE:
                self._object.write(data)
                encrypted = self._outgoing.read()
                sent = self._stream.send_now(encrypted)
                if sent < len(encrypted):
                    self._unsent = encrypted[sent:]
            else:
                view = memoryview(data)
                for at in range(0, size, _AT_ONCE):
                    self._object.write(view[at : at + _AT_ONCE])
                    if not self._unsent and not self._push_on(at):
                        return at
        except ssl.SSLError as error:
            raise _broken(error) from error
        return size

    def _push_on(self, at: int) -> bool:
        """Push; False where it fails but bytes have left before: the next call raises, not one that sent some."""
        try:
            self.push()
        except OSError:
            if at == 0:
                raise
            return False
        return True

    async def send_all(self, data: bytes) -> None:
        """Send all of it, 64 KiB encrypted at a time."""
        await self._flush()
        for start in range(0, len(data), CHUNK):
            part = data if len(data) <= CHUNK else memoryview(data)[start : start + CHUNK]
            try:
                self._object.write(part)
            except ssl.SSLError as error:
                raise _broken(error) from error
            await self._flush()

    @property
    def is_held_up(self) -> bool:
        """Whether encrypted bytes have not left yet."""
        return bool(self._unsent)

    def push(self) -> bool:
        """Send what is encrypted as far as it goes; tell whether all has left."""
        data = self._unsent
        if self._outgoing.pending:
            data = data + self._outgoing.read() if data else self._outgoing.read()
        if data:
            sent = self._stream.send_now(data)
            self._unsent = data[sent:] if sent < len(data) else b""
        return not self._unsent

    async def _flush(self) -> None:
        if self._outgoing.pending and not self._unsent:
            await self._stream.send_all(self._outgoing.read())
            return
        while not self.push():
            await ready(self._stream.writable)

    def end_now(self) -> bool:
        """Send TLS's close, then end our direction below (RFC 8446 §6.1: the other one goes on)."""
        self._say_close()
        return self.push() and self._stream.end_now()

    async def send_eof(self) -> None:
        """End our direction; the other one goes on."""
        while not self.end_now():
            await ready(self._stream.writable)

    def _say_close(self) -> None:
        """Encrypt TLS's close, once.

        OpenSSL then looks for the peer's at once, and breaks off for good where it finds data in its place
        (SSL_shutdown(3)). So what has come is kept from it meanwhile.
        """
        if self._has_said_close:
            return
        self._has_said_close = True
        held = self._incoming.read()
        try:
            self._object.unwrap()
        except (ssl.SSLWantReadError, ssl.SSLEOFError):
            pass
        except ssl.SSLError as error:
            raise _broken(error) from error
        if held:
            self._incoming.write(held)

    async def aclose(self) -> None:
        """Say TLS's close as far as it goes without waiting, and close."""
        try:
            self._say_close()
            self.push()
        except OSError:
            pass
        await self._stream.aclose()

    def abort(self) -> None:
        """Close at once; idempotent."""
        self._stream.abort()

    def reset(self) -> None:
        """Close with RST; idempotent."""
        self._stream.reset()

    @property
    def has_arrived(self) -> bool:
        """As of the stream below, if nothing is held up here."""
        return not self._unsent and self._stream.has_arrived

    def wake_reader(self) -> None:
        """As of the stream below."""
        self._stream.wake_reader()

    def raise_failure(self) -> None:
        """Raise what has befallen the stream below, if anything has."""
        self._stream.raise_failure()


def _broken(error: ssl.SSLError) -> ConnectionResetError:
    """Tell why TLS ended; a TLS 1.3 server refuses a client's certificate only after its handshake (RFC 8446 §4.4)."""
    from netfront.net.tls import handshake_failure  # 6 ms of a start that speaks no TLS

    return ConnectionResetError(f"TLS: {handshake_failure(error)}")


def client_failure(error: ssl.SSLError) -> str:
    """Tell why a client's handshake failed, in one line."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message.rstrip('.')}"
    reason = error.reason or ""
    alert = reason.partition("_ALERT_")[2]
    if alert in _DISTRUSTS:
        return "it does not trust our certificate"
    if alert:
        return f"it broke off: {alert.replace('_', ' ').lower()}"
    return reason.replace("_", " ").lower() or str(error)
