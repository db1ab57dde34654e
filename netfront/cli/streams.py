"""stdin, stdout and stderr: there from the start, and results written to stdout or told why not."""

import os
import sys

__all__ = ["hold_streams", "print_result"]

_NAMES = ("stdin", "stdout", "stderr")


def hold_streams() -> None:
    """Open what was closed (`>&-`) on /dev/null: else a socket would take its number, and get what is said to people.

    And text that the terminal's encoding lacks is escaped.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) < len(_NAMES):
        stream = open(descriptor, "r" if descriptor == 0 else "w", closefd=False)  # noqa: SIM115 -- as long as we
        setattr(sys, _NAMES[descriptor], stream)
    os.close(descriptor)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")


def print_result(text: str) -> None:
    """Write a result to stdout.

    Raises:
        SystemExit: 1, it could not be written; quietly where the reader has left (`| head -1`).
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        if not isinstance(error, BrokenPipeError):
            from netfront.errors import words

            sys.stderr.write(f"netfront: cannot write to stdout: {words(error)}\n")
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is still held is flushed at exit
        raise SystemExit(1) from error
