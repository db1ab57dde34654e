"""The words of the command line: routes, targets, policies, secrets.

    arg      = route | targets                  a route if a scope or ":" port stands before the first "="
    route    = (scope | ":" port) "=" targets   the same scope twice adds its targets
    targets  = target {"," target}              "/api=:8000,:8001+weight=3+backup"
    target   = place {"+" key ["=" value]}      a literal "+" or "," is written %2B, %2C
    place    = port ["-" port] | what `endpoint.parse_place` reads
    policy   = [scope ": "] value               "/api/: 5s": the scope holds a "/", or the whole is the value
    secret   = "@" file | "env:" NAME           never inline

Each function reads one word and raises a UsageError of what is wrong with it; whoever calls goes on with the
next, so that all faults are told at once.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from netfront.cli.argv import Word, as_word, path_in
from netfront.cli.faults import Faults, nearest
from netfront.cli.plan import FieldEdit, LbPlan, RetryPlan, Secret
from netfront.endpoint import Endpoint, parse_place, parse_server_name
from netfront.errors import Fault, UsageError
from netfront.policy.condition import Condition
from netfront.policy.route import Scope, parse_scope
from netfront.policy.statuses import NO_STATUS, parse_statuses
from netfront.units import parse_count

__all__ = [
    "RouteArg",
    "TargetArg",
    "is_request",
    "is_request_with_equals",
    "parse_argument",
    "parse_field_edit",
    "parse_hedge",
    "parse_lb",
    "parse_retry_on",
    "parse_secret",
    "parse_target",
    "parse_targets",
    "split_policy",
]

_RANGE = re.compile(r":?(\d{1,5})-(\d{1,5})", re.ASCII)
_NEARLY_SCOPE = re.compile(
    r"(https?://)?([A-Za-z][A-Za-z0-9_.-]*\.[A-Za-z0-9_.-]+|localhost)(:[0-9]+)?(/[^+,?#]*)?"
)
_PORT = re.compile(r"^:?\d+(-\d+)?$|:\d+($|/)", re.ASCII)
_ESCAPE = re.compile(r"%2[BbCc]")
_KNOWN_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})
_NEARLY_URL = re.compile(r"(https?):?/+([^/].*)")
_PLUS = re.compile(r"\+(?!https://|tls://)")
_METHODS = re.compile(r"[A-Za-z,]+ +")
_REQUEST = re.compile(r"[A-Za-z]+ +(?:https?://\S*|[^\s=?]*(?:\?\S*)?)", re.ASCII)
_FIELD_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_MOST_PORTS = 1000
_STICKY = "netfront-backend"
"""The cookie of --lb sticky, unless another is named."""
_OURS = {
    "host": "use +host=NAME on a target, or --change-host-header",
    "content-length": "it says where the body ends",
    "transfer-encoding": "it says where the body ends",
    "connection": "it is of one connection",
    "keep-alive": "it is of one connection",
    "proxy-connection": "it is of one connection",
    "te": "it is of one connection",
    "trailer": "it is of one connection",
    "upgrade": "it is of one connection",
}
"""Fields that cannot be edited, and why: what netfront itself writes or takes away on every message."""


@dataclass(frozen=True, slots=True)
class TargetArg:
    """A target as it was given: None where nothing was said."""

    endpoint: Endpoint
    weight: int = 1
    backup: bool = False
    max: int = 0
    all: bool = False
    alpn: str | None = None
    name: str | None = None
    sni: str | None = None
    host: str | None = None
    proxy: int = 0
    insecure: bool = False
    ca: str | None = None
    has_port: bool = field(default=True, compare=False)


@dataclass(frozen=True, slots=True)
class RouteArg:
    """A route as it was given.

    Args:
        scope: which requests; None for bare targets and for those of one listener.
        port: of the only listener it belongs to; None for all.
        condition: what requests must carry besides; None for nothing.
    """

    scope: Scope | None
    port: int | None
    targets: tuple[TargetArg, ...]
    condition: Condition | None = None


def parse_argument(word: Word) -> RouteArg:
    """Read a positional argument.

    Raises:
        UsageError: of all that is wrong with it.
    """
    try:
        head, equals, tail = word.partition("=")
        _refuse_misread(word, head, tail)
        return _parse_route(head, tail) if equals and _is_route(head) else _parse_bare(word)
    except UsageError as error:
        raise UsageError(*(_within(word, fault) for fault in error.faults)) from error


def parse_target(text: str) -> tuple[TargetArg, ...]:
    """Read one target; a range of ports is several.

    Raises:
        UsageError: of all that is wrong with it.
    """
    place, *options = _PLUS.split(text)
    faults = Faults()
    endpoints = faults.read("", _unescape(place), _parse_places, ())
    given: dict[str, object] = {}
    for option in options:
        key, equals, value = option.partition("=")
        try:
            name, setting = _parse_option(key, _unescape(value) if equals else None)
            if name in given:
                raise UsageError.of(f"+{key}", "given twice")
            given[name] = setting
        except UsageError as error:
            faults.take(error)
    faults.raise_any()
    if not _PORT.search(place):
        given["has_port"] = False
    return tuple(TargetArg(endpoint, **given) for endpoint in endpoints)  # type: ignore[arg-type]


def parse_targets(text: str) -> tuple[TargetArg, ...]:
    """Read targets with commas between them.

    Raises:
        UsageError: of all that is wrong with them.
    """
    if not text:
        raise UsageError.of("", "no target", "name a port, host:port, a URL, unix:FILE or demo:")
    faults = Faults()
    targets: list[TargetArg] = []
    for part in text.split(","):
        if not part:
            faults.add("", "an empty target", "targets are told apart by one comma each")
        else:
            targets.extend(faults.read("", part, parse_target, ()))
    faults.raise_any()
    return tuple(targets)


def is_request(text: str) -> bool:
    """Tell a request to be explained, such as 'GET /api/x' or 'GET https://localhost/x?y=z', from a route."""
    return _REQUEST.fullmatch(text) is not None


def is_request_with_equals(word: Word) -> bool:
    """Tell a request with `=` in its path, such as 'GET /cars;v=1': it looks like a route, and is none."""
    if _REQUEST.fullmatch(word.replace("=", "-")) is None or is_request(word):
        return False
    try:
        parse_argument(word)
    except UsageError:
        return True
    return False


def split_policy(word: Word) -> tuple[Scope | None, Word]:
    """Tell the scope of a policy from its value.

    Raises:
        UsageError: a scope without "/", which would be taken for a part of the value.
    """
    head, separator, value = word.partition(": ")
    if not separator:
        return None, word
    try:
        scope = parse_scope(head)
    except UsageError:
        if head.startswith("/") or _METHODS.match(head):
            raise
        return None, word
    if "/" not in head:
        raise UsageError.of(word, "a scope holds a slash", f"write '{head}/: {value}'")
    return scope, word.part(value.strip())


def parse_field_edit(text: str) -> FieldEdit:
    """Read 'Name: value', which sets a field, or '-Name', which removes it.

    Raises:
        UsageError: no field name, a value no field can have, or a field that is not to be edited.
    """
    is_removal = text.startswith("-")
    name, colon, value = text.removeprefix("-").partition(":")
    name, value = name.strip() if is_removal else name, value.strip()
    if not is_removal and not colon:
        raise UsageError.of(text, "not a field", "write 'Name: value' to set one, '-Name' to remove one")
    if not _FIELD_NAME.fullmatch(name):
        raise UsageError.of(text, f"{name!r} is not a field name", "letters, digits and dashes")
    if name.lower() in _OURS:
        raise UsageError.of(text, f"{name} cannot be edited", _OURS[name.lower()])
    if is_removal:
        if colon:
            raise UsageError.of(text, "a removal has no value", f"write '-{name}'")
        return FieldEdit(name.encode())
    if not value:
        raise UsageError.of(text, "no value", f"write '-{name}' to remove the field")
    if _CONTROLS.search(value):
        raise UsageError.of(f"{name}: …", "a field's value has no control characters")
    if name.lower() == "authorization":
        value = _credentials(name, as_word(text).part(value))
    return FieldEdit(name.encode(), (os.fsencode(value),))


def _credentials(name: str, value: Word) -> str:
    """Read the value of a field of credentials: a scheme, and where the secret is found."""
    scheme, _, place = value.rpartition(" ")
    try:
        secret = parse_secret(value.part(place))
    except UsageError as error:
        why = "a secret is not given inline"
        raise UsageError.of(f"{name}: …", why, f"write '{name}: Bearer env:NAME', or Basic @FILE") from error
    return f"{scheme.strip()} {secret}".strip()


def parse_secret(text: str) -> Secret:
    """Read where a secret is found. The text is never repeated in a message: it may be the secret itself.

    Raises:
        UsageError: it is given inline.
    """
    if text.startswith("@") and len(text) > 1:
        return Secret(file=path_in(text, text[1:]))
    if text.startswith("env:") and len(text) > 4:
        return Secret(variable=text[4:])
    raise UsageError.of("…", "a secret is not given inline", "write @FILE or env:NAME")


def parse_lb(text: str) -> LbPlan:
    """Read how a backend is picked: a policy, with what it goes by behind a colon.

    Raises:
        UsageError: no such policy, or not what it goes by.
    """
    from netfront.policy.pick import PICKERS  # 4 ms of a call for help

    policy, colon, key = text.partition(":")
    if policy not in (*PICKERS, "sticky"):
        raise UsageError.of(text, f"no such way to pick as {policy}", nearest(policy, (*PICKERS, "sticky")))
    if policy == "sticky":
        if colon and not _FIELD_NAME.fullmatch(key):
            raise UsageError.of(text, f"{key!r} is not a cookie's name", "as in sticky:session")
        return LbPlan(policy, key or _STICKY)
    if policy != "hash":
        if colon:
            raise UsageError.of(text, f"{policy} takes no key", f"write {policy}")
        return LbPlan(policy)
    if not key:
        raise UsageError.of(
            text, "it needs a key", "hash:ip, hash:url, hash:path, hash:header:X or hash:cookie:X"
        )
    kind, colon, name = key.partition(":")
    if kind in ("ip", "url", "path"):
        if colon:
            raise UsageError.of(text, f"{kind} takes no name", f"write hash:{kind}")
        return LbPlan(policy, kind)
    if kind not in ("header", "cookie"):
        raise UsageError.of(
            text, f"no such key as {kind}", nearest(kind, ("ip", "url", "path", "header", "cookie"))
        )
    if not _FIELD_NAME.fullmatch(name):
        raise UsageError.of(text, f"which {kind}?", f"as in hash:{kind}:X-User")
    return LbPlan(policy, f"{kind}:{name.lower() if kind == 'header' else name}")


def parse_retry_on(text: str) -> RetryPlan:
    """Read what is tried again: statuses and `reset`, with commas between them, or `none`.

    Raises:
        UsageError: of each part that is wrong.
    """
    if text == "none":
        return RetryPlan(resets=False)
    parts = text.split(",")
    statuses = [part for part in parts if part != "reset"]
    words = [part for part in statuses if part and not part[0].isdecimal()]
    if words:
        hint = "there are statuses, such as 503 or 5xx, and reset; or none, alone"
        raise UsageError(*(Fault(part, "neither a status nor reset", hint) for part in words))
    return RetryPlan("reset" in parts, parse_statuses(",".join(statuses)) if statuses else NO_STATUS)


def parse_hedge(text: str) -> float | None:
    """Read from when on an answer is late: pN, or none.

    Raises:
        UsageError: neither.
    """
    if text == "none":
        return None
    match = re.fullmatch(r"p(\d{1,2}(?:\.\d{1,3})?)", text, re.ASCII)
    if match is None or not float(match[1]) >= 50:
        raise UsageError.of(text, "not a percentile from p50 to p99.999", "as in p95, or none")
    return float(match[1]) / 100


def _within(word: Word, fault: Fault) -> Fault:
    return (
        fault if fault.what == word else replace(fault, what=f"{word}: {fault.what}" if fault.what else word)
    )


def _parse_bare(word: Word) -> RouteArg:
    if is_request(word):
        raise UsageError.of(
            word, "a request is for --explain", f"for a route write its targets: '{word}=:8000'"
        )
    if word.startswith("/"):
        hint = f"write {word}=TARGET, as in {word}=:8000; of a socket unix:{word}; of a request 'GET {word}'"
        raise UsageError.of(word, "a path without targets", hint)
    if word in _KNOWN_METHODS:
        hint = f"a route or request with a method is one word, in quotes: '{word} /api=:8000', '{word} /x'"
        raise UsageError.of(word, "a method without a path", hint)
    targets = parse_targets(word)
    for target in targets:
        if target.endpoint.base and not target.endpoint.scheme:
            meant = _NEARLY_URL.fullmatch(word)
            hint = (
                f"did you mean {meant[1]}://{meant[2]}?"
                if meant
                else f"write http://{word}, or a route such as /api={word}"
            )
            raise UsageError.of(word, "a target with a path needs a scheme", hint)
    return RouteArg(None, None, targets)


def _refuse_misread(word: Word, head: str, tail: str) -> None:
    """Refuse what is meant as a route, or as an option, and would be told of as something else that it is not.

    Args:
        head, tail: what stands before the first "=", and behind it.
    """
    if head in _OPTIONS and head != word:
        raise UsageError.of(word, "an option stands behind its target", f"write it there: TARGET+{word}")
    scope = _NEARLY_SCOPE.fullmatch(head) if head != word else None
    if scope is not None and (scope[1] or scope[3]):
        path = scope[4] or ""
        why = "a route's host has neither scheme nor port, which belong to --listen"
        raise UsageError.of(word, why, f"write {scope[2]}{path}={tail}")
    if head == "*":
        raise UsageError.of(word, "'*' is no host", f"of every host write /={tail}")


def _parse_route(head: str, tail: str) -> RouteArg:
    faults = Faults()
    scope, port = None, None
    if head.startswith(":"):
        port = faults.read("", head[1:], lambda text: parse_count(text, least=1, most=65535), 0)
    else:
        scope = faults.read("", head, parse_scope, None)
    try:
        targets = parse_targets(tail)
    except UsageError as error:
        faults.take(error)
    faults.raise_any()
    return RouteArg(scope, port, targets)


def _is_route(head: str) -> bool:
    """Tell a route from a target's option, by what stands before the first "="."""
    if head.startswith(":"):
        return "+" not in head and "," not in head and "-" not in head
    if head.startswith("/") or _METHODS.match(head):
        return True
    if head.startswith("["):
        return re.fullmatch(r"\[[^\]]*\](/.*)?", head) is not None
    return not re.search(r"[+,:]", head.split("/", 1)[0])


