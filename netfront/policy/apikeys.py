"""API keys: how they are made, how a file holds their hashes, and whose a key is.

    # name  hash                scopes, if any
    shop    sha256:1f4e…9c      read orders:write

A key is 32 random bytes, so a plain hash of it is as hard to turn round as the key is to guess, and is found in a
table: how long that takes tells of the hash of a guess, which no guess can be steered by. Two lines of one name are
two keys of the same user, as is needed to change them.
"""

import hashlib
import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass

from netfront.errors import Fault, UsageError
from netfront.policy.claims import Identity

__all__ = ["ApiKeys", "is_key_name", "key_line", "make_key", "parse_keys"]

_COMMENT = re.compile(r"(?:^|\s)#.*")
_PREFIX = "nf_"
_BYTES = 32
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_HASH = re.compile(r"sha256:([0-9a-f]{64})")
_SCOPE = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]{1,128}")
"""A scope-token of RFC 6749 §3.3."""


@dataclass(frozen=True, slots=True)
class ApiKeys:
    """Whose keys they are, by hash; made by `parse_keys`."""

    by_hash: Mapping[bytes, Identity]

    def owner(self, key: bytes) -> Identity | None:
        """Tell whose key it is; None: nobody's."""
        return self.by_hash.get(hashlib.sha256(key).digest())

    def __len__(self) -> int:
        return len(self.by_hash)

    def __repr__(self) -> str:
        return f"<ApiKeys: {len(self.by_hash)}>"


def make_key(random: bytes) -> str:
    """Make a key of 32 random bytes."""
    if len(random) != _BYTES:
        raise ValueError(f"{len(random)} bytes are not {_BYTES}")
    return _PREFIX + urlsafe_b64encode(random).decode().rstrip("=")


def key_line(name: str, key: str) -> str:
    """Give the line of the file for a key."""
    return f"{name} sha256:{hashlib.sha256(key.encode()).hexdigest()}"


def is_key_name(name: str) -> bool:
    """Tell whether a name can stand in the file."""
    return _NAME.fullmatch(name) is not None


def parse_keys(text: str, what: str) -> ApiKeys:
    """Read a file of keys; it may hold none.

    Args:
        what: names the file in messages.

    Raises:
        UsageError: of every line that is wrong, by its number: what stands there is in no message.
    """
    keys: dict[bytes, Identity] = {}
    faults: list[Fault] = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = _COMMENT.sub("", line).split()
        if not words:
            continue
        place = f"{what}, line {number}"
        match = _HASH.fullmatch(words[1]) if len(words) > 1 else None
        if match is None or not is_key_name(words[0]):
            hint = "netfront gateway --new-key NAME prints a key and its line"
            faults.append(Fault(place, "not NAME sha256:HASH [SCOPE …]", hint))
        elif wrong := [scope for scope in words[2:] if _SCOPE.fullmatch(scope) is None]:
            faults.append(
                Fault(place, f"{wrong[0]!r} is no scope", "scopes are words with a space between them")
            )
        elif (digest := bytes.fromhex(match[1])) in keys:
            faults.append(Fault(place, "this key is there already", "remove one of the lines"))
        else:
            keys[digest] = _identity(words[0], words[2:])
    if faults:
        raise UsageError(*faults)
    return ApiKeys(keys)


def _identity(name: str, scopes: list[str]) -> Identity:
    claims = {"sub": name, "scope": " ".join(scopes)}
    return Identity("api-key", name, claims, frozenset(scopes), name)
