"""Every exception of netfront's, and the exit codes: what went wrong, why, and what to do next.

Builtin exceptions stay builtin inside a package; at its edge they become one of these. There is one class
for each kind of caller that can act on it, and no class that nobody catches apart.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum

__all__ = [
    "AnswerTooLong",
    "BackendError",
    "BadMessage",
    "CannotListen",
    "ClientGone",
    "ExitCode",
    "Fault",
    "NoBackend",
    "Overdue",
    "Refusal",
    "UsageError",
    "words",
]


_CREDENTIALS = re.compile(r"(?<=//)[^/@\s]+@|(?<![^\s=,])[^\s/@:,=]*:[^\s/@,]+@(?=[\w\[])")
"""What stands before the host of a URL, or of an address: it may be a password, and messages are kept in logs."""


class ExitCode(IntEnum):
    """What the process says of itself when it ends."""

    DONE = 0
    NO = 1
    USAGE = 2
    CANNOT_LISTEN = 3
    TIMED_OUT = 124
    INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with the input, as a person is told of it.

    Args:
        what: what failed, with the value as it was given.
        why: the reason, in the system's or the standard's words.
        hint: what to do next.
    """

    what: str
    why: str = ""
    hint: str = ""

    def __str__(self) -> str:
        text = f"{self.what}: {self.why}" if self.why else self.what
        return _CREDENTIALS.sub("…@", f"{text}\n  {self.hint}" if self.hint else text)


class UsageError(Exception):
    """The command line or a file it names is wrong: exit 2. Carries all faults found, not the first alone."""

    def __init__(self, *faults: Fault) -> None:
        super().__init__("\n".join(str(fault) for fault in faults))
        self.faults = faults

    @classmethod
    def of(cls, what: str, why: str = "", hint: str = "") -> "UsageError":
        """Make the error of a single fault."""
        return cls(Fault(what, why, hint))


class CannotListen(Exception):
    """Listeners could not be opened: exit 3.

    Args:
        port: the one that was asked for, where another would do.
        instead: by each such port, one that may be had; 0 is any.
    """

    def __init__(self, *faults: Fault, port: int = 0, instead: Mapping[int, int] | None = None) -> None:
        super().__init__("\n".join(str(fault) for fault in faults))
        self.faults = faults
        self.port = port
        self.instead = instead or {}


class BadMessage(Exception):
    """A peer sent something that HTTP forbids, or more than we allow; nothing after it can be trusted.

    Whoever catches it answers with `status` and closes the connection.
    """

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why


def words(error: OSError) -> str:
    """Give the system's words for an error."""
    return (error.strerror or str(error) or type(error).__name__).lower()


class Refusal(Exception):
    """A well-formed request that is answered by our own rule; the connection goes on.

    Args:
        fields: further response fields as (name, value), such as Allow or Retry-After.
    """

    def __init__(self, status: int, why: str, fields: Iterable[tuple[bytes, bytes]] = ()) -> None:
        super().__init__(why)
        self.status = status
        self.why = why
        self.fields = tuple(fields)


_UNCONNECTED = frozenset({"resolve", "connect", "tls"})


class BackendError(Exception):
    """A backend could not be reached, or broke off, or spoke nonsense.

    Args:
        stage: "resolve", "connect", "tls", "send", "head" or "body": how far the try had come.
        retry_safe: whether the same request may be sent elsewhere (nothing was sent, or RFC 9110 §9.2.2).
        why: the system's words.
        timed_out: whether it was silence that failed (504) and not an error (502).
        is_nonsense: whether it answered, and as no backend may.

    `was_kept` is set where the connection had been kept from an earlier exchange, and ended or brought nonsense
    before an answer had begun: that says little of the backend, and the request is tried there once more. `is_ours` is
    set where it was for want of descriptors or memory of our own: that says nothing of it.
    """

    def __init__(
        self, stage: str, *, retry_safe: bool, why: str, timed_out: bool = False, is_nonsense: bool = False
    ) -> None:
        super().__init__(f"{stage}: {why}")
        self.stage = stage
        self.retry_safe = retry_safe
        self.why = why
        self.timed_out = timed_out
        self.is_nonsense = is_nonsense
        self.was_kept = False
        self.is_ours = False

    @property
    def connected(self) -> bool:
        """Whether there was a connection when it went wrong."""
        return self.stage not in _UNCONNECTED


class AnswerTooLong(BackendError):
    """An answer that was to be held whole has more bytes than may be held.

    Args:
        most: so many.
    """

    def __init__(self, most: int) -> None:
        super().__init__("body", retry_safe=False, why=f"an answer of over {most} bytes")
        self.most = most


class NoBackend(Exception):
    """A pool has nobody to pick: empty, or all tried. Answered with 503.

    Args:
        is_full: whether there is somebody who takes requests, but no more at present.
    """

    def __init__(self, why: str, *, is_full: bool = False) -> None:
        super().__init__(why)
        self.why = why
        self.is_full = is_full


class ClientGone(Exception):
    """The client has left before its answer: there is nobody to tell. 499 in the log."""


class Overdue(Exception):
    """A deadline passed. Not an OSError: TimeoutError is one, and would be taken for a dead backend.

    Args:
        which: "head", "handshake", "idle", "body", "send", "connect", "answer", "read" or "stream".
    """

    def __init__(self, which: str) -> None:
        super().__init__(f"{which} time-out")
        self.which = which
