"""The certificates of the listeners: given or made by the local CA, and read again as they change."""

import os
import ssl
import time

from netfront.cli.plan import Secret, TlsPlan
from netfront.errors import UsageError
from netfront.net.tls import FileWatch, LoadedCertificate, ServerTls, load_certificate

__all__ = ["Certificates"]

_RENEW_LOOK = 3600.0


class Certificates:
    """What TLS listeners show.

    Raises:
        UsageError: when made: a file is unreadable, a key does not fit, a certificate is over.
    """

    def __init__(self, plan: TlsPlan) -> None:
        self._plan = plan
        loaded = self._load()
        self._tls = ServerTls(loaded, client_ca=plan.client_ca)
        files = [path for certificate in plan.certificates for path in (certificate.cert, certificate.key)]
        self._watch = FileWatch(files)
        self._next_renewal = time.monotonic() + _RENEW_LOOK
        self.note = self._describe(loaded)

    def context(self) -> ssl.SSLContext:
        """Give the context for the next connection."""
        return self._tls.context

    def look(self) -> list[str]:
        """Read the files again if they changed; renew a certificate of the local CA that grows old."""
        if self._plan.is_local:
            if time.monotonic() < self._next_renewal:
                return []
            self._next_renewal = time.monotonic() + _RENEW_LOOK
            self._tls.replace(self._load())
            return []
        return self.reload() if self._watch.changed() else []

    def reload(self) -> list[str]:
        """Read the files again; what is wrong is told, and the old certificates stay."""
        try:
            self._tls.replace(self._load())
        except UsageError as error:
            return [f"the old certificates stay: {error}"]
        return ["certificates read again"]

    def _load(self) -> list[LoadedCertificate]:
        if self._plan.is_local:
            from netfront.net.devcert import leaf_for

            return [leaf_for(["localhost", "127.0.0.1", "::1", *self._plan.names], time.time())]
        return [
            load_certificate(given.cert, given.key, _read(given.password))
            for given in self._plan.certificates
        ]

    def _describe(self, loaded: list[LoadedCertificate]) -> str:
        if self._plan.is_local:
            return 'certificate of the local CA; to trust it: eval "$(netfront trust env)"'
        days = int((min(certificate.not_after for certificate in loaded) - time.time()) // 86400)
        return f"certificate for {', '.join(loaded[0].names)}, {days} days left"


def _read(secret: Secret | None) -> bytes | None:
    """Read a secret from where it is kept; a file's last line end is not part of it."""
    if secret is None:
        return None
    try:
        if secret.file is not None:
            with open(secret.file, "rb") as file:
                return file.read().rstrip(b"\r\n")
        return os.environb[(secret.variable or "").encode()]
    except OSError as error:
        raise UsageError.of(str(secret), (error.strerror or str(error)).lower()) from error
    except KeyError:
        raise UsageError.of(str(secret), "no such environment variable") from None
