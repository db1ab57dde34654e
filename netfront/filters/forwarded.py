"""What a backend is told of the client and of the way: X-Forwarded-*, X-Real-IP, Forwarded, Via, Client-Cert.

What a client says of itself in these fields was put aside by the parser, in any spelling. It is dropped, unless the
client is a proxy we were told to trust: then its words are continued. One row of fields is made for a connection
and a Host, and appended to every section: a section that comes again costs one comparison.
"""

from collections.abc import Awaitable, Callable, Iterable

from netfront.http.message import Client, Filter, Handler, Request, Response
from netfront.wire.fields import Edit, Field, dashed, field

__all__ = ["forwarded"]

_LONGEST = 256
"""Bytes of a Host with which a client is remembered: no name of DNS is longer."""
_CLIENTS = 4096
Identify = Callable[[bytes], tuple[bytes, bytes]]


_Known = dict[tuple[object, ...], "_Told"]


class _Told:
    """What is told of one client's address, for one Host.

    Args:
        known: of the filter that made it: another one tells otherwise, and a connection may outlive a filter.
    """

    __slots__ = ("authority", "edit", "known", "rows", "version")

    def __init__(self, known: _Known, request: Request, rows: tuple[Field, ...], edit: Edit) -> None:
        self.known = known
        self.authority = request.authority
        self.version = request.version
        self.rows = rows
        self.edit = edit


def forwarded(
    *,
    trusted: Callable[[str], bool],
    address_of: Callable[[Request], bytes | None] = lambda _: None,
    via: bool = True,
    rfc7239: bool = False,
    identify: Identify | None = None,
    strips: Edit | None = None,
    strips_trailers: Edit | None = None,
) -> Filter:
    """Make the filter.

    Args:
        trusted: whether an address is that of a proxy whose words are believed.
        address_of: tells the client's address by those words.
        rfc7239: send Forwarded too.
        identify: from a client's certificate (DER) to the values of Client-Cert and X-Client-Subject.
        strips: drops further fields that are ours to say, whoever says them.
        strips_trailers: likewise, of what comes behind a body.
    """
    strips = strips or Edit()
    known: _Known = {}

    def tell(request: Request) -> _Told:
        """Give what is told of this client; remembered by address for its next connection."""
        facts = request.client.facts
        key = (facts.peer[0], request.authority, request.version, request.scheme, facts.client_cert)
        told = known.get(key)
        if told is None:
            rows = tuple(_rows(request, via=via, rfc7239=rfc7239, identify=identify))
            told = _Told(known, request, rows, strips.adding(rows))
            if len(request.authority) <= _LONGEST:
                if len(known) >= _CLIENTS:
                    known.clear()
                known[key] = told
        return told

    def around(then: Handler) -> Handler:
        def handle(request: Request) -> Awaitable[Response]:
            client = request.client
            told = client.told
            if (
                not isinstance(told, _Told)
                or told.authority != request.authority
                or told.version != request.version
                or told.known is not known
            ):
                client.told = told = tell(request)
            if request.forwarded and trusted(client.facts.peer[0]):
                came = [row for row in request.forwarded if strips.keeps(row)]
                port = _port(request.public[1], request.public[0])
                rows = _continued(came, told.rows, port, address_of(request) or b"")
                request.fields = request.fields.edited(strips.adding(rows))
            else:
                request.forwarded = ()  # nobody believes it from here on
                request.fields = request.fields.edited(told.edit)
            if strips_trailers is not None and not isinstance(request.body, bytes):
                request.body.trailer_edit = strips_trailers
            return then(request)

        return handle

    return around


def _rows(request: Request, *, via: bool, rfc7239: bool, identify: Identify | None) -> list[Field]:
    client: Client = request.client
    facts = client.facts
    address = facts.peer[0].encode()
    authority = request.authority
    port = _port(authority, request.scheme)
    rows = []
    if address:
        rows.append(field(b"X-Forwarded-For", address))
    rows.append(field(b"X-Forwarded-Proto", request.scheme))
    if authority:
        rows.append(field(b"X-Forwarded-Host", authority))
    rows.append(field(b"X-Forwarded-Port", port))
    if address:
        rows.append(field(b"X-Real-IP", address))
    if rfc7239:
        rows.append(field(b"Forwarded", _element(address, authority, request.scheme)))
    if facts.client_cert is not None and identify is not None:
        certificate, subject = identify(facts.client_cert)
        rows += [field(b"Client-Cert", certificate), field(b"X-Client-Subject", subject)]
    if via:
        rows.append(field(b"Via", b"1.%b netfront" % request.version))
    return rows


def _port(authority: bytes, scheme: bytes) -> bytes:
    """Tell the port of an authority, or else that of the scheme."""
    port = authority.rpartition(b":")[2] if b":" in authority and not authority.endswith(b"]") else b""
    return port if port.isdigit() else b"443" if scheme == b"https" else b"80"


def _element(address: bytes, authority: bytes, scheme: bytes) -> bytes:
    """Render one element of Forwarded (RFC 7239 §4, §6)."""
    node = b'"[%b]"' % address if b":" in address else address or b"unknown"
    host = b';host="%b"' % authority if authority else b""
    return b"for=%b%b;proto=%b" % (node, host, scheme)


_UNDERSCORED = frozenset({b"script_name", b"path_info"})
"""What has an underscore from whoever says it: gunicorn knows no other spelling."""
_LISTED = frozenset({b"x-forwarded-for", b"forwarded"})


def _continued(
    came: Iterable[Field], ours: tuple[Field, ...], port: bytes, address: bytes
) -> tuple[Field, ...]:
    """Continue what a trusted proxy said: lists are appended to, single values stay as it gave them.

    Args:
        port: that of the scheme and the host that it tells, where it does not tell it.
        address: the client's, as it is told in X-Forwarded-For, where X-Real-IP is not told.
    """
    believed = [row for row in came if row.name == dashed(row.name) or row.name in _UNDERSCORED]
    said: dict[bytes, list[bytes]] = {}
    for row in believed:
        said.setdefault(row.name, []).append(row.value)
    rows: list[Field] = []
    is_listed = b"x-forwarded-for" in said  # which rules go by, whatever else it passes on
    for row in ours:
        values = said.pop(row.name, None)
        if values is None and row.name == b"x-forwarded-port":
            rows.append(field(b"X-Forwarded-Port", port))
        elif row.name == b"x-real-ip" and address and (values is None or is_listed):
            rows.append(field(b"X-Real-IP", address))
        elif values is None:
            rows.append(row)
        elif row.name in _LISTED:
            rows.append(field(row.raw.partition(b":")[0], b", ".join([*values, row.value])))
        else:
            rows += [field(row.raw.partition(b":")[0], value) for value in values[:1]]
    rows += [row for row in believed if row.name in said]
    return tuple(rows)
