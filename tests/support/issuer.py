"""An issuer of tokens of our own: keys that rotate, signed tokens, and all kinds of forged ones."""

import base64
import hmac
import json
import secrets
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlencode

from joserfc import jws
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

__all__ = ["Issuer", "Signer", "b64", "forgeries", "issuer", "unsigned"]


def b64(data):
    """Encode bytes, or an object as JSON, in base64url."""
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


@dataclass
class Signer:
    """One key, and the tokens it signs."""

    kid: str | None = "k1"
    alg: str = "RS256"
    issuer: str = "https://id.test"
    key: object = field(default=None, repr=False)

    def __post_init__(self):
        if self.key is None:
            if self.alg[:2] in ("RS", "PS"):
                self.key = RSAKey.generate_key(2048)
            elif self.alg[:2] == "ES":
                self.key = ECKey.generate_key({"ES256": "P-256", "ES384": "P-384"}[self.alg])
            elif self.alg[:2] == "HS":
                self.key = OctKey.generate_key(256)
            else:
                self.key = OKPKey.generate_key("Ed25519")

    @property
    def jwk(self):
        """The public key, as a JWKS has it."""
        public = self.key.as_dict(private=self.alg.startswith("HS"))
        public.pop("kid", None)
        return {**public, **({"kid": self.kid} if self.kid else {}), "use": "sig"}

    @property
    def jwks(self):
        """A JWKS with this key alone."""
        return json.dumps({"keys": [self.jwk]}).encode()

    def claims(self, **more):
        """Give the claims of a usual token; None leaves one out."""
        now = int(time.time())
        claims = {"iss": self.issuer, "sub": "ada", "aud": "shop", "iat": now, "exp": now + 300, **more}
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, payload=None, *, header=None, **more):
        """Sign a token.

        Args:
            payload: in place of the claims; bytes.
            header: members in place of the usual ones; None leaves one out.
        """
        head = {"alg": self.alg, "typ": "JWT", "kid": self.kid, **(header or {})}
        head = {name: value for name, value in head.items() if value is not None}
        body = payload if payload is not None else json.dumps(self.claims(**more)).encode()
        signed = b64(head) + b"." + b64(body)
        return signed + b"." + b64(jws.JWSRegistry.algorithms[self.alg].sign(signed, self.key))


def unsigned(signer, **header):
    """Make a token without a signature."""
    return b64({"alg": "none", "typ": "JWT", **header}) + b"." + b64(signer.claims()) + b"."


def forgeries(signer):
    """Give tokens that nobody may believe, by what is wrong with each."""
    good = signer.token()
    head, body, mark = good.split(b".")
    other = Signer(signer.kid, signer.alg, signer.issuer)
    now = int(time.time())
    forged = {
        "unsigned": unsigned(signer, kid=signer.kid),
        "unsigned with a signature": unsigned(signer) + mark,
        "none in capitals": b64({"alg": "NONE", "kid": signer.kid}) + b"." + body + b"." + mark,
        "of another key": other.token(),
        "of a key of its own": other.token(header={"jwk": other.jwk}),
        "of a key elsewhere": other.token(header={"jku": "http://127.0.0.1:1/keys"}),
        "expired": signer.token(exp=now - 3600),
        "without an end": signer.token(exp=None),
        "ending in a text": signer.token(exp=str(now + 60)),
        "ending never": signer.token(
            json.dumps(signer.claims()).replace("300", "300").encode()[:-1] + b', "exp": 1e999}'
        ),
        "not yet": signer.token(nbf=now + 3600),
        "of another issuer": signer.token(iss="https://evil.test"),
        "without an issuer": signer.token(iss=None),
        "for another audience": signer.token(aud="else"),
        "for no audience": signer.token(aud=None),
        "of another type": signer.token(header={"typ": "logout+jwt"}),
        "with an extension": signer.token(header={"crit": ["x"], "x": 1}),
        "truncated": good[:-10],
        "without a signature": head + b"." + body + b".",
        "of two parts": head + b"." + body,
        "of four parts": good + b".x",
        "changed": head + b"." + b64(signer.claims(sub="eve")) + b"." + mark,
        "with padding": good + b"=",
        "with a space": good[:20] + b" " + good[20:],
        "no JSON": signer.token(b"nothing"),
        "a JSON array": signer.token(b"[]"),
        "said twice": signer.token(json.dumps(signer.claims()).encode()[:-1] + b', "sub": "eve"}'),
        "nested": signer.token(b'{"a":' * 2000 + b"1" + b"}" * 2000),
        "too long": signer.token(pad="x" * 20000),
        "a header of nothing": b"e30." + body + b"." + mark,
        "no header": b"bm8." + body + b"." + mark,
        "a number for a user": signer.token(sub=5),
    }
    confused = b64({"alg": "HS256", "kid": signer.kid}) + b"." + b64(signer.claims())
    for name, public in (("PEM", signer.key.as_pem(private=False)), ("JWK", json.dumps(signer.jwk).encode())):
        mac = hmac.new(public, confused, "sha256").digest()
        forged[f"signed by HMAC with the public {name}"] = confused + b"." + b64(mac)
    return forged


