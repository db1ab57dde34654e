"""Whether who asks may: rules that a request must pass, all of them. Why one refused is for the log alone.

A rule is a function that tells why a request may not pass, or None. They are asked in the order given and the first
that refuses decides: 403, whoever it was.
"""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from urllib.parse import unquote_to_bytes

from netfront.errors import Refusal
from netfront.filters.meaning import paths_meant
from netfront.http.message import Filter, Handler, Request, Response
from netfront.policy.claims import claim, holds
from netfront.policy.networks import plain_address
from netfront.policy.query import decoded, loose

__all__ = ["Rule", "authorize", "needs_address", "needs_claim", "needs_expression", "needs_scopes"]

Rule = Callable[[Request], str | None]


def authorize(rules: Sequence[Rule]) -> Filter:
    """Make the filter."""

    def around(then: Handler) -> Handler:
        def handle(request: Request) -> Awaitable[Response]:
            for rule in rules:
                why = rule(request)
                if why is not None:
                    raise Refusal(403, why)
            return then(request)

        return handle

    return around


def needs_scopes(names: Iterable[str]) -> Rule:
    """Make the rule that a token or key must have all these scopes."""
    wanted = frozenset(names)

    def rule(request: Request) -> str | None:
        identity = request.identity
        if identity is not None and wanted <= identity.scopes:
            return None
        missing = wanted if identity is None else wanted - identity.scopes
        return f"the scope {', '.join(sorted(missing))} is missing{_of(request)}"

    return rule


def needs_claim(name: str, value: str) -> Rule:
    """Make the rule that a claim must have a value, or hold it if it is an array."""
    wanted = (value,)

    def rule(request: Request) -> str | None:
        identity = request.identity
        if identity is not None and holds(claim(identity.claims, name), wanted):
            return None
        return f"the claim {name} is not {value}{_of(request)}"

    return rule


def needs_address(lies_in: Callable[[str], bool], address_of: Callable[[Request], bytes | None]) -> Rule:
    """Make the rule that a client's address must lie in some networks. One that nobody can tell lies in none.

    Args:
        lies_in: whether an address does.
        address_of: tells it, behind proxies that are trusted too.
    """

    def rule(request: Request) -> str | None:
        address = _text_of(address_of(request))
        return None if lies_in(address) else f"{address or 'a client without address'} may not come in"

    return rule


def needs_expression(
    refuses: Callable[[Mapping[str, object]], str | None],
    uses: Iterable[str],
    address_of: Callable[[Request], bytes | None],
    now: Callable[[], float],
    *,
    text: str,
    asked: Collection[str] | None,
) -> Rule:
    """Make the rule that an expression must hold.

    Args:
        refuses: tells why it does not hold, of the values that it uses.
        uses: which those are: names of `policy.expression.NAMES`.
        now: the time of day, in seconds since 1970.
        text: the expression.
        asked: the names of the query that it reads; None for any. In a request they may come but once: with two
            values it is for each reader to decide which counts, and the backend is one.
    """
    alike = {name: loose(name) for name in asked} if asked is not None else None
    makers: dict[str, Callable[[Request], object]] = {
        "claims": lambda request: dict(request.identity.claims) if request.identity is not None else {},
        "user": lambda request: request.identity.user if request.identity is not None else "",
        "scopes": lambda request: sorted(request.identity.scopes) if request.identity is not None else [],
        "method": lambda request: request.method.decode("latin-1"),
        "path": lambda request: _text(request.target.normalised),
        "params": lambda request: {
            name: _text(unquote_to_bytes(value)) for name, value in request.params.items()
        },
        "query": lambda request: _query(request, alike),
        "headers": _headers,
        "ip": lambda request: plain_address(_text_of(address_of(request))),
        "now": lambda _: datetime.fromtimestamp(now(), UTC),
    }
    needed = tuple((name, makers[name]) for name in uses)

    def rule(request: Request) -> str | None:
        values = {name: make(request) for name, make in needed}
        why = refuses(values)
        if why is None and "path" in values:
            others = (path for path in map(_text, paths_meant(request)) if path != values["path"])
            why = next(
                (why for path in others if (why := refuses({**values, "path": path})) is not None), None
            )
        return None if why is None else f"{text}: {why}{_of(request)}"

    return rule


def _of(request: Request) -> str:
    return f" ({request.identity.user})" if request.identity is not None else ""


def _text_of(address: bytes | None) -> str:
    return (address or b"").decode("latin-1")


def _text(value: bytes) -> str:
    """Raises Refusal: it is no UTF-8."""
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise Refusal(400, "the target is not UTF-8 text") from error


def _query(request: Request, asked: Mapping[str, str] | None) -> dict[str, str]:
    """Give the names of the query with their values, both decoded. Raises Refusal: an asked-for one comes twice.

    A name that comes once is refused too where some reader takes it for an asked-for one, and we do not.

    Args:
        asked: names, and what `loose` makes of them; None for any.
    """
    found: dict[str, str] = {}
    seen: set[str] = set()
    for pair in (request.target.query or b"").decode("latin-1").split("&"):
        for at, piece in enumerate(pair.split(";")):  # which some take for an ampersand
            name = _decoded(piece.partition("=")[0])
            alike = loose(name)
            is_asked = asked is None or alike in asked.values()
            is_ours = asked is None or (name in asked and not at)
            if piece and is_asked and (alike in seen or not is_ours):
                raise Refusal(400, f"{alike} stands in the query twice, or in another spelling")
            seen.add(alike)
        if pair:
            written, _, value = pair.partition("=")
            name = _decoded(written)
            found[name] = _decoded(value, is_asked=asked is None or loose(name) in asked.values())
    return found


def _decoded(text: str, *, is_asked: bool = False) -> str:
    """Decode a name or value of a query. Raises Refusal: it is no UTF-8, and is asked for."""
    data = decoded(text)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        if is_asked:
            raise Refusal(400, "the query is not UTF-8 text") from error
        return data.decode("latin-1")


def _field_text(value: bytes) -> str:
    """Give a field's value as text: UTF-8, as all who write more than ASCII do, else byte for byte."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _headers(request: Request) -> dict[str, str]:
    """Give the fields by name, in lower case; the lines of one name are one value (RFC 9110 §5.3)."""
    found: dict[str, str] = {}
    for row in request.fields.rows:
        name, value = row.name.decode("latin-1"), _field_text(row.value)
        found[name] = f"{found[name]}, {value}" if name in found else value
    if request.authority:
        found["host"] = request.authority.decode("latin-1")
    return found
