"""Dialling: from a member of a pool to a connected stream.

A numeric address and a unix socket are dialled without leaving the lane, and so is a name that somebody follows:
its member says where it leads. Any other name is looked up in a thread. The addresses are tried one beside the other
(RFC 8305, happy eyeballs). A loopback name is both loopback addresses, so that a server that listens on one of
them only is found.
"""

import errno
import ipaddress
import os
import socket
import ssl
from collections.abc import Sequence

import trio

from netfront.endpoint import is_loopback_name
from netfront.errors import BackendError, Overdue
from netfront.net.lane import clock, first, in_trio
from netfront.net.pool import Backend, Member
from netfront.net.stream import Facts, SocketStream, Stream
from netfront.net.tlsstream import TlsStream

__all__ = ["dial"]

Address = tuple[socket.AddressFamily, object]
_BESIDE = 0.25
"""Seconds of silence after which the next address is tried beside the first (RFC 8305 §5)."""


async def dial(backend: Backend, *, timeout: float, preamble: bytes = b"") -> Stream:
    """Open a connection to a backend, TLS included.

    Args:
        timeout: seconds for all of it.
        preamble: a PROXY line to send first.
    Raises:
        BackendError: stage "resolve", "connect" or "tls"; always retry-safe.
    """
    member = backend.member
    until = clock() + timeout
    if not backend.addresses:
        backend.addresses = await _addresses(member, until)
    known = backend.addresses
    try:
        stream, used = await _connect_any(known, until)  # type: ignore[arg-type]
    except BackendError:
        if backend.addresses is known:
            backend.addresses = ()
        raise
    if backend.addresses is known:  # else the name has come to lead elsewhere
        backend.addresses = [used, *(address for address in known if address != used)]
    try:
        if preamble:
            await stream.send_all(preamble)
        if member.tls is None:
            return stream
        secure = TlsStream(stream, member.tls, server_side=False, server_name=member.server_name)
        await _handshake(secure, until)
    except BaseException:
        stream.abort()
        raise
    return secure


async def _handshake(stream: TlsStream, until: float) -> None:
    try:
        await stream.handshake(until=until)
    except ssl.SSLError as error:
        from netfront.net.tls import handshake_failure  # 6 ms of a start that speaks no TLS

        raise BackendError("tls", retry_safe=True, why=handshake_failure(error)) from error
    except OSError as error:
        raise BackendError("tls", retry_safe=True, why=_words(error)) from error
    except Overdue as error:
        raise BackendError(
            "tls", retry_safe=True, why="no answer to the handshake", timed_out=True
        ) from error


async def _addresses(member: Member, until: float) -> Sequence[Address]:
    endpoint = member.endpoint
    if endpoint.path is not None:
        return [(socket.AF_UNIX, endpoint.path)]
    if member.addresses:
        return [
            (socket.AF_INET6 if ":" in address else socket.AF_INET, (address, endpoint.port))
            for address in member.addresses
        ]
    host, port = endpoint.host or "localhost", endpoint.port
    if is_loopback_name(host):
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return [(socket.AF_INET, ("127.0.0.1", port)), (socket.AF_INET6, ("::1", port, 0, 0))]
    try:
        family = socket.AF_INET6 if ipaddress.ip_address(host).version == 6 else socket.AF_INET
        return [(family, (host, port))]
    except ValueError:
        pass
    async with in_trio():
        try:
            with trio.fail_after(max(0.0, until - trio.current_time())):
                found = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except trio.TooSlowError as error:
            raise BackendError(
                "resolve", retry_safe=True, why=f"{host}: no answer", timed_out=True
            ) from error
        except OSError as error:
            raise BackendError("resolve", retry_safe=True, why=f"{host}: {_words(error)}") from error
    return [(family, address) for family, _, _, _, address in found]


async def _connect_any(addresses: Sequence[Address], until: float) -> tuple[SocketStream, Address]:
    """Connect to the first address that answers; a silent one is not waited for alone."""
    pending: list[tuple[SocketStream, Address]] = []
    rest = list(addresses)
    last: BackendError | None = None
    try:
        while rest or pending:
            if rest:
                address = rest.pop(0)
                try:
                    stream, is_connected = _begin(address)
                except OSError as error:
                    last = BackendError("connect", retry_safe=True, why=_words(error))
                    continue
                if is_connected:
                    return stream, address
                pending.append((stream, address))
            beside = min(until, clock() + _BESIDE) if rest else until
            await first(*[stream.writable for stream, _ in pending], until=beside)
            for stream, address in list(pending):
                if stream.writable.is_set:
                    code = stream.raw_socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                    pending.remove((stream, address))
                    if not code:
                        return stream, address
                    stream.abort()
                    last = BackendError("connect", retry_safe=True, why=os.strerror(code).lower())
            if clock() >= until:
                raise BackendError("connect", retry_safe=True, why="no answer", timed_out=True)
    finally:
        for stream, _ in pending:
            stream.abort()
    raise last or BackendError("connect", retry_safe=True, why="no address")


def _begin(address: Address) -> tuple[SocketStream, bool]:
    family, place = address
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        if family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        code = sock.connect_ex(place)  # type: ignore[arg-type]
        if code not in (0, errno.EINPROGRESS):
            raise OSError(code, os.strerror(code))
    except BaseException:
        sock.close()
        raise
    stream = SocketStream(sock, Facts(("", 0), ("", 0)), is_readable=False)
    if code:
        stream.writable.clear()
    return stream, not code


def _words(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
