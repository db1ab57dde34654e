"""Who holds what we want: the process behind a port, a unix socket or a lock, as far as /proc shows it.

For messages alone: where there is no /proc, or the process is another user's, the answer is "". The form is
"name (pid N)".
"""

import os
from collections.abc import Callable, Iterable, Iterator

__all__ = ["who_holds_lock", "who_listens", "who_listens_at"]

_LISTENS = "0A"
_ACCEPTS = 0x10000
"""The flag of a unix socket that listens, __SO_ACCEPTCON."""


def who_listens(port: int) -> str:
    """Name the process that listens on a TCP port."""
    inodes = {
        columns[9]
        for table in ("/proc/net/tcp", "/proc/net/tcp6")
        for columns in _rows(table)
        if columns[3] == _LISTENS and int(columns[1].rpartition(":")[2], 16) == port
    }
    return _holder(inodes, lambda pid, inode: True)


def who_listens_at(path: str) -> str:
    """Name the process that listens on a unix socket. It may have named the file in another way than we do."""
    named = {
        columns[6]: columns[7]
        for columns in _rows("/proc/net/unix", maxsplit=7)
        if len(columns) == 8
        and int(columns[3], 16) & _ACCEPTS
        and os.path.basename(columns[7]) == os.path.basename(path)
    }

    def is_same(pid: str, inode: str) -> bool:
        try:
            return os.path.samefile(os.path.join(os.readlink(f"/proc/{pid}/cwd"), named[inode]), path)
        except OSError:
            return False

    return _holder(named, is_same)


def who_holds_lock(path: str) -> str:
    """Name the process that holds the flock of a file."""
    try:
        wanted = os.stat(path)
    except OSError:
        return ""
    for columns in _rows("/proc/locks", has_title=False):
        # the device is not compared: some file systems show another there than stat does
        if columns[1] == "FLOCK" and int(columns[5].rpartition(":")[2]) == wanted.st_ino:
            taker = columns[4]
            if os.path.exists(f"/proc/{taker}"):
                if _has_open(taker, wanted):
                    return _named(taker)
            else:  # who took it has ended, and left it to a process it shared the descriptor with
                heirs = (pid for pid in filter(str.isdigit, os.listdir("/proc")) if pid != str(os.getpid()))
                return next((_named(pid) for pid in heirs if _has_open(pid, wanted, default=False)), "")
    return ""


def _has_open(pid: str, wanted: os.stat_result, *, default: bool = True) -> bool:
    """Tell whether a process has a file open; `default` where it is another user's and does not say."""
    try:
        with os.scandir(f"/proc/{pid}/fd") as descriptors:
            return any(os.path.samestat(descriptor.stat(), wanted) for descriptor in descriptors)
    except OSError:
        return default


def _rows(table: str, *, maxsplit: int = -1, has_title: bool = True) -> Iterator[list[str]]:
    try:
        with open(table, encoding="utf-8", errors="surrogateescape") as lines:
            for line in list(lines)[has_title:]:
                yield line.rstrip("\n").split(None, maxsplit)
    except OSError:
        return


def _holder(inodes: Iterable[str], is_it: Callable[[str, str], bool]) -> str:
    """Name the process that has one of these sockets open."""
    wanted = {f"socket:[{inode}]": inode for inode in inodes}
    if not wanted:
        return ""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            for descriptor in os.listdir(f"/proc/{pid}/fd"):
                inode = wanted.get(os.readlink(f"/proc/{pid}/fd/{descriptor}"))
                if inode is not None and is_it(pid, inode):
                    return _named(pid)
        except OSError:
            continue
    return ""


def _named(pid: str) -> str:
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as name:
            return f"{name.read().strip()} (pid {pid})"
    except OSError:
        return f"pid {pid}" if pid.isdigit() and pid != "0" else ""
