"""Backends that play a part with each of their connections, and keep what went wrong with any."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.support.wire import shrink

__all__ = ["Played", "listening", "played"]


class Played:
    """The connections of a listening socket, each played in a thread of its own.

    Args:
        play: plays one, by its socket and the client's port, and closes it.
    """

    def __init__(self, sock: socket.socket, play: Callable[[socket.socket, int], None]) -> None:
        self.faults: list[BaseException] = []
        self._sock = sock
        self._play = play
        self._threads: list[threading.Thread] = []

    def serve(self) -> None:
        """Accept until closed."""
        while True:
            try:
                sock, peer = self._sock.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._play_one, args=(sock, peer[1]), daemon=True)
            self._threads = [one for one in self._threads if one.is_alive()]
            self._threads.append(thread)
            thread.start()

    def join(self) -> None:
        """Wait for what is under way."""
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()

    def _play_one(self, sock: socket.socket, seed: int) -> None:
        try:
            self._play(sock, seed)
        except BaseException as fault:
            self.faults.append(fault)


@contextmanager
def listening(buffer: int) -> Iterator[socket.socket]:
    """Listen on loopback for the length of a block, with small buffers if any are named."""
    with socket.socket() as sock:
        if buffer:
            shrink(sock, buffer)
        sock.bind(("127.0.0.1", 0))
        sock.listen(64)
        yield sock


@contextmanager
def played(sock: socket.socket, play: Callable[[socket.socket, int], None]) -> Iterator[Played]:
    """Have connections played for the length of a block, and raise the first fault behind it."""
    connections = Played(sock, play)
    thread = threading.Thread(target=connections.serve, daemon=True)
    thread.start()
    try:
        yield connections
    finally:
        sock.shutdown(socket.SHUT_RDWR)
        thread.join(10)
        connections.join()
        for fault in connections.faults:
            raise fault
