"""Fields of requests that are netfront's own to write or to take away, so that nothing else can be said there."""

from netfront.wire.fields import FORWARDED, REQUEST_KINDS, dashed

__all__ = ["is_own", "one_spelling"]

_OF_MESSAGES = {
    "host", "content-length", "content-type", "transfer-encoding", "te", "trailer", "expect", "connection", "upgrade",
    "keep-alive", "proxy-connection", "http2-settings", "max-forwards", "cookie",
}  # fmt: skip
_OF_THE_WAY = {
    "via", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port",
    *(name.decode() for name, kind in REQUEST_KINDS.items() if kind == FORWARDED),
}  # fmt: skip
_OF_IDENTITY = {"client-cert", "client-cert-chain", "x-client-subject", "proxy-authorization", "proxy"}
_OWN = frozenset(_OF_MESSAGES | _OF_THE_WAY | _OF_IDENTITY)


def is_own(name: str) -> bool:
    """Tell whether a field, in whatever spelling, says something else already."""
    return one_spelling(name) in _OWN


def one_spelling(name: str) -> str:
    """Give the spelling of all that a backend may take for the same field."""
    return dashed(name.lower().encode()).decode()
