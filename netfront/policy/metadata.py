"""What an issuer says of itself (OpenID Connect Discovery 1.0 §3, RFC 8414 §2), and where it sends browsers back to."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["CALLBACK", "LOGOUT", "Metadata", "issuer_key", "read_metadata"]

CALLBACK, LOGOUT = b"/-/oidc/callback", b"/-/oidc/logout"
"""Paths that are answered here where a login is asked for: where one comes back to, and where a session ends."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """What an issuer says of itself.

    Args:
        issuer: its name, as tokens have it.
        authorization, token, end_session: where browsers log in, where codes become tokens, where browsers log out.
        token_methods: how a client may show who it is at `token`.
        names_itself: whether the answers that browsers bring from it name it (RFC 9207).
    """

    issuer: str
    jwks: str
    authorization: str | None = None
    token: str | None = None
    end_session: str | None = None
    token_methods: frozenset[str] = frozenset({"client_secret_basic"})
    names_itself: bool = False


def issuer_key(issuer: str | None) -> str:
    """Give what issuers are told apart by, a slash at the end not being it; "" is none."""
    return (issuer or "").rstrip("/")


def read_metadata(data: bytes, issuer: str) -> Metadata:
    """Read an issuer's metadata.

    Raises:
        ValueError: it is no such thing, or that of another issuer (RFC 8414 §3.3), or leads from https to http.
    """
    try:
        said = json.loads(data)
    except RecursionError as error:
        raise ValueError("its metadata is nested too deeply") from error
    except ValueError as error:
        raise ValueError("its metadata is no JSON") from error
    if not isinstance(said, dict):
        raise ValueError("its metadata is no JSON object")
    name = said.get("issuer")
    if not isinstance(name, str) or issuer_key(name) != issuer_key(issuer):
        raise ValueError(f"its metadata is that of {name!r}"[:200])
    is_secure = issuer.startswith("https://")
    keys = _url(said, "jwks_uri", is_secure=is_secure)
    if keys is None:
        raise ValueError("its metadata has no jwks_uri")
    methods = said.get("token_endpoint_auth_methods_supported")
    return Metadata(
        name,
        keys,
        _url(said, "authorization_endpoint", is_secure=is_secure),
        _url(said, "token_endpoint", is_secure=is_secure),
        _url(said, "end_session_endpoint", is_secure=is_secure),
        frozenset(one for one in methods if isinstance(one, str))
        if isinstance(methods, list)
        else Metadata("", "").token_methods,
        said.get("authorization_response_iss_parameter_supported") is True,
    )


def _url(said: Mapping[str, object], name: str, *, is_secure: bool) -> str | None:
    value = said.get(name)
    if value is None:
        return None
    schemes = ("https://",) if is_secure else ("https://", "http://")
    if (
        not isinstance(value, str)
        or not value.startswith(schemes)
        or not value.isascii()
        or not value.isprintable()
    ):
        raise ValueError(f"its {name} is no URL that may be asked")
    return value
