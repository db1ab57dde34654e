"""The flags of `netfront gateway` that the other commands have not: spellings, group, help. See cli/options.py."""

from typing import Annotated

from netfront.cli.gate.compose_plan import DEFAULT_MEMORY, USUAL
from netfront.cli.options import LIMITS, MESSAGES, flag
from netfront.units import render_duration, render_size

ROUTING, AUTH, RULES, COMPOSING = "Routes", "Authentication", "Authorization", "Composition"

Match = Annotated[
    list[str] | None,
    flag(
        "--match",
        ROUTING,
        "a route beside the plain one of its scope, for requests that carry something: '/api: header:X-Version=2 => "
        ":3002', likewise cookie: and query:, without a value for any; several are tried in the order given",
        "[SCOPE: ]CONDITION => TARGETS",
    ),
]
Rewrite = Annotated[
    list[str] | None,
    flag(
        "--rewrite",
        ROUTING,
        "the path that is sent in place of the scope's: '/old/{id}: /new/{id}'. What follows it and the query stay, "
        "a final $ drops what follows; a target's path stands before it; it is not routed again, and 403 where it "
        "falls under a rule that the request did not pass",
        "[SCOPE: ]PATH",
    ),
]
Redirect = Annotated[
    list[str] | None,
    flag(
        "--redirect",
        ROUTING,
        "send clients elsewhere: '/x/{id}: 301 https://new.example/{id}', default 308. The scope is exact, or ends "
        "with /**, which {**} stands for in the URL; a query goes along unless the URL has one",
        "SCOPE: [STATUS ]URL",
    ),
]
Respond = Annotated[
    list[str] | None,
    flag(
        "--respond",
        ROUTING,
        "answer by ourselves: '/down: 503 back soon'. The scope is exact; JSON and HTML are told as what they are",
        "SCOPE: STATUS[ TEXT]",
    ),
]

Public = Annotated[
    list[str] | None,
    flag(
        "--public",
        AUTH,
        "here no authentication or authorization of a wider scope applies; none may stand inside it",
        "SCOPE",
    ),
]
Basic = Annotated[
    list[str] | None,
    flag(
        "--basic",
        AUTH,
        "user and password, by a file as htpasswd makes it (bcrypt, apr1, SHA); with ',hide' the backend does not "
        "see them",
        "[SCOPE: ]@FILE[,hide]",
    ),
]
ApiKey = Annotated[
    list[str] | None,
    flag(
        "--api-key",
        AUTH,
        "a key in X-API-Key or in the header named, by a file of hashes that --new-key makes; in Authorization it "
        "stands behind Bearer or ApiKey; with ',hide' the backend does not see it",
        "[SCOPE: ]@FILE[,header=NAME][,hide]",
    ),
]
NewKey = Annotated[
    str | None,
    flag("--new-key", AUTH, "print a new API key, and the line for the file of --api-key; then stop", "NAME"),
]
Jwt = Annotated[
    list[str] | None,
    flag(
        "--jwt",
        AUTH,
        "a bearer token of this issuer, or signed by a key of a JWKS file: aud=A|B whom it is for, alg=, leeway=TIME "
        "(default 30s), cookie=NAME where it may come too, iss= with a file, insecure for http elsewhere; of several "
        "in one scope the one decides that a token names as its issuer",
        "[SCOPE: ]URL|@FILE[,…]",
    ),
]
Oidc = Annotated[
    list[str] | None,
    flag(
        "--oidc",
        AUTH,
        "have browsers log in at this issuer: client-id=NAME, client-secret=SECRET, scope=A|B (default "
        "openid|profile|email), session=TIME (default 8h), leeway=, insecure; it sends them back to "
        "/-/oidc/callback, and /-/oidc/logout ends a session",
        "[SCOPE: ]URL,…",
    ),
]
SessionKey = Annotated[
    str | None,
    flag(
        "--session-key",
        AUTH,
        "seals the sessions of --oidc; of several lines the first seals and all open (default: one of the data "
        "directory)",
        "SECRET",
    ),
]
Mtls = Annotated[
    list[str] | None,
    flag(
        "--mtls",
        AUTH,
        "a client certificate, verified by --client-ca, is demanded here and not elsewhere",
        "SCOPE",
    ),
]
AuthUrl = Annotated[
    list[str] | None,
    flag(
        "--auth-url",
        AUTH,
        "ask another service whether a request may pass: fields=A|B of its answer go to the backend, user= and "
        "scopes= name those that say who asks, timeout=TIME (default 5s), open lets requests in while it is down "
        "(no answer, or 5xx)",
        "[SCOPE: ]URL[,…]",
    ),
]

