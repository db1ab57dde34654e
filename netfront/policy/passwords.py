"""Users and the hashes of their passwords, as the htpasswd of Apache writes them; and whether a password is one's.

    ann:$2y$10$…      bcrypt (htpasswd -B)
    bob:$apr1$…       Apache's MD5 (htpasswd -m, its default)
    cid:{SHA}…        SHA-1 (htpasswd -s)
    dan:$5$… $6$…     SHA-2 of crypt(3) (htpasswd -2, -5; mkpasswd)

Plain text and DES are refused: the one is no hash, the other drops what is behind eight characters. Verifying is slow
by intent, so whoever calls it does so in a thread.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass

from netfront.errors import Fault, UsageError

__all__ = ["Passwords", "parse_passwords"]

_BCRYPT_TAKES = 72
"""Bytes: bcrypt hashes no more, and htpasswd cuts there without a word."""
_LONGEST = 1024
"""Bytes of a password: nobody has a longer one, and what stretches them takes as long as they are."""
_MOST_ROUNDS = 1_000_000
_KINDS = {
    "bcrypt": re.compile(r"\$2[aby]\$(?:0[4-9]|1[0-6])\$[./A-Za-z0-9]{53}"),  # cost 16 takes 4 s
    "apr1": re.compile(r"\$apr1\$[./A-Za-z0-9]{1,8}\$[./A-Za-z0-9]{22}"),
    "sha1": re.compile(r"\{SHA\}[A-Za-z0-9+/]{27}="),
    "sha256": re.compile(r"\$5\$(?:rounds=([0-9]{4,9})\$)?[./A-Za-z0-9]{1,16}\$[./A-Za-z0-9]{43}"),
    "sha512": re.compile(r"\$6\$(?:rounds=([0-9]{4,9})\$)?[./A-Za-z0-9]{1,16}\$[./A-Za-z0-9]{86}"),
}


@dataclass(frozen=True, slots=True)
class Passwords:
    """Who has which password; made by `parse_passwords`."""

    hashes: Mapping[str, str]

    def are_right(self, user: str, password: bytes) -> bool:
        """Tell whether somebody has this password. For a user whom nobody knows it takes just as long.

        Slow: from 1 ms to, for a bcrypt of cost 14, a second.
        """
        known = self.hashes.get(user)
        if known is None:
            for other in self.hashes.values():
                _verify(other, password)
                break
            return False
        return _verify(known, password)

    def __len__(self) -> int:
        return len(self.hashes)

    def __repr__(self) -> str:
        return f"<Passwords of {len(self.hashes)} users>"


def parse_passwords(text: str, what: str) -> Passwords:
    """Read a file of users and hashes; it may hold none.

    Args:
        what: names the file in messages.

    Raises:
        UsageError: of every line that is wrong, by its number: what stands there is in no message.
    """
    hashes: dict[str, str] = {}
    faults: list[Fault] = []
    for number, line in enumerate(text.splitlines(), start=1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        user, colon, hashed = line.partition(":")
        hashed = hashed.partition(":")[0]
        place = f"{what}, line {number}"
        if not user or not colon:
            faults.append(Fault(place, "not user:hash", "make the file with: htpasswd -cB FILE USER"))
        elif user in hashes:
            faults.append(Fault(place, f"the user {user!r} is there already", "remove one of the lines"))
        elif (why := _wrong(hashed)) is not None:
            faults.append(Fault(place, why, f"make it with: htpasswd -B FILE {user}"))
        else:
            hashes[user] = hashed
    if faults:
        raise UsageError(*faults)
    return Passwords(hashes)


def _wrong(hashed: str) -> str | None:
    """Tell what is wrong with a hash; None if nothing is."""
    for pattern in _KINDS.values():
        match = pattern.fullmatch(hashed)
        if match is not None:
            rounds = match[1] if pattern.groups else None
            return f"more than {_MOST_ROUNDS} rounds" if rounds and int(rounds) > _MOST_ROUNDS else None
    return "neither bcrypt (of cost 4 to 16), apr1, {SHA}, $5$ nor $6$"


def _verify(hashed: str, password: bytes) -> bool:
    if b"\0" in password or len(password) > _LONGEST:
        return False  # crypt(3) ends at a NUL
    if hashed.startswith("{SHA}"):
        wanted = base64.b64decode(hashed[5:])
        return hmac.compare_digest(hashlib.sha1(password).digest(), wanted)
    if hashed.startswith("$2"):
        import bcrypt

        return bcrypt.checkpw(password[:_BCRYPT_TAKES], hashed.encode())
    from passlib.hash import apr_md5_crypt, sha256_crypt, sha512_crypt  # type: ignore[import-untyped]

    scheme = {"$a": apr_md5_crypt, "$5": sha256_crypt, "$6": sha512_crypt}[hashed[:2]]
    return bool(scheme.verify(password, hashed))
