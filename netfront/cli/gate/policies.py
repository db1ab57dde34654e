"""The gateway's flags that can differ by scope: see cli/policies.py."""

from netfront.cli.faults import Faults
from netfront.cli.flags import ServeFlags
from netfront.cli.gate.auth import auth_policies
from netfront.cli.gate.auth_url import auth_url_policies
from netfront.cli.gate.compose import compose_policies
from netfront.cli.gate.edges import edge_policies
from netfront.cli.gate.limits import limit_policies
from netfront.cli.gate.oidc import oidc_policies
from netfront.cli.gate.routes import rewrite_policies
from netfront.cli.gate.rules import rule_policies
from netfront.cli.gate.tokens import token_policies
from netfront.cli.scoped import Policy

__all__ = ["gate_policies"]


def gate_policies(flags: ServeFlags, faults: Faults) -> list[Policy]:
    """Read the gateway's flags that can differ by scope."""
    return [
        *auth_policies(flags, faults),
        *token_policies(flags, faults),
        *oidc_policies(flags, faults),
        *auth_url_policies(flags, faults),
        *rule_policies(flags, faults),
        *limit_policies(flags, faults),
        *rewrite_policies(flags, faults),
        *edge_policies(flags, faults),
        *compose_policies(flags, faults),
    ]
