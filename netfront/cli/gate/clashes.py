"""Methods of authentication that get into each other's way, by where a request carries their credentials.

Alternatives that look for the same credential: the first decides, so the second is never asked. Tokens of several
issuers are told apart by what they say of theirs. Groups that add up and all want Authorization, which holds one
credential: nobody could pass them together.
"""

from collections.abc import Iterator, Mapping, Sequence

from netfront.cli.faults import Faults
from netfront.cli.gate.auth import place_of
from netfront.cli.gate.auth_url import AuthUrlPlan
from netfront.cli.gate.guards import gates_as_written
from netfront.cli.gate.oidc import OidcPlan
from netfront.cli.gate.restrictions import ApiKeyPlan, AuthGroup, BasicPlan, MethodPlan
from netfront.cli.gate.tokens import JwtPlan
from netfront.cli.plan import RoutePlan, Settings
from netfront.cli.scoped import Policy
from netfront.policy.scope import Scope

__all__ = ["check_clashes"]

_Key = tuple[str, str]
"""What stands in Authorization: a kind of credential, and of a token its issuer; "" for any."""


def check_clashes(policies: Sequence[Policy], routes: Sequence[RoutePlan], faults: Faults) -> None:
    """Refuse methods that are never asked, and groups that no request can pass together."""
    given = {(place, method): policy for place, method, policy in _given(policies)}
    _refuse_unasked(given, faults)
    for _, gate in gates_as_written(routes):
        for at, group in enumerate(gate.auth):
            before = gate.auth[:at]
            if _can_pass(before) and not _can_pass(gate.auth[: at + 1]):
                earlier = next((one for one in before if not _can_pass((one, group))), before[0])
                mine, theirs = (given[one.scope, one.methods[0]] for one in (group, earlier))
                why = f"nobody passes it and {theirs.given}: Authorization holds one credential"
                hint = (
                    "give both one scope, which makes them alternatives, or have them come elsewhere: "
                    "--jwt …,cookie=NAME for each token, or --api-key …,header=NAME"
                )
                faults.add(mine.given, why, hint, word=mine.word)


def _given(policies: Sequence[Policy]) -> Iterator[tuple[Scope, MethodPlan, Policy]]:
    """Give the methods with where they hold, in the order of the command line."""
    for policy in policies:
        for method in policy.apply(Settings()).gate.methods:
            yield place_of(policy.scope), method, policy


def _refuse_unasked(given: Mapping[tuple[Scope, MethodPlan], Policy], faults: Faults) -> None:
    """Refuse a method of a group behind another that looks for the same credential."""
    before: dict[Scope, list[tuple[MethodPlan, Policy]]] = {}
    for (place, method), policy in given.items():
        known = before.setdefault(place, [])
        earlier = next((other for one, other in known if _looks_alike(one, method)), None)
        if earlier is not None:
            why = f"{earlier.given} is asked first, and decides: both look for the same credential"
            faults.add(policy.given, why, _instead(method), word=policy.word)
        known.append((method, policy))


def _looks_alike(one: MethodPlan, other: MethodPlan) -> bool:
    if isinstance(one, ApiKeyPlan) and isinstance(other, ApiKeyPlan):
        return one.field == other.field
    if isinstance(one, JwtPlan) and isinstance(other, JwtPlan):
        return one.said == other.said or "" in (one.said, other.said)
    return any(
        isinstance(one, kind) and isinstance(other, kind) for kind in (BasicPlan, AuthUrlPlan, OidcPlan)
    )


def _instead(method: MethodPlan) -> str:
    if isinstance(method, BasicPlan):
        return "put all users in one file"
    if isinstance(method, AuthUrlPlan):
        return "it answers for every request: have the one ask the other"
    if isinstance(method, OidcPlan):
        return "give it a scope of its own: a browser is sent to the first"
    if isinstance(method, ApiKeyPlan):
        return "put all keys in one file, or have these come in another field: header=NAME"
    return "name all audiences in one, as in aud=shop|web; of files say whose tokens they are for: iss=NAME"


def _can_pass(groups: Sequence[AuthGroup]) -> bool:
    """Tell whether a request can pass all of these groups, by some credential in Authorization or none there."""
    keys = dict.fromkeys(key for group in groups for method in group.methods if (key := _key(method)))
    return any(all(_passes(group, key) for group in groups) for key in (None, *keys))


def _passes(group: AuthGroup, key: _Key | None) -> bool:
    """Tell whether what comes in Authorization passes a group, or leaves it to what comes elsewhere."""
    kind = key[0] if key is not None else None
    for method in group.methods:  # in the order in which they are asked
        if kind is not None and _kind(method) == kind:
            return any(_key(other) in (key, (kind, "")) for other in group.methods)
        if _kind(method) is None or (isinstance(method, JwtPlan) and method.cookie is not None):
            return True
    return False


def _kind(method: MethodPlan) -> str | None:
    """Tell what kind of credential a method looks for in Authorization; None: it does not."""
    is_there = isinstance(method, (BasicPlan, JwtPlan)) or (
        isinstance(method, ApiKeyPlan) and method.field == "authorization"
    )
    return method.kind if is_there else None


def _key(method: MethodPlan) -> _Key | None:
    kind = _kind(method)
    return None if kind is None else (kind, method.said if isinstance(method, JwtPlan) else "")
