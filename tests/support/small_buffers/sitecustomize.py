"""On the path of a netfront under test: its sockets hold as few bytes as NETFRONT_TEST_BUFFERS says.

"4096,0" asks for 4 KiB to send from, and leaves the other direction to the kernel. Accepted sockets inherit it.
"""

import os
import socket

_SIZES = [int(size) for size in os.environ.get("NETFRONT_TEST_BUFFERS", "0,0").split(",")]


class _Small(socket.socket):
    def __init__(self, family: int = -1, type: int = -1, proto: int = -1, fileno: int | None = None) -> None:
        super().__init__(family, type, proto, fileno)
        if fileno is None and self.type == socket.SOCK_STREAM:
            if self.family != socket.AF_UNIX:
                self.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1000)  # see tests/support/wire.py
            for option, size in zip((socket.SO_SNDBUF, socket.SO_RCVBUF), _SIZES, strict=True):
                if size:
                    self.setsockopt(socket.SOL_SOCKET, option, size)


if any(_SIZES):
    socket.socket = _Small  # type: ignore[misc]