def _parse_places(text: str) -> tuple[Endpoint, ...]:
    match = _RANGE.fullmatch(text)
    if match is None:
        return (parse_place(text),)
    first, last = int(match[1]), int(match[2])
    if not 1 <= first <= last <= 65535:
        raise UsageError.of(text, "not a range of ports", "from the lower to the higher, from 1 to 65535")
    if last - first >= _MOST_PORTS:
        raise UsageError.of(text, f"more than {_MOST_PORTS} ports")
    return tuple(parse_place(str(port)) for port in range(first, last + 1))


def _unescape(text: str) -> str:
    return _ESCAPE.sub(lambda match: "+" if match[0] in ("%2B", "%2b") else ",", text)


def _parse_option(key: str, value: str | None) -> tuple[str, object]:
    """Give the attribute of TargetArg that an option fills, and its value."""
    if key not in _OPTIONS:
        raise UsageError.of(f"+{key}", "no such option of a target", nearest(key, _OPTIONS))
    name, parse, form = _OPTIONS[key]
    if parse is None:
        if value is not None:
            raise UsageError.of(f"+{key}={value}", "it takes no value", f"write +{key}")
        return name, True
    if not value:
        raise UsageError.of(f"+{key}", "it needs a value", f"as in +{key}={form}")
    try:
        return name, parse(value)
    except UsageError as error:
        raise UsageError(*(replace(fault, what=f"+{key}={fault.what}") for fault in error.faults)) from error


