"""`netfront proxy`: from its flags to a plan, and on to whoever serves it."""

from dataclasses import replace
from functools import partial

import typer

from netfront.cli import options
from netfront.cli.flags import ProxyFlags
from netfront.cli.grammar import is_request
from netfront.cli.streams import print_result
from netfront.errors import ExitCode, Fault

__all__ = ["proxy"]


def proxy(
    ctx: typer.Context,
    targets: options.Targets = None,
    to: options.To = None,
    listen: options.Listen = None,
    from_: options.From = None,
    redirect_http: options.RedirectHttp = None,
    accept_proxy: options.AcceptProxy = False,
    trust_proxy: options.TrustProxy = None,
    port_file: options.PortFile = None,
    ready_fd: options.ReadyFd = None,
    drain: options.Drain = None,
    cert: options.Cert = None,
    key: options.Key = None,
    key_password: options.KeyPassword = None,
    name: options.Name = None,
    client_ca: options.ClientCa = None,
    hsts: options.Hsts = None,
    backend_ca: options.BackendCa = None,
    backend_cert: options.BackendCert = None,
    backend_key: options.BackendKey = None,
    backend_name: options.BackendName = None,
    insecure: options.Insecure = False,
    change_host_header: options.ChangeHostHeader = None,
    allow_host: options.AllowHost = None,
    header: options.Header = None,
    response_header: options.ResponseHeader = None,
    keep_server: options.KeepServer = False,
    forwarded: options.Forwarded = False,
    via: options.Via = True,
    timeout: options.Timeout = None,
    head_timeout: options.HeadTimeout = None,
    handshake_timeout: options.HandshakeTimeout = None,
    idle_timeout: options.IdleTimeout = None,
    body_timeout: options.BodyTimeout = None,
    send_timeout: options.SendTimeout = None,
    connect_timeout: options.ConnectTimeout = None,
    read_timeout: options.ReadTimeout = None,
    stream_timeout: options.StreamTimeout = None,
    backend_idle_timeout: options.BackendIdleTimeout = None,
    max_line: options.MaxLine = None,
    max_field: options.MaxField = None,
    max_head: options.MaxHead = None,
    max_fields: options.MaxFields = None,
    max_body: options.MaxBody = None,
    max_connections: options.MaxConnections = None,
    max_per_address: options.MaxPerAddress = None,
    access_log: options.AccessLog = None,
    log_format: options.LogFormat = None,
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
    json: options.Json = False,
    color: options.Color = None,
    explain: options.Explain = False,
    debug: options.Debug = False,
) -> int:
    """Put TLS, routes and names in front of servers."""
    given = locals()
    del given["ctx"]
    return _proxy(ProxyFlags(**given), ctx.obj)


def _proxy(flags: ProxyFlags, faults: list[Fault]) -> int:
    """Plan, then explain or serve. What serving needs is imported once the flags are known to be right."""
    from netfront.cli.files import missing_files, wrong_files
    from netfront.cli.planning import plan_proxy

    asked = [word for word in flags.targets or () if flags.explain and is_request(word)]
    targets = [word for word in flags.targets or () if word not in asked]
    if flags.explain:
        plan = plan_proxy(replace(flags, targets=targets), faults)
    else:
        plan = plan_proxy(flags, [*faults, *missing_files(flags)], partial(wrong_files, flags))
    if flags.explain:
        from netfront.cli.explain import explain_plan, explain_request

        texts = [explain_request(plan, request) for request in asked] or [explain_plan(plan)]
        print_result("\n".join(texts))
        return ExitCode.DONE
    from netfront.cli.supervise import serve

    return serve(plan)
