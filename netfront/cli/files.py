"""The files and variables that a command line names: whether they can be used, before anything is opened.

What is in them is checked by those that read them; this look is taken early so that a missing file is told
together with everything else that is wrong.
"""

import errno
import os
import stat

from netfront.cli.argv import path_of
from netfront.cli.flags import ProxyFlags
from netfront.cli.grammar import parse_secret
from netfront.errors import Fault, UsageError

__all__ = ["missing_files"]


def missing_files(flags: ProxyFlags) -> list[Fault]:
    """List what cannot be read, or not be written."""
    several = {"--cert": flags.cert, "--key": flags.key}
    single = {
        "--client-ca": flags.client_ca,
        "--backend-ca": flags.backend_ca,
        "--backend-cert": flags.backend_cert,
        "--backend-key": flags.backend_key,
    }
    named = [(flag, text) for flag, texts in several.items() for text in texts or ()]
    named += [(flag, text) for flag, text in single.items() if text is not None]
    faults = [_unreadable(f"{flag} {text}", path_of(text) or "") for flag, text in named]
    faults += [_unset(text) for text in flags.key_password or ()]
    faults.append(_closed(flags.ready_fd))
    if flags.access_log not in (None, "-"):
        faults.append(_unwritable(f"--access-log {flags.access_log}", path_of(flags.access_log) or ""))
    if flags.port_file is not None:
        faults.append(_unwritable(f"--port-file {flags.port_file}", path_of(flags.port_file) or ""))
    return [fault for fault in faults if fault is not None]


def _unreadable(what: str, path: str) -> Fault | None:
    try:
        with open(path, "rb") as file:
            file.read(1)
    except OSError as error:
        hint = "its owner has to let you read it" if isinstance(error, PermissionError) else ""
        return Fault(what, (error.strerror or str(error)).lower(), hint)
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