def _parse_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._:@/-]{1,64}", text):
        raise UsageError.of(text, "not a name", "up to 64 letters, digits and . _ - : / @")
    return text


def _parse_host(text: str) -> str:
    match = re.fullmatch(r"(?:[A-Za-z0-9._-]{1,253}|\[[0-9a-fA-F:.]+\])(?::(\d{1,5}))?", text)
    if match is None:
        raise UsageError.of(text, "not a host")
    if match[1] and int(match[1]) > 65535:
        raise UsageError.of(text, f"no such port as {match[1]}", "a port is a number from 1 to 65535")
    return text


def _parse_alpn(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._/-]{1,32}", text):
        raise UsageError.of(text, "not a protocol's name", "as in h2 or http/1.1")
    return text


def _parse_proxy(text: str) -> int:
    if text not in ("v1", "v2"):
        raise UsageError.of(text, "no such version of the PROXY protocol", "there are v1 and v2")
    return int(text[1])


_OPTIONS: dict[str, tuple[str, Callable[[str], object] | None, str]] = {
    "weight": ("weight", lambda text: parse_count(text, least=0, most=256), "3"),
    "backup": ("backup", None, ""),
    "max": ("max", lambda text: parse_count(text, least=1, most=1_000_000), "100"),
    "all": ("all", None, ""),
    "alpn": ("alpn", _parse_alpn, "h2"),
    "name": ("name", _parse_name, "blue"),
    "sni": ("sni", parse_server_name, "api.example.com"),
    "host": ("host", _parse_host, "target"),
    "proxy": ("proxy", _parse_proxy, "v2"),
    "insecure": ("insecure", None, ""),
    "ca": ("ca", str, "ca.pem"),
}
