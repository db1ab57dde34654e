"""What is to be said of a plan that is allowed, and may not be meant: at the start, and by --explain."""

from collections.abc import Iterator

from netfront.cli.gate.auth_url import auth_url_notes
from netfront.cli.gate.compose import compose_notes
from netfront.cli.gate.limited_parts import limited_parts
from netfront.cli.gate.tokens import token_notes
from netfront.cli.plan import ServePlan

__all__ = ["notes"]


def notes(plan: ServePlan) -> Iterator[str]:
    """Give each in a line."""
    yield from compose_notes(plan)
    yield from limited_parts(plan)
    yield from token_notes(plan)
    yield from auth_url_notes(plan)
