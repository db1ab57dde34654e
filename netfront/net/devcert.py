"""The local certificate authority: made at first use, kept in the user's data directory, bound to this machine's names.

It can vouch for localhost, names under .localhost and .test and loopback addresses, and for nothing else, for ever:
the constraint is part of its own certificate (RFC 5280 §4.2.1.10, critical), so whoever trusts it trusts no stranger.
Leaves are short, kept beside it, and made anew when a third of their life is left.
"""

import datetime
import fcntl
import hashlib
import os
import ssl
import stat
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ipaddress import IPv4Network, IPv6Network, ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from netfront.errors import UsageError
from netfront.net.tls import LoadedCertificate

if TYPE_CHECKING:
    from cryptography import x509

__all__ = ["bundle_path", "ca_path", "data_directory", "leaf_for", "permitted"]

_DAY = 86400.0
_CA_DAYS = 3650
_LEAF_DAYS = 30
"""Browsers take 398 days at most; a leaf that is renewed by itself may be much shorter."""
_SUFFIXES = ("localhost", "test")
_NETWORKS = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))


def data_directory() -> Path:
    """Give the user's data directory for netfront: NETFRONT_DATA, or where the platform keeps such things."""
    given = os.environ.get("NETFRONT_DATA")
    if given:
        return Path(given)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "netfront"
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "netfront"


def permitted(name: str) -> bool:
    """Tell whether the local CA can vouch for a name or an address."""
    name = name.lower().rstrip(".").strip("[]")
    try:
        address = ip_address(name)
    except ValueError:
        bare = name.removeprefix("*.")
        return any(bare == suffix or bare.endswith("." + suffix) for suffix in _SUFFIXES)
    return any(address in network for network in _NETWORKS if network.version == address.version)


def ca_path() -> Path:
    """Give the file of the CA's certificate; it is made if there is none.

    Raises:
        UsageError: the directory cannot be used.
    """
    path = data_directory() / "ca.pem"
    with _locked():
        _ensure_ca(path)
    return path


def bundle_path() -> Path:
    """Give a file of the system's CAs and ours, for tools that know one list only; it is made anew each time."""
    own = ca_path()
    system = ssl.get_default_verify_paths()
    source = next(
        (path for path in (system.cafile, "/etc/ssl/cert.pem") if path and os.path.exists(path)), None
    )
    text = Path(source).read_text(encoding="utf-8", errors="replace") if source else ""
    path = own.with_name("bundle.pem")
    _write(path, (text + "\n" + own.read_text(encoding="ascii")).encode())
    return path


def leaf_for(names: Sequence[str], now: float) -> LoadedCertificate:
    """Give a certificate for these names, kept from an earlier time or made.

    Args:
        now: seconds since 1970.

    Raises:
        UsageError: a name that the CA cannot vouch for, or the directory cannot be used.
    """
    for name in names:
        if not permitted(name):
            raise UsageError.of(
                name,
                "the local CA vouches only for localhost, .localhost, .test and loopback addresses",
                "give a certificate for it: --cert FILE --key FILE",
            )
    wanted = tuple(dict.fromkeys(name.lower().strip("[]") for name in names))
    directory = data_directory()
    key = hashlib.sha256("\n".join(sorted(wanted)).encode()).hexdigest()[:24]
    path = directory / f"leaf-{key}.pem"
    with _locked():
        _ensure_ca(directory / "ca.pem")
        if not _is_young(path, directory / "ca.pem", now):
            _make_leaf(path, directory, wanted, now)
        try:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(path)
        except (ssl.SSLError, OSError):  # damaged: it costs a millisecond to make another
            _make_leaf(path, directory, wanted, now)
            context.load_cert_chain(path)
        return LoadedCertificate(wanted, path.stat().st_mtime + _LEAF_DAYS * _DAY, context)


def _is_young(path: Path, ca: Path, now: float) -> bool:
    """Tell whether a kept leaf is good for more than a third of its life, and of the present CA."""
    try:
        made = path.stat()
        return made.st_mtime >= ca.stat().st_mtime and now - made.st_mtime < _LEAF_DAYS * _DAY * 2 / 3
    except OSError:
        return False


@contextmanager
def _locked() -> Iterator[None]:
    """Hold the directory, so that two processes that start at once end with the same CA."""
    directory = data_directory()
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if stat.S_IMODE(directory.stat().st_mode) & 0o077:
            directory.chmod(0o700)
        descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise UsageError.of(str(directory), why, "set NETFRONT_DATA to a directory of yours") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write(path: Path, data: bytes) -> None:
    """Write a file whole: 0600, then renamed into place."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _ensure_ca(path: Path) -> None:
    """Make the CA if there is none, it is damaged, or a month of its life is left."""
    key = path.with_name("ca-key.pem")
    try:
        young = time.time() - path.stat().st_mtime < (_CA_DAYS - _LEAF_DAYS) * _DAY
        if young and b"-----BEGIN CERTIFICATE" in path.read_bytes() and b"PRIVATE KEY" in key.read_bytes():
            if stat.S_IMODE(key.stat().st_mode) & 0o077:
                key.chmod(0o600)
            return
    except OSError:
        pass
    _make_ca(path, key)


def _make_ca(path: Path, key_path: Path) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    owner = f"{os.environ.get('USER') or os.environ.get('LOGNAME') or 'user'}@{os.uname().nodename}"[:40]
    name = x509.Name(
        [
            x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "netfront local CA"),
            x509.NameAttribute(x509.NameOID.COMMON_NAME, f"netfront {owner}"),
        ]
    )
    start = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1)
    names: list[x509.GeneralName] = [x509.DNSName(suffix) for suffix in _SUFFIXES]
    names += [x509.IPAddress(network) for network in _NETWORKS]
    public = key.public_key()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=_CA_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.NameConstraints(names, None), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .sign(key, hashes.SHA256())
    )
    _write(
        key_path,
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
    )
    _write(path, certificate.public_bytes(serialization.Encoding.PEM))


def _make_leaf(path: Path, directory: Path, names: Sequence[str], now: float) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID

    try:
        authority = x509.load_pem_x509_certificate((directory / "ca.pem").read_bytes())
        signer = serialization.load_pem_private_key((directory / "ca-key.pem").read_bytes(), None)
    except (OSError, ValueError) as error:
        hint = f"remove {directory} to have it made anew"
        raise UsageError.of(str(directory / "ca.pem"), f"the local CA is damaged: {error}", hint) from error
    if not isinstance(signer, ec.EllipticCurvePrivateKey):
        raise UsageError.of(str(directory / "ca-key.pem"), "not the key of the local CA")
    key = ec.generate_private_key(ec.SECP256R1())
    start = datetime.datetime.fromtimestamp(now, datetime.UTC) - datetime.timedelta(hours=1)
    end = min(start + datetime.timedelta(days=_LEAF_DAYS), authority.not_valid_after_utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=True)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
        .sign(signer, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _write(path, pem)


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
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
