"""Passages: what is known of a connection, or a flow of datagrams, that was passed on byte for byte."""

from dataclasses import dataclass

from netfront.net.backend import SILENT, Backend
from netfront.net.stream import Facts

__all__ = ["CLIENT", "Passage"]

CLIENT = "client: "
"""How an outcome begins that is of the client's making."""


@dataclass(slots=True, eq=False)
class Passage:
    """All about one connection that was passed through. Times are of the lane's clock; sizes in bytes.

    Args:
        facts: of the client's connection.
        name: that it asked for, as far as that was looked at.
        backend: that it went to; of several tried the last.
        tries: backends that were dialled.
        why: what was wrong with those that failed, in turn.
        received: from the client, and `sent` to it.
        connected: when the backend was there; 0.0 if none ever was.
        outcome: empty when both sides ended in good order, else what went wrong.
    """

    facts: Facts
    started: float
    name: bytes = b""
    backend: Backend | None = None
    tries: int = 0
    why: tuple[str, ...] = ()
    received: int = 0
    sent: int = 0
    connected: float = 0.0
    ended: float = 0.0
    outcome: str = ""

    @property
    def client_broke(self) -> bool:
        """Whether it was the client whose end of it broke."""
        return self.outcome.startswith(CLIENT)

    @property
    def retried(self) -> str:
        """Why there was more than one try, as an exchange has it; empty where there was not."""
        if self.tries < 2:
            return ""
        return f"retried: {self.why[self.tries - 2] if len(self.why) >= self.tries - 1 else SILENT}"
