"""TLS contexts: what our listeners show, and how backends are verified.

Theory. OpenSSL encrypts session tickets with keys of the context that a connection was *made* with, not of the one
that SNI chose within the handshake, and Python's `ssl` gives no way to set them. So one context without any
certificate, the front, receives every connection and lends its ticket keys to all names; SNI picks among the
contexts that hold certificates, and `replace` changes only the table it picks from. A session is thus resumed
whatever certificate was picked, and after certificates were read again. It must not be resumed when the CAs of
clients have changed, as a ticket would let in whom only an old CA vouched for: then there is another front.
What a connection takes from the front (versions, options, tickets, whether a client certificate is asked for) and what
from the context picked (ciphers, ALPN, the CAs that verify a client) is set alike in all of them.
"""

import ssl
from base64 import b64encode
from collections.abc import Sequence

from netfront.errors import Fault, UsageError
from netfront.net.certfile import LoadedCertificate, load_authorities, load_own
from netfront.net.files import Files
from netfront.net.tlsstream import NamedObject
from netfront.wire.certificate import parse_certificate, render_name

__all__ = ["ServerTls", "client_context", "client_fields", "handshake_failure"]

_ALPN = ("http/1.1",)
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:@SECLEVEL=2"
"""Of TLS 1.2 those with forward secrecy and authenticated encryption (RFC 9325 §4.2); TLS 1.3 has no others.

All are good, so the order is the client's: phones without AES in hardware ask for ChaCha20."""
_UNKNOWN_ISSUER = frozenset({18, 19, 20, 21})
"""X509_V_ERR_: self-signed, self-signed in the chain, no issuer found, the leaf alone."""
_OTHER_NAME = frozenset({62, 64})
"""X509_V_ERR_HOSTNAME_MISMATCH and _IP_ADDRESS_MISMATCH."""
_NOT_TLS = frozenset(
    {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"}
)


class ServerTls:
    """What one process shows on its TLS listeners.

    Args:
        certificates: at least one; the first serves where no name is asked for or none fits.
        client_ca: a file of CAs; then a client must show a certificate of theirs.
        may_come_without: it may show none as well, and `facts.client_cert` tells.
        files: reads it.

    Raises:
        UsageError: the file of CAs cannot be read or holds none.
    """

    def __init__(
        self,
        certificates: Sequence[LoadedCertificate],
        *,
        client_ca: str | None = None,
        may_come_without: bool = False,
        alpn: Sequence[str] = _ALPN,
        files: Files | None = None,
    ) -> None:
        self._client_ca = client_ca
        self._verify = ssl.CERT_OPTIONAL if may_come_without else ssl.CERT_REQUIRED
        self._files = files or Files()
        self._alpn = list(alpn)
        self._by_name: dict[str, ssl.SSLContext] = {}
        self._default = certificates[0].context
        self._authorities, self._front = self._make_front()
        self.replace(certificates)

    @property
    def context(self) -> ssl.SSLContext:
        """What the next connection is to be wrapped with."""
        return self._front

    def replace(self, certificates: Sequence[LoadedCertificate]) -> None:
        """Show these from the next handshake on; connections that are open go on with theirs.

        Raises:
            UsageError: the file of CAs is bad now; nothing has changed.
        """
        authorities, front = self._make_front()
        table: dict[str, ssl.SSLContext] = {}
        for certificate in certificates:
            self._settle(certificate.context)
            for name in certificate.names:
                table.setdefault(name, certificate.context)
        if authorities != self._authorities:
            self._authorities, self._front = authorities, front
        self._by_name, self._default = table, certificates[0].context

    def _make_front(self) -> tuple[bytes, ssl.SSLContext]:
        front = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authorities = self._settle(front)
        front.sslobject_class = NamedObject
        front.sni_callback = self._choose
        front.num_tickets = (
            1  # a client takes a new one with each; the second, OpenSSL's default, costs 16 us
        )
        return authorities, front

    def _settle(self, context: ssl.SSLContext) -> bytes:
        """Set what all contexts have alike; give the CAs of clients as their file holds them."""
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(_CIPHERS)
        context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
        context.set_alpn_protocols(self._alpn)
        if self._client_ca is None:
            return b""
        context.verify_mode = self._verify
        return load_authorities(context, "--client-ca", self._client_ca, self._files)

    def _choose(self, connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        """Pick by SNI: the exact name, a wildcard for it, the default (RFC 6066 §3)."""
        if isinstance(connection, NamedObject):
            connection.sni = name
        wanted = (name or "").lower()
        chosen = self._by_name.get(wanted) or self._by_name.get("*." + wanted.partition(".")[2])
        connection.context = chosen or self._default


def client_context(
    *,
    ca: str | None = None,
    cert: str | None = None,
    key: str | None = None,
    insecure: bool = False,
    files: Files | None = None,
    offers_http: bool = True,
) -> ssl.SSLContext:
    """Make the context for backends. It verifies by the name, or the address, that a connection is made with.

    Args:
        ca: a file of CAs to verify by; None for the system's store.
        cert, key: shown to the backend; without `key` it is in the file of `cert`.
        insecure: do not verify.
        files: reads them.
        offers_http: whether it says that HTTP is what will be spoken.

    Raises:
        UsageError: all that is wrong with the files.
    """
    files = files or Files()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if offers_http:
        context.set_alpn_protocols(list(_ALPN))
    faults: list[Fault] = []
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif ca is not None:
        try:
            load_authorities(context, "--backend-ca", ca, files)
        except UsageError as error:
            faults += error.faults
    else:
        context.load_default_certs()
    if cert is not None:
        try:
            load_own(context, cert, key, files)
        except UsageError as error:
            faults += error.faults
    if faults:
        raise UsageError(*faults)
    return context


def client_fields(der: bytes) -> tuple[bytes, bytes]:
    """Tell a client's certificate: the values of Client-Cert (RFC 9440 §2.2) and of its subject (RFC 4514)."""
    return b":%b:" % b64encode(der), render_name(parse_certificate(der).subject)


def handshake_failure(error: ssl.SSLError) -> str:
    """Tell why a backend's handshake failed, and what helps, in one line."""
    if isinstance(error, ssl.SSLCertVerificationError):
        said = error.verify_message.rstrip(".").replace("Hostname", "hostname", 1)
        why = f"certificate verify failed: {said}"
        if error.verify_code in _UNKNOWN_ISSUER:
            return f"{why}; --backend-ca FILE names a CA to trust"
        if error.verify_code in _OTHER_NAME:
            return f"{why}; --backend-name NAME says whose it has to be"
        return why
    reason = error.reason or ""
    if reason in _NOT_TLS:
        return "it does not speak TLS"
    if reason.endswith("CERTIFICATE_REQUIRED"):
        return "it wants a certificate of ours; give --backend-cert and --backend-key"
    return reason.replace("_", " ").lower() or str(error)
