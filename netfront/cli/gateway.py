"""`netfront gateway`: all that the other serving commands have, and its own flags (gate/options.py)."""

import inspect

import typer

from netfront.cli.gate import options
from netfront.cli.serving import run, serving

__all__ = ["gateway"]


def gateway(
    ctx: typer.Context,
    match: options.Match = None,
    rewrite: options.Rewrite = None,
    redirect: options.Redirect = None,
    respond: options.Respond = None,
    public: options.Public = None,
    basic: options.Basic = None,
    api_key: options.ApiKey = None,
    new_key: options.NewKey = None,
    jwt: options.Jwt = None,
    oidc: options.Oidc = None,
    session_key: options.SessionKey = None,
    mtls: options.Mtls = None,
    auth_url: options.AuthUrl = None,
    token_scope: options.TokenScope = None,
    claim: options.Claim = None,
    ip: options.Ip = None,
    allow: options.Allow = None,
    pass_identity: options.PassIdentity = None,
    limit: options.Limit = None,
    concurrency: options.Concurrency = None,
    redis: options.Redis = None,
    redis_password: options.RedisPassword = None,
    redis_down: options.RedisDown = None,
    compose: options.Compose = None,
    compose_each: options.ComposeEach = None,
    compose_status: options.ComposeStatus = None,
    compose_timeout: options.ComposeTimeout = None,
    compose_part: options.ComposePart = None,
    compose_memory: options.ComposeMemory = None,
    compose_cookie: options.ComposeCookie = None,
    server_timing: options.ServerTiming = False,
    cors: options.Cors = None,
    secure_headers: options.SecureHeaders = False,
    request_id: options.RequestId = True,
    **shared: object,
) -> int:
    """Serve as a gateway."""
    given = locals()
    del given["ctx"], given["shared"]
    if new_key is not None and not ctx.obj.faults:
        from netfront.cli.gate.keys import print_new_key

        return print_new_key(new_key, {**given, **shared})
    return run("gateway", {**given, **shared}, ctx.obj)


def _take_all_flags() -> None:
    """Give the function the parameters of the other commands too, so that each flag is declared once."""
    own, common = inspect.signature(gateway), inspect.signature(serving)
    parameters = {**common.parameters, **own.parameters}
    del parameters["shared"]
    gateway.__signature__ = own.replace(parameters=list(parameters.values()))  # type: ignore[attr-defined]
    gateway.__annotations__ = {**serving.__annotations__, **gateway.__annotations__}


_take_all_flags()
