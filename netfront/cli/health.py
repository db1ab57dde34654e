"""How backends are probed: the word of --health, and that of --health-body.

    health = (path | "tcp" | "tls") {"," key "=" value}       /healthz,interval=5s,status=200,204
    key    = interval timeout rise fall port                  and, where a path is asked for, status host method

A comma in the path is written %2C, as backends read it; one in `status` parts statuses. What is told of one word is all
that is wrong with it.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from netfront.cli.faults import Faults, nearest
from netfront.errors import Fault, UsageError
from netfront.policy.statuses import SUCCESSFUL, StatusSet, parse_statuses
from netfront.units import parse_count, parse_duration, render_duration

if TYPE_CHECKING:
    from netfront.http.probe import Probe
    from netfront.net.backend import Backend

__all__ = ["HealthPlan", "parse_health", "parse_health_body", "prober", "wanting"]

_PATH = re.compile(r"/[\x21\x24-\x2b\x2d-\x7e?]*", re.ASCII)
"""What a target may hold (RFC 9112 §3.2) but a comma, a fragment and a double quote."""
_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}(?::\d{1,5})?|\[[0-9a-fA-F:.]+\](?::\d{1,5})?", re.ASCII)
_METHOD = re.compile(r"[A-Z]{1,32}", re.ASCII)
_STATUS_PART = re.compile(r"[1-9][0-9xX-]*", re.ASCII)
_HTTP_ONLY = ("status", "host", "method")


@dataclass(frozen=True, slots=True)
class HealthPlan:
    """How the backends of a pool are probed.

    Args:
        kind: "http", "tcp" or "tls".
        path: asked for by "http", with its query; a target's own path does not count.
        interval: seconds from probe to probe.
        timeout: for one, over all.
        rise, fall: how many good or bad ones in a row bring a backend up or down.
        host: what Host says; None for what requests say.
        port: to dial; None for the one that serves.
        body: a regular expression that the answer's body must match; None for any body.
    """

    kind: str
    path: str = ""
    interval: float = 2.0
    timeout: float = 1.0
    rise: int = 2
    fall: int = 3
    statuses: StatusSet = SUCCESSFUL
    host: str | None = None
    port: int | None = None
    method: str = "GET"
    body: str | None = None

    def __str__(self) -> str:
        """Write it as a word of --health, with what differs from the defaults."""
        plain = HealthPlan(self.kind)
        parts = [self.path or self.kind]
        for key, value, default in (
            ("interval", render_duration(self.interval), render_duration(plain.interval)),
            ("timeout", render_duration(self.timeout), render_duration(plain.timeout)),
            ("rise", self.rise, plain.rise),
            ("fall", self.fall, plain.fall),
            ("status", str(self.statuses), str(plain.statuses)),
            ("host", self.host, None),
            ("port", self.port, None),
            ("method", self.method, plain.method),
        ):
            if value != default:
                parts.append(f"{key}={value}")
        return ",".join(parts)


def parse_health(word: str) -> HealthPlan:
    """Read the word of --health.

    Raises:
        UsageError: of all that is wrong with it.
    """
    what, *options = word.split(",")
    faults = Faults()
    plan = faults.read("", what, _parse_what, HealthPlan("http", "/"))
    given: dict[str, object] = {}
    for option in _joined(options):
        try:
            name, value = _parse_option(option, plan.kind)
            if name in given:
                raise UsageError.of(option, "given twice")
            given[name] = value
        except UsageError as error:
            faults.take(error)
    try:
        faults.raise_any()
    except UsageError as error:
        raise UsageError(*(_within(word, fault) for fault in error.faults)) from error
    return replace(plan, **given)  # type: ignore[arg-type]  # by _OPTIONS, whose names are the attributes


def parse_health_body(text: str) -> str:
    """Read the word of --health-body.

    Raises:
        UsageError: it is no regular expression.
    """
    from netfront.http.pattern import Pattern

    return Pattern(text).text


def wanting(plan: HealthPlan, body: str) -> HealthPlan:
    """Add what --health-body wants to a plan.

    Raises:
        UsageError: the probe gets no body.
    """
    if plan.kind != "http":
        raise UsageError.of(
            body, f"a {plan.kind} probe gets no body", "probe a path, as in --health /healthz"
        )
    if plan.method == "HEAD":
        raise UsageError.of(body, "an answer to HEAD has no body", "leave method=HEAD out")
    return replace(plan, body=body)


def prober(plan: HealthPlan) -> "Callable[[Backend], Probe]":
    """Give what makes the probe of a backend."""
    from netfront.http.pattern import Pattern
    from netfront.http.probe import Question, dialler, http_probe, tcp_probe, tls_probe

    body = None if plan.body is None else Pattern(plan.body)
    host = None if plan.host is None else plan.host.encode()

    def probe(backend: "Backend") -> "Probe":
        if plan.kind == "tcp":
            return tcp_probe(dialler(backend, port=plan.port, tls=False), timeout=plan.timeout)
        if plan.kind == "tls":
            return tls_probe(dialler(backend, port=plan.port, tls=True), timeout=plan.timeout)
        question = Question(
            plan.path.encode(),
            host or backend.member.host or backend.member.authority,
            plan.method.encode(),
            plan.statuses,
            body,
        )
        return http_probe(dialler(backend, port=plan.port), question, timeout=plan.timeout)

    return probe


def _parse_what(text: str) -> HealthPlan:
    if text in ("tcp", "tls"):
        return HealthPlan(text)
    if not text.startswith("/"):
        hint = "write a path, such as /healthz, or tcp or tls"
        if text.isidentifier():
            hint = f"write /{text}, or tcp or tls" if len(text) > 3 else nearest(text, ("tcp", "tls"))
        raise UsageError.of(text, "neither a path nor tcp or tls", hint)
    if not _PATH.fullmatch(text):
        raise UsageError.of(text, "its path has a character that no path has", "write it percent-encoded")
    return HealthPlan("http", text)


def _joined(options: list[str]) -> list[str]:
    """Put the statuses of `status=200,204` together again."""
    joined: list[str] = []
    for option in options:
        if joined and joined[-1].startswith("status=") and _STATUS_PART.fullmatch(option):
            joined[-1] += f",{option}"
        else:
            joined.append(option)
    return joined


def _parse_option(option: str, kind: str) -> tuple[str, object]:
    """Give the attribute of HealthPlan that an option fills, and its value."""
    key, equals, value = option.partition("=")
    if key not in _OPTIONS:
        raise UsageError.of(key or option, "no such key of a probe", nearest(key, _OPTIONS))
    name, parse, form = _OPTIONS[key]
    if kind != "http" and key in _HTTP_ONLY:
        raise UsageError.of(option, f"a {kind} probe has no {key}", "it belongs to a path, as in /healthz")
    if not equals or not value:
        raise UsageError.of(key, "it needs a value", f"as in {key}={form}")
    try:
        return name, parse(value)
    except UsageError as error:
        raise UsageError(*(replace(fault, what=f"{key}={fault.what}") for fault in error.faults)) from error


def _parse_host(text: str) -> str:
    if not _HOST.fullmatch(text):
        raise UsageError.of(text, "not a host")
    return text


def _parse_method(text: str) -> str:
    if not _METHOD.fullmatch(text):
        raise UsageError.of(text, "not a method", f"did you mean {text.upper()}?" if text.isalpha() else "")
    if text == "CONNECT":
        raise UsageError.of(text, "it asks for a tunnel, not for a path", "there are GET, HEAD and OPTIONS")
    return text


def _within(word: str, fault: Fault) -> Fault:
    if fault.what == word:
        return fault
    return replace(fault, what=f"{word}: {fault.what}" if fault.what else word)


_OPTIONS: dict[str, tuple[str, Callable[[str], object], str]] = {
    "interval": ("interval", lambda text: parse_duration(text, least=0.1, most=3600), "2s"),
    "timeout": ("timeout", lambda text: parse_duration(text, least=0.01, most=60), "1s"),
    "rise": ("rise", lambda text: parse_count(text, least=1, most=100), "2"),
    "fall": ("fall", lambda text: parse_count(text, least=1, most=100), "3"),
    "status": ("statuses", parse_statuses, "2xx"),
    "host": ("host", _parse_host, "app.example.com"),
    "port": ("port", lambda text: parse_count(text, least=1, most=65535), "9000"),
    "method": ("method", _parse_method, "HEAD"),
}
