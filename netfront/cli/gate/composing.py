"""From a ComposePlan to the handler that stands for it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from netfront.cli.gate.compose import way_of
from netfront.cli.gate.compose_plan import ComposePlan
from netfront.cli.gate.edge_plan import DEFAULT_MAX_BODY
from netfront.cli.gate.guarding import hidden_of
from netfront.cli.gate.outward import Outward
from netfront.cli.plan import Settings
from netfront.filters.hide_credentials import Hidden
from netfront.http.ask import collect, request_of
from netfront.http.message import Answer, Handler, Request
from netfront.net.lane import clock
from netfront.policy.memory import Held
from netfront.policy.partvalue import is_readable

if TYPE_CHECKING:
    from netfront.filters.compose import Ask, Asked, Begin
    from netfront.policy.compose import Part

__all__ = ["Composing"]


@dataclass(frozen=True, slots=True)
class Composing:
    """Makes the handlers of compositions.

    Args:
        ours: answers requests to paths of this gateway, as those of clients once their fields are in order.
        outward: leads to URLs.
        begin: runs a part beside the composed request.
        hold: counts what a composed request holds.
        body_time: seconds for a request's body; see ComposeRules.
    """

    ours: Handler
    outward: Outward
    begin: "Begin"
    hold: Callable[[Request], Held]
    body_time: float

    def handler(self, plan: ComposePlan, settings: Settings) -> Handler:
        """Make the handler."""
        from netfront.filters.compose import ComposeRules, compose  # 8 ms of a start that composes nothing

        held = settings.gate.compose
        rules = ComposeRules(
            each=held.each,
            passes_status=held.passes_status,
            timeout=held.timeout,
            most_part=held.most_part,
            most_body=settings.most_body if settings.most_body is not None else DEFAULT_MAX_BODY,
            body_time=self.body_time,
            cookies=frozenset(name.encode() for name in held.cookies),
            tells_time=plan.tells_time,
        )
        parts = plan.composition.parts
        asks = [
            self._out(part, held.most_part, settings.timeout)
            if part.place
            else self._in(held.most_part, hidden_of(settings.gate))
            for part in parts
        ]
        return compose(parts, asks, self.begin, rules, self.hold)

    def _in(self, most: int, hidden: Hidden | None) -> "Ask":
        """Give what asks a route of ours: on behalf of the same client, with what is known of them.

        Args:
            hidden: of the whole's credentials, what no backend is to see.
        """
        ours = self.ours

        async def ask_ours(asked: "Asked") -> Answer:
            whole = asked.whole
            request = request_of(
                asked.method,
                asked.target,
                scheme=whole.scheme,
                authority=whole.authority,
                fields=asked.fields,
                body=asked.body,
                client=asked.client,
            )
            request.identity = whole.identity
            request.counted = whole.counted
            request.forwarded = whole.forwarded
            request.exchange.id = whole.exchange.id
            request.lines = whole.lines
            request.part_of = asked.part_of
            if hidden is not None and whole.identity is not None:
                request.part_of = asked.part_of.hiding(hidden.edit(whole.identity))
            try:
                return await collect(ours, request, most=most, weigh=asked.weigh, wants=is_readable)
            finally:
                if request.cookies:
                    _hand_on(request, whole)

        return ask_ours

    def _out(self, part: "Part", most: int, timeout: float) -> "Ask":
        """Give what asks a URL."""
        way = way_of(part)
        handler = self.outward.handler(way)

        def ask_url(asked: "Asked") -> Awaitable[Answer]:
            request = request_of(
                asked.method,
                asked.target,
                scheme=way.scheme,
                authority=way.authority,
                fields=asked.fields,
                body=asked.body,
                client=asked.client,
            )
            request.lines = asked.whole.lines
            until = clock() + timeout
            return collect(handler, request, most=most, until=until, weigh=asked.weigh, wants=is_readable)

        return ask_url


def _hand_on(part: Request, whole: Request) -> None:
    """Have the client of the whole keep what authentication has renewed for a part: else its session ends with it."""
    known = {row.value.partition(b"=")[0] for row in whole.cookies}
    fresh = [row for row in part.cookies if row.value.partition(b"=")[0] not in known]
    whole.cookies = (*whole.cookies, *fresh)
