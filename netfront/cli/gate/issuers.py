"""From the plans of methods that go by signed tokens to what verifies them, with what is kept over a reload.

Loaded only where a plan has such a method: the JOSE library takes 75 ms.
"""

import secrets
from collections.abc import Awaitable, Callable, Iterable
from functools import partial

import trio

from netfront.cli.faults import Faults
from netfront.cli.gate.credentials import Tell, WatchedFile, read_guarded
from netfront.cli.gate.oidc import OidcPlan
from netfront.cli.gate.outward import Outward
from netfront.cli.gate.restrictions import MethodPlan
from netfront.cli.gate.tokens import IssuerPlan, JwtPlan
from netfront.cli.gate.way import Way, parse_way
from netfront.cli.plan import Secret
from netfront.cli.secrets import read_secret, session_secrets
from netfront.errors import BackendError, UsageError
from netfront.filters.authenticate import Method
from netfront.filters.bearer import Bearer, Fixed, KeySource, Verifier
from netfront.filters.login import LoginMethod
from netfront.http.ask import ask
from netfront.http.discovery import Ask, discover
from netfront.http.jwks import Issuer
from netfront.http.login import MOST_AT_ONCE, Login, LoginRules, Post
from netfront.http.message import Answer, Client
from netfront.net.lane import Signal, clock
from netfront.net.tasks import Tasks
from netfront.policy.metadata import Metadata
from netfront.policy.sealed import Sealer
from netfront.policy.shared import Shared
from netfront.policy.token import Keys, TokenRules, parse_keys
from netfront.wire.fields import Fields

__all__ = ["Tokens"]

_FIELDS = Fields.of((b"Accept", b"application/json"), (b"User-Agent", b"netfront"))
_ID_TOKEN = 65_536
"""Bytes of one: it comes from the issuer, in no head, and groups may fill it."""
_ID_TOKENS = frozenset({"jwt"})
_PATIENCE = 10.0
"""Seconds for tokens: somebody looks at an empty page meanwhile."""
_MOST_TOKENS = 262_144


class JwksFile:
    """A file of keys for --jwt. They may be secrets: it is published to nobody."""

    def __init__(self, path: str, tell: Tell) -> None:
        what = f"--jwt @{path}"
        self.file: WatchedFile[Keys] = WatchedFile(
            what, path, lambda told: _read(path, what, told), tell, take=self._take
        )
        self.source = Fixed(self.file.held)

    def _take(self, keys: Keys) -> None:
        """Go by the keys that were read."""
        self.source.take(keys)


class Tokens:
    """The issuers, files of keys and verifiers of an app.

    Args:
        tasks: where the issuers are looked at.
        session_key: where the secret is that seals sessions.
        kept: those of the app before: what is the same goes on with what it knows.

    Raises:
        UsageError: of all that is wrong with any of the files.
    """

    def __init__(
        self,
        plans: Iterable[MethodPlan],
        outward: Outward,
        tasks: Tasks,
        tell: Tell,
        session_key: Secret | None = None,
        kept: "Tokens | None" = None,
    ) -> None:
        self._outward = outward
        self._tasks = tasks
        self._session_key = session_key
        self._sealer: Sealer | None = None
        if kept is not None and kept._session_key is session_key is None:
            self._sealer = kept._sealer  # of the data directory, even if that has gone
        self._logins: dict[OidcPlan, Login] = {}
        self._secrets: dict[OidcPlan, bytes | None] = {}
        self._kept = kept
        self.waiting: Shared = kept.waiting if kept is not None else Shared(MOST_AT_ONCE)
        """Logins that wait for an issuer."""
        self._running: dict[Issuer, trio.CancelScope] = kept._running if kept is not None else {}
        self._issuers: dict[IssuerPlan, Issuer] = {}
        self._files: dict[str, JwksFile] = {}
        self._verifiers: dict[JwtPlan, Verifier] = {}
        faults = Faults()
        for plan in plans:
            if isinstance(plan, OidcPlan):
                self._take_up(plan.issuer, tell)
                try:
                    self._prepare(plan)
                except UsageError as error:
                    faults.take(error)
            elif isinstance(plan, JwtPlan):
                if plan.issuer is not None:
                    self._take_up(plan.issuer, tell)
                if plan.file is not None and plan.file not in self._files:
                    try:
                        known = kept and kept._files.get(plan.file)
                        self._files[plan.file] = known or JwksFile(plan.file, tell)
                    except UsageError as error:
                        faults.take(error)
        faults.raise_any()

    def _take_up(self, plan: IssuerPlan, tell: Tell) -> None:
        """Go on with an issuer that is known, or begin with one."""
        if plan not in self._issuers:
            known = self._kept._issuers.get(plan) if self._kept is not None else None
            self._issuers[plan] = known or Issuer(
                plan.url, *_asking_of(plan, self._outward), parse_keys, spawn=self._tasks.spawn, tell=tell
            )

    def _prepare(self, plan: OidcPlan) -> None:
        """Read the secrets of a login. Raises UsageError."""
        if plan not in self._secrets:
            flag = f"--oidc {plan.issuer.url},client-secret"
            self._secrets[plan] = read_secret(plan.secret, flag) if plan.secret is not None else None
        if self._sealer is None:
            self._sealer = Sealer(session_secrets(self._session_key), secrets.token_bytes)

    def login(self, plan: OidcPlan) -> Login:
        """Give the login of a plan."""
        known = self._logins.get(plan)
        if known is not None:
            return known
        issuer = self._issuers[plan.issuer]
        rules = TokenRules(
            None, frozenset({plan.client_id}), leeway=plan.leeway, types=_ID_TOKENS, longest=_ID_TOKEN
        )
        verifier = Verifier("oidc", issuer, rules)
        assert self._sealer is not None
        before = self._kept._logins.get(plan) if self._kept is not None else None
        login = self._logins[plan] = Login(
            issuer,
            verifier.check,
            _posting(self._outward, plan.issuer.way),
            LoginRules(
                plan.client_id,
                self._secrets[plan],
                " ".join(plan.scope),
                plan.session,
                plan.name.encode(),
            ),
            self._sealer,
            spawn=self._tasks.spawn,
            random=secrets.token_bytes,
            before=before,
        )
        return login

    def oidc(self, plan: MethodPlan, realm: str) -> Method:
        """Make the method of --oidc."""
        assert isinstance(plan, OidcPlan)
        return LoginMethod(self.login(plan), realm=realm)

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
        for plan, issuer in self._issuers.items():
            issuer.go_by(*_asking_of(plan, self._outward))
        current = set(self._issuers.values())
        for issuer in [one for one in self._running if one not in current]:
            self._running.pop(issuer).cancel()
        for issuer in current - self._running.keys():
            scope = self._running[issuer] = trio.CancelScope()
            nursery.start_soon(_keep_fresh, issuer, self._tasks.opened, scope)
        self._kept = None

    def stop(self) -> None:
        """Keep no keys fresh any more."""
        for scope in self._running.values():
            scope.cancel()
        self._running.clear()

    def look(self) -> list[str]:
        """Read files again that have changed; give what is to be said of it."""
        return [line for jwks in self._files.values() for line in jwks.file.look()]

    def reload(self) -> list[str]:
        """Read all files again; give what is to be said of it."""
        return [line for jwks in self._files.values() for line in jwks.file.reload()]


