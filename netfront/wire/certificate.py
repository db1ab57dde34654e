"""What stands in an X.509 certificate, as far as a server has to know it (RFC 5280).

This reads certificates that OpenSSL has taken, it verifies none: no signature is looked at. It is here because
Python's `ssl` tells the names of a verified peer only, and a library for the rest costs 50 ms at every start.
DER is read strictly forward: a tag, a length, so many bytes; everything else is a slice.
"""

import re
from binascii import a2b_base64
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address

__all__ = [
    "Certificate",
    "ClientNames",
    "client_names",
    "parse_certificate",
    "pem_certificates",
    "render_name",
]

_PEM = re.compile(
    rb"-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----(.*?)-----END (?:X509 |TRUSTED )?CERTIFICATE-----",
    re.DOTALL,
)
_SEQUENCE, _OID, _BOOLEAN, _OCTETS, _UTC_TIME = 0x30, 0x06, 0x01, 0x04, 0x17
_VERSION, _EXTENSIONS, _DNS_NAME, _IP_ADDRESS = 0xA0, 0xA3, 0x82, 0x87
_LABELS = {_DNS_NAME: "DNS", 0x81: "email", 0x86: "URI"}
_SUBJECT_ALT_NAME, _EXTENDED_USAGE = "2.5.29.17", "2.5.29.37"
_SERVER_AUTH, _ANY_USAGE, _COMMON_NAME = "1.3.6.1.5.5.7.3.1", "2.5.29.37.0", "2.5.4.3"
_TYPES = {
    _COMMON_NAME: "CN",
    "2.5.4.4": "SN",
    "2.5.4.5": "serialNumber",
    "2.5.4.6": "C",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.9": "street",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "2.5.4.12": "title",
    "2.5.4.15": "businessCategory",
    "2.5.4.17": "postalCode",
    "2.5.4.42": "GN",
    "2.5.4.46": "dnQualifier",
    "2.5.4.97": "organizationIdentifier",
    "0.9.2342.19200300.100.1.1": "UID",
    "0.9.2342.19200300.100.1.25": "DC",
    "1.2.840.113549.1.9.1": "emailAddress",
}
"""Short names of attribute types, as OpenSSL and so nginx print them; others are told by number."""
_TEXT = {
    0x0C: "utf-8",
    0x12: "ascii",
    0x13: "ascii",
    0x14: "latin-1",
    0x16: "ascii",
    0x1A: "ascii",
    0x1C: "utf-32-be",
    0x1E: "utf-16-be",
}
_MOMENT = re.compile(r"(\d{4})" + r"(\d\d)" * 5 + "Z")
_UNSAFE = re.compile(rb'[^\x20-\x7E]|[,+"\\<>;]|\A[ #]|[ ]\Z')


@dataclass(frozen=True, slots=True)
class Certificate:
    """Facts of one certificate.

    Args:
        names: its DNS names and addresses, in lower case; the common name where it has neither.
        has_names: whether they stand in subjectAltName, the only place where browsers look.
        not_before, not_after: seconds since 1970.
        issuer, subject: names in DER, equal bytes for an equal name.
        serves: whether its extended key usage lets a server show it.
    """

    names: tuple[str, ...]
    has_names: bool
    not_before: float
    not_after: float
    issuer: bytes
    subject: bytes
    serves: bool


def pem_certificates(text: bytes) -> list[bytes]:
    """Give the certificates of a PEM file in their order, each in DER. Raises ValueError: bad base64."""
    return [a2b_base64(match[1]) for match in _PEM.finditer(text)]


@dataclass(frozen=True, slots=True)
class ClientNames:
    """Who a client's certificate is for.

    Args:
        subject: as one line (RFC 4514), the most specific part first; empty where there is none.
        common: the common name, if there is exactly one.
        alternative: of subjectAltName, as "DNS:a.example", "IP:192.0.2.7", "URI:spiffe://…" and "email:ann@a.example".
    """

    subject: str
    common: str | None
    alternative: tuple[str, ...]


def client_names(der: bytes) -> ClientNames:
    """Read who a certificate is for. Raises ValueError: it is none."""
    try:
        _, _, subject, extensions = _fields(der)
        commons = [text for oid, text in _texts(subject) if oid == _COMMON_NAME]
        names = tuple(_labelled_names(extensions.get(_SUBJECT_ALT_NAME, b"\x30\x00")))
    except (IndexError, OverflowError) as error:
        raise ValueError("not a certificate") from error
    return ClientNames(render_name(subject).decode(), commons[0] if len(commons) == 1 else None, names)


def parse_certificate(der: bytes) -> Certificate:
    """Read the facts of a certificate. Raises ValueError: it is none."""
    try:
        return _parse(der)
    except (IndexError, OverflowError) as error:
        raise ValueError("not a certificate") from error