TokenScope = Annotated[
    list[str] | None,
    flag("--token-scope", RULES, "scopes that a token or key must have, all of them", "[SCOPE: ]NAME,…"),
]
Claim = Annotated[
    list[str] | None,
    flag(
        "--claim",
        RULES,
        "a claim that must have this value, or hold it if it is an array; a.b is b within a",
        "[SCOPE: ]NAME=VALUE",
    ),
]
Ip = Annotated[
    list[str] | None,
    flag(
        "--ip",
        RULES,
        "networks that clients may come from, behind --trust-proxy their own",
        "[SCOPE: ]CIDR,…",
    ),
]
Allow = Annotated[
    list[str] | None,
    flag(
        "--allow",
        RULES,
        "a CEL expression over claims, user, scopes, method, path, params, query, headers, ip and now that must hold",
        "[SCOPE: ]EXPR",
    ),
]
PassIdentity = Annotated[
    list[str] | None,
    flag(
        "--pass-identity",
        RULES,
        "tell backends who asks, as in X-User=sub; clients cannot send these fields themselves",
        "[SCOPE: ]FIELD=CLAIM,…",
    ),
]

Limit = Annotated[
    list[str] | None,
    flag(
        "--limit",
        LIMITS,
        "requests in a time, such as 50/s or 3000/m, for each ip, ip/24, key, user, claim:X, header:X, cookie:X or "
        "route, or without KEY for all together; burst come at once (default: one second's worth); more are 429",
        "[SCOPE: ]RATE[:KEY][,burst=N]",
    ),
]
Concurrency = Annotated[
    list[str] | None,
    flag(
        "--concurrency",
        LIMITS,
        "requests under way at once, for the same keys as --limit; more are 429",
        "[SCOPE: ]N[:KEY]",
    ),
]
Redis = Annotated[
    str | None,
    flag(
        "--redis",
        LIMITS,
        "share the counts of --limit by this Redis or Valkey: redis://, rediss:// (TLS, also with ,ca=FILE), "
        "redis+sentinel://HOSTS/NAME, redis+cluster://HOSTS or unix://PATH",
        "URL",
    ),
]
RedisPassword = Annotated[str | None, flag("--redis-password", LIMITS, "the password of --redis", "SECRET")]
RedisDown = Annotated[
    str | None,
    flag(
        "--redis-down",
        LIMITS,
        "while Redis is down: each process counts by itself, all pass, or 503 (default local)",
        "local|allow|refuse",
    ),
]

Compose = Annotated[
    list[str] | None,
    flag(
        "--compose",
        COMPOSING,
        "one JSON answer of several parts: '/home = user:/users/me + orders:/orders?u={user.id} + ads?:/ads/top'; "
        "?=JSON is a default, name[] runs over an array, ... spreads an object, ' < ' sends and ' | ' picks by "
        "JMESPath",
        "RULE",
    ),
]
ComposeEach = Annotated[
    list[str] | None,
    flag(
        "--compose-each",
        COMPOSING,
        f"of a part for each item, requests at once (default {USUAL.each})",
        "[SCOPE: ]N",
    ),
]
ComposeStatus = Annotated[
    list[str] | None,
    flag("--compose-status", COMPOSING, "pass: a part's own 4xx becomes the answer's", "[SCOPE: ]pass|hide"),
]
ComposeTimeout = Annotated[
    list[str] | None,
    flag(
        "--compose-timeout",
        COMPOSING,
        f"for all parts together (default {render_duration(USUAL.timeout)})",
        "[SCOPE: ]TIME",
    ),
]
ComposePart = Annotated[
    list[str] | None,
    flag(
        "--compose-part",
        COMPOSING,
        f"most bytes of a part, all items of a name[] together (default {render_size(USUAL.most_part)})",
        "[SCOPE: ]SIZE",
    ),
]
ComposeMemory = Annotated[
    str | None,
    flag(
        "--compose-memory",
        COMPOSING,
        "most bytes that are held for answers being composed, bodies and parts of all requests together, a quarter of "
        f"them for one address of another machine; more is 503 (default {render_size(DEFAULT_MEMORY)})",
        "SIZE",
    ),
]
ComposeCookie = Annotated[
    list[str] | None,
    flag("--compose-cookie", COMPOSING, "let this cookie of a part through to the client", "[SCOPE: ]NAME"),
]
ServerTiming = Annotated[
    bool, flag("--server-timing/--no-server-timing", COMPOSING, "tell what each part took in Server-Timing")
]

Cors = Annotated[
    list[str] | None,
    flag(
        "--cors",
        MESSAGES,
        "let scripts of these origins read answers; * is any, https://*.x any below x. Preflights are answered here, "
        "before authentication; what a backend says of it is replaced, but for the fields that it exposes",
        "[SCOPE: ]ORIGIN,…[,credentials][,max-age=TIME]",
    ),
]
SecureHeaders = Annotated[
    bool,
    flag(
        "--secure-headers/--no-secure-headers",
        MESSAGES,
        "add the fields by which browsers protect users, where the backend sets none (not --hsts)",
    ),
]
RequestId = Annotated[
    bool,
    flag(
        "--request-id/--no-request-id",
        MESSAGES,
        "give each request an X-Request-Id, told to the backend, the client and the log (default: yes)",
    ),
]

__all__ = [name for name in dir() if name[0].isupper() and name != "Annotated"]
