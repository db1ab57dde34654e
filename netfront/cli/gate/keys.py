"""`netfront gateway --new-key NAME`: a key for whoever is to have it, and the line for the file of --api-key."""

import secrets

from netfront.cli.streams import print_result
from netfront.errors import ExitCode, UsageError
from netfront.policy.apikeys import is_key_name, key_line, make_key

__all__ = ["print_new_key"]


def print_new_key(name: str) -> int:
    """Print a new key and its line, a line each: the key is shown this once, and kept nowhere.

    Raises:
        UsageError: no name for a key.
    """
    if not is_key_name(name):
        hint = "letters, digits and . _ @ -, 64 at most, as in --new-key shop"
        raise UsageError.of(f"--new-key {name}", "not a name for a key", hint)
    key = make_key(secrets.token_bytes(32))
    print_result(f"{key}\n{key_line(name, key)}\n")
    return ExitCode.DONE
