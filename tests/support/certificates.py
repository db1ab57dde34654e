"""Certificates of every kind for tests: authorities, leaves for servers and clients, over, to come, locked.

Made with `cryptography`, so that what netfront reads was written by somebody else.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

__all__ = ["CLIENT", "SERVER", "Issued", "make_ca", "make_leaf", "write_pem"]

SERVER = ExtendedKeyUsageOID.SERVER_AUTH
CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True)
class Issued:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: Key

    @property
    def pem(self) -> bytes:
        """The certificate alone."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def der(self) -> bytes:
        """The certificate alone, as it goes over the wire."""
        return self.certificate.public_bytes(serialization.Encoding.DER)

    def key_pem(self, password: bytes | None = None, *, traditional: bool = False) -> bytes:
        """The private key, locked if there is a password."""
        kind = serialization.PrivateFormat.TraditionalOpenSSL if traditional else None
        lock = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
        return self.key.private_bytes(
            serialization.Encoding.PEM, kind or serialization.PrivateFormat.PKCS8, lock
        )


def make_ca(
    name: str = "an authority", *, issuer: Issued | None = None, begins: float = -1, days: float = 30
) -> Issued:
    """Make an authority, a root or below another; it begins so many days from this moment."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = _builder(subject, issuer.certificate.subject if issuer else subject, key, begins, days)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    return Issued(builder.sign(issuer.key if issuer else key, hashes.SHA256()), key)


def make_leaf(
    issuer: Issued | None,
    *names: str,
    subject: x509.Name | None = None,
    usage: x509.ObjectIdentifier | None = SERVER,
    begins: float = -1,
    days: float = 30,
    rsa_bits: int = 0,
) -> Issued:
    """Make a leaf for these DNS names and addresses; self-signed without an issuer."""
    key: Key = (
        rsa.generate_private_key(65537, rsa_bits) if rsa_bits else ec.generate_private_key(ec.SECP256R1())
    )
    if subject is None:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0] if names else "nobody")])
    builder = _builder(subject, issuer.certificate.subject if issuer else subject, key, begins, days)
    if names:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([_general(name) for name in names]), critical=False
        )
    if usage is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    return Issued(builder.sign(issuer.key if issuer else key, hashes.SHA256()), key)


def write_pem(
    directory: Path, stem: str, leaf: Issued, *chain: Issued, password: bytes | None = None
) -> tuple[str, str]:
    """Write stem.pem, the leaf with its chain, and stem.key; give their paths."""
    cert, key = directory / f"{stem}.pem", directory / f"{stem}.key"
    cert.write_bytes(b"".join(one.pem for one in (leaf, *chain)))
    key.write_bytes(leaf.key_pem(password))
    return str(cert), str(key)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: Key, begins: float, days: float
) -> x509.CertificateBuilder:
    start = datetime.now(UTC) + timedelta(days=begins)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=days))
    )


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)
