"""TLS contexts: what our listeners show, and how backends are verified.

A certificate is checked wholly when it is loaded: readable, its key fits, neither over nor to come. Which one a
listener shows is chosen by SNI within the handshake. One context receives every connection and lends its session
tickets to all names, so that a session is resumed whatever certificate was picked, and after a reload: `replace`
changes only the table that the choice is made from.
"""

import os
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from netfront.errors import UsageError

if TYPE_CHECKING:
    from cryptography import x509

__all__ = [
    "FileWatch",
    "LoadedCertificate",
    "ServerTls",
    "client_context",
    "client_fields",
    "load_certificate",
]

_ALPN = ("http/1.1",)


@dataclass(frozen=True, slots=True)
class LoadedCertificate:
    """A certificate that was found good, with its key.

    Args:
        names: its DNS names and addresses, in lower case; "*.x" is any label before x.
        not_after: when it ends, in seconds since 1970.
        context: OpenSSL's side of it.
    """

    names: tuple[str, ...]
    not_after: float
    context: ssl.SSLContext = field(compare=False, repr=False)


def load_certificate(cert: str, key: str, password: bytes | None = None) -> LoadedCertificate:
    """Load a certificate with its chain and its key.

    Args:
        cert: a PEM file, the certificate itself first.
        key: a PEM file; may be the same.

    Raises:
        UsageError: what is wrong with which of them.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _read_start(cert)
    _read_start(key)

    def give() -> bytes:
        if password is None:
            raise UsageError.of(
                key, "the key is encrypted", "give its password by --key-password @FILE or env:NAME"
            )
        return password

    try:
        context.load_cert_chain(cert, key, give)
    except UsageError:
        raise
    except (ssl.SSLError, OSError) as error:
        raise _load_error(cert, key, error, has_password=password is not None) from error
    names, not_before, not_after = _facts(cert)
    now = time.time()
    if now > not_after:
        day = time.strftime("%Y-%m-%d", time.gmtime(not_after))
        raise UsageError.of(cert, f"the certificate expired on {day}", "renew it")
    if now < not_before:
        day = time.strftime("%Y-%m-%d", time.gmtime(not_before))
        raise UsageError.of(cert, f"the certificate is not valid before {day}", "check this machine's clock")
    return LoadedCertificate(names, not_after, context)


def _read_start(path: str) -> None:
    try:
        with open(path, "rb") as file:
            data = file.read(1 << 20)
    except OSError as error:
        raise UsageError.of(path, (error.strerror or str(error)).lower()) from error
    if b"-----BEGIN" not in data:
        raise UsageError.of(path, "no PEM file", "convert it: openssl x509 -inform der -in FILE")


def _load_error(cert: str, key: str, error: Exception, *, has_password: bool) -> UsageError:
    reason = getattr(error, "reason", "") or ""
    if reason == "KEY_VALUES_MISMATCH":
        return UsageError.of(key, f"the key does not fit the certificate {cert}")
    if has_password and ("BAD" in reason or "DECRYPT" in reason.upper()):
        return UsageError.of(key, "the password does not open the key")
    return UsageError.of(
        f"{cert} with {key}", f"cannot be loaded: {reason.replace('_', ' ').lower() or error}"
    )


def _facts(cert: str) -> tuple[tuple[str, ...], float, float]:
    """Read the names of a certificate, and from when to when it is good."""
    from cryptography import x509

    chain = _chain(cert)
    certificate = chain[0]
    names: list[str] = []
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        pass
    else:
        names += [name.lower() for name in found.get_values_for_type(x509.DNSName)]
        names += [str(address) for address in found.get_values_for_type(x509.IPAddress)]
    return (
        tuple(names),
        certificate.not_valid_before_utc.timestamp(),
        certificate.not_valid_after_utc.timestamp(),
    )


class ServerTls:
    """What one process shows on its TLS listeners.

    Args:
        certificates: the first serves where no name is asked for or none fits.
        client_ca: a file of CAs; then a client must show a certificate of theirs.
    """

    def __init__(
        self,
        certificates: Sequence[LoadedCertificate],
        *,
        client_ca: str | None = None,
        alpn: Sequence[str] = _ALPN,
    ) -> None:
        self._client_ca = client_ca
        self._alpn = list(alpn)
        self._by_name: dict[str, ssl.SSLContext] = {}
        self._default = certificates[0].context
        for certificate in certificates:
            self._settle(certificate.context)
        self.context = self._default
        """What every new connection is wrapped with."""
        self.context.sni_callback = self._choose
        self.replace(certificates)

    def _settle(self, context: ssl.SSLContext) -> None:
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
        context.set_alpn_protocols(self._alpn)
        if self._client_ca is not None:
            try:
                context.load_verify_locations(self._client_ca)
            except (ssl.SSLError, OSError) as error:
                why = getattr(error, "strerror", None) or "no certificates in it"
                raise UsageError.of(f"--client-ca {self._client_ca}", str(why).lower()) from error
            context.verify_mode = ssl.CERT_REQUIRED

    def replace(self, certificates: Sequence[LoadedCertificate]) -> None:
        """Show these from the next handshake on; connections that are open go on with theirs."""
        table: dict[str, ssl.SSLContext] = {}
        for certificate in certificates:
            if certificate.context is not self.context:
                self._settle(certificate.context)
            for name in certificate.names:
                table.setdefault(name, certificate.context)
        self._by_name = table
        self._default = certificates[0].context

    def _choose(self, connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        """Pick by SNI: the exact name, a wildcard, the default (RFC 6066 §3)."""
        wanted = (name or "").lower()
        chosen = self._by_name.get(wanted) or self._by_name.get("*." + wanted.partition(".")[2])
        chosen = chosen or self._default
        if chosen is not connection.context:
            connection.context = chosen


def _chain(cert: str) -> "list[x509.Certificate]":
    """Read a chain, whose members must each be issued by the next."""
    from cryptography import x509

    try:
        with open(cert, "rb") as file:
            chain = x509.load_pem_x509_certificates(file.read())
    except ValueError as error:
        raise UsageError.of(cert, f"a malformed certificate: {error}") from error
    for issued, issuer in pairwise(chain):
        if issued.issuer != issuer.subject:
            raise UsageError.of(
                cert,
                f"the chain is out of order: {issuer.subject.rfc4514_string()} did not issue what stands before it",
                "put the certificate first and each issuer after what it issued",
            )
    return chain


def client_context(
    *, ca: str | None = None, cert: str | None = None, key: str | None = None, insecure: bool = False
) -> ssl.SSLContext:
    """Make the context for backends.

    Args:
        ca: a file of CAs to verify by; None for the system's store.
        cert, key: shown to the backend.

    Raises:
        UsageError: a file is wrong.
    """
    try:
        context = ssl.create_default_context(cafile=ca)
    except (ssl.SSLError, OSError) as error:
        why = getattr(error, "strerror", None) or "no certificates in it"
        raise UsageError.of(f"--backend-ca {ca}", str(why).lower()) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(list(_ALPN))
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if cert is not None:
        try:
            context.load_cert_chain(cert, key)
        except (ssl.SSLError, OSError) as error:
            raise _load_error(cert, key or cert, error, has_password=False) from error
    return context


class FileWatch:
    """Whether files have changed since the last look: by time, size and inode."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = tuple(paths)
        self._seen = self._look()

    def _look(self) -> tuple[object, ...]:
        looks: list[object] = []
        for path in self._paths:
            try:
                stat = os.stat(path)
            except OSError:
                looks.append(None)
            else:
                looks.append((stat.st_mtime_ns, stat.st_size, stat.st_ino))
        return tuple(looks)

    def changed(self) -> bool:
        """Tell whether any has changed since the last call; one that is missing now has not."""
        seen = self._look()
        if None in seen or seen == self._seen:
            return False
        self._seen = seen
        return True


def client_fields(der: bytes) -> tuple[bytes, bytes]:
    """Tell a client's certificate: the values of Client-Cert (RFC 9440 §2.2) and of its subject (RFC 4514)."""
    from base64 import b64encode

    from cryptography import x509

    subject = x509.load_der_x509_certificate(der).subject.rfc4514_string()
    safe = subject.encode("utf-8").replace(b"\r", b" ").replace(b"\n", b" ").replace(b"\x00", b" ")
    return b":%b:" % b64encode(der), safe
