"""Every shared flag once: its spellings, its group, and what it says of itself in help, man and completions.

All values arrive as text. They are read in `planning.py`, together, so that a command line with three
mistakes gets three messages. A flag has a value always or never.
"""

from typing import Annotated

import typer
from typer.models import OptionInfo

from netfront.cli.plan import DRAIN, LimitsPlan, Settings
from netfront.units import render_duration, render_size

LISTENING, TLS, BACKENDS, MESSAGES = "Listening", "TLS", "Backends", "Requests and responses"
BALANCING = "Balancing"
TIMES, LIMITS, OUTPUT = "Time-outs", "Limits", "Output and logs"
_LIMITS = LimitsPlan()


def flag(spelling: str, group: str, text: str, metavar: str = "", *, hidden: bool = False) -> OptionInfo:
    """Make a flag: its spellings, the group it stands in, what help says of it, and what stands for its value."""
    option: OptionInfo = typer.Option(
        *spelling.split(),
        help=text,
        metavar=metavar or None,
        rich_help_panel=group,
        hidden=hidden,
        show_default=False,
    )
    return option


def _time(name: str, text: str) -> OptionInfo:
    default = render_duration(getattr(_LIMITS, name))
    return flag("--" + name.replace("_", "-"), TIMES, f"{text} (default {default})", "TIME")


def _size(name: str, text: str) -> OptionInfo:
    default = render_size(getattr(_LIMITS, name))
    return flag("--" + name.replace("_", "-"), LIMITS, f"{text} (default {default})", "SIZE")


def _count(name: str, text: str, default: str = "") -> OptionInfo:
    default = default or str(getattr(_LIMITS, name))
    return flag("--" + name.replace("_", "-"), LIMITS, f"{text} (default {default})", "N")


Targets = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="TARGET|ROUTE...",
        help="where to forward to: 3000, host:port, a URL, unix:FILE or demo:; or SCOPE=TARGET[,TARGET]",
        show_default=False,
    ),
]
To = Annotated[
    list[str] | None,
    flag("--to", BACKENDS, "another target or route, as an argument", "TARGET", hidden=True),
]

Listen = Annotated[
    list[str] | None,
    flag(
        "--listen -l",
        LISTENING,
        "where to listen; again for more places. No host is loopback, * every address, port 0 any free one; "
        "tcp:// and udp:// pass bytes on, tls:// ends TLS before that, in balance and gateway (default "
        "https://localhost:8443; of balance http://localhost:8080)",
        "ADDRESS",
    ),
]
From = Annotated[list[str] | None, flag("--from", LISTENING, "the same as --listen", "ADDRESS", hidden=True)]
RedirectHttp = Annotated[
    str | None,
    flag(
        "--redirect-http",
        LISTENING,
        "listen here too, and send clients on to the first https:// listener",
        "ADDRESS",
    ),
]
AcceptProxy = Annotated[
    bool,
    flag(
        "--accept-proxy/--no-accept-proxy",
        LISTENING,
        "connections of --trust-proxy peers begin with a PROXY line, v1 or v2",
    ),
]
TrustProxy = Annotated[
    list[str] | None,
    flag(
        "--trust-proxy",
        LISTENING,
        "believe PROXY lines and forwarded fields of this network, which sets or strips them; again for more",
        "CIDR",
    ),
]
PortFile = Annotated[
    str | None,
    flag("--port-file", LISTENING, "once all listeners are open, write their ports here, one a line", "FILE"),
]
ReadyFd = Annotated[
    str | None,
    flag(
        "--ready-fd",
        LISTENING,
        "once all listeners are open, write a line to this descriptor and close it",
        "N",
    ),
]
Drain = Annotated[
    str | None,
    flag(
        "--drain",
        LISTENING,
        f"when stopped, how long what is under way may take (default {render_duration(DRAIN)})",
        "TIME",
    ),
]

Cert = Annotated[
    list[str] | None,
    flag(
        "--cert",
        TLS,
        "a certificate with its chain, and its key unless --key is given (PEM); again for more names "
        "(default: from a local CA)",
        "FILE",
    ),
]
Key = Annotated[
    list[str] | None,
    flag("--key", TLS, "the private key of the --cert at the same place (default: in its file)", "FILE"),
]
KeyPassword = Annotated[
    list[str] | None,
    flag("--key-password", TLS, "the password of the --key at the same place: @FILE or env:NAME", "SECRET"),
]
Name = Annotated[
    list[str] | None,
    flag("--name", TLS, "a name that clients call us by, for the certificate; again for more", "NAME"),
]
ClientCa = Annotated[
    str | None,
    flag("--client-ca", TLS, "let in only clients with a certificate from these CAs (PEM)", "FILE"),
]
Hsts = Annotated[
    str | None,
    flag(
        "--hsts",
        TLS,
        "tell browsers to insist on https for so long: 31536000 or 365d; not for local names",
        "AGE",
    ),
]

