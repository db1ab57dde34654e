"""What stands before HTTP on an accepted stream: a PROXY line, and the end of TLS. StreamHandlers around one.

Each takes what it needs from the stream and hands the rest on. A peer that is late, or speaks neither, is closed;
one that speaks plain HTTP where TLS is due is told so in plain HTTP, as that is what it understands. Whoever watches is
told of each that was turned away, but of none that left without a byte: so do those who only look whether the port is
open.
"""

import ssl
from collections.abc import Callable

from netfront.errors import BadMessage, Overdue, words
from netfront.net.lane import clock, deadline, ready
from netfront.net.listen import StreamHandler
from netfront.net.stream import Facts, SocketStream, Stream, unmapped
from netfront.net.tlsstream import TlsStream, client_failure
from netfront.wire.proxyline import ProxyHeader, parse_proxy

__all__ = ["TurnedAway", "ends_tls", "expects_proxy"]

TurnedAway = Callable[[Facts, str], None]
"""Told of a peer that was closed before anything was served, and why."""

_HANDSHAKE = 0x16
"""The first byte of a TLS record that carries a handshake (RFC 8446 §5.1)."""
_MOST_PLAIN = 32768


def expects_proxy(
    trusted: Callable[[str], bool], then: StreamHandler, *, timeout: float, turned_away: TurnedAway
) -> StreamHandler:
    """Read the PROXY line that a trusted peer's connection begins with; others are served as they are.

    Args:
        trusted: whether what this address says of its client is believed.
        timeout: seconds for the whole line.
    """

    async def read_line(stream: Stream) -> ProxyHeader | None:
        data = b""
        while True:
            try:
                more = await stream.receive_some()
            except Overdue:
                turned_away(stream.facts, f"no whole PROXY line within {timeout:g} s")
                raise
            if not more:
                if data:
                    turned_away(stream.facts, "it ended within its PROXY line")
                return None
            data += more
            try:
                line = parse_proxy(data)
            except BadMessage as error:
                turned_away(stream.facts, error.why)
                return None
            if line is not None:
                _unread(stream, data[line.consumed :])
                return line

    async def handle(stream: Stream) -> None:
        facts = stream.facts
        if not trusted(facts.peer[0]):
            await then(stream)
            return
        due = deadline()
        due.which = "handshake"
        due.at = clock() + timeout
        line = await read_line(stream)
        if line is None:
            return
        due.at = float("inf")
        if line.source is not None:
            facts.peer = unmapped(line.source[0]), line.source[1]
        if line.destination is not None:
            facts.local = unmapped(line.destination[0]), line.destination[1]
        await then(stream)

    return handle


def ends_tls(
    context: Callable[[], ssl.SSLContext],
    then: StreamHandler,
    *,
    timeout: float,
    plain: Callable[[bytes], bytes],
    turned_away: TurnedAway,
) -> StreamHandler:
    """Do the TLS handshake.

    Args:
        context: the one to use now: a reload changes it.
        timeout: seconds for the handshake, from the connection's start.
        plain: the answer to a head in plain HTTP.
    """

    async def handle(stream: Stream) -> None:
        due = deadline()
        due.which = "handshake"
        due.at = clock() + timeout
        early = await stream.receive_some()
        if not early:
            return
        if early[0] != _HANDSHAKE:
            turned_away(stream.facts, "it does not speak TLS")
            await _tell(stream, early, plain)
            return
        secure = TlsStream(stream, context(), server_side=True)
        try:
            await secure.handshake(early)
        except ssl.SSLError as error:
            turned_away(stream.facts, client_failure(error))
            return
        except Overdue:
            turned_away(stream.facts, f"no whole TLS handshake within {timeout:g} s")
            raise
        except OSError as error:
            why = words(error) if error.errno else "it ended within the TLS handshake"
            turned_away(stream.facts, why)
            raise
        due.at = float("inf")
        await then(secure)

    return handle


async def _tell(stream: Stream, data: bytes, plain: Callable[[bytes], bytes]) -> None:
    """Answer plain HTTP on a TLS port."""
    try:
        while b"\r\n\r\n" not in data and len(data) < _MOST_PLAIN:
            more = await stream.receive_some()
            if not more:
                break
            data += more
    except Overdue:
        return
    answer = plain(data)
    if answer:
        await stream.send_all(answer)
        await stream.send_eof()
        while stream.receive_now() is None:
            await ready(stream.readable)


def _unread(stream: Stream, data: bytes) -> None:
    if not isinstance(stream, SocketStream):
        raise TypeError("a PROXY line stands on a socket")
    stream.unread(data)
