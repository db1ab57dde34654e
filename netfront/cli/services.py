"""Services: each pool of a plan with its members, and what its requests are told apart by. And the built-in origin."""

import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import trio

from netfront.cli.health import prober
from netfront.cli.plan import BackendTlsPlan, LbPlan, PoolPlan, TargetPlan
from netfront.cli.render import Console
from netfront.filters.pages import error_page
from netfront.filters.request_key import request_key
from netfront.filters.sticky import Stickiness
from netfront.http.message import Request, Response
from netfront.http.server import HttpServer, ServerLimits
from netfront.http.watch import Turns, Watch
from netfront.net.backend import BACKUP, Backend, Member
from netfront.net.bind import open_sockets
from netfront.net.follow import Follower
from netfront.net.listen import Listener
from netfront.net.members import Follow, Members, Source, follow_of
from netfront.net.pool import Pool, PoolRules
from netfront.net.redial import Redialler
from netfront.policy.health import HealthRules
from netfront.policy.pick import Picker, make_picker
from netfront.policy.sticky import Sticky
from netfront.wire.head import request_memory

if TYPE_CHECKING:
    import ssl

    from netfront.http.probe import Verdict

__all__ = ["Contexts", "Demo", "Service", "key_of", "sources_of"]

Contexts = Mapping[BackendTlsPlan, "ssl.SSLContext"]
_FIRST_ANSWER = 1.0
"""Seconds that the start waits for names to be asked for once."""


class Demo:
    """The built-in origin, on a loopback port of its own."""

    def __init__(self) -> None:
        from netfront.demo.origin import ORIGIN_KINDS, demo_origin

        server = HttpServer(
            demo_origin(),
            limits=ServerLimits(),
            refuse=lambda error: error_page(error.status, None, None),
            memory=request_memory(ORIGIN_KINDS),
        )
        sockets = open_sockets("127.0.0.1", 0, None, shown="demo:")
        self.listener = Listener("demo", sockets, server.serve, is_inner=True)


class Service:
    """A pool with its members. It outlives a reload, and takes its new plan by `change`.

    Args:
        secret: signs sticky cookies; asked for only where they are.
    """

    def __init__(
        self, plan: PoolPlan, sources: list[Source], console: Console, secret: Callable[[], bytes]
    ) -> None:
        self.plan = plan
        self._console = console
        self.stickiness: Stickiness | None = None
        """The cookies of those that stick; None before any did."""
        self._watch: Watch | None = None
        self._scope = trio.CancelScope()
        self._rng = random.Random()
        if plan.balance.lb.policy == "sticky":
            self._make_stickiness(plan, secret)
        notice = partial(console.backend_changed, plan.name)
        self.pool = Pool(plan.name, [], notice, rules=_rules(plan), rng=self._rng, picker=self._picker(plan))
        self.pool.is_awaited = any(source.follow is not Follow.NOTHING for source in sources)
        self.members = Members(self.pool, sources, tell=console.note, changed=console.members_changed)

    @property
    def is_used(self) -> bool:
        """Whether requests are under way to it, or connections kept."""
        return any(one.in_flight or one.idle for one in (*self.pool.backends, *self.pool.leaving))

    def make_ready(self, plan: PoolPlan, secret: Callable[[], bytes]) -> None:
        """Make what another plan will need; nothing changes before `change`. Raises UsageError: the secret is wrong."""
        if plan.balance.lb.policy == "sticky" != self.plan.balance.lb.policy:
            self._make_stickiness(plan, secret)

    def change(self, plan: PoolPlan, sources: list[Source]) -> None:
        """Take another plan, which was made ready for; what is known of members that stay is kept."""
        was, lb = self.plan.balance.lb, plan.balance.lb
        self.plan = plan
        if self.stickiness is not None and lb.policy == "sticky":
            self.stickiness.cookie = lb.key.encode()
        self.pool.go_by(_rules(plan), self._picker(plan) if lb.policy != was.policy else None)
        self.members.change(sources)

    def _make_stickiness(self, plan: PoolPlan, secret: Callable[[], bytes]) -> None:
        self.stickiness = Stickiness(secret(), plan.balance.lb.key.encode())

    def _picker(self, plan: PoolPlan) -> Picker[Backend]:
        picker: Picker[Backend] = make_picker(_rules(plan).lb, self._rng)
        if plan.balance.lb.policy == "sticky":
            assert self.stickiness is not None
            return Sticky(picker, self.stickiness.token)
        return picker

    def stick(self, request: Request, response: Response) -> None:
        """Have the client come back to the backend that answered, unless that stood in for the one it came for."""
        backend, stickiness = request.exchange.backend, self.stickiness
        if stickiness is None or backend is None:
            return
        brought, token = stickiness.key(request), stickiness.token(backend.name)
        if brought is None or (
            brought != token and not self._stood_in(backend, brought, request.exchange.retried)
        ):
            stickiness.set_cookie(request, response, backend.name)

    def _stood_in(self, backend: Backend, brought: bytes, retried: str) -> bool:
        """Tell whether the one that a token names has not failed, and was merely full or slow for once."""
        assert self.stickiness is not None
        token = self.stickiness.token
        return retried in ("", "hedged") and any(
            one.is_up
            and not one.takes_none
            and one.member.tier == backend.member.tier
            and token(one.name) == brought
            for one in self.pool.backends
        )

    def start(self, nursery: trio.Nursery, follower: Follower, turns: Turns, redialler: Redialler) -> None:
        """Follow names, probe backends and dial those that are down, in tasks of this nursery."""
        self.members.start(follower)
        nursery.start_soon(self._look_after, nursery, turns, redialler)

    async def _look_after(self, nursery: trio.Nursery, turns: Turns, redialler: Redialler) -> None:
        with self._scope:
            async with trio.open_nursery() as own:
                own.start_soon(self._await_members)
                own.start_soon(self._probe, nursery, turns)
                own.start_soon(redialler.watch, self.pool)

    async def _await_members(self) -> None:
        await self.members.wait_until_asked()
        self.pool.is_awaited = False
        self.pool.changed.set()

    async def _probe(self, nursery: trio.Nursery, turns: Turns) -> None:
        """Keep those probed who are in the pool, as the plan says by then."""
        pool, health = self.pool, None
        while True:
            pool.renewed.clear()
            wanted = self.plan.balance.health
            if wanted != health:
                health = wanted
                if self._watch is not None:
                    self._watch.close()
                self._watch = None
                if health is None:
                    pool.unprobed(trio.current_time())
                else:
                    rng = random.Random()
                    self._watch = Watch(
                        nursery.start_soon,
                        prober(health),
                        self._tell,
                        interval=health.interval,
                        rng=rng,
                        turns=turns,
                    )
            if self._watch is not None:
                self._watch.replace(pool.backends)
            await pool.renewed.wait_in_trio()

    def _tell(self, backend: Backend, verdict: "Verdict") -> None:
        self.pool.probed(backend, ok=verdict.ok, why=verdict.why, now=trio.current_time())

    def leave(self) -> None:
        """Follow, probe and dial nobody any more; what is under way ends as it will."""
        self._scope.cancel()
        self.pool.leave()
        self.members.close()
        if self._watch is not None:
            self._watch.close()

    async def wait_until_resolved(self) -> None:
        """Return when each name was asked for once, or soon in any case."""
        with trio.move_on_after(_FIRST_ANSWER):
            await self.members.wait_until_asked()


