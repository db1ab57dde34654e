"""What was given on the command line of a serving command: the text of each flag, None for one not given."""

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["ServeFlags", "flag_of"]

Several = Sequence[str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeFlags:
    """The flags, each under the name of its parameter (options.py says what each one means).

    Args:
        files: the `@file` arguments that were read.
    """

    files: tuple[str, ...] = ()

    targets: Several = None
    to: Several = None
    listen: Several = None
    from_: Several = None
    redirect_http: str | None = None
    accept_proxy: bool = False
    trust_proxy: Several = None
    port_file: str | None = None
    ready_fd: str | None = None
    drain: str | None = None
    cert: Several = None
    key: Several = None
    key_password: Several = None
    name: Several = None
    client_ca: str | None = None
    hsts: str | None = None
    backend_ca: str | None = None
    backend_cert: str | None = None
    backend_key: str | None = None
    backend_name: str | None = None
    insecure: bool = False
    change_host_header: bool | None = None
    allow_host: Several = None
    header: Several = None
    response_header: Several = None
    keep_server: bool = False
    forwarded: bool = False
    via: bool = True
    timeout: Several = None
    head_timeout: str | None = None
    handshake_timeout: str | None = None
    idle_timeout: str | None = None
    body_timeout: str | None = None
    send_timeout: str | None = None
    connect_timeout: str | None = None
    read_timeout: str | None = None
    stream_timeout: str | None = None
    backend_idle_timeout: str | None = None
    lb: Several = None
    sticky_key: str | None = None
    health: Several = None
    health_body: Several = None
    eject_on: Several = None
    slow_start: Several = None
    queue: Several = None
    queue_timeout: Several = None
    retry_on: Several = None
    retry_body: Several = None
    hedge: Several = None
    resolver: str | None = None
    backend_header: bool = False
    udp_timeout: str | None = None
    live: bool = False
    max_line: str | None = None
    max_field: str | None = None
    max_head: str | None = None
    max_fields: str | None = None
    max_body: Several = None
    max_connections: str | None = None
    max_per_address: str | None = None
    quiet: bool = False
    verbose: bool = False
    json: bool = False
    access_log: str | None = None
    log_format: str | None = None
    color: bool | None = None
    explain: bool = False
    match: Several = None
    rewrite: Several = None
    redirect: Several = None
    respond: Several = None
    public: Several = None
    basic: Several = None
    api_key: Several = None
    new_key: str | None = None
    jwt: Several = None
    oidc: Several = None
    session_key: str | None = None
    mtls: Several = None
    auth_url: Several = None
    token_scope: Several = None
    claim: Several = None
    ip: Several = None
    allow: Several = None
    pass_identity: Several = None
    limit: Several = None
    concurrency: Several = None
    redis: str | None = None
    redis_password: str | None = None
    redis_down: str | None = None
    compose: Several = None
    compose_each: Several = None
    compose_status: Several = None
    compose_timeout: Several = None
    compose_part: Several = None
    compose_memory: str | None = None
    compose_cookie: Several = None
    server_timing: bool = False
    cors: Several = None
    secure_headers: bool = False
    request_id: bool = True
    debug: bool = False


def flag_of(name: str) -> str:
    """Give the spelling of the flag that fills a parameter."""
    return "--" + name.replace("_", "-")
