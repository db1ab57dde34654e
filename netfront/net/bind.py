"""Opening the sockets that listen: before anything serves, so that a port in use is told in time, and by whom."""

import errno
import os
import resource
import socket
import stat
import sys
from collections.abc import Container

from netfront.errors import CannotListen, Fault, words
from netfront.net.holder import who_listens, who_listens_at

__all__ = ["PKTINFO", "ask_destination", "free_port", "open_sockets", "raise_descriptor_limit"]

_BACKLOG = 1024
_NEAREST = 20
_PRIVILEGED = 1024
_MISSING = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})
"""What opening an address of a family says that the machine lacks."""
_DATAGRAMS = 1 << 20
"""Bytes of datagrams that may wait for us, as far as the kernel allows that: some thousand small ones."""
PKTINFO = 8 if sys.platform == "linux" else None
"""IP_PKTINFO, which Python's socket does not name."""


def raise_descriptor_limit() -> int:
    """Raise the soft limit on descriptors to the hard one; give what it is then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
        except (OSError, ValueError):
            pass
    return soft


def open_sockets(
    host: str | None, port: int, path: str | None, *, shown: str, kind: int = socket.SOCK_STREAM
) -> tuple[socket.socket, ...]:
    """Bind and listen.

    Args:
        host: an address; None or "localhost" for both loopback families, "*" for every address.
        port: 0 for any free one, the same in both families.
        path: of a unix socket instead.
        shown: the endpoint as it was given, for the message.
        kind: SOCK_DGRAM for sockets that take datagrams.
    Raises:
        CannotListen: the port is taken, forbidden, or the address is not ours.
    """
    if path is not None:
        return (_open_unix(path, shown),)
    if host == "*":
        return (_open_any(port, shown, kind),)
    if host not in (None, "localhost"):
        assert host is not None
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return (_open(family, host, port, shown, kind),)
    return _open_loopback(port, shown, kind)


def ask_destination(sock: socket.socket, host: str) -> bool:
    """Have the kernel tell which of several addresses a datagram came to, so that its reply can come from there.

    Args:
        host: that the socket is bound to. Before that, or datagrams come without it.
    Returns:
        whether it will: not where there is only one address.
    """
    if host == "::":
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        return True
    if host == "0.0.0.0" and PKTINFO is not None:
        sock.setsockopt(socket.IPPROTO_IP, PKTINFO, 1)
        return True
    return False


def _open_loopback(port: int, shown: str, kind: int) -> tuple[socket.socket, ...]:
    """Open 127.0.0.1 and ::1 on one port; a family that the machine lacks is no error."""
    for _ in range(8):
        opened: list[socket.socket] = []
        try:
            opened.append(_open(socket.AF_INET, "127.0.0.1", port, shown, kind))
        except CannotListen as error:
            if not _is_missing(error):
                raise
        try:
            number = opened[0].getsockname()[1] if opened else port
            opened.append(_open(socket.AF_INET6, "::1", number, shown, kind))
        except CannotListen as error:
            if not _is_missing(error):
                for sock in opened:
                    sock.close()
                if port == 0:
                    continue  # the free port of one family is taken in the other
                raise
        if opened:
            return tuple(opened)
        break
    raise CannotListen(Fault(f"cannot listen on {shown}", "no loopback address on this machine"))


def _is_missing(error: CannotListen) -> bool:
    cause = error.__cause__
    return isinstance(cause, OSError) and cause.errno in _MISSING


def _open_any(port: int, shown: str, kind: int) -> socket.socket:
    """Open every address of both families on one socket, or of IPv4 alone where there is no IPv6."""
    if socket.has_dualstack_ipv6():
        try:
            return _open(socket.AF_INET6, "::", port, shown, kind, both=True)
        except CannotListen as error:
            if not _is_missing(error):
                raise
    return _open(socket.AF_INET, "0.0.0.0", port, shown, kind)


def _open(family: int, host: str, port: int, shown: str, kind: int, *, both: bool = False) -> socket.socket:
    try:
        sock = socket.socket(family, kind | socket.SOCK_NONBLOCK)
    except OSError as error:
        raise CannotListen(Fault(f"cannot listen on {shown}", words(error))) from error
    try:
        if kind == socket.SOCK_STREAM:  # with datagrams the option would let two servers share a port
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # accepted sockets inherit it
            sock.setsockopt(
                socket.SOL_SOCKET, socket.SO_OOBINLINE, 1
            )  # urgent bytes stay in their place: RFC 6093 §6
        else:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _DATAGRAMS)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _DATAGRAMS)
            ask_destination(sock, host)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if both else 1)
        sock.bind((host, port))
        if kind == socket.SOCK_STREAM:
            sock.listen(_BACKLOG)
    except OSError as error:
        sock.close()
        raise _refused(error, host, port, shown) from error
    return sock


def _open_unix(path: str, shown: str) -> socket.socket:
    """Open a unix socket; one that a dead server left behind is replaced, a live one is not."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        if os.path.exists(path) and stat.S_ISSOCK(os.stat(path).st_mode) and not _is_answered(path):
            os.unlink(path)
        sock.bind(path)
        sock.listen(_BACKLOG)
    except OSError as error:
        sock.close()
        raise _refused_file(error, path, shown) from error
    return sock


