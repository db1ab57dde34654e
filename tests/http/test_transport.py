"""Which idle connection is used again."""

from types import SimpleNamespace

import pytest

from netfront.endpoint import Endpoint
from netfront.http.transport import Transport
from netfront.net.backend import Backend, Member
from netfront.net.lane import Signal
from netfront.wire.head import HeadLimits


class Ended:
    """A stream that the backend has ended, of which no event has told yet."""

    def __init__(self):
        self.readable = Signal(False)

    def receive_now(self):
        return b"" if self.readable.is_set else None

    def abort(self):
        pass


@pytest.mark.parametrize(
    ("method", "body", "is_used"),
    [
        (b"GET", b"", True),
        (b"PUT", b"in hand", True),
        (b"PUT", object(), False),
        (b"POST", b"", False),
        (b"POST", object(), False),
    ],
)
def test_the_socket_is_asked_before_what_cannot_be_sent_twice(method, body, is_used):
    transport = Transport(limits=HeadLimits())
    backend = Backend(Member(Endpoint("http", "127.0.0.1", 1), "only", b"a.test"))
    connection = transport.began(backend, Ended(), backend.generation)
    backend.idle.append(connection)
    request = SimpleNamespace(method=method, body=body)
    assert transport.kept(backend, request) is (connection if is_used else None)
