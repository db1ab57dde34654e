"""The rules of compositions for tests: those that hold where no flag says otherwise, but for what is given."""

from netfront.cli.gate.compose_plan import USUAL
from netfront.cli.gate.edge_plan import DEFAULT_MAX_BODY
from netfront.filters.compose import ComposeRules

__all__ = ["compose_rules"]


def compose_rules(**given):
    """Make them."""
    usual = {name: getattr(USUAL, name) for name in ("each", "passes_status", "timeout", "most_part")}
    others = {"most_body": DEFAULT_MAX_BODY, "body_time": 30.0, "cookies": frozenset(), "tells_time": False}
    return ComposeRules(**{**usual, **others, **given})
