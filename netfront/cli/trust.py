"""`netfront trust`: the local CA's file, and the lines that make other tools believe it.

Most tools have a variable that *replaces* their list of CAs: pointed at ours alone they would believe no other site.
They get a bundle: the list that the variable names already, or the system's, and ours behind it. The bundle's
first line says what it was made of, so that it is made from the same when the variable names it itself.
"""

import os
import shlex
import sys
from hashlib import sha256
from pathlib import Path

from netfront.cli.streams import print_result

__all__ = ["print_ca_path", "print_env_lines"]

_REPLACING = ("SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "GIT_SSL_CAINFO")
"""Read by OpenSSL (so Python, httpx, Ruby), curl, Python's requests, git."""
_ADDING = "NODE_EXTRA_CA_CERTS"
"""Node keeps its own list beside it."""
_SYSTEM = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
"""Of Debian; of Fedora; of SUSE; of Alpine, macOS and the BSDs. Else that of Python's own OpenSSL."""
_MADE_OF = b"# the local CA of netfront, behind those of "


def print_ca_path() -> None:
    """Print the file of the local CA's certificate; it is made if there is none."""
    from netfront.net.devcert import ca_path

    print_result(f"{ca_path(_tell)}\n")


def print_env_lines() -> None:
    """Print lines for sh, bash, zsh or fish to evaluate."""
    from netfront.net.devcert import ca_path

    own = ca_path(_tell)
    system = _system_list()
    lines = []
    for name in (*_REPLACING, _ADDING):
        source = _named(name, own.parent) or (system if name in _REPLACING else None)
        if source is not None:
            lines.append(
                f"export {name}={shlex.quote(str(_bundle(own, source, is_system=source == system)))}"
            )
        elif name == _ADDING:
            lines.append(f"export {name}={shlex.quote(str(own))}")
        else:
            lines.append(f"# {name} is left alone: no list of this system's CAs was found")
    print_result("\n".join(lines) + "\n")


def _tell(line: str) -> None:
    sys.stderr.write(f"netfront: {line}\n")


def _system_list() -> Path | None:
    import ssl

    places = (*_SYSTEM, ssl.get_default_verify_paths().openssl_cafile)
    return next((Path(place) for place in places if os.path.isfile(place)), None)


def _named(variable: str, ours: Path) -> Path | None:
    """Give the list that a variable names; of a bundle of ours, what it was made of."""
    path = Path(os.environ.get(variable, "")).absolute()
    if not os.environ.get(variable) or not os.path.isfile(path):  # Path.is_file raises where it may not look
        return None
    if path.parent != ours:
        return path
    with path.open("rb") as file:
        first = file.readline()
    if not first.startswith(_MADE_OF):
        return None
    source = Path(os.fsdecode(first.removeprefix(_MADE_OF).rstrip(b"\n")))
    return source if os.path.isfile(source) else None


def _bundle(own: Path, source: Path, *, is_system: bool) -> Path:
    """Write a list of CAs with ours behind it; give its file."""
    from netfront.errors import UsageError, words
    from netfront.net.datadir import hold_data, read_private, write_private

    mark = "" if is_system else "-" + sha256(os.fsencode(source)).hexdigest()[:8]
    path = own.with_name(f"bundle{mark}.pem")
    try:
        listed = source.read_bytes()
    except OSError as error:
        raise UsageError.of(str(source), words(error)) from error
    with hold_data(_tell):
        bundle = b"%b%b\n%b\n%b" % (_MADE_OF, os.fsencode(source), listed, own.read_bytes())
        if read_private(path) != bundle:
            write_private(path, bundle)
    return path