def rules_of(plan: JwtPlan) -> TokenRules:
    """Give what tokens have to say."""
    return TokenRules(plan.named, frozenset(plan.audiences), frozenset(plan.algorithms), plan.leeway)


def _getting(outward: Outward, by: Way) -> Ask:
    """Make what gets URLs.

    Args:
        by: who names those that the plan does not know.
    """

    async def get(url: str, until: float, most: int) -> Answer:
        return await _send(outward, by, b"GET", url, _FIELDS, most=most, until=until)

    return get


def _posting(outward: Outward, by: Way) -> Post:
    """Make what posts to URLs that an issuer names."""

    async def post(url: str, fields: Fields, body: bytes, client: Client | None) -> Answer:
        until = clock() + _PATIENCE
        return await _send(outward, by, b"POST", url, fields, body, client, most=_MOST_TOKENS, until=until)

    return post


async def _send(
    outward: Outward,
    by: Way,
    method: bytes,
    url: str,
    fields: Fields,
    body: bytes = b"",
    client: Client | None = None,
    *,
    most: int,
    until: float,
) -> Answer:
    """Send a request to a URL, and give the answer. Raises what `ask` raises; BackendError: it is no URL of ours."""
    try:
        way = parse_way(url)
        handler = outward.handler(way, by)
    except UsageError as error:
        raise BackendError("resolve", retry_safe=False, why=str(error)) from error
    return await ask(
        handler,
        method,
        way.target.encode(),
        scheme=way.scheme,
        authority=way.authority,
        fields=fields,
        body=body,
        client=client,
        most=most,
        until=until,
    )


def _asking_of(plan: IssuerPlan, outward: Outward) -> tuple[Callable[[], Awaitable[Metadata]], Ask]:
    get = _getting(outward, plan.way)
    return partial(discover, get, plan.url), get


async def _keep_fresh(issuer: Issuer, opened: Signal, scope: trio.CancelScope) -> None:
    with scope:
        await opened.wait_in_trio()
        await issuer.run()


def _read(path: str, what: str, tell: Tell) -> Keys:
    told: list[str] = []
    keys = _parse(read_guarded(path, what, told.append), what)
    if keys.has_secrets:  # else it is no matter who reads it
        for line in told:
            tell(line)
    for line in keys.unused:
        tell(f"{what}: not used, {line}")
    return keys


def _parse(text: str, what: str) -> Keys:
    try:
        keys = parse_keys(text.encode(), symmetric=True)
    except ValueError as error:
        raise UsageError.of(what, f"not a JWK set: {error}", 'as in {"keys": [{"kty": "RSA", …}]}') from error
    if not keys.keys:
        raise UsageError.of(what, "none of its keys can be used", "; ".join(keys.unused[:3]))
    return keys
