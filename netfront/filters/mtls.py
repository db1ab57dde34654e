"""Client certificates: what TLS has verified already is asked for, and becomes an identity."""

from collections.abc import Callable

from netfront.errors import Refusal
from netfront.http.message import Request
from netfront.policy.claims import Identity

__all__ = ["Mtls"]

_CERTIFICATES = 4096


class Mtls:
    """The method. HTTP has no challenge for it: it is the handshake that asks.

    Args:
        identify: from a certificate (DER) to who shows it; remembered for as many as connect at once.
    """

    challenge = b""

    def __init__(self, identify: Callable[[bytes], Identity]) -> None:
        self._identify = identify
        self._known: dict[bytes, Identity] = {}

    def check(self, request: Request) -> Identity | None:
        """See Method."""
        certificate = request.client.facts.client_cert
        if certificate is None:
            return None
        identity = self._known.get(certificate)
        if identity is None:
            try:
                identity = self._identify(certificate)
            except ValueError as error:  # TLS takes what we cannot read
                raise Refusal(403, "a certificate that cannot be read") from error
            if len(self._known) >= _CERTIFICATES:
                self._known.clear()
            self._known[certificate] = identity
        return identity
