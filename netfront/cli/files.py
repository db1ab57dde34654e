"""The files and variables that a command line names: whether they can be used, before anything is opened.

What is in them is checked by those that read them; this look is taken early so that a missing file is told
together with everything else that is wrong; and where something is, they are looked into for the same reason.
"""

import errno
import os
import stat

from netfront.cli.argv import path_of
from netfront.cli.flags import ServeFlags
from netfront.cli.grammar import parse_secret
from netfront.cli.plan import ServePlan
from netfront.errors import Fault, UsageError, words

__all__ = ["missing_files", "wrong_files"]


def missing_files(flags: ServeFlags, *, is_served: bool = False) -> list[Fault]:
    """List what cannot be read, or not be written.

    Args:
        is_served: whether this is a reload: --ready-fd was written to and closed then.
    """
    faults = [fault for _, fault in _unreadable_ones(flags)]
    faults += [fault for text in flags.key_password or () if (fault := _unset(text))]
    if not is_served and (fault := _closed(flags.ready_fd)):
        faults.append(fault)
    written = {"--access-log": flags.access_log if flags.access_log != "-" else None}
    for flag, text in {**written, "--port-file": flags.port_file}.items():
        if text is not None and (fault := _unwritable(f"{flag} {text}", path_of(text) or "")):
            faults.append(fault)
    return faults


def wrong_files(flags: ServeFlags, plan: ServePlan) -> list[Fault]:
    """List what is wrong inside the files of a plan; not those that `missing_files` has told."""
    tls = [target.tls for pool in plan.pools for target in pool.targets if target.tls is not None]
    if not (flags.cert or flags.client_ca or any(spoken.ca or spoken.cert for spoken in tls)):
        return []  # what looks into them costs TLS
    from netfront.cli.filecheck import wrong_contents

    told = [path for path, _ in _unreadable_ones(flags)]
    return [
        fault
        for fault in wrong_contents(plan)
        if fault.what not in told and not any(fault.what.endswith(f" {path}") for path in told)
    ]


def _unreadable_ones(flags: ServeFlags) -> list[tuple[str, Fault]]:
    several = {"--cert": flags.cert, "--key": flags.key}
    single = {
        "--client-ca": flags.client_ca,
        "--backend-ca": flags.backend_ca,
        "--backend-cert": flags.backend_cert,
        "--backend-key": flags.backend_key,
    }
    named = [(flag, text) for flag, texts in several.items() for text in texts or ()]
    named += [(flag, text) for flag, text in single.items() if text is not None]
    paths = [(f"{flag} {text}", path_of(text) or "") for flag, text in named]
    return [(path, fault) for what, path in paths if (fault := _unreadable(what, path))]


def _unreadable(what: str, path: str) -> Fault | None:
    """Look whether a file can be read; a pipe, which can be read but once, is not."""
    try:
        if stat.S_ISFIFO(os.stat(path).st_mode):
            return None if os.access(path, os.R_OK) else Fault(what, os.strerror(errno.EACCES).lower())
        with open(path, "rb") as file:
            file.read(1)
    except OSError as error:
        hint = "its owner has to let you read it" if isinstance(error, PermissionError) else ""
        return Fault(what, words(error), hint)
    return None


def _unwritable(what: str, path: str) -> Fault | None:
    """Look whether a file may be written, or made; without making it."""
    try:
        is_directory = stat.S_ISDIR(os.stat(path).st_mode)
        why = errno.EISDIR if is_directory else 0 if os.access(path, os.W_OK) else errno.EACCES
    except FileNotFoundError:
        directory = os.path.dirname(os.path.abspath(path))
        if not path or not os.path.isdir(directory):
            why = errno.ENOENT
        else:
            why = 0 if os.access(directory, os.W_OK | os.X_OK) else errno.EACCES
    except OSError as error:
        why = error.errno or errno.EIO
    return Fault(what, os.strerror(why).lower()) if why else None


def _unset(text: str) -> Fault | None:
    try:
        secret = parse_secret(text)
    except UsageError:
        return None  # told where it is read
    if secret.file is not None:
        return _unreadable(f"--key-password {secret}", secret.file)
    if os.environ.get(secret.variable or "") is None:
        return Fault(
            f"--key-password {secret}", "no such environment variable", f"export {secret.variable}=…"
        )
    return None


def _closed(text: str | None) -> Fault | None:
    if text is None or not text.isdigit():
        return None
    try:
        os.fstat(int(text))
    except (OSError, OverflowError):
        return Fault(
            f"--ready-fd {text}", "no such open descriptor", f"open it in the shell, as in: {text}>file"
        )
    return None
