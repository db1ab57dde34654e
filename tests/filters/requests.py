"""Requests for tests of filters, without a server."""

from netfront.http.message import Exchange, Request
from netfront.wire.fields import REQUEST_KINDS, FieldMemory, Fields
from netfront.wire.target import parse_target

__all__ = ["as_received", "asking"]


def as_received(*pairs, kinds=REQUEST_KINDS):
    """Make the section that is parsed from these fields."""
    return Fields(FieldMemory(kinds).fields([b"%b: %b" % pair for pair in pairs]))


def asking(*pairs, method=b"GET", target=b"/", client=None):
    """Make a request with these fields."""
    exchange = Exchange(0.0, client, method, target, b"1")
    parsed = parse_target(method, target)
    return Request(method, parsed, b"1", b"http", b"a.test", as_received(*pairs), b"", client, exchange)
