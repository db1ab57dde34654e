"""The user's data directory for netfront: private, one writer at a time, files whole or not there.

It holds private keys, so the directory is 0700 and each file 0600, both the user's own. Whoever reads or writes holds
its lock: two processes that start at once see each other's work finished.
"""

import errno
import fcntl
import os
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from netfront.errors import UsageError, words
from netfront.net.holder import who_holds_lock

__all__ = ["PATIENCE", "data_directory", "hold_data", "read_private", "write_private"]

PATIENCE = 10.0
"""Seconds. A new CA takes a tenth of one: who holds the lock for longer is stopped, or hangs."""
_TELL_AFTER = 0.5
_AGAIN = 0.02
_HINT = "set NETFRONT_DATA to another directory, of yours"


def data_directory() -> Path:
    """Give the path: NETFRONT_DATA, or where the platform keeps such things. Raises UsageError: there is no home."""
    given = os.environ.get("NETFRONT_DATA")
    if given:
        return Path(given).absolute()
    base = os.environ.get("XDG_DATA_HOME", "")
    if os.path.isabs(base) and sys.platform != "darwin":  # a relative one is to be ignored, says XDG
        return Path(base) / "netfront"
    try:
        home = Path.home()
    except RuntimeError as error:
        raise UsageError.of("the user's data directory", "there is no home directory", _HINT) from error
    if sys.platform == "darwin":
        return home / "Library" / "Application Support" / "netfront"
    return home / ".local" / "share" / "netfront"


def _silent(_: str) -> None:
    """Tell nobody."""


@contextmanager
def hold_data(tell: Callable[[str], None] = _silent, *, patience: float = PATIENCE) -> Iterator[Path]:
    """Give the directory, made if there is none, and hold its lock.

    Args:
        tell: told, after half a second, what is waited for.
        patience: seconds that another's lock is waited for.

    Raises:
        UsageError: it cannot be used, is locked for too long, or what is done inside the block raised OSError.
    """
    directory = data_directory()
    lock = -1
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_directory(directory)
        lock = _open_lock(directory / "lock")
        _take_lock(lock, directory, tell, patience)
        yield directory
    except OSError as error:
        path = error.filename or directory
        raise UsageError.of(str(path), words(error), _HINT) from error
    finally:
        if lock >= 0:
            os.close(lock)


def _open_lock(path: Path) -> int:
    """Open the lock; one that may only be read locks as well, for a directory that is complete and read-only."""
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EROFS):
            raise
        try:
            return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise error from None


def _take_lock(lock: int, directory: Path, tell: Callable[[str], None], patience: float) -> None:
    """Take the lock. flock has no time-out, so it is asked for again and again."""
    began = time.monotonic()
    is_told = False
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waited = time.monotonic() - began
        else:
            return
        if waited >= patience:
            why = f"its lock is held{_by(directory)}"
            hint = f"end that process, or {_HINT}"
            raise UsageError.of(
                str(directory), f"{why}, for over {patience:.0f} s" if patience else why, hint
            )
        if waited >= _TELL_AFTER and not is_told:
            is_told = True
            tell(f"waiting for the lock of {directory}, held{_by(directory)}")
        time.sleep(_AGAIN)


def _by(directory: Path) -> str:
    holder = who_holds_lock(str(directory / "lock"))
    return f" by {holder}" if holder else ""


def read_private(path: Path) -> bytes | None:
    """Give what a file holds, None if there is none; others' access to it ends."""
    try:
        _own(path, 0o600)
        return path.read_bytes()
    except FileNotFoundError:
        return None


def write_private(path: Path, data: bytes) -> None:
    """Write a file, whole and 0600, then rename it into its place."""
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


def _check_directory(directory: Path) -> None:
    """Refuse a directory where others could put files in place of ours; it may be one we did not make, so no chmod."""
    found = directory.stat()
    if found.st_uid != os.geteuid():
        raise UsageError.of(str(directory), f"it belongs to another user (uid {found.st_uid})", _HINT)
    if stat.S_IMODE(found.st_mode) & 0o022:
        raise UsageError.of(str(directory), "others can write in it", f"chmod go-w it, or {_HINT}")


def _own(path: Path, mode: int) -> None:
    """Make sure that a file is ours alone."""
    found = path.stat()
    if found.st_uid != os.geteuid():
        raise UsageError.of(str(path), f"it belongs to another user (uid {found.st_uid})", _HINT)
    if stat.S_IMODE(found.st_mode) & 0o077:
        path.chmod(mode)
