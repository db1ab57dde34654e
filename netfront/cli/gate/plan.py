"""What a gateway has beside forwarding, as pure data: part of the ServePlan (cli/plan.py)."""

from dataclasses import dataclass, fields, replace

from netfront.cli.gate.answer import RedirectPlan, RespondPlan
from netfront.cli.gate.compose_plan import USUAL, ComposePlan, ComposeSettings
from netfront.cli.gate.edge_plan import CorsPlan
from netfront.cli.gate.limit_plan import LimitPlan, SeatPlan
from netfront.cli.gate.restrictions import AuthGroup, ExpressionPlan, MethodPlan, PassedField, RulePlan
from netfront.cli.gate.way import Way
from netfront.policy.rewriting import Rewriting
from netfront.policy.scope import Scope

__all__ = ["NO_GATE", "AnswerPlan", "GatePlan"]

_OPEN = frozenset({"compose", "cors", "passed", "public", "rewrite", "ways"})
"""The fields of a GatePlan that let every request in: settings. All others restrict, so that who adds one and forgets
to say what it is has paths normalised that need not be, and nothing left open."""


_PATHS = frozenset({"params", "path"})
_OF_TARGETS = _PATHS | {"query"}


@dataclass(frozen=True, slots=True)
class GatePlan:
    """What stands before the service of a route, as the flags of all scopes come together there.

    Args:
        auth: who may ask: one method of each group must pass; from the widest scope to the narrowest.
        rules: what they must be, all of them.
        public: the scopes of --public that hold here: what stands in wider ones is left out of both already.
        passed: the fields that tell the backend who asks.
        ways: URLs that are asked for it; each place has a pool of its own.
        cors: whose scripts may read its answers; None leaves that to the backend.
        limits, seats: how often and how many at once; the widest scope's first.
        rewrite: of what is sent to backends.
        compose: how answers are composed.
    """

    auth: tuple[AuthGroup, ...] = ()
    rules: tuple[RulePlan, ...] = ()
    public: tuple[Scope, ...] = ()
    passed: tuple[PassedField, ...] = ()
    ways: tuple[Way, ...] = ()
    limits: tuple[LimitPlan, ...] = ()
    seats: tuple[SeatPlan, ...] = ()
    rewrite: Rewriting | None = None
    cors: CorsPlan | None = None
    compose: ComposeSettings = USUAL

    @property
    def is_guarded(self) -> bool:
        """Whether it restricts: whether some requests may not pass."""
        return self.restrictions != NO_GATE.restrictions

    @property
    def restrictions(self) -> tuple[object, ...]:
        """What restricts, to be compared: two places with the same let the same requests in."""
        return tuple(getattr(self, one.name) for one in fields(self) if one.name not in _OPEN)

    @property
    def asks_for_path(self) -> bool:
        """Whether a rule asks for the path by itself, whatever its scope."""
        return self.asks(*_PATHS)

    @property
    def asked_again(self) -> tuple[RulePlan, ...]:
        """The rules that ask for the target themselves: of another one they may be another verdict."""
        return tuple(rule for rule in self.rules if _OF_TARGETS & getattr(rule, "uses", frozenset()))

    def asks(self, *names: str) -> bool:
        """Tell whether a rule asks for one of these by itself, of the names that expressions have."""
        return any(name in getattr(one, "uses", ()) for one in (*self.rules, *self.methods) for name in names)

    @property
    def params_asked(self) -> frozenset[str] | None:
        """The segments of the path that rules ask for by name; None for any."""
        asked = [one.params for one in self.rules if isinstance(one, ExpressionPlan)]
        if None in asked:
            return None
        return frozenset().union(*(names for names in asked if names is not None))

    @property
    def methods(self) -> tuple[MethodPlan, ...]:
        """The methods of all groups."""
        return tuple(method for group in self.auth for method in group.methods)

    def opens(self, scope: Scope) -> bool:
        """Tell whether a --public takes away what is given for that scope."""
        return any(scope.is_wider(public) for public in self.public)

    def gives(self, claim: str) -> bool:
        """Tell whether who passes may have a claim, by its dotted name."""
        return any(method.gives(claim) for method in self.methods)

    def covers(self, other: "GatePlan") -> bool:
        """Tell whether who has passed this has passed the other too."""
        pairs = zip(self.restrictions, other.restrictions, NO_GATE.restrictions, strict=True)
        return all(_has_passed(mine, theirs, nothing) for mine, theirs, nothing in pairs)

    @property
    def uncounted(self) -> "GatePlan":
        """The same without limits."""
        return replace(self, limits=(), seats=())


NO_GATE = GatePlan()
"""Nothing stands there."""


@dataclass(frozen=True, slots=True)
class AnswerPlan:
    """What netfront answers by itself where a route has no pool: one of these.

    Args:
        ways: URLs that are asked for it.
    """

    ways: tuple[Way, ...] = ()
    respond: RespondPlan | None = None
    redirect: RedirectPlan | None = None
    compose: ComposePlan | None = None

    @property
    def named(self) -> str:
        """What it is, in a few words."""
        if self.respond is not None:
            return f"{self.respond.status}, by ourselves"
        if self.redirect is not None:
            return f"{self.redirect.status} to {self.redirect.url.text}"
        assert self.compose is not None
        return f"composed of {len(self.compose.composition.parts)} parts"


def _has_passed(mine: object, theirs: object, nothing: object) -> bool:
    if theirs in (nothing, mine):
        return True
    return isinstance(mine, tuple) and isinstance(theirs, tuple) and all(one in mine for one in theirs)
