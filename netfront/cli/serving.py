"""The commands that serve, `netfront proxy` and `netfront balance`: from flags to a plan, and on to whoever serves it.

They are one function under two names: both understand all the same flags, and differ in their defaults (planning.py).
"""

from functools import partial
from typing import TYPE_CHECKING, Any

import typer

from netfront.cli import options
from netfront.cli.command import Line
from netfront.cli.flags import ServeFlags, flag_of
from netfront.cli.grammar import is_request, is_request_with_equals
from netfront.cli.streams import print_result
from netfront.errors import ExitCode, Fault

if TYPE_CHECKING:
    from netfront.cli.plan import ServePlan

__all__ = ["run", "serving"]


def serving(
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
    lb: options.Lb = None,
    sticky_key: options.StickyKey = None,
    health: options.Health = None,
    health_body: options.HealthBody = None,
    eject_on: options.EjectOn = None,
    slow_start: options.SlowStart = None,
    queue: options.Queue = None,
    queue_timeout: options.QueueTimeout = None,
    retry_on: options.RetryOn = None,
    retry_body: options.RetryBody = None,
    hedge: options.Hedge = None,
    resolver: options.Resolver = None,
    backend_header: options.BackendHeader = False,
    udp_timeout: options.UdpTimeout = None,
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
    live: options.Live = False,
    color: options.Color = None,
    explain: options.Explain = False,
    debug: options.Debug = False,
) -> int:
    """Serve."""
    given = locals()
    del given["ctx"]
    return run(ctx.command.name or "proxy", given, ctx.obj)


def run(command: str, given: dict[str, Any], line: Line) -> int:
    """Plan, then explain or serve. What serving needs is imported once the flags are known to be right."""
    if given["explain"]:
        return _explain(command, given, line)
    if given["live"]:
        from netfront.cli.terminal import terminal_faults

        line.faults.extend(terminal_faults(given["access_log"]))
    plan = _plan(command, given, line)

    def plan_again() -> "ServePlan":
        anew, read = line.read_again()
        for name in ("explain", "new_key"):
            if anew.get(name):
                read.faults.append(Fault(flag_of(name), "it serves nothing", "take it out of the file"))
        return _plan(command, anew, read, is_served=True)

    from netfront.cli.supervise import serve

    return serve(plan, plan_again)


def _plan(command: str, given: dict[str, Any], line: Line, *, is_served: bool = False) -> "ServePlan":
    from netfront.cli.files import missing_files, wrong_files
    from netfront.cli.planning import plan_serving

    flags = ServeFlags(**given, files=line.files)
    return plan_serving(
        command,
        flags,
        [*line.faults, *missing_files(flags, is_served=is_served)],
        partial(wrong_files, flags),
    )


def _explain(command: str, given: dict[str, Any], line: Line) -> int:
    from netfront.cli.explain import explain_plan, explain_request
    from netfront.cli.planning import plan_serving

    words = given["targets"] or ()
    asked = [word for word in words if is_request(word) or is_request_with_equals(word)]
    flags = ServeFlags(
        **{**given, "targets": [word for word in words if word not in asked]}, files=line.files
    )
    plan = plan_serving(command, flags, line.faults)
    texts = [explain_request(plan, request) for request in asked] or [explain_plan(plan)]
    print_result("\n".join(texts))
    return ExitCode.DONE
