"""What help and the man pages say of each command, beyond its flags."""

from dataclasses import dataclass

from netfront.cli.gate.edge_plan import DEFAULT_MAX_BODY
from netfront.units import render_size

__all__ = ["EVENTS", "EXIT_CODES", "PAGES", "Page"]


@dataclass(frozen=True, slots=True)
class Page:
    """The prose of one command.

    Args:
        summary: one line, after the command's name.
        usage: what follows the command's name.
        text: paragraphs for `--help` and the man page.
        examples: a command line and what it does; the first three stand in `-h`.
        common: the parameters that `-h` lists.
    """

    summary: str
    usage: str
    text: tuple[str, ...] = ()
    examples: tuple[tuple[str, str], ...] = ()
    common: tuple[str, ...] = ()


EXIT_CODES = (
    ("0", "done, or stopped as told"),
    ("2", "the command line or a file it names is wrong"),
    ("3", "cannot listen"),
    ("130", "stopped a second time before what was under way had finished"),
)

EVENTS = (
    (
        "ready",
        "all is open: urls, ports, routes (each a scope and its backends), backends (what came of a first dial)",
    ),
    ("backend", "one is up, down or drained: pool, backend, state, up (whether it is well), why (it is not)"),
    (
        "members",
        "who is in a pool has changed: pool, joined, left, changed (in words), count (that are in it)",
    ),
    ("reload", "ok, with opened and closed listeners and unchanged flags; or not ok, with faults"),
    (
        "request",
        "with -v, as it ends: method, target, status, milliseconds, sent and received (bytes of bodies), backend, "
        "tries, retried (why there was more than one), outcome (what went wrong)",
    ),
    (
        "connection",
        "with -v, of what is passed on, as it ends: client, name (asked for), backend, tries, retried, received, "
        "sent, seconds, outcome",
    ),
    ("refused", "with -v, of a connection that was closed before anything was served: client, why"),
    ("stopping", "told to stop: busy (requests that are being finished)"),
    ("note", "anything else: text"),
)
"""What --json writes: the value of "event", and the fields beside it."""