BackendCa = Annotated[
    str | None,
    flag("--backend-ca", BACKENDS, "verify backends by these CAs (PEM), not the system's", "FILE"),
]
BackendCert = Annotated[
    str | None, flag("--backend-cert", BACKENDS, "our certificate for backends (PEM)", "FILE")
]
BackendKey = Annotated[
    str | None,
    flag("--backend-key", BACKENDS, "the private key of --backend-cert (default: in its file)", "FILE"),
]
BackendName = Annotated[
    str | None,
    flag("--backend-name", BACKENDS, "the name that backends' certificates must have; sent as SNI", "NAME"),
]
Insecure = Annotated[
    bool, flag("--insecure/--no-insecure -k", BACKENDS, "do not verify the certificates of backends")
]
ChangeHostHeader = Annotated[
    bool | None,
    flag(
        "--change-host-header/--no-change-host-header",
        BACKENDS,
        "send Host as the target names it (default: only to https:// targets that are not on this machine)",
    ),
]
AllowHost = Annotated[
    list[str] | None,
    flag(
        "--allow-host",
        BACKENDS,
        "where Host is changed on a loopback listener: let clients call us by this name too",
        "NAME",
    ),
]

Lb = Annotated[
    list[str] | None,
    flag(
        "--lb",
        BALANCING,
        "how a backend is picked: rr, least, p2c, latency, random, first, hash:KEY (ip, url, path, header:X, "
        "cookie:X) or sticky[:COOKIE] (default rr)",
        "[SCOPE: ]POLICY",
    ),
]
StickyKey = Annotated[
    str | None,
    flag(
        "--sticky-key",
        BALANCING,
        "signs sticky cookies, the same on every machine: @FILE or env:NAME (default: one kept in the data "
        "directory)",
        "SECRET",
    ),
]
Health = Annotated[
    list[str] | None,
    flag(
        "--health",
        BALANCING,
        "probe backends: a path, tcp or tls, then ,interval=2s,timeout=1s,rise=2,fall=3,port=N,status=2xx,"
        "host=NAME,method=GET",
        "[SCOPE: ]PROBE",
    ),
]
HealthBody = Annotated[
    list[str] | None,
    flag("--health-body", BALANCING, "the answer to --health has to match this pattern", "[SCOPE: ]REGEX"),
]
EjectOn = Annotated[
    list[str] | None,
    flag(
        "--eject-on",
        BALANCING,
        "answers that count as failures, such as 502,503,504; three in ten seconds eject a backend",
        "[SCOPE: ]STATUS,...",
    ),
]
SlowStart = Annotated[
    list[str] | None,
    flag(
        "--slow-start",
        BALANCING,
        "how long a backend that came back takes to get its whole share (default 0s)",
        "[SCOPE: ]TIME",
    ),
]
Queue = Annotated[
    list[str] | None,
    flag(
        "--queue",
        BALANCING,
        "requests, or connections of tcp://, that wait while every backend has its +max; more are 503, or reset "
        f"(default {Settings().balance.queue})",
        "[SCOPE: ]N",
    ),
]
QueueTimeout = Annotated[
    list[str] | None,
    flag(
        "--queue-timeout",
        BALANCING,
        f"how long each of them waits (default {render_duration(Settings().balance.queue_timeout)})",
        "[SCOPE: ]TIME",
    ),
]
RetryOn = Annotated[
    list[str] | None,
    flag(
        "--retry-on",
        BALANCING,
        "what is tried elsewhere if the method may be repeated: statuses, reset (no answer, or none in time) or none "
        "(default reset)",
        "[SCOPE: ]WHAT,...",
    ),
]
RetryBody = Annotated[
    list[str] | None,
    flag(
        "--retry-body",
        BALANCING,
        f"most of a request's body that is kept to be sent again (default {render_size(Settings().retry_body)})",
        "[SCOPE: ]SIZE",
    ),
]
Hedge = Annotated[
    list[str] | None,
    flag(
        "--hedge",
        BALANCING,
        "when a GET that has no answer yet is tried elsewhere too: slower than pN of those before, or none "
        "(default: four times p99)",
        "[SCOPE: ]pN",
    ),
]
Resolver = Annotated[
    str | None,
    flag("--resolver", BALANCING, "ask this DNS server for names, not the system's", "ADDR[:PORT]"),
]
BackendHeader = Annotated[
    bool,
    flag("--backend-header/--no-backend-header", BALANCING, "name the backend in X-Backend of each answer"),
]

