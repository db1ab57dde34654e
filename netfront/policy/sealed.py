"""Sealed values: what a client keeps for us, and can neither read nor change.

AES-256-GCM (NIST SP 800-38D) with a random nonce of 96 bits: up to 2**32 values may be sealed by one key, which is a
hundred a second for a year. What a value is for, and until when it holds, is part of what is sealed: one that was made
for another purpose does not open.
"""

import json
import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

__all__ = ["Sealer"]

_NONCE = 12
_TAG = 16
_MOST = 65_536
"""Bytes of a value, opened: far more than cookies can hold."""


class Sealer:
    """Seals and opens.

    Args:
        secrets: the first seals, all open: that is how keys rotate.
        random: gives so many random bytes.
    """

    def __init__(self, secrets: Sequence[bytes], random: Callable[[int], bytes]) -> None:
        self._keys = [AESGCM(_derived(secret)) for secret in secrets]
        self._random = random

    def seal(self, purpose: bytes, value: object) -> bytes:
        """Seal a JSON value; give text that may stand in a cookie."""
        nonce = self._random(_NONCE)
        plain = zlib.compress(json.dumps(value, separators=(",", ":")).encode(), 9)
        return urlsafe_b64encode(nonce + self._keys[0].encrypt(nonce, plain, purpose)).rstrip(b"=")

    def open(self, purpose: bytes, sealed: bytes) -> object:
        """Open what was sealed for this purpose; None if it was not, or not by us."""
        try:
            raw = urlsafe_b64decode(sealed + b"=" * (-len(sealed) % 4))
        except ValueError:
            return None
        if len(raw) < _NONCE + _TAG:
            return None
        for key in self._keys:
            try:
                plain = key.decrypt(raw[:_NONCE], raw[_NONCE:], purpose)
            except InvalidTag:
                continue
            value: object = json.loads(zlib.decompressobj().decompress(plain, _MOST))
            return value
        return None


def _derived(secret: bytes) -> bytes:
    return HKDF(SHA256(), 32, None, b"netfront sealed values").derive(secret)
