"""Certificates out of files: loaded whole and checked, or refused in words.

OpenSSL does the loading. What it would find out only in a handshake, or would tell as "PEM lib", is found here: a file
that is none, a key that is another's or locked, a certificate that is over, not begun, or no server's, and a
chain in disorder (RFC 5246 §7.4.2 wants each member certified by the next; some clients insist).
"""

import ssl
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from netfront.errors import UsageError
from netfront.wire.certificate import Certificate, parse_certificate, pem_certificates, render_name

__all__ = [
    "LoadedCertificate",
    "covers",
    "load_authorities",
    "load_certificate",
    "load_key",
    "read_chain",
]

_MOST = 1 << 20
"""Bytes of a file that are read: a hundred times the longest chain."""


@dataclass(frozen=True, slots=True)
class LoadedCertificate:
    """A certificate that was found good, with its key.

    Args:
        names: its DNS names and addresses, in lower case; "*.x" is any one label before x.
        not_before, not_after: from when to when it is good, in seconds since 1970.
        context: OpenSSL's side of it.
    """

    names: tuple[str, ...]
    not_before: float
    not_after: float
    context: ssl.SSLContext = field(compare=False, repr=False)


def load_certificate(
    cert: str, key: str, password: bytes | None = None, *, now: float | None = None
) -> LoadedCertificate:
    """Load a certificate with its chain and its key.

    Args:
        cert: a PEM file, the certificate itself first.
        key: a PEM file; may be the same.
        now: seconds since 1970, at which it has to be good; None for this moment.

    Raises:
        UsageError: what is wrong with which of them.
    """
    chain = read_chain(cert)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    load_key(context, cert, key, password, unlock="give its password by --key-password @FILE or env:NAME")
    _check_times(cert, chain, time.time() if now is None else now)
    if not chain[0].serves:
        raise UsageError.of(
            cert, "the certificate is not for servers", "its extended key usage lacks serverAuth"
        )
    _check_order(cert, chain)
    return LoadedCertificate(chain[0].names, chain[0].not_before, chain[0].not_after, context)


def load_key(
    context: ssl.SSLContext, cert: str, key: str, password: bytes | None = None, *, unlock: str
) -> None:
    """Load a certificate and its key into a context.

    Args:
        unlock: what to do about a key that is encrypted, when there is no password.

    Raises:
        UsageError: what is wrong with which of them.
    """
    if b"-----BEGIN" not in (text := _read(key)) or b"PRIVATE KEY-----" not in text:
        raise UsageError.of(key, "there is no private key in it", "it has to be a PEM file")
    asked = False

    def give() -> bytes:
        nonlocal asked
        if password is None:
            raise UsageError.of(key, "the key is encrypted", unlock)
        asked = True
        return password

    try:
        context.load_cert_chain(cert, key, give)
    except (ssl.SSLError, OSError, ValueError) as error:
        raise _load_error(cert, key, error, asked=asked) from error


def load_authorities(context: ssl.SSLContext, what: str, path: str) -> bytes:
    """Let a context trust the certificates of a file, whether they are roots or not, and nobody else's.

    Args:
        what: the flag that names the file.

    Returns:
        what the file holds.

    Raises:
        UsageError: it cannot be read, or holds no certificate.
    """
    text = _read(path, what=f"{what} {path}")
    if b"CERTIFICATE-----" not in text:
        raise UsageError.of(f"{what} {path}", "there is no certificate in it", "it has to be a PEM file")
    try:
        context.load_verify_locations(path)
    except (ssl.SSLError, OSError) as error:
        raise UsageError.of(f"{what} {path}", "a certificate in it is malformed") from error
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    return text


def covers(names: Iterable[str], host: str) -> bool:
    """Tell whether one of a certificate's names is this host or a wildcard for it (RFC 9525 §6.3)."""
    host = host.lower().rstrip(".")
    return bool({host, "*." + host.partition(".")[2]}.intersection(names))


def _read(path: str, *, what: str | None = None) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(_MOST)
    except OSError as error:
        raise UsageError.of(what or path, (error.strerror or str(error)).lower()) from error


def read_chain(cert: str) -> list[Certificate]:
    """Read the certificates of a PEM file. Raises UsageError: it is none, or there are none in it."""
    text = _read(cert)
    if b"-----BEGIN" not in text:
        raise UsageError.of(
            cert, "not a PEM file", f"if it is DER: openssl x509 -inform der -in {cert} -out cert.pem"
        )
    try:
        chain = [parse_certificate(der) for der in pem_certificates(text)]
    except ValueError as error:
        raise UsageError.of(cert, f"a malformed certificate: {error}") from error
    if not chain:
        hint = "are certificate and key swapped?" if b"PRIVATE KEY-----" in text else ""
        raise UsageError.of(cert, "there is no certificate in it", hint)
    return chain


def _load_error(cert: str, key: str, error: Exception, *, asked: bool) -> UsageError:
    reason = getattr(error, "reason", None) or ""
    if reason in ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED"):
        return UsageError.of(key, f"the key does not fit the certificate {cert}")
    if reason.endswith(("TOO_SMALL", "TOO_WEAK")):
        return UsageError.of(
            cert, f"too weak for TLS: {reason.replace('_', ' ').lower()}", "make a stronger one"
        )
    if asked:
        return UsageError.of(key, "the password does not open the key")
    if not reason:
        return UsageError.of(key, "the private key in it is malformed")
    return UsageError.of(f"{cert} with {key}", f"cannot be loaded: {reason.replace('_', ' ').lower()}")


def _check_times(cert: str, chain: Sequence[Certificate], now: float) -> None:
    for index, member in enumerate(chain):
        who = f"its issuer {_shown(member.subject)}" if index else "the certificate"
        if now > member.not_after:
            raise UsageError.of(cert, f"{who} expired on {_day(member.not_after)}", "renew it")
        if now < member.not_before:
            why = f"{who} is not valid before {_day(member.not_before)}"
            raise UsageError.of(cert, why, "check this machine's clock")


def _check_order(cert: str, chain: Sequence[Certificate]) -> None:
    for issued, issuer in pairwise(chain):
        if _comparable(issued.issuer) != _comparable(issuer.subject):
            raise UsageError.of(
                cert,
                f"the chain is out of order: {_shown(issuer.subject)} did not issue {_shown(issued.subject)}",
                "put the certificate first, and after each the one that issued it",
            )


def _comparable(name: bytes) -> bytes:
    """Make names equal that differ in case or in the kind of string alone (RFC 5280 §7.1)."""
    return render_name(name).lower()


def _shown(name: bytes) -> str:
    return render_name(name).decode("ascii") or "a certificate without subject"


def _day(moment: float) -> str:
    """Give the day; a year that time cannot tell is for ever."""
    try:
        return time.strftime("%Y-%m-%d", time.gmtime(moment))
    except (OverflowError, ValueError):
        return "a day out of reach"
