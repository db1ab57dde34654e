"""`netfront trust`: the local CA's file, and the lines that make other tools believe it."""

import shlex
import sys

__all__ = ["print_ca_path", "print_env_lines"]

_ADDS = ("NODE_EXTRA_CA_CERTS",)
"""Variables that add to what a tool trusts: they get the CA alone."""
_REPLACES = ("SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "GIT_SSL_CAINFO")
"""Variables that replace a tool's list (OpenSSL, Python, curl, requests, git): they get the system's CAs and ours."""


def print_ca_path() -> None:
    """Print the file of the local CA's certificate; it is made if there is none."""
    from netfront.net.devcert import ca_path

    sys.stdout.write(f"{ca_path()}\n")


def print_env_lines() -> None:
    """Print lines for a POSIX shell to evaluate."""
    from netfront.net.devcert import bundle_path, ca_path

    own, bundle = shlex.quote(str(ca_path())), shlex.quote(str(bundle_path()))
    lines = [f"export {name}={own}" for name in _ADDS]
    lines += [f"export {name}={bundle}" for name in _REPLACES]
    sys.stdout.write("\n".join(lines) + "\n")
