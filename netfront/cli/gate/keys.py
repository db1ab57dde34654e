"""`netfront gateway --new-key NAME`: a key for whoever is to have it, and the line for the file of --api-key."""

import secrets
from collections.abc import Mapping
from dataclasses import fields

from netfront.cli.faults import Faults
from netfront.cli.flags import ServeFlags, flag_of
from netfront.cli.streams import print_result
from netfront.errors import ExitCode
from netfront.policy.apikeys import is_key_name, key_line, make_key

__all__ = ["print_new_key"]

_HEEDED = frozenset({"new_key", "color", "debug"})


def print_new_key(name: str, given: Mapping[str, object]) -> int:
    """Print a new key and its line, a line each: the key is shown this once, and kept nowhere.

    Args:
        given: all parameters of the command, by name.
    Raises:
        UsageError: no name for a key, or there are flags and targets that nothing would heed.
    """
    faults = Faults()
    if not is_key_name(name):
        hint = "letters, digits and . _ @ -, 64 at most, as in --new-key shop"
        faults.add(f"--new-key {name}", "not a name for a key", hint)
    for one in fields(ServeFlags):
        if one.name not in _HEEDED and given.get(one.name, one.default) != one.default:
            flag = flag_of(f"no-{one.name}" if one.default is True else one.name)
            what = "a target" if one.name == "targets" else flag
            faults.add(what, "it has no effect", "--new-key makes a key and serves nothing: run it alone")
    faults.raise_any()
    key = make_key(secrets.token_bytes(32))
    print_result(f"{key}\n{key_line(name, key)}\n")
    return ExitCode.DONE