def _is_answered(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        return probe.connect_ex(path) != errno.ECONNREFUSED


def _refused_file(error: OSError, path: str, shown: str) -> CannotListen:
    what = f"cannot listen on {shown}"
    if error.errno != errno.EADDRINUSE:
        return CannotListen(Fault(what, words(error)))
    if not stat.S_ISSOCK(os.stat(path).st_mode):
        return CannotListen(Fault(what, "there is such a file, and it is no socket", "give another name"))
    holder = who_listens_at(path)
    return CannotListen(Fault(what, f"the socket is in use{f' by {holder}' if holder else ''}"))


def _refused(error: OSError, host: str, port: int, shown: str) -> CannotListen:
    what = f"cannot listen on {shown}"
    if error.errno == errno.EADDRINUSE:
        holder = who_listens(port)
        return CannotListen(
            Fault(what, f"port {port} is in use{f' by {holder}' if holder else ''}"), port=port
        )
    if error.errno in (errno.EACCES, errno.EPERM) and port < _PRIVILEGED:
        hint = "ports below 1024 need root or CAP_NET_BIND_SERVICE"
        return CannotListen(Fault(what, words(error), hint), port=port)
    is_missing = error.errno == errno.EADDRNOTAVAIL
    hint = "this machine does not have that address; '*' listens on all it has" if is_missing else ""
    return CannotListen(Fault(what, words(error), hint))


def free_port(host: str, taken: int, *, avoid: Container[int] = ()) -> int:
    """Find a port that could be listened on in place of one that could not.

    Args:
        host: as `open_sockets` takes it.
        avoid: ports that are promised already.

    Returns:
        the next free one, or the next from 8000 more where low ports are forbidden; 0, which is any, when the
        nearest are all taken.
    """
    first = [taken + 1, taken + 8000] if taken < _PRIVILEGED else [taken + 1]
    for start in first:
        for port in range(start, min(start + _NEAREST, 1 << 16)):
            if port not in avoid and _is_free(host, port):
                return port
    return 0


def _is_free(host: str, port: int) -> bool:
    """Tell whether every address that a host stands for can be had on a port; those that are missing are not asked."""
    places = {"localhost": ("127.0.0.1", "::1"), "*": ("0.0.0.0", "::")}.get(host, (host,))
    free = 0
    for place in places:
        try:
            with socket.socket(
                socket.AF_INET6 if ":" in place else socket.AF_INET, socket.SOCK_STREAM
            ) as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if sock.family == socket.AF_INET6:
                    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                sock.bind((place, port))
        except OSError as error:
            if error.errno not in _MISSING:
                return False
        else:
            free += 1
    return free > 0
