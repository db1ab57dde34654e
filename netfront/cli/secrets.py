"""Secrets: read from where a plan says they are, or made once and kept in the user's data directory."""

import os
import secrets
from pathlib import Path

from netfront.cli.grammar import parse_secret
from netfront.cli.plan import FieldEdit, Secret
from netfront.errors import UsageError, words
from netfront.net.datadir import hold_data, read_private, write_private

__all__ = ["field_values", "read_secret", "session_secrets", "sticky_secret"]

_LEAST = 16
"""Bytes of a key that is given: fewer can be guessed."""
_STICKY, _SESSION = "sticky.key", "session.key"


def read_secret(secret: Secret, flag: str, *, least: int = 1) -> bytes:
    """Give a secret; space and line ends around it do not count.

    Raises:
        UsageError: it cannot be read, or is shorter than so many bytes. It never stands in a message itself.
    """
    what = f"{flag} {secret}"
    if secret.file is not None:
        try:
            value = Path(secret.file).read_bytes().strip()
        except OSError as error:
            raise UsageError.of(what, words(error)) from error
    else:
        given = os.environ.get(secret.variable or "")
        if given is None:
            raise UsageError.of(what, "there is no such variable", f"as in: {secret.variable}=… netfront …")
        value = os.fsencode(given).strip()
    if not value:
        raise UsageError.of(what, "it is empty")
    if len(value) < least:
        raise UsageError.of(what, f"shorter than {least} bytes", "as from: openssl rand -base64 32")
    return value


def field_values(edit: FieldEdit) -> tuple[bytes, ...]:
    """Give the values of a field that is set, with what a secret is read from replaced by the secret.

    Raises:
        UsageError: as `read_secret`.
    """
    if edit.name.lower() != b"authorization":
        return edit.values
    return tuple(map(_with_secret, edit.values))


def _with_secret(value: bytes) -> bytes:
    scheme, space, place = os.fsdecode(value).rpartition(" ")
    return os.fsencode(scheme + space) + read_secret(parse_secret(place), "--header Authorization")


def sticky_secret(secret: Secret | None) -> bytes:
    """Give the key that signs sticky cookies: the one that was named, else one that is made once and kept."""
    if secret is not None:
        return read_secret(secret, "--sticky-key", least=_LEAST)
    return _kept(_STICKY)


def session_secrets(secret: Secret | None) -> list[bytes]:
    """Give the keys that seal sessions: those that were named, a line each, else one that is made once and kept.

    The first seals, and all open: put a new one before the old, and take the old away when its sessions are over.
    """
    if secret is None:
        return [_kept(_SESSION)]
    keys = [line.strip() for line in read_secret(secret, "--session-key", least=_LEAST).splitlines()]
    keys = [key for key in keys if key]
    if any(len(key) < _LEAST for key in keys):
        what = f"--session-key {secret}"
        raise UsageError.of(what, f"a line shorter than {_LEAST} bytes", "as from: openssl rand -base64 32")
    return keys


def _kept(name: str) -> bytes:
    with hold_data() as directory:
        path = directory / name
        value = read_private(path)
        if value is None or len(value) < _LEAST:
            value = secrets.token_bytes(32)
            write_private(path, value)
        return value
