"""The hosts file: names that this machine answers for itself, before anybody is asked (hosts(5)).

The file is searched for the names that are wanted and not taken apart whole: such files hold a hundred thousand names
where they are used to keep advertisements out.
"""

from ipaddress import ip_address

from netfront.net.watchfile import FileWatch

__all__ = ["HOSTS", "HostsFile"]

HOSTS = "/etc/hosts"
_MOST = 16 << 20
"""Bytes of it that are read."""


class HostsFile:
    """What a hosts file says, as it was when it was read last. One that is missing or unreadable says nothing."""

    def __init__(self, path: str = HOSTS) -> None:
        self._path = path
        self.watch = FileWatch([path])
        self._text = b""
        self.read()

    def read(self) -> None:
        """Read it again; if that fails, what it said before stays."""
        try:
            with open(self._path, "rb") as file:
                self._text = b"\n" + file.read(_MOST).lower() + b"\n"
        except OSError:
            return

    def addresses(self, name: str) -> tuple[str, ...]:
        """Give a name's addresses in the order of the file; none where it is not in there."""
        wanted = name.rstrip(".").lower().encode("ascii", "replace")
        text, found = self._text, dict[str, None]()
        at = text.find(wanted) if wanted else -1
        while at >= 0:
            begin, end = text.rfind(b"\n", 0, at) + 1, text.find(b"\n", at)
            address, *names = text[begin:end].partition(b"#")[0].split() or [b""]
            if wanted in names and (known := _address(address)) is not None:
                found[known] = None
            at = text.find(wanted, end)
        return tuple(found)


def _address(text: bytes) -> str | None:
    """Give an address as it is written everywhere; None for what is none, or has a zone."""
    try:
        address = ip_address(text.decode("ascii"))
    except ValueError:
        return None
    return None if getattr(address, "scope_id", None) else str(address)
