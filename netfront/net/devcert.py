"""The local certificate authority: made at first use, kept in the user's data directory, bound to this machine's names.

It can vouch for localhost, names under .localhost and .test and loopback addresses, and for nothing else, for ever: the
constraint is part of its own certificate (RFC 5280 §4.2.1.10, critical), and so is that it vouches for servers only.
Whoever trusts it trusts no stranger, even if its key is stolen. Key and certificate are one file, so that they cannot
part; ca.pem is a copy of the certificate for others to read. Leaves live for a month and are kept beside it, each
under a name made of the CA and of what it is for. A kept one is loaded without the library that makes them: 50 ms.
"""

import hashlib
import os
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network, IPv6Network, ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from netfront.errors import UsageError
from netfront.net.certfile import LoadedCertificate, load_certificate
from netfront.net.datadir import PATIENCE, hold_data, read_private, write_private
from netfront.wire.certificate import Certificate, parse_certificate, pem_certificates

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

__all__ = ["ca_path", "leaf_for", "permitted", "renewal_due"]

Tell = Callable[[str], None]
"""Takes a line for whoever started us."""
_DAY = 86400.0
_CA_DAYS = 3650
"""Who trusts it does so by hand: not again each year. What it may do is bounded by its constraint, not by time."""
_CA_LEFT = 60 * _DAY
_LEAF_DAYS = 30
"""Browsers take 398 days at most; a leaf that is renewed by itself may be much shorter."""
_BACK = timedelta(days=1)
"""How much earlier leaves begin, for clocks that are behind."""
_CA_BACK = timedelta(days=365)
"""How much earlier the CA begins: it is made once, and has to outlive a clock that was ahead, or is set back."""
_SUFFIXES = ("localhost", "test")
_NETWORKS = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))


def _silent(_: str) -> None:
    """Tell nobody."""


def permitted(name: str) -> bool:
    """Tell whether the local CA can vouch for a name or an address."""
    name = _normal(name)
    try:
        address = ip_address(name)
    except ValueError:
        bare = name.removeprefix("*.")
        return name.isascii() and any(bare == suffix or bare.endswith("." + suffix) for suffix in _SUFFIXES)
    return any(address in network for network in _NETWORKS if network.version == address.version)


def ca_path(tell: Tell = _silent) -> Path:
    """Give the file of the CA's certificate; it is made if there is none.

    Args, Raises: as for `leaf_for`.
    """
    with hold_data(tell) as directory:
        _authority(directory, time.time(), tell)
        return directory / "ca.pem"


def leaf_for(
    names: Sequence[str], now: float, *, tell: Tell = _silent, patience: float = PATIENCE
) -> LoadedCertificate:
    """Give a certificate for these names, kept from an earlier time or made.

    Args:
        now: seconds since 1970.
        tell: told what is waited for, and that the clock makes the CA useless.
        patience: seconds that another process is waited for.

    Raises:
        UsageError: a name that the CA cannot vouch for, the directory cannot be used, or the CA is damaged.
    """
    for name in names:
        if not permitted(name):
            raise UsageError.of(
                name,
                "the local CA vouches only for localhost, .localhost, .test and loopback addresses",
                "give a certificate for it: --cert FILE --key FILE",
            )
    wanted = sorted({_normal(name) for name in names})
    with hold_data(tell, patience=patience) as directory:
        authority = _authority(directory, now, tell)
        key = hashlib.sha256(b"\n".join([authority, *(name.encode() for name in wanted)])).hexdigest()
        path = directory / f"leaf-{key[:24]}.pem"
        kept = _kept_leaf(path, now)
        if kept is None:
            _sweep(directory, now)
            _make_leaf(path, directory, wanted, now)
            kept = load_certificate(str(path), str(path), now=now)
        return kept


def renewal_due(certificate: LoadedCertificate, now: float) -> bool:
    """Tell whether less than a third of a leaf's life is left, or the clock was set back before its begin."""
    third = (certificate.not_after - certificate.not_before) / 3
    return not certificate.not_before <= now < certificate.not_after - third


def _normal(name: str) -> str:
    """Write a name or an address in the one way it has in a certificate."""
    name = name.lower().rstrip(".").removeprefix("[").removesuffix("]")
    try:
        return str(ip_address(name))
    except ValueError:
        return name


def _kept_leaf(path: Path, now: float) -> LoadedCertificate | None:
    """Load a leaf, if it is there, sound and young."""
    if read_private(path) is None:
        return None
    try:
        kept = load_certificate(str(path), str(path), now=now)
    except UsageError:
        return None
    return None if renewal_due(kept, now) else kept