PAGES = {
    "netfront": Page(
        summary="a load balancer and a reverse proxy, each from one line",
        usage="COMMAND ...",
        text=("netfront COMMAND -h shows a command's most used flags, --help all of them.",),
        examples=(
            ("netfront proxy 3000", "https://localhost:8443 in front of port 3000"),
            ("netfront proxy demo:", "the same in front of a built-in server, for trying things"),
            ("netfront balance 3001-3003", "http://localhost:8080, before three servers of this machine"),
            ("netfront trust env", "how to make curl, node, Python and git believe the local certificate"),
        ),
    ),
    "netfront balance": Page(
        summary="share requests and connections among backends",
        usage="[FLAGS] TARGET|ROUTE...",
        text=(
            "TARGET, ROUTE, SCOPE and @FILE are as netfront proxy has them, and so are all flags. Without "
            "--listen it serves http://localhost:8080.",
            "-l tcp://:PORT passes connections on byte for byte, tls:// ends TLS before that, udp:// passes "
            "datagrams: those of one client go to one backend, until that has left or is down, or no datagram "
            "has passed for as long as --udp-timeout says. A route of tcp:// may name a host: it is that of the "
            "client's TLS, which is not ended. "
            ":PORT=TARGET belongs to the listener on that port.",
            "Of several routes that a request lies in, the one of the most specific host serves it, and a host that "
            "a route names is served by its own routes alone; then the one of the most specific path, text before "
            "{name} before * before **, longer before shorter; then the one with methods. * is one segment.",
            "What may follow a target, beside what netfront proxy knows: weight=N (0 takes no new requests), "
            "backup (only when all others are down), max=N (requests at once), all (each address of the name "
            "is a backend), alpn=h2 (of tcp://: only clients that offer it).",
            "srv://_http._tcp.shop.internal asks DNS who serves; srv+https:// and srv+tls:// dial them with "
            "TLS. Names are asked for again as long as it runs.",
            "A backend is ejected after three failures in ten seconds: connections refused, silent, reset or "
            "cut. It is dialled every half second and comes back by one request that goes well. The last one "
            "is never ejected. A request that failed before anything was sent goes to another backend; one that "
            "was sent only if its method may be repeated. A GET whose answer is late is tried elsewhere too, "
            "and the first answer counts.",
            "--live shows a table on the terminal, and below it what would have been said. Of each backend: its "
            "number, whether it is up, backup, full, drained, leaving or down and why, its weight as it counts at "
            "the moment, busy (requests in flight), answers a second and times to their first byte (50 and 99 of a "
            "hundred) of the last ten seconds, errors (tries that failed and answers of 500 and above) since the "
            "start, the last verdict of its probe, and what comes next for one that is down: held (no request so "
            "long), dial, request or trial (one request tries it), probe. Columns that say nothing, or for which "
            "there is no room, are left out. Typing q stops as Ctrl-C does; d and a number drains that backend, u and "
            "a number brings it back.",
            "@FILE is read again when it changes, and on SIGHUP: backends come and go without a request lost. "
            "What is wrong in it is told, and what was before goes on.",
        ),
        examples=(
            ("netfront balance 3001-3003", "three servers of this machine, in turn"),
            (
                "netfront balance :3001+weight=3 :3002 :3009+backup --lb least --health /healthz",
                "by load, probed, with a spare",
            ),
            ("netfront balance -l tcp://:5432 db1:5432 db2:5432+backup", "a database and its stand-in"),
            ("netfront balance -l udp://:5353 10.0.0.2:53 10.0.0.3:53", "two name servers"),
            (
                "netfront balance -l tcp://:8443 a.example=:9443 b.example=10.0.0.9:443",
                "by the name that clients ask for, TLS not ended",
            ),
            (
                "netfront balance srv://_http._tcp.shop.internal --lb hash:header:X-User",
                "backends from DNS, each user always at the same one",
            ),
            ("netfront balance @pool.nf --live", "backends from a file, and what they do on the screen"),
        ),
        common=(
            "listen",
            "lb",
            "health",
            "eject_on",
            "slow_start",
            "retry_on",
            "hedge",
            "timeout",
            "cert",
            "key",
            "live",
            "verbose",
            "explain",
        ),
    ),
    "netfront proxy": Page(
        summary="put TLS, routes and names in front of servers",
        usage="[FLAGS] TARGET|ROUTE...",
        text=(
            "A TARGET is where to forward to: 3000 or :3000 (a port of this machine), host:port, "
            "http://host:port/base, https://host, unix:FILE, or demo: for the built-in server. "
            "3001-3003 is three targets; several are told apart by commas and used in turn, the "
            "next one when a connection is refused.",
            "A ROUTE is SCOPE=TARGET[,TARGET]. A SCOPE is a host (app.localhost, *.test), a path "
            "(/api, /v1/{name}, /files/**; a final $ makes it exact), both (app.localhost/api), "
            "or either with methods before it ('GET,HEAD /reports'). A path of the target, be it "
            "only /, replaces the route's prefix, up to its first {name} or *; without one the path "
            "goes on as it came. "
            ":PORT=TARGET belongs to the listener on that port.",
            "What follows a target, each behind a +: weight=N, backup, name=LABEL, "
            "host=keep|target|NAME, sni=NAME, ca=FILE, insecure, proxy=v1|v2. A literal + "
            "or , in a target is written %2B or %2C.",
            "A flag marked [SCOPE: ] takes a scope that holds a slash before its value: --timeout "
            "'/reports: 5m'. The most specific one holds; of --max-body the smallest. Of a flag that takes one "
            "value, and is given twice, the last one holds.",
            "@FILE as an argument reads arguments from a file, one a line: a target, a route, or "
            "a flag with its value behind the first space or =. A # at the start of a line or "
            "after a space begins a comment.",
            "Times are written 200ms, 30s, 5m, 1h or 1d, sizes 8192, 64k or 10M (1024-based), and "
            "none is no limit where that is possible. A secret is @FILE or env:NAME.",
            "Without --cert the certificate comes from a local CA, made at first use: see "
            "netfront trust. It holds for localhost, *.localhost, *.test and loopback addresses "
            "only.",
            "SIGINT and SIGTERM stop accepting, finish what is under way and exit; a second one "
            "cuts at once. SIGHUP reads certificates again, SIGUSR1 reopens the access log, "
            "SIGQUIT prints the state.",
        ),
        examples=(
            (
                "netfront proxy 3000",
                "https://localhost:8443, with a local certificate, in front of port 3000",
            ),
            ("netfront proxy :3000 -l http://:8080", "plain HTTP on port 8080 of this machine"),
            ("netfront proxy app.localhost=:3000 admin.localhost=:9000 /api=:8000/", "by host and by path"),
            ("netfront proxy https://api.example.com/v2 -H '-Cookie'", "in front of a server elsewhere"),
            (
                "netfront proxy unix:/run/app.sock -l 'https://*:443' --cert site.pem --key site.key "
                "--redirect-http ':80'",
                "a public site",
            ),
            ("netfront proxy 3000 --explain 'GET https://localhost/api/x'", "what would happen to a request"),
            ("netfront proxy 3000 -l https://:0 --port-file port -q &", "any free port, for scripts"),
        ),
        common=(
            "listen",
            "redirect_http",
            "cert",
            "key",
            "name",
            "insecure",
            "change_host_header",
            "header",
            "timeout",
            "verbose",
            "access_log",
            "explain",
        ),
    ),
    "netfront gateway": Page(
        summary="one front door to many services: routes, who may come in, how often, answers of several parts",
        usage="[FLAGS] TARGET|ROUTE...",
        text=(
            "TARGET, ROUTE, SCOPE and @FILE are as netfront proxy has them, and so are all its flags. A body of "
            f"a request is at most {render_size(DEFAULT_MAX_BODY)} unless --max-body says otherwise.",
            "Restrictions (authentication, authorization, limits) of all scopes that a request lies in add up; of "
            "other settings the most specific scope's holds.",
            "Restrictions compare paths without regard to case. As soon as one stands on a path, every request to "
            "its host, or to all if it names none, is forwarded normalised (dot segments resolved, slashes merged, "
            "what need not be encoded decoded), and what cannot be, or what servers would read in ways that meet "
            "different rules, is 400.",
            "A canary is a target with a small weight: '/=:3001+weight=19,:3002'. --lb sticky keeps each client at "
            "the one it came to first. --match sends there who carries something instead.",
            "Methods of authentication given with the same scope are alternatives: the first of api-key, jwt, "
            "basic, mtls, oidc and auth-url that finds its credential decides, and a bad one is 401 whatever the "
            "others would say. Those of different scopes must pass each. --public excepts its scope from what "
            "stands in wider ones. Why a request was refused is in the access log, and never in the answer. Who "
            "asks stands there too.",
            "The file of --basic is as htpasswd makes it: bcrypt (-B), apr1 (-m), SHA-1 (-s), SHA-2 (-2, -5). A "
            "password found right is remembered for five minutes, and forgotten when the file changes. The file "
            "of --api-key has a line for each key, NAME sha256:HASH and then the key's scopes; --new-key NAME "
            "prints a key and its line. Both are read again as they change and on SIGHUP; what is wrong then is "
            "told, and what was before goes on. One that others can write is refused. Credentials go on to the "
            "backend, as they do through nginx, unless ',hide' says otherwise.",
            "Claims are what is said of who asks: sub is always there; scope is of a key; cn, san and fingerprint "
            "of a certificate; others as a token has them. An --allow is an expression in CEL: claims, user, "
            "scopes (a list), method, path (as it is decided by), params (of the route), query, headers (names in "
            "lower case), ip and now. What is not true refuses: false, an error, a value that is not there. "
            "--pass-identity X-User=sub tells the backend; the values of an array have commas between them, and "
            "%2C for a comma within one.",
        ),
        examples=(
            (
                "netfront gateway /users=:3001,:3002 'GET /reports=:3004' --limit 100/s:ip --timeout '/reports: 2m'",
                "two services, and no client asks more than 100 times a second",
            ),
            (
                "netfront gateway /api=:3001 --api-key @keys --token-scope '/api/orders: orders' "
                "--pass-identity X-User=sub",
                "API keys, of which some may order, and the backend is told whose they are",
            ),
        ),
        common=("listen", "jwt", "api_key", "limit", "compose", "cors", "timeout", "verbose", "explain"),
    ),
    "netfront trust": Page(
        summary="show the local CA and how to trust it",
        usage="COMMAND",
        text=(
            "The CA is made at first use and kept in your data directory, its key readable by you "
            "alone. It can certify only localhost, *.localhost, *.test and loopback addresses.",
        ),
        examples=(
            ("netfront trust path", "print the CA's file"),
            ('eval "$(netfront trust env)"', "make curl, node, Python and git of this shell believe it"),
        ),
    ),
    "netfront trust path": Page(summary="print the local CA's file, made if there is none", usage=""),
    "netfront trust env": Page(summary="print the lines that make programs believe the local CA", usage=""),
    "netfront completion": Page(
        summary="print a shell's completion script",
        usage="bash|zsh|fish",
        examples=(
            ('eval "$(netfront completion bash)"', "in ~/.bashrc"),
            ('netfront completion zsh > "${fpath[1]}/_netfront"', "once"),
            ("netfront completion fish > ~/.config/fish/completions/netfront.fish", "once"),
        ),
    ),
}
"""By the words that call the command."""
