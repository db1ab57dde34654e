"""The certificates of the listeners: given or made by the local CA, read again as they change, renewed as they age."""

import os
import ssl
import sys
import time
from collections.abc import Sequence

from netfront.cli.plan import Secret, TlsPlan
from netfront.errors import Fault, UsageError
from netfront.net.certfile import LoadedCertificate, covers, load_certificate
from netfront.net.tls import ServerTls
from netfront.net.watchfile import FileWatch

__all__ = ["Certificates"]

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_TRY_AGAIN = 3600.0
"""Seconds after which a renewal that failed is tried again."""


class Certificates:
    """What TLS listeners show.

    Args:
        hosts: of routes: what given certificates do not cover of them is noted.

    Raises:
        UsageError: when made: a file is unreadable, a key does not fit, a certificate is over, or none covers a --name.
    """

    def __init__(self, plan: TlsPlan, hosts: Sequence[str] = ()) -> None:
        self._plan = plan
        self._watch = FileWatch(_files(plan))
        self._loaded = self._load()
        self._tls = ServerTls(self._loaded, client_ca=plan.client_ca)
        self._next_renewal = 0.0
        self.note = self._describe(hosts)
        _silence_odd_names()

    def context(self) -> ssl.SSLContext:
        """Give the context for the next connection."""
        return self._tls.context

    def look(self) -> list[str]:
        """Read the files again if they changed, renew a certificate of the local CA that grows old; tell of it."""
        if self._watch.changed():
            return self.reload()
        now = time.time()
        if self._plan.is_local and now >= self._next_renewal and self._grows_old(now):
            self._next_renewal = now + _TRY_AGAIN
            return self.reload()
        return []

    def reload(self) -> list[str]:
        """Read the files again; what is wrong is told, and the old certificates stay."""
        self._watch.changed()
        try:
            loaded = self._load()
            self._tls.replace(loaded)
        except UsageError as error:
            return [f"the old certificates stay: {error}"]
        self._loaded = loaded
        return ["certificates read again"]

    def _load(self) -> list[LoadedCertificate]:
        if self._plan.is_local:
            from netfront.net.devcert import leaf_for

            return [leaf_for([*_LOOPBACK, *self._plan.names], time.time())]
        loaded: list[LoadedCertificate] = []
        faults: list[Fault] = []
        for given in self._plan.certificates:
            try:
                loaded.append(load_certificate(given.cert, given.key, _read(given.password)))
            except UsageError as error:
                faults += error.faults
        faults += [] if faults else _uncovered(self._plan.names, loaded)
        if faults:
            raise UsageError(*faults)
        return loaded

    def _grows_old(self, now: float) -> bool:
        from netfront.net.devcert import renewal_due

        return any(renewal_due(certificate, now) for certificate in self._loaded)

    def _describe(self, hosts: Sequence[str]) -> str:
        if self._plan.is_local:
            return 'certificate of the local CA; to trust it: eval "$(netfront trust env)"'
        days = int((min(certificate.not_after for certificate in self._loaded) - time.time()) // 86400)
        names = list(dict.fromkeys(name for certificate in self._loaded for name in certificate.names))
        shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        note = f"certificate for {shown or 'no name at all'}, {days} day{'' if days == 1 else 's'} left"
        missed = [host for host in dict.fromkeys(hosts) if not covers(names, host)]
        return f"{note}; not for {', '.join(missed)}" if missed else note


def _files(plan: TlsPlan) -> list[str]:
    files = [path for given in plan.certificates for path in (given.cert, given.key)]
    files += [given.password.file for given in plan.certificates if given.password and given.password.file]
    return files + ([plan.client_ca] if plan.client_ca is not None else [])


def _uncovered(names: Sequence[str], loaded: Sequence[LoadedCertificate]) -> list[Fault]:
    had = [name for certificate in loaded for name in certificate.names]
    hint = f"they are for {', '.join(had) or 'no name'}"
    return [
        Fault(f"--name {name}", "none of the certificates given is for it", hint)
        for name in names
        if not covers(had, name)
    ]


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


def _silence_odd_names() -> None:
    """Keep strangers from writing tracebacks: ssl fails a handshake whose SNI is not ASCII, and prints one."""
    others = sys.unraisablehook

    def hook(unraisable: "sys.UnraisableHookArgs") -> None:
        is_name = unraisable.exc_type is UnicodeDecodeError and isinstance(unraisable.object, bytes)
        if not is_name:
            others(unraisable)

    sys.unraisablehook = hook
