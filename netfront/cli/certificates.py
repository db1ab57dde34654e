"""The certificates of the listeners: given or made by the local CA, read again as they change, renewed as they age."""

import os
import ssl
import sys
import time
from collections.abc import Callable, Sequence

from netfront.cli.faults import Faults
from netfront.cli.plan import Secret, TlsPlan
from netfront.errors import Fault, UsageError
from netfront.net.certfile import LoadedCertificate, covers, load_authorities, load_certificate
from netfront.net.files import Files
from netfront.net.tls import ServerTls
from netfront.net.watchfile import FileWatch

__all__ = ["Certificates", "read_given"]

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_TRY_AGAIN = 3600.0
"""Seconds after which a renewal that failed is tried again."""


class Certificates:
    """What TLS listeners show.

    Args:
        hosts: of routes: what given certificates do not cover of them is noted.
        tell: told of what the start waits for, and of a clock that is wrong; None: connections are being served, and
            nothing may be waited for.

    Raises:
        UsageError: when made: all that is wrong: a file is unreadable, a key does not fit, a certificate is over, or
            none covers a --name.
    """

    def __init__(
        self, plan: TlsPlan, hosts: Sequence[str] = (), tell: Callable[[str], None] | None = lambda _: None
    ) -> None:
        self.plan = plan
        self._files = Files()
        self._loaded = self._load(tell)
        self._tls = ServerTls(
            self._loaded,
            client_ca=plan.client_ca,
            may_come_without=plan.may_come_without,
            files=self._files,
        )
        named = _files(plan)
        self._pipes = [path for path in named if self._files.is_pipe(path)]
        self._watch = FileWatch([path for path in named if path not in self._pipes])
        self._suspects: set[str] = set()
        """Files that were missing at the last look."""
        self._lost: set[str] = set()
        """Files that were told to be missing."""
        self._next_renewal = 0.0
        self.note = self._describe(hosts)
        _silence_odd_names()

    def context(self) -> ssl.SSLContext:
        """Give the context for the next connection."""
        return self._tls.context

    def look(self) -> list[str]:
        """Read the files again if they changed, renew a certificate of the local CA that grows old; tell of it."""
        has_changed = self._watch.changed()
        told = self._tell_missing()
        now = time.time()
        if has_changed:
            told += self._read_again()
        elif self.plan.is_local and now >= self._next_renewal and self._grows_old(now):
            self._next_renewal = now + _TRY_AGAIN
            told += self._read_again()
        return told

    def reload(self) -> list[str]:
        """Read the files again; what is wrong is told, and the old certificates stay."""
        self._watch.changed()
        self._lost |= set(self._watch.missing)
        if not self._pipes:
            return self._read_again()
        once = f"{', '.join(dict.fromkeys(self._pipes))}: a pipe is read but once"
        if set(_files(self.plan)) == set(self._pipes):
            return [f"nothing to read again: {once}"]
        return [*self._read_again(), once]

    def _read_again(self) -> list[str]:
        try:
            loaded = self._load(None)
            self._tls.replace(loaded)
        except UsageError as error:
            return [f"the old certificates stay: {error}"]
        self._loaded = loaded
        return ["certificates read again"]

    def _tell_missing(self) -> list[str]:
        """Tell once that a file is gone, and once that it is back; not of one that is missing at one look alone."""
        missing = self._watch.missing
        back = sorted(self._lost - set(missing))
        gone = [path for path in missing if path in self._suspects and path not in self._lost]
        self._suspects = set(missing)
        self._lost = (self._lost & self._suspects) | set(gone)
        return [
            *(f"{path} is back" for path in back),
            *(f"{path}: {missing[path]}; what was read of it stays in use" for path in gone),
        ]

    def _load(self, tell: Callable[[str], None] | None) -> list[LoadedCertificate]:
        """Load what is shown.

        Args:
            tell: of what is waited for; None: nothing may be waited for, as connections are being served.
        """
        plan, faults = self.plan, Faults()
        loaded: list[LoadedCertificate] = []
        if plan.is_local:
            from netfront.net.devcert import leaf_for

            try:
                names = [*_LOOPBACK, *plan.names]
                if tell is not None:
                    loaded.append(leaf_for(names, time.time(), tell=tell))
                else:
                    loaded.append(leaf_for(names, time.time(), patience=0.0))
            except UsageError as error:
                faults.take(error)
        read_given(plan, self._files, loaded, faults)
        faults.raise_any()
        return loaded

    def _grows_old(self, now: float) -> bool:
        from netfront.net.devcert import renewal_due

        return any(renewal_due(certificate, now) for certificate in self._loaded)

    def _describe(self, hosts: Sequence[str]) -> str:
        if self.plan.is_local:
            return 'certificate of the local CA; to trust it: eval "$(netfront trust env)"'
        days = int((min(certificate.not_after for certificate in self._loaded) - time.time()) // 86400)
        names = list(dict.fromkeys(name for certificate in self._loaded for name in certificate.names))
        shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        note = f"certificate for {shown or 'no name at all'}, {days} day{'' if days == 1 else 's'} left"
        missed = [host for host in dict.fromkeys(hosts) if not covers(names, host)]
        return f"{note}; not for {', '.join(missed)}" if missed else note


def read_given(plan: TlsPlan, files: Files, loaded: list[LoadedCertificate], faults: Faults) -> None:
    """Load the certificates that were given, and look into the file of clients' CAs; note all that is wrong."""
    are_whole = True
    for given in plan.certificates:
        try:
            loaded.append(load_certificate(given.cert, given.key, _read(given.password, files), files=files))
        except UsageError as error:
            are_whole = False
            faults.take(error)
    if plan.certificates and are_whole:
        for fault in _uncovered(plan.names, loaded):
            faults.add(fault.what, fault.why, fault.hint)
    if plan.client_ca is not None:
        try:
            load_authorities(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), "--client-ca", plan.client_ca, files)
        except UsageError as error:
            faults.take(error)


def _files(plan: TlsPlan) -> list[str]:
    files = [path for given in plan.certificates for path in (given.cert, given.key or given.cert)]
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


def _read(secret: Secret | None, files: Files) -> bytes | None:
    """Read a secret from where it is kept; a file's last line end is not part of it."""
    if secret is None:
        return None
    if secret.file is not None:
        return files.read(secret.file, what=f"--key-password {secret}").rstrip(b"\r\n")
    try:
        return os.environb[(secret.variable or "").encode()]
    except KeyError:
        what = f"--key-password {secret}"
        hint = f"export {secret.variable}=…"
        raise UsageError.of(what, "no such environment variable", hint) from None


def _silence_odd_names() -> None:
    """Keep strangers from writing tracebacks: ssl fails a handshake whose SNI is not ASCII, and prints one."""
    others = sys.unraisablehook

    def hook(unraisable: "sys.UnraisableHookArgs") -> None:
        is_name = unraisable.exc_type is UnicodeDecodeError and isinstance(unraisable.object, bytes)
        if not is_name:
            others(unraisable)

    sys.unraisablehook = hook
