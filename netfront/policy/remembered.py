"""What was found of a credential, remembered for a while: looking costs 1 us where finding cost up to 100 ms.

Credentials are not kept: what is remembered goes by a keyed hash, with a key of this process alone. So a dump of memory
shows none of them, and nobody outside can choose two that collide, or time a look-up: where a guess lands in the table
tells nothing of where the right one lies.
"""

from collections.abc import Callable
from hashlib import blake2b
from typing import Generic, TypeVar

__all__ = ["Remembered"]

_T = TypeVar("_T")


class Remembered(Generic[_T]):
    """Values by credential, each until its time.

    Args:
        key: secret, 16 to 64 bytes.
        most: entries; when they are all taken, those that are over go, and if none is, the older half.
    """

    def __init__(self, key: bytes, *, most: int = 4096) -> None:
        self._hash: Callable[[bytes], bytes] = _hasher(key)
        self._most = most
        self._entries: dict[bytes, tuple[float, _T]] = {}

    def get(self, credential: bytes, now: float) -> _T | None:
        """Give what is known of a credential; None if nothing is, or its time is over."""
        entry = self._entries.get(self._hash(credential))
        return entry[1] if entry is not None and now < entry[0] else None

    def put(self, credential: bytes, value: _T, until: float, now: float) -> None:
        """Remember a value until a time."""
        entries = self._entries
        digest = self._hash(credential)
        if len(entries) >= self._most and digest not in entries:
            for over in [known for known, (due, _) in entries.items() if due <= now]:
                del entries[over]
            if len(entries) >= self._most:
                for oldest in list(entries)[: (self._most + 1) // 2]:
                    del entries[oldest]
        entries[digest] = until, value

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()

    def __len__(self) -> int:
        return len(self._entries)


def _hasher(key: bytes) -> Callable[[bytes], bytes]:
    ready = blake2b(key=key, digest_size=16)  # the key takes a block of its own: hashed once

    def digest(credential: bytes) -> bytes:
        copy = ready.copy()
        copy.update(credential)
        return copy.digest()

    return digest