class Issuer:
    """An issuer on loopback that answers for its metadata and its keys, and signs tokens.

    Args:
        alg: of the keys it signs with.
        cache_control: what its keys are sent with.
    """

    def __init__(self, alg="RS256", cache_control=None):
        self.alg = alg
        self.cache_control = cache_control
        self.asked = []
        self.keys = []
        self.is_broken = False
        self.auth_method = "client_secret_basic"
        self.codes = {}
        self.grants = []
        self.refresh = None
        self.reused = 0
        self.expires_in = 3600
        self.claims = {}
        self.spoilt = {}
        self.grants_instead = None
        """What the token endpoint answers in any case, where it is not None: status and body."""
        self._server = None
        self._port = 0
        self.start()
        self.rotate()

    @property
    def url(self):
        """Its name."""
        return f"http://127.0.0.1:{self._port}"

    def rotate(self, *, keeps=1):
        """Sign with a new key; the last ones stay published."""
        kid = f"k{len(self.asked)}-{time.monotonic_ns()}"
        self.keys = [Signer(kid, self.alg, self.url), *self.keys[:keeps]]

    def token(self, **more):
        """Sign a token with the current key."""
        return self.keys[0].token(**more)

    def start(self):
        """Answer, on the port it had before."""
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                owner.answer(self)

            do_POST = do_GET

            def log_message(self, *_):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True

        self._server = Server(("127.0.0.1", self._port), Handler)
        self._port = self._server.server_address[1]
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        ).start()

    def stop(self):
        """Refuse connections."""
        self._server.shutdown()
        self._server.server_close()

    def answer(self, request):
        """Answer one request."""
        path = request.path.partition("?")[0]
        self.asked.append(path)
        status, body, location = 200, b"", ""
        if self.is_broken:
            status, body = 500, b"broken"
        elif path == "/.well-known/openid-configuration":
            body = json.dumps(self.metadata()).encode()
        elif path == "/keys":
            body = json.dumps({"keys": [one.jwk for one in self.keys]}).encode()
        elif path == "/authorize":
            status, location = 302, self.authorize(dict(parse_qsl(request.path.partition("?")[2])))
        elif path == "/token":
            size = int(request.headers["Content-Length"])
            form = dict(parse_qsl(request.rfile.read(size).decode(), strict_parsing=True))
            status, said = self.grant(form, request.headers.get("Authorization"))
            body = json.dumps(said).encode()
            status, body = self.grants_instead or (status, body)
        else:
            status = 404
        request.send_response(status)
        if location:
            request.send_header("Location", location)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(body)))
        if self.cache_control is not None:
            request.send_header("Cache-Control", self.cache_control)
        request.end_headers()
        request.wfile.write(body)

    def metadata(self):
        """What it says of itself."""
        return {
            "issuer": self.url,
            "jwks_uri": f"{self.url}/keys",
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "end_session_endpoint": f"{self.url}/logout",
            "token_endpoint_auth_methods_supported": [self.auth_method],
            "authorization_response_iss_parameter_supported": True,
        }

    # -- logins: everybody who comes is ada -------------------------------------------------------------------

    def authorize(self, asked):
        """Give where the browser is sent back to."""
        assert asked["response_type"] == "code"
        assert asked["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe(8)
        self.codes[code] = asked
        back = {"code": code, "state": asked["state"], "iss": self.url}
        return f"{asked['redirect_uri']}?{urlencode(back)}"

    def grant(self, form, authorization):
        """Answer at the token endpoint: a code, or a refresh token, is good once."""
        self.grants.append(form)
        if self.auth_method == "client_secret_basic":
            known = authorization == "Basic " + base64.b64encode(b"web:s%3Acret").decode()
        else:
            known = (form.get("client_id"), form.get("client_secret")) == ("web", "s:cret")
        if not known:
            return 401, {"error": "invalid_client"}
        if form["grant_type"] == "authorization_code":
            asked = self.codes.pop(form["code"], None)
            challenge = b64(sha256(form["code_verifier"].encode()).digest()).decode()
            if (
                asked is None
                or challenge != asked["code_challenge"]
                or form["redirect_uri"] != asked["redirect_uri"]
            ):
                return 400, {"error": "invalid_grant"}
            extra = {"nonce": asked["nonce"], "aud": "web", **self.claims}
            said = {"id_token": self.token(**{**extra, **self.spoilt}).decode()}
        elif form["refresh_token"] == self.refresh:
            said = {}
        else:
            self.reused += 1
            return 400, {"error": "invalid_grant"}
        self.refresh = secrets.token_urlsafe(8)
        return 200, {
            **said,
            "access_token": "opaque",
            "token_type": "Bearer",
            "expires_in": self.expires_in,
            "refresh_token": self.refresh,
            "scope": "openid email",
        }

    def count(self, path):
        """Count how often a path was asked for."""
        return self.asked.count(path)


@contextmanager
def issuer(**kinds):
    """Run an issuer as long as the block lasts."""
    one = Issuer(**kinds)
    try:
        yield one
    finally:
        one.stop()
