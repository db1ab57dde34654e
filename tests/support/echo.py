"""Servers of bytes and datagrams for what passes them on: they say who they are, and what they were sent."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

__all__ = ["Datagrams", "TlsServer", "datagram_echo", "tls_server"]

PATIENCE = 10.0


@dataclass
class Datagrams:
    """A UDP server on 127.0.0.1 that sends back what came, behind its name."""

    name: bytes
    sock: socket.socket
    peers: list[tuple[str, int]] = field(default_factory=list)

    @property
    def port(self) -> int:
        """Its port."""
        port: int = self.sock.getsockname()[1]
        return port

    def serve(self) -> None:
        """Answer until closed by an empty datagram from itself."""
        while True:
            try:
                data, peer = self.sock.recvfrom(65536)
            except ConnectionError:
                continue
            if peer == self.sock.getsockname():
                return
            self.peers.append(peer)
            self.sock.sendto(self.name + data, peer)


@contextmanager
def datagram_echo(name: bytes = b"", *, port: int = 0) -> Iterator[Datagrams]:
    """Run one for the length of a block."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", port))
        server = Datagrams(name, sock)
        thread = threading.Thread(target=server.serve, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            sock.sendto(b"", sock.getsockname())
            thread.join(PATIENCE)


@dataclass
class TlsServer:
    """A TLS server that greets with its name and then echoes. `protocols` has what was agreed on by ALPN."""

    port: int
    protocols: list[str | None] = field(default_factory=list)
    names: list[str | None] = field(default_factory=list)


@contextmanager
def tls_server(pem: str, key: str, name: bytes, *, alpn: tuple[str, ...] = ()) -> Iterator[TlsServer]:
    """Run one for the length of a block."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, key)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = TlsServer(listening.getsockname()[1])
        context.sni_callback = lambda sock, asked, _: server.names.append(asked)

        def serve() -> None:
            while True:
                try:
                    plain, _ = listening.accept()
                except OSError:
                    return
                threading.Thread(target=play, args=(plain,), daemon=True).start()

        def play(plain: socket.socket) -> None:
            plain.settimeout(PATIENCE)
            with contextlib.suppress(OSError), context.wrap_socket(plain, server_side=True) as secure:
                server.protocols.append(secure.selected_alpn_protocol())
                secure.sendall(name)
                while data := secure.recv(65536):
                    secure.sendall(data)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join(PATIENCE)
