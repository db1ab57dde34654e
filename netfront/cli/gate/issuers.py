"""From the plans of methods that go by signed tokens to what verifies them, with what is kept over a reload.

Loaded only where a plan has such a method: the JOSE library takes 75 ms.
"""

from collections.abc import Awaitable, Callable, Iterable
from functools import partial

import trio

from netfront.cli.faults import Faults
from netfront.cli.gate.credentials import Tell, WatchedFile, read_guarded
from netfront.cli.gate.outward import Outward
from netfront.cli.gate.restrictions import MethodPlan
from netfront.cli.gate.tokens import IssuerPlan, JwtPlan
from netfront.cli.gate.way import Way, parse_way
from netfront.errors import BackendError, UsageError
from netfront.filters.authenticate import Method
from netfront.filters.bearer import Bearer, Fixed, KeySource, Verifier
from netfront.http.ask import Answer, ask
from netfront.http.discovery import Ask, Metadata, discover
from netfront.http.jwks import Issuer
from netfront.policy.token import Keys, TokenRules, parse_keys
from netfront.wire.fields import Fields

__all__ = ["Tokens", "asking"]

_FIELDS = Fields.of((b"Accept", b"application/json"), (b"User-Agent", b"netfront"))
Spawn = Callable[[Callable[[], Awaitable[None]]], None]


class JwksFile(WatchedFile[Keys]):
    """A file of keys for --jwt. They may be secrets: it is published to nobody."""

    def __init__(self, path: str, tell: Tell) -> None:
        super().__init__("--jwt", path, _parse, tell)
        self.source = Fixed(self.held)

    def _read(self, tell: Tell) -> Keys:
        told: list[str] = []
        keys = _parse(read_guarded(self.path, f"--jwt @{self.path}", told.append), f"--jwt @{self.path}")
        if keys.has_secrets:
            for line in told:
                tell(line)
        for line in keys.unused:
            tell(f"--jwt @{self.path}: not used, {line}")
        return keys

    def take(self) -> None:
        """Go by the keys that were read."""
        self.source.take(self.held)


class Tokens:
    """The issuers, files of keys and verifiers of an app.

    Args:
        spawn: runs something in a task of its own.
        kept: those of the app before: what is the same goes on with what it knows.

    Raises:
        UsageError: of all that is wrong with any of the files.
    """

    def __init__(
        self,
        plans: Iterable[MethodPlan],
        outward: Outward,
        spawn: Spawn,
        tell: Tell,
        kept: "Tokens | None" = None,
    ) -> None:
        self._kept = kept
        self._running: dict[Issuer, trio.CancelScope] = kept._running if kept is not None else {}
        self._issuers: dict[IssuerPlan, Issuer] = {}
        self._files: dict[str, JwksFile] = {}
        self._verifiers: dict[JwtPlan, Verifier] = {}
        self._asking: list[tuple[Issuer, IssuerPlan, Outward]] = []
        faults = Faults()
        for plan in plans:
            if isinstance(plan, JwtPlan):
                if plan.issuer is not None:
                    self._issuers.setdefault(plan.issuer, self._issuer(plan.issuer, outward, spawn, tell))
                if plan.file is not None and plan.file not in self._files:
                    try:
                        known = kept and kept._files.get(plan.file)
                        self._files[plan.file] = known or JwksFile(plan.file, tell)
                    except UsageError as error:
                        faults.take(error)
        faults.raise_any()

    def _issuer(self, plan: IssuerPlan, outward: Outward, spawn: Spawn, tell: Tell) -> Issuer:
        known = self._issuers.get(plan) or (self._kept and self._kept._issuers.get(plan))
        if not known:
            known = Issuer(plan.url, *_asking_of(plan, outward), parse_keys, spawn=spawn, tell=tell)
        self._asking.append((known, plan, outward))
        return known

    def issuer(self, plan: IssuerPlan) -> Issuer:
        """Give an issuer of the plan."""
        return self._issuers[plan]

    def bearer(self, plan: MethodPlan, realm: str) -> Method:
        """Make the method of --jwt."""
        assert isinstance(plan, JwtPlan)
        verifier = self._verifiers.get(plan) or (self._kept and self._kept._verifiers.get(plan))
        if not verifier:
            verifier = Verifier("jwt", self._source(plan), rules_of(plan))
        self._verifiers[plan] = verifier
        return Bearer(verifier, realm=realm, cookie=plan.cookie.encode() if plan.cookie else None)

    def _source(self, plan: JwtPlan) -> KeySource:
        if plan.issuer is not None:
            return self._issuers[plan.issuer]
        assert plan.file is not None
        return self._files[plan.file].source

    def start(self, nursery: trio.Nursery) -> None:
        """Keep the keys of all issuers fresh, in tasks of this nursery, and ask no longer those that have gone."""
        for issuer, plan, outward in self._asking:
            issuer.go_by(*_asking_of(plan, outward))
        current = set(self._issuers.values())
        for issuer in [one for one in self._running if one not in current]:
            self._running.pop(issuer).cancel()
        for issuer in current - self._running.keys():
            scope = self._running[issuer] = trio.CancelScope()
            nursery.start_soon(_keep_fresh, issuer, scope)
        self._kept = None

    def stop(self) -> None:
        """Keep no keys fresh any more."""
        for scope in self._running.values():
            scope.cancel()
        self._running.clear()

    def look(self) -> list[str]:
        """Read files again that have changed; give what is to be said of it."""
        return [line for file in self._files.values() for line in file.look()]

    def reload(self) -> list[str]:
        """Read all files again; give what is to be said of it."""
        return [line for file in self._files.values() for line in file.reload()]


def rules_of(plan: JwtPlan) -> TokenRules:
    """Give what tokens have to say."""
    return TokenRules(plan.named, frozenset(plan.audiences), frozenset(plan.algorithms), plan.leeway)


def asking(outward: Outward, by: Way) -> Ask:
    """Make what gets URLs.

    Args:
        by: who names those that the plan does not know.
    """

    async def get(url: str, until: float, most: int) -> Answer:
        try:
            way = parse_way(url)
            handler = outward.handler(way, by)
        except UsageError as error:
            raise BackendError("resolve", retry_safe=False, why=str(error)) from error
        return await ask(
            handler,
            b"GET",
            way.target.encode(),
            scheme=way.scheme,
            authority=way.authority,
            fields=_FIELDS,
            most=most,
            until=until,
        )

    return get


def _asking_of(plan: IssuerPlan, outward: Outward) -> tuple[Callable[[], Awaitable[Metadata]], Ask]:
    get = asking(outward, plan.way)
    return partial(discover, get, plan.url), get


async def _keep_fresh(issuer: Issuer, scope: trio.CancelScope) -> None:
    with scope:
        await issuer.run()


def _parse(text: str, what: str) -> Keys:
    try:
        keys = parse_keys(text.encode(), symmetric=True)
    except ValueError as error:
        raise UsageError.of(what, f"not a JWK set: {error}", 'as in {"keys": [{"kty": "RSA", …}]}') from error
    if not keys.keys:
        raise UsageError.of(what, "none of its keys can be used", "; ".join(keys.unused[:3]))
    return keys