def _sweep(directory: Path, now: float) -> None:
    """Remove leaves that are over or damaged, and what a process that was killed has left."""
    for path in directory.glob("leaf-*.pem"):
        try:
            over = now > parse_certificate(pem_certificates(path.read_bytes())[0]).not_after
        except (ValueError, IndexError):
            over = True
        if over:
            path.unlink()
    for path in directory.glob(".new-*"):
        path.unlink()


def _authority(directory: Path, now: float, tell: Tell) -> bytes:
    """Give the CA's certificate in DER; it is made if there is none or it ends soon, and ca.pem with it.

    One that has not begun stays: not the CA is wrong then but the clock, today or on the day it was made, and whoever
    trusts the CA would have to trust another when the clock is right again.
    """
    path = directory / "ca-key.pem"
    text = read_private(path)
    kept = _read_authority(path, text) if text is not None else None
    if text is None or kept is None or now >= kept.not_after - _CA_LEFT:
        text = _make_authority(now)
        write_private(path, text)
    elif now < kept.not_before:
        day = time.strftime("%Y-%m-%d", time.gmtime(kept.not_before))
        tell(
            f"the local CA is not valid before {day}, so clients will refuse it: set this machine's clock; "
            f"or, if that is right, remove {path} to have another made"
        )
    certificate = text[text.index(b"-----BEGIN CERTIFICATE-----") :]
    if read_private(directory / "ca.pem") != certificate:
        write_private(directory / "ca.pem", certificate)
    return pem_certificates(certificate)[0]


def _read_authority(path: Path, text: bytes) -> Certificate:
    try:
        if b"PRIVATE KEY-----" not in text:
            raise ValueError("there is no private key in it")
        certificates = pem_certificates(text)
        if not certificates:
            raise ValueError("there is no certificate in it")
        return parse_certificate(certificates[0])
    except ValueError as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> UsageError:
    """Say so and make no other: what trusts the old one would not trust the new one, and nobody would know why."""
    return UsageError.of(
        str(path),
        f"the local CA is damaged: {error}",
        "remove the file to have another made, and let it be trusted anew: netfront trust -h",
    )


def _make_authority(now: float) -> bytes:
    """Make a CA: its key and its certificate, in PEM."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    owner = f"{os.environ.get('USER') or os.environ.get('LOGNAME') or 'user'}@{os.uname().nodename}"
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "netfront local CA"),
            x509.NameAttribute(NameOID.COMMON_NAME, f"netfront {owner}"[:64]),
        ]
    )
    bounds: list[x509.GeneralName] = [x509.DNSName(suffix) for suffix in _SUFFIXES]
    bounds += [x509.IPAddress(network) for network in _NETWORKS]
    made = datetime.fromtimestamp(now, UTC)
    certificate = (
        _builder(name, name, key.public_key(), made - _CA_BACK, made + timedelta(days=_CA_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.NameConstraints(bounds, None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return _pem(key, certificate)


def _make_leaf(path: Path, directory: Path, names: Sequence[str], now: float) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID

    authority, signer = _load_signer(directory / "ca-key.pem")
    key = ec.generate_private_key(ec.SECP256R1())
    start = datetime.fromtimestamp(now, UTC) - _BACK
    certificate = (
        _builder(
            x509.Name([]), authority.subject, key.public_key(), start, start + timedelta(days=_LEAF_DAYS)
        )
        .add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=True)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
        .sign(signer, hashes.SHA256())
    )
    write_private(path, _pem(key, certificate))


def _load_signer(path: Path) -> "tuple[x509.Certificate, ec.EllipticCurvePrivateKey]":
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    text = path.read_bytes()
    try:
        authority = x509.load_pem_x509_certificate(text)
        signer = serialization.load_pem_private_key(text, None)
        if (
            not isinstance(signer, ec.EllipticCurvePrivateKey)
            or signer.public_key() != authority.public_key()
        ):
            raise ValueError("the key is another's")
    except (ValueError, TypeError) as error:
        raise _damaged(path, error) from error
    return authority, signer


def _builder(
    subject: "x509.Name",
    issuer: "x509.Name",
    public: "ec.EllipticCurvePublicKey",
    start: datetime,
    end: datetime,
) -> "x509.CertificateBuilder":
    from cryptography import x509

    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _pem(key: "ec.EllipticCurvePrivateKey", certificate: "x509.Certificate") -> bytes:
    from cryptography.hazmat.primitives import serialization as form

    private = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    return private + certificate.public_bytes(form.Encoding.PEM)


def _general(name: str) -> "x509.GeneralName":
    from cryptography import x509

    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _usage(*, signs_certificates: bool) -> "x509.KeyUsage":
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
