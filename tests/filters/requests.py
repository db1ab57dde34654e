"""Requests for tests of filters, without a server."""

from netfront.http.message import Exchange, Request
from netfront.wire.fields import Fields
from netfront.wire.target import parse_target

__all__ = ["asking"]


def asking(*pairs, method=b"GET", target=b"/", client=None):
    """Make a request with these fields."""
    exchange = Exchange(0.0, client, method, target, b"1")
    parsed = parse_target(method, target)
    return Request(method, parsed, b"1", b"http", b"a.test", Fields.of(*pairs), b"", client, exchange)