def render_name(name: bytes) -> bytes:
    """Render a distinguished name as a line of text, the most specific part first (RFC 4514).

    All that is not printable ASCII is escaped, so that it stands in a field safely; nginx's $ssl_client_s_dn does so.
    """
    try:
        parts = [b"+".join(_attribute(pair) for _, pair, _ in _items(part)) for _, part, _ in _inside(name)]
    except IndexError as error:
        raise ValueError("not a name") from error
    return b",".join(reversed(parts))


def _parse(der: bytes) -> Certificate:
    issuer, validity, subject, extensions = _fields(der)
    (begins, ends) = [_time(tag, content) for tag, content, _ in _items(validity)]
    names = list(_alternative_names(extensions.get(_SUBJECT_ALT_NAME, b"\x30\x00")))
    has_names = bool(names)
    if not has_names:
        names = [text.lower() for oid, text in _texts(subject) if oid == _COMMON_NAME]
    usages = {_oid(usage) for _, usage, _ in _inside(extensions.get(_EXTENDED_USAGE, b"\x30\x00"))}
    serves = not usages or not usages.isdisjoint({_SERVER_AUTH, _ANY_USAGE})
    return Certificate(tuple(names), has_names, begins, ends, issuer, subject, serves)


def _fields(der: bytes) -> tuple[bytes, bytes, bytes, dict[str, bytes]]:
    """Give the issuer, the validity's content, the subject and the extensions by their number."""
    body, *_signature = _inside(der)
    rest = [item for item in _inside(body[2]) if item[0] != _VERSION]
    _serial, _algorithm, (_, _, issuer), (_, validity, _), (_, _, subject), *others = rest
    extensions: dict[str, bytes] = {}
    for tag, content, _ in others:
        if tag == _EXTENSIONS:
            extensions.update(_extension(one) for _, one, _ in _inside(content))
    return issuer, validity, subject, extensions


def _items(data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Go through the elements that stand one after the other: tag, content, the whole."""
    at = 0
    while at < len(data):
        tag, length, start = data[at], data[at + 1], at + 2
        if length & 0x80:
            count = length & 0x7F
            if not 1 <= count <= 4:
                raise ValueError("a length that DER has not")
            length, start = int.from_bytes(data[start : start + count], "big"), start + count
        end = start + length
        if end > len(data):
            raise ValueError("cut short")
        yield tag, data[start:end], data[at:end]
        at = end


def _inside(data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Go through the elements of the one element that `data` is."""
    for _, content, _ in _items(data):
        yield from _items(content)
        return


def _oid(data: bytes) -> str:
    numbers, value = [], 0
    for byte in data:
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            numbers.append(value)
            value = 0
    first = min(numbers[0] // 40, 2)
    return ".".join(map(str, (first, numbers[0] - 40 * first, *numbers[1:])))


def _time(tag: int, content: bytes) -> float:
    """Read UTCTime or GeneralizedTime, both always in Z (RFC 5280 §4.1.2.5)."""
    text = content.decode("ascii")
    if tag == _UTC_TIME:
        text = ("19" if text[:2] >= "50" else "20") + text
    moment = _MOMENT.fullmatch(text)
    if moment is None:
        raise ValueError("a time that DER has not")
    year, month, day, hour, minute, second = map(int, moment.groups())
    return datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp()


def _extension(data: bytes) -> tuple[str, bytes]:
    (_, oid, _), *others = _items(data)
    values = [content for tag, content, _ in others if tag == _OCTETS]
    return _oid(oid), values[0]


def _alternative_names(data: bytes) -> Iterator[str]:
    for tag, content, _ in _inside(data):
        if tag == _DNS_NAME:
            yield content.decode("ascii", "replace").lower()
        elif tag == _IP_ADDRESS and len(content) in (4, 16):
            yield str(ip_address(content))


def _labelled_names(data: bytes) -> Iterator[str]:
    for tag, content, _ in _inside(data):
        if tag in _LABELS:
            yield f"{_LABELS[tag]}:{content.decode('ascii', 'replace')}"
        elif tag == _IP_ADDRESS and len(content) in (4, 16):
            yield f"IP:{ip_address(content)}"


def _texts(name: bytes) -> Iterator[tuple[str, str]]:
    for _, part, _ in _inside(name):
        for _, pair, _ in _items(part):
            (_, oid, _), (tag, content, _) = _items(pair)
            if tag in _TEXT:
                yield _oid(oid), content.decode(_TEXT[tag], "replace")


def _attribute(pair: bytes) -> bytes:
    (_, oid, _), (tag, content, whole) = _items(pair)
    number = _oid(oid)
    kind = _TYPES.get(number)
    if kind is None or tag not in _TEXT:
        return f"{kind or number}=#{whole.hex().upper()}".encode()
    value = content.decode(_TEXT[tag], "replace").encode("utf-8", "replace")
    return b"%b=%b" % (kind.encode(), _UNSAFE.sub(_escape, value))


def _escape(found: re.Match[bytes]) -> bytes:
    byte = found[0][0]
    return b"\\%c" % byte if 0x20 <= byte <= 0x7E else b"\\%02X" % byte