Header = Annotated[
    list[str] | None,
    flag(
        "--header -H",
        MESSAGES,
        "set or remove a field of requests: 'Name: value', '-Name', 'Authorization: Bearer env:NAME'",
        "[SCOPE: ]FIELD",
    ),
]
ResponseHeader = Annotated[
    list[str] | None,
    flag("--response-header", MESSAGES, "set or remove a field of responses", "[SCOPE: ]FIELD"),
]
KeepServer = Annotated[
    bool, flag("--keep-server/--hide-server", MESSAGES, "let Server and X-Powered-By of backends through")
]
Forwarded = Annotated[
    bool, flag("--forwarded/--no-forwarded", MESSAGES, "send Forwarded (RFC 7239) beside X-Forwarded-*")
]
Via = Annotated[bool, flag("--via/--no-via", MESSAGES, "append Via to requests (default: yes)")]

Timeout = Annotated[
    list[str] | None,
    flag(
        "--timeout",
        TIMES,
        f"until a backend's answer begins (default {render_duration(Settings().timeout)}, "
        "none in proxy where only loopback listens)",
        "[SCOPE: ]TIME",
    ),
]
HeadTimeout = Annotated[str | None, _time("head_timeout", "for a whole request head")]
HandshakeTimeout = Annotated[str | None, _time("handshake_timeout", "for a client's TLS handshake")]
IdleTimeout = Annotated[str | None, _time("idle_timeout", "between two requests of a client")]
BodyTimeout = Annotated[
    str | None,
    _time(
        "body_timeout",
        "between two reads of a request's body; where an answer is composed by it, for all of it, and 1s more per 64K",
    ),
]
SendTimeout = Annotated[str | None, _time("send_timeout", "for a client that does not read its answer")]
ConnectTimeout = Annotated[str | None, _time("connect_timeout", "to connect to a backend, TLS included")]
ReadTimeout = Annotated[str | None, _time("read_timeout", "between two reads of an answer's body")]
StreamTimeout = Annotated[str | None, _time("stream_timeout", "the same for WebSocket and event streams")]
BackendIdleTimeout = Annotated[
    str | None, _time("backend_idle_timeout", "how long an idle backend connection stays")
]

UdpTimeout = Annotated[str | None, _time("udp_timeout", "a UDP flow without a datagram")]

MaxLine = Annotated[str | None, _size("max_line", "of a request line; more is 414")]
MaxField = Annotated[str | None, _size("max_field", "of one field line; more is 431")]
MaxHead = Annotated[str | None, _size("max_head", "of a whole head; more is 431")]
MaxFields = Annotated[str | None, _count("max_fields", "fields of a head; more is 431")]
MaxBody = Annotated[
    list[str] | None,
    flag("--max-body", LIMITS, "of a request's body; more is 413 (default none)", "[SCOPE: ]SIZE"),
]
MaxConnections = Annotated[
    str | None, _count("max_connections", "clients' connections in all", "by descriptors, at most 10000")
]
MaxPerAddress = Annotated[
    str | None,
    _count("max_per_address", "connections of one address, unless loopback or trusted"),
]

Quiet = Annotated[bool, flag("--quiet -q", OUTPUT, "say nothing but what ends the process")]
Verbose = Annotated[bool, flag("--verbose -v", OUTPUT, "one line a request on stderr, as it ends")]
Json = Annotated[bool, flag("--json", OUTPUT, "one JSON object an event on stdout")]
AccessLog = Annotated[
    str | None,
    flag("--access-log", OUTPUT, "log requests, and what is passed on, to a file; - is stdout", "FILE"),
]
LogFormat = Annotated[
    str | None, flag("--log-format", OUTPUT, "common, combined, json or logfmt (default combined)", "FORMAT")
]
Color = Annotated[
    bool | None,
    flag("--color/--no-color", OUTPUT, "colour (default: on a terminal without NO_COLOR)"),
]
Live = Annotated[
    bool,
    flag("--live/--no-live", OUTPUT, "on a terminal, show the backends and what they do; q quits"),
]
Explain = Annotated[
    bool,
    flag(
        "--explain",
        OUTPUT,
        "print what would be done and stop, with an argument such as 'GET /x' for that request; files of keys and "
        "certificates are not read, and nobody is asked",
    ),
]
Debug = Annotated[bool, flag("--debug", OUTPUT, "show tracebacks")]
