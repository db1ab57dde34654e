"""Ways out: URLs that netfront asks by itself, as flags name them or as an issuer does."""

from dataclasses import dataclass

from netfront.endpoint import Endpoint, parse_place
from netfront.errors import UsageError

__all__ = ["Way", "parse_way"]

_HINT = "as in https://id.example.com or http://:9100/check"
_ADDING = (
    "name a netfront proxy on this machine that stands before it and adds them by --header 'Authorization: …'"
)


@dataclass(frozen=True, slots=True)
class Way:
    """A URL that is asked.

    Args:
        endpoint: who is asked; scheme "http" or "https", without a base.
        target: path and query, as they go out. Who makes ways of templates fills it in later.
    """

    endpoint: Endpoint
    target: str = "/"

    @property
    def pool(self) -> str:
        """The name of the pool of all ways to the same place."""
        return self.endpoint.url

    @property
    def scheme(self) -> bytes:
        """The scheme, as a request has it."""
        return self.endpoint.scheme.encode()

    @property
    def authority(self) -> bytes:
        """What Host says."""
        return self.endpoint.authority.encode()

    def __str__(self) -> str:
        return self.endpoint.url + self.target


def parse_way(text: str, *, instead: str = _ADDING) -> Way:
    """Read a URL. Its path and query are taken as they are: whoever asks with them has them parsed.

    Args:
        instead: what to do where it has credentials.
    Raises:
        UsageError: of a single fault, which names the text as given, but for credentials.
    """
    scheme, colon, rest = text.partition("://")
    if not colon or scheme.lower() not in ("http", "https"):
        raise UsageError.of(text, "not an http:// or https:// URL", _HINT)
    end = next((at for at, char in enumerate(rest) if char in "/?#"), len(rest))
    place, target = f"{scheme}://{rest[:end]}", rest[end:]
    if "@" in rest[:end]:
        shown = f"{scheme}://…@{rest[:end].rpartition('@')[2]}"
        raise UsageError.of(shown, "netfront sends no credentials of its own there", instead)
    if "#" in target:
        raise UsageError.of(text, "a URL that is asked has no fragment")
    if any(char <= " " or char == "\x7f" for char in target):
        raise UsageError.of(text, "a space or a control character in its path", "write it percent-encoded")
    try:
        endpoint = parse_place(place)
    except UsageError as error:
        fault = error.faults[0]
        raise UsageError.of(text, fault.why, fault.hint or _HINT) from error
    return Way(endpoint, target if target.startswith("/") else "/" + target)
