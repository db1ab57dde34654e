"""TLS handshakes in memory, and over a loopback socket for other makers' clients."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["Pair", "answering", "shake"]


class Pair:
    """Both ends of one TLS connection, joined by memory."""

    def __init__(
        self,
        server: ssl.SSLContext,
        client: ssl.SSLContext,
        name: str | None,
        session: ssl.SSLSession | None = None,
    ) -> None:
        to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.client = client.wrap_bio(to_client, to_server, server_hostname=name, session=session)
        self.server = server.wrap_bio(to_server, to_client, server_side=True)

    def shake(self) -> None:
        """Do the handshake, and let the client read the tickets behind it. Raises ssl.SSLError of either side."""
        left = [self.client, self.server]
        for _ in range(20):
            for side in tuple(left):
                try:
                    side.do_handshake()
                except ssl.SSLWantReadError:
                    continue
                left.remove(side)
            if not left:
                break
        assert not left, "the handshake does not end"
        assert self.say(self.server, self.client) == b"hello"
        assert self.say(self.client, self.server) == b"hello"

    @staticmethod
    def say(one: ssl.SSLObject, other: ssl.SSLObject) -> bytes:
        """Send something from one side to the other; give what comes."""
        one.write(b"hello")
        return other.read(100)

    @property
    def shown(self) -> bytes:
        """The certificate that the server showed, in DER."""
        der = self.client.getpeercert(binary_form=True)
        assert der is not None
        return der


def shake(
    server: ssl.SSLContext,
    client: ssl.SSLContext,
    name: str | None = "localhost",
    session: ssl.SSLSession | None = None,
) -> Pair:
    """Join a client to a server that call each other by a name."""
    pair = Pair(server, client, name, session)
    pair.shake()
    return pair


@contextmanager
def answering(context: Callable[[], ssl.SSLContext]) -> Iterator[int]:
    """Serve "hello" over HTTP and TLS on a loopback port, one connection after the other; give the port."""
    listener = socket.create_server(("127.0.0.1", 0))
    ended = threading.Event()

    def serve() -> None:
        while not ended.is_set():
            accepted, _ = listener.accept()
            accepted.settimeout(10)
            try:
                with context().wrap_socket(accepted, server_side=True) as secure:
                    while secure.recv(4096):
                        secure.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
            except OSError:
                accepted.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        ended.set()
        socket.create_connection(listener.getsockname()).close()
        thread.join(10)
        listener.close()
