"""Certificates out of files: loaded whole and checked, or refused in words.

OpenSSL does the loading. What it would find out only in a handshake, or would tell as "PEM lib", is found here: a file
that is none, a key that is another's or locked, a certificate that is over, not begun, or no server's, and a
chain in disorder (RFC 5246 §7.4.2 wants each member certified by the next; some clients insist).
"""

import ssl
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from netfront.errors import Fault, UsageError
from netfront.net.files import Files, loadable
from netfront.wire.certificate import Certificate, parse_certificate, pem_certificates, render_name

__all__ = [
    "LoadedCertificate",
    "covers",
    "load_authorities",
    "load_certificate",
    "load_own",
]


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
    cert: str,
    key: str | None,
    password: bytes | None = None,
    *,
    now: float | None = None,
    files: Files | None = None,
) -> LoadedCertificate:
    """Load a certificate with its chain and its key.

    Args:
        cert: a PEM file, the certificate itself first.
        key: a PEM file; may be the same. None: it was not named, so it has to be the same.
        now: seconds since 1970, at which it has to be good; None for this moment.
        files: reads them.

    Raises:
        UsageError: all that is wrong with either of them.
    """
    files = files or Files()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    chain, faults = _load(
        context,
        cert,
        key,
        password,
        files,
        given="--cert",
        unlock="give its password by --key-password @FILE or env:NAME",
    )
    if chain:
        faults += _untimely(cert, chain, time.time() if now is None else now)
        if not chain[0].serves:
            why = "the certificate is not for servers"
            faults.append(Fault(cert, why, "its extended key usage lacks serverAuth"))
        faults += _disorder(cert, chain)
    if faults:
        raise UsageError(*faults)
    return LoadedCertificate(chain[0].names, chain[0].not_before, chain[0].not_after, context)


def load_own(context: ssl.SSLContext, cert: str, key: str | None, files: Files) -> None:
    """Load the certificate that backends are shown, and its key, into a context.

    Args:
        key: as for `load_certificate`.

    Raises:
        UsageError: all that is wrong with either of them.
    """
    unlock = "a key without a password is needed: openssl pkey -in FILE"
    _, faults = _load(context, cert, key, None, files, given="--backend-cert", unlock=unlock)
    if faults:
        raise UsageError(*faults)


def load_authorities(context: ssl.SSLContext, what: str, path: str, files: Files | None = None) -> bytes:
    """Let a context trust the certificates of a file, whether they are roots or not, and nobody else's.

    Args:
        what: the flag that names the file.
        files: reads it.

    Returns:
        what the file holds.

    Raises:
        UsageError: it cannot be read, or holds no certificate.
    """
    text = (files or Files()).read(path, what=f"{what} {path}")
    if b"CERTIFICATE-----" not in text:
        raise UsageError.of(f"{what} {path}", "there is no certificate in it", "it has to be a PEM file")
    try:
        with loadable(text) as loaded:
            context.load_verify_locations(loaded)
    except (ssl.SSLError, OSError) as error:
        raise UsageError.of(f"{what} {path}", "a certificate in it is malformed") from error
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    return text


def covers(names: Iterable[str], host: str) -> bool:
    """Tell whether one of a certificate's names is this host or a wildcard for it (RFC 9525 §6.3)."""
    host = host.lower().rstrip(".")
    return bool({host, "*." + host.partition(".")[2]}.intersection(names))


def _load(
    context: ssl.SSLContext,
    cert: str,
    key: str | None,
    password: bytes | None,
    files: Files,
    *,
    given: str,
    unlock: str,
) -> tuple[list[Certificate], list[Fault]]:
    """Load a certificate and its key into a context; give the chain, and all that is wrong.

    Args:
        given: the flag that names the certificate.
        unlock: what to do about a key that is encrypted, when there is no password.
    """
    chain: list[Certificate] = []
    faults: list[Fault] = []
    text = key_text = b""
    try:
        text = files.read(cert)
        chain = _read_chain(cert, text)
    except UsageError as error:
        faults += error.faults
    if not text and key in (None, cert):
        return chain, faults
    try:
        key_text = files.read(key or cert)
        if not _has_key(key_text):
            raise _keyless(given, cert, key)
        if chain:
            _load_pair(context, (cert, text), (key or cert, key_text), password, unlock)
    except UsageError as error:
        is_swapped = b"PRIVATE KEY-----" in text and b"CERTIFICATE-----" in key_text
        faults += error.faults if chain or not is_swapped else ()
    return chain, faults


def _load_pair(
    context: ssl.SSLContext,
    cert: tuple[str, bytes],
    key: tuple[str, bytes],
    password: bytes | None,
    unlock: str,
) -> None:
    asked = False

    def give() -> bytes:
        nonlocal asked
        if password is None:
            raise UsageError.of(key[0], "the key is encrypted", unlock)
        asked = True
        return password

    try:
        with loadable(cert[1]) as cert_path, loadable(key[1]) as key_path:
            context.load_cert_chain(cert_path, key_path, give)
    except (ssl.SSLError, OSError, ValueError) as error:
        raise _load_error(cert[0], key[0], error, asked=asked) from error


def _has_key(text: bytes) -> bool:
    return b"-----BEGIN" in text and b"PRIVATE KEY-----" in text


def _keyless(given: str, cert: str, key: str | None) -> UsageError:
    if key is not None:
        return UsageError.of(key, "there is no private key in it", "it has to be a PEM file")
    flag = given.replace("cert", "key")
    return UsageError.of(
        f"{given} {cert}",
        f"it has no {flag}",
        f"give {flag} FILE, or put the key into the certificate's file",
    )


def _read_chain(cert: str, text: bytes) -> list[Certificate]:
    """Read the certificates of a PEM file. Raises UsageError: it is none, or there are none in it."""
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


def _untimely(cert: str, chain: Sequence[Certificate], now: float) -> Iterator[Fault]:
    for index, member in enumerate(chain):
        who = f"its issuer {_shown(member.subject)}" if index else "the certificate"
        if now > member.not_after:
            yield Fault(cert, f"{who} expired on {_day(member.not_after)}", "renew it")
        if now < member.not_before:
            why = f"{who} is not valid before {_day(member.not_before)}"
            yield Fault(cert, why, "check this machine's clock")


def _disorder(cert: str, chain: Sequence[Certificate]) -> Iterator[Fault]:
    """Tell where a chain is out of order first; what follows there would only repeat it."""
    for issued, issuer in pairwise(chain):
        if _comparable(issued.issuer) != _comparable(issuer.subject):
            yield Fault(
                cert,
                f"the chain is out of order: {_shown(issuer.subject)} did not issue {_shown(issued.subject)}",
                "put the certificate first, and after each the one that issued it",
            )
            return


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