def key_of(
    lb: LbPlan, stickiness: Stickiness | None, trusted: Callable[[str], bool] | None
) -> Callable[[Request], bytes | None] | None:
    """Make what gives the key of a request; None where nothing is picked by key.

    Args:
        stickiness: of the service; heeded where it is to stick.
    """
    if lb.policy == "sticky" and stickiness is not None:
        return stickiness.key
    if lb.policy != "hash":
        return None
    kind, _, name = lb.key.partition(":")
    return request_key(kind, name, trusted)


def sources_of(plan: PoolPlan, contexts: Contexts, demo: Demo | None) -> list[Source]:
    """Give where the members of a pool come from."""
    sources = []
    for target in plan.targets:
        member = _member(target, contexts, demo)
        follow = follow_of(member.endpoint, is_service=target.is_service)
        sources.append(Source(member, follow, target.apart))
    return sources


def _rules(plan: PoolPlan) -> PoolRules:
    balance = plan.balance
    health = HealthRules(slow_start=balance.slow_start)
    if balance.health is not None:
        health = replace(health, rise=balance.health.rise, fall=balance.health.fall)
    lb = "rr" if balance.lb.policy == "sticky" else balance.lb.policy
    return PoolRules(lb, health, balance.eject_on, balance.queue, balance.queue_timeout)


def _member(target: TargetPlan, contexts: Contexts, demo: Demo | None) -> Member:
    endpoint = target.endpoint
    if endpoint.is_demo and demo is not None:
        endpoint = replace(endpoint, scheme="http", host="127.0.0.1", port=demo.listener.port)
    return Member(
        endpoint,
        target.label,
        target.authority.encode(),
        host=target.host.encode() if target.host is not None else None,
        base=target.endpoint.base.encode(),
        weight=target.weight,
        tier=BACKUP if target.backup else 0,
        max=target.max,
        tls=contexts[target.tls] if target.tls is not None else None,
        tls_terms=target.tls,
        server_name=target.tls.server_name if target.tls is not None else None,
        proxy=target.proxy,
        alpn=target.alpn.encode() if target.alpn is not None else None,
    )
