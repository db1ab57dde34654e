"""--jwt end to end: an issuer that rotates its keys and goes down, and tokens that nobody may believe."""

import http.client
import json
import os
import threading
import time
from contextlib import contextmanager

import pytest

from tests.support.client import connect
from tests.support.issuer import Signer, forgeries, issuer
from tests.support.netfront import run, running
from tests.support.origins import answering, origin

pytestmark = pytest.mark.usefixtures("modes")
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def ask(port, token=None, *, target="/", method="GET", fields=()):
    """Ask once on a connection of its own; give status and fields."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    headers = dict(fields)
    if token is not None:
        headers["Authorization"] = b"Bearer " + token
    try:
        connection.request(method, target, headers=headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status, answer.headers
    finally:
        connection.close()


@contextmanager
def guarded(**kinds):
    """Run a gateway before an origin that tokens of an issuer open; give the issuer, the origin and the gateway."""
    with (
        issuer(**kinds) as ident,
        origin(answering(OK)) as behind,
        running("gateway", f"/={behind.url}", "--jwt", f"/: {ident.url},aud=shop") as front,
    ):
        yield ident, behind, front


def test_a_token_of_the_issuer_passes_and_tells_the_backend_who_asks():
    with issuer() as ident, origin(answering(OK)) as behind:
        line = (f"/={behind.url}", "--jwt", f"/: {ident.url},aud=shop", "--pass-identity", "X-User=sub")
        with running("gateway", *line) as front:
            assert ask(front.port, ident.token())[0] == 200
            status, fields = ask(front.port)
            assert (status, fields["WWW-Authenticate"]) == (401, 'Bearer realm="/"')
            status, fields = ask(front.port, ident.token(aud="else"))
            assert (status, fields["WWW-Authenticate"]) == (401, 'Bearer realm="/", error="invalid_token"')
            assert ask(front.port, method="HEAD")[0] == 401
            upgrade = {"Connection": "Upgrade", "Upgrade": "websocket"}
            assert ask(front.port, fields=upgrade)[0] == 401
        assert [seen.get(b"x-user") for seen in behind.requests] == [b"ada"]
        assert ident.count("/keys") == 1


def test_tokens_of_two_issuers_pass_at_one_place_each_by_its_own_keys():
    with issuer() as one, issuer() as other, origin(answering(OK)) as behind:
        jwts = ("--jwt", f"/: {one.url},aud=shop", "--jwt", f"/: {other.url},aud=shop,cookie=t")
        line = (f"/={behind.url}", *jwts, "--pass-identity", "X-User=sub,X-Iss=iss", "-q")
        with running("gateway", *line) as front:
            for ident in (other, one, other):
                assert ask(front.port, ident.token())[0] == 200
            assert ask(front.port, fields={"Cookie": f"t={other.token().decode()}"})[0] == 200
            assert ask(front.port, fields={"Cookie": f"t={one.token().decode()}"})[0] == 401
            for forged in (
                one.token(iss=other.url),
                other.token(iss=one.url),
                one.token(iss="https://x.test"),
                b"x",
            ):
                status, fields = ask(front.port, forged)
                challenge = 'Bearer realm="/", error="invalid_token"'
                assert (status, fields.get_all("WWW-Authenticate")) == (401, [challenge])
            status, fields = ask(front.port)
            assert (status, fields.get_all("WWW-Authenticate")) == (401, ['Bearer realm="/"'])
            for forged in forgeries(other.keys[0]).values():
                assert ask(front.port, forged)[0] in (401, 431)
        told = [seen.get(b"x-iss").decode() for seen in behind.requests]
        assert told == [other.url, one.url, other.url, other.url]


def test_no_forged_token_passes_and_none_is_an_error_of_ours():
    with issuer() as ident, origin(answering(OK)) as behind:
        with running("gateway", f"/={behind.url}", "--jwt", f"/: {ident.url},aud=shop", "-q") as front:
            assert ask(front.port, ident.token())[0] == 200
            for kind, forged in forgeries(ident.keys[0]).items():
                status = ask(front.port, forged)[0]
                assert status == (431 if len(forged) > 8000 else 401), kind
            stranger = Signer("unheard-of", "RS256", ident.url)
            with connect(front.port) as client:
                good = ident.token()
                two = b"Authorization: Bearer %b\r\nAuthorization: Bearer %b\r\n" % (good, stranger.token())
                client.send(b"GET / HTTP/1.1\r\nHost: a.test\r\n" + two + b"\r\n")
                assert client.read_answer().status == 400
        assert len(behind.requests) == 1


@pytest.mark.slow
def test_with_keys_that_rotate_under_load_no_good_token_is_refused():
    with guarded() as (ident, _, front):
        statuses, stop = [], threading.Event()

        def load():
            while not stop.is_set():
                statuses.append(ask(front.port, ident.token())[0])

        threads = [threading.Thread(target=load) for _ in range(3)]
        for thread in threads:
            thread.start()
        for _ in range(2):
            before = len(statuses)
            while len(statuses) < before + 50:
                time.sleep(0.01)
            ident.rotate()
        stop.set()
        for thread in threads:
            thread.join(30)
        assert ask(front.port, ident.token())[0] == 200
        assert set(statuses) == {200}
        looks = ident.count("/keys")
        assert 2 <= looks <= 4
        old = Signer("k0", "RS256", ident.url)
        began = time.monotonic()
        assert ask(front.port, old.token())[0] == 401
        assert (
            ask(front.port, old.token(iat=int(time.time()) - 3600))[0] == 401
        )  # issued before keys were looked for
        assert time.monotonic() - began < 15
        assert ident.count("/keys") <= looks + 1


def test_a_token_that_says_it_is_of_another_issuer_waits_for_no_keys():
    """Anybody can write one; those of a new key of ours may wait ten seconds."""
    with guarded() as (ident, _, front):
        assert ask(front.port, ident.token())[0] == 200
        foreign = Signer("unknown", "RS256", "https://id.example")
        began = time.monotonic()
        assert [ask(front.port, foreign.token())[0] for _ in range(3)] == [401] * 3
        assert time.monotonic() - began < 5.0
        assert ident.count("/keys") == 1


def test_an_issuer_without_an_audience_is_warned_of(tmp_path):
    with issuer() as ident, origin(answering(OK)) as behind:
        with running("gateway", f"/={behind.url}", "--jwt", f"/: {ident.url}") as front:
            assert ask(front.port, ident.token(aud="else"))[0] == 200
            warned = f"netfront: --jwt {ident.url}: tokens that it made for others pass too; add ,aud=NAME"
            assert warned in front.stderr.splitlines()
        with running("gateway", f"/={behind.url}", "--jwt", f"/: {ident.url},aud=shop") as front:
            assert "for others" not in front.stderr


def test_an_issuer_that_is_down_takes_nobodys_access():
    with guarded(cache_control="max-age=1") as (ident, _, front):
        assert ask(front.port, ident.token())[0] == 200
        ident.stop()
        assert [ask(front.port, ident.token())[0] for _ in range(5)] == [200] * 5
        ident.start()
        assert ask(front.port, ident.token())[0] == 200


def test_while_no_keys_were_ever_had_nobody_can_be_told():
    with issuer() as ident, origin(answering(OK)) as behind:
        ident.is_broken = True
        with running("gateway", f"/={behind.url}", "--jwt", f"/: {ident.url},aud=shop") as front:
            status, fields = ask(front.port, ident.token())
            assert (status, fields["Retry-After"]) == (503, "5")
            assert ask(front.port)[0] == 401
            assert "answers 500" in front.stderr
        assert behind.requests == []


def test_keys_may_come_from_a_file_which_is_read_again(tmp_path):
    one, other = Signer("a", "ES256"), Signer("b", "HS256")
    file = tmp_path / "jwks.json"
    file.write_bytes(one.jwks)
    line = ("--jwt", f"/: @{file},aud=shop,cookie=token")
    with origin(answering(OK)) as behind, running("gateway", f"/={behind.url}", *line) as front:
        assert ask(front.port, one.token())[0] == 200
        assert ask(front.port, other.token())[0] == 401
        cookie = {"Cookie": "a=b; token=" + one.token().decode()}
        assert ask(front.port, fields=cookie)[0] == 200
        twice = {"Cookie": f"token={one.token().decode()}; token=x"}
        assert ask(front.port, fields=twice)[0] == 401
        renamed = tmp_path / "new"
        renamed.write_bytes(other.jwks)
        renamed.chmod(0o600)
        os.replace(renamed, file)
        deadline = time.monotonic() + 15
        while ask(front.port, other.token())[0] != 200:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert ask(front.port, one.token())[0] == 401


def test_what_is_wrong_with_it_is_told_before_anything_is_opened(tmp_path):
    empty = tmp_path / "empty.json"
    empty.write_text(json.dumps({"keys": []}))
    for value, why in (
        ("http://id.example.com", "over http anybody on the way can put in keys of their own"),
        ("https://id.example.com,alg=none", "an unsigned token is none"),
        ("https://id.example.com,alg=HS256", "a secret that an issuer publishes is none"),
        ("https://id.example.com,leway=1s", "did you mean leeway?"),
        ("https://id.example.com,aud=x,aud=y", "given twice"),
        (f"@{empty}", "none of its keys can be used"),
        (f"@{tmp_path}/absent", "no such file"),
    ):
        ended = run("gateway", "/=:3000", "--jwt", f"/: {value}", "-l", "http://127.0.0.1:0")
        assert ended.returncode == 2, (value, ended.stderr)
        assert why in ended.stderr


def test_explain_tells_whose_tokens_and_for_whom():
    said = run("gateway", "/=:3000", "--jwt", "/: https://id.example.com,aud=shop|web", "--explain").stdout
    assert "jwt of https://id.example.com, for shop or web, leeway 30s" in said
