"""The files that hold credentials: read at the start, again as they change and at SIGHUP; what is wrong is never used.

Who can write such a file can let themselves in, so one that others can write is refused, and one that others can read
is told of: hashes can be guessed at at leisure. A file that is gone or wrong later leaves what was read of it in use.
One with nobody in it is a mistake at the start; later it is how the last one is shut out.
"""

import os
import secrets
import stat
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from netfront.cli.faults import Faults
from netfront.errors import Refusal, UsageError, words
from netfront.net.threads import Threads
from netfront.net.watchfile import FileWatch
from netfront.policy.apikeys import ApiKeys, parse_keys
from netfront.policy.claims import Identity
from netfront.policy.networks import network_of
from netfront.policy.passwords import Passwords, parse_passwords
from netfront.policy.remembered import Remembered
from netfront.policy.shared import Shared
from netfront.units import render_size

__all__ = ["Credentials", "KeyFile", "PasswordFile", "Tell", "WatchedFile", "read_guarded"]

_MOST = 16 * 2**20
"""Bytes of a file: a hundred thousand keys or users."""
_MOST_CHECKS = 64
"""Passwords that are checked at once, or wait for it."""
_T = TypeVar("_T")
Tell = Callable[[str], None]


def read_guarded(path: str, what: str, tell: Tell) -> str:
    """Read a file that only its owner may be able to write.

    Args:
        what: the flag with its value, for messages.
        tell: told if others can read it.

    Raises:
        UsageError: it cannot be read, or others can write it.
    """
    try:
        with open(path, "rb") as file:
            found = os.fstat(file.fileno())
            data = file.read(_MOST + 1)
    except OSError as error:
        raise UsageError.of(what, words(error)) from error
    if stat.S_ISREG(found.st_mode):
        if found.st_uid not in (0, os.geteuid()):
            raise UsageError.of(
                what, f"it belongs to another user (uid {found.st_uid})", "make it yours, or root's"
            )
        if found.st_mode & (stat.S_IWOTH | stat.S_IWGRP):
            raise UsageError.of(what, "others can write it, and so let themselves in", f"chmod 600 {path}")
        if found.st_mode & stat.S_IROTH:
            tell(f"{what}: others can read it; chmod 600 {path}")
    if len(data) > _MOST:
        raise UsageError.of(what, f"longer than {render_size(_MOST)}")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise UsageError.of(what, "not UTF-8 text") from error


class WatchedFile(Generic[_T]):
    """One file, read again as it changes.

    Args:
        what: the flag with its value, for messages.
        read: reads it, and tells what is to be said of it meanwhile. Raises UsageError.
        take: is given what was read again.
    """

    def __init__(
        self, what: str, path: str, read: Callable[[Tell], _T], tell: Tell, *, take: Callable[[_T], None]
    ) -> None:
        self.path = path
        self._what = what
        self._read = read
        self._take = take
        self._watch = FileWatch([path])
        self._is_missing = False
        self._is_pipe = _is_pipe(path)  # which can be read but once
        self.held = read(tell)

    def look(self) -> list[str]:
        """Read it again if it has changed; give what is to be said of it."""
        if self._is_pipe:
            return []
        has_changed = self._watch.changed()
        is_missing = self.path in self._watch.missing
        if is_missing != self._is_missing:
            self._is_missing = is_missing
            if is_missing:
                return [f"{self._what}: {self._watch.missing[self.path]}; what was read of it stays in use"]
        return self.reload() if has_changed else []

    def reload(self) -> list[str]:
        """Read it again; give what is to be said of it."""
        told: list[str] = []
        if self._is_pipe:
            return [f"{self._what}: a pipe is read but once"]
        try:
            held = self._read(told.append)
        except UsageError as error:
            return [f"what was read before stays in use: {error}"]
        self.held = held
        self._take(held)
        nobody = "" if held else ", and nobody is in it: by it nobody comes in"
        return [*told, f"{self._what}: read again{nobody}"]


class KeyFile:
    """The file of --api-key."""

    def __init__(self, path: str, tell: Tell) -> None:
        hint = "netfront gateway --new-key NAME prints a key and its line"
        self.file: WatchedFile[ApiKeys] = _watched("--api-key", path, parse_keys, tell, lambda _: None, hint)

    def owner(self, key: bytes) -> Identity | None:
        """Tell whose key it is; None: nobody's."""
        return self.file.held.owner(key)


class PasswordFile:
    """The file of --basic.

    Args:
        checks: of passwords.
    """

    def __init__(self, path: str, checks: "_Checks", tell: Tell) -> None:
        hint = "make the file with: htpasswd -cB FILE USER"
        self.file: WatchedFile[Passwords] = _watched("--basic", path, parse_passwords, tell, self._take, hint)
        self._checks = checks
        self.remembered = _remembered()

    async def are_right(self, user: str, password: bytes, address: bytes) -> bool:
        """Tell whether a user has a password.

        Raises:
            Refusal: 503, too many are being checked.
        """
        held = self.file.held
        return await self._checks.run(lambda: held.are_right(user, password), address)

    def _take(self, _: Passwords) -> None:
        """Forget who was right by the old file."""
        self.remembered = _remembered()


class _Checks:
    """What is slow by intent, in threads: addresses have turns, and each has a share of all that may wait."""

    def __init__(self) -> None:
        self._threads = Threads()
        self._at_once = Shared(_MOST_CHECKS)

    async def run(self, work: Callable[[], bool], address: bytes) -> bool:
        """Do it. Raises Refusal: 503, too much waits."""
        if not self._at_once.take(1, address):
            raise Refusal(503, "too many credentials to check at once", [(b"Retry-After", b"1")])
        try:
            return await self._threads.run(work, whom=network_of(address))
        finally:
            self._at_once.give_back(1, address)


class Credentials:
    """All files of credentials of a process, by path.

    Args:
        keys, passwords: the paths.
        kept: those of the plan before: the same file goes on with what it remembers.

    Raises:
        UsageError: of all that is wrong with any of them.
    """

    def __init__(
        self, keys: Iterable[str], passwords: Iterable[str], tell: Tell, kept: "Credentials | None" = None
    ) -> None:
        self._checks: _Checks = kept._checks if kept is not None else _Checks()
        self.keys: dict[str, KeyFile] = {}
        self.passwords: dict[str, PasswordFile] = {}
        faults = Faults()
        for path in dict.fromkeys(keys):
            try:
                self.keys[path] = (kept and kept.keys.get(path)) or KeyFile(path, tell)
            except UsageError as error:
                faults.take(error)
        for path in dict.fromkeys(passwords):
            try:
                known = kept and kept.passwords.get(path)
                self.passwords[path] = known or PasswordFile(path, self._checks, tell)
            except UsageError as error:
                faults.take(error)
        faults.raise_any()

    @property
    def _files(self) -> list[WatchedFile[ApiKeys] | WatchedFile[Passwords]]:
        return [
            *(keys.file for keys in self.keys.values()),
            *(users.file for users in self.passwords.values()),
        ]

    def look(self) -> list[str]:
        """Read again what has changed; give what is to be said of it."""
        return [line for file in self._files for line in file.look()]

    def reload(self) -> list[str]:
        """Read all again; give what is to be said of it."""
        return [line for file in self._files for line in file.reload()]


def _watched(
    flag: str, path: str, parse: Callable[[str, str], _T], tell: Tell, take: Callable[[_T], None], hint: str
) -> WatchedFile[_T]:
    """Read a file for the first time. Raises UsageError: it is wrong, or nobody is in it."""
    what = f"{flag} @{path}"
    file = WatchedFile(what, path, lambda told: parse(read_guarded(path, what, told), what), tell, take=take)
    if not file.held:
        raise UsageError.of(what, "nobody is in it", hint)
    return file


def _is_pipe(path: str) -> bool:
    try:
        return not stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        return False


def _remembered() -> Remembered[Identity]:
    return Remembered(secrets.token_bytes(32))
