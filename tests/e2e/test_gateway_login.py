"""--oidc end to end: a browser logs in, stays, is renewed and logs out; scripts and forgers do not."""

import http.client
import re
import secrets
import signal
import stat
from contextlib import contextmanager
from urllib.parse import parse_qsl, urlsplit

import pytest

from netfront.policy.sealed import Sealer
from tests.support.issuer import issuer
from tests.support.named import until
from tests.support.netfront import run, running
from tests.support.origins import answering, origin

pytestmark = pytest.mark.usefixtures("modes")
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
PAGE = {"Accept": "text/html,application/xhtml+xml;q=0.9", "Sec-Fetch-Mode": "navigate"}


class Browser:
    """Keeps cookies and follows redirects, one host at a time."""

    def __init__(self, cookies=None):
        self.cookies = dict(cookies or {})
        self.set = []

    def get(self, url, *, method="GET", fields=PAGE, body=None):
        """Ask once; give status, fields and body."""
        place = urlsplit(url)
        connection = http.client.HTTPConnection(place.hostname, place.port, timeout=20)
        cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        try:
            target = re.sub(r"^\w+://[^/]*", "", url) or "/"
            connection.request(
                method, target, body, headers={**fields, **({"Cookie": cookies} if cookies else {})}
            )
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        for line in answer.headers.get_all("Set-Cookie") or ():
            self.set.append(line)
            name, _, value = line.partition(";")[0].partition("=")
            if "Max-Age=0" in line:
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = value
        return answer.status, answer.headers, body

    def go(self, url, most=8):
        """Follow redirects to where they end; give the last URL and its status."""
        for _ in range(most):
            status, fields, _ = self.get(url)
            if status != 302:
                return url, status
            url = fields["Location"]
        raise AssertionError("a loop")


@contextmanager
def guarded(*more, routes=(), options="", method="client_secret_basic", **environment):
    """Run a gateway behind a login; give the issuer, the origin and the gateway.

    Args:
        routes: more of them.
        method: how the issuer has clients say who they are; set before the gateway may read it.
    """
    with issuer() as ident, origin(answering(OK)) as behind:
        ident.auth_method = method
        value = f"/: {ident.url},client-id=web,client-secret=env:SECRET{options}"
        line = (
            f"/={behind.url}",
            *(f"{route}={behind.url}" for route in routes),
            "--oidc",
            value,
            "--pass-identity",
            "X-User=sub,X-Groups=groups",
            *more,
        )
        with running("gateway", *line, SECRET="s:cret", **environment) as front:
            yield ident, behind, front


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_a_browser_logs_in_and_comes_back_to_the_page_it_asked_for(method):
    with guarded(method=method) as (ident, behind, front):
        ident.claims = {"groups": ["a", "b"]}
        browser = Browser()
        asked = f"{front.url}//evil.test/x?y=%2F&z=1"
        assert browser.go(asked) == (asked, 200)
        (seen,) = behind.requests
        assert seen.target == b"//evil.test/x?y=%2F&z=1"
        assert (seen.get(b"x-user"), seen.get(b"x-groups"), seen.get(b"cookie")) == (b"ada", b"a,b", None)
        for line in browser.set:
            assert "HttpOnly; SameSite=Lax" in line
            assert "Path=/;" in line
        assert len(browser.cookies) == 1
        assert browser.get(front.url)[0] == 200
        assert len(ident.grants) == 1
        script = {"Accept": "application/json"}
        assert browser.get(front.url, fields=script)[0] == 200


@pytest.mark.parametrize(
    ("more", "back", "cookie"),
    [
        (("--trust-proxy", "127.0.0.1"), "https://www.example.test/-/oidc/callback", "__Host-netfront-"),
        ((), "http://{place}/-/oidc/callback", "netfront-"),
    ],
)
def test_where_a_login_comes_back_to_is_what_a_trusted_proxy_says_and_nobody_else(more, back, cookie):
    told = {"X-Forwarded-Proto": "https, http", "X-Forwarded-Host": "www.example.test, inner.test"}
    with guarded(*more) as (_, _, front):
        status, fields, _ = Browser().get(front.url, fields={**PAGE, **told})
        asked = dict(parse_qsl(urlsplit(fields["Location"]).query))
        assert (status, asked["redirect_uri"]) == (302, back.format(place=urlsplit(front.url).netloc))
        assert fields["Set-Cookie"].startswith(cookie)
        assert ("; Secure" in fields["Set-Cookie"]) is (more != ())


def test_the_pages_of_a_login_stand_behind_the_addresses_and_limits_of_all_that_it_is_for():
    for rules, wanted in (
        (("--ip", "/: 10.0.0.0/8"), [403, 403, 403, 403, 403, 403]),
        (("--ip", "/other: 10.0.0.0/8"), [302, 403, 403, 400, 400, 302]),
        (("--limit", "/: 4/h:ip,burst=4"), [302, 403, 403, 400, 429, 429]),
        (("--limit", "/: 4/h:user,burst=4"), [302, 403, 403, 400, 400, 302]),
    ):
        with guarded(*rules, routes=("/other",)) as (_, _, front):
            browser = Browser()
            status, fields, _ = browser.get(front.url)
            state = dict(parse_qsl(urlsplit(fields.get("Location", "")).query)).get("state", "")
            pages = [f"callback?code=x&state={state}"] * 2 + ["callback?code=x&state=forged"] * 2 + ["logout"]
            assert [status, *(browser.get(f"{front.url}/-/oidc/{page}")[0] for page in pages)] == wanted


def test_no_log_holds_the_code_of_a_login(tmp_path):
    log = tmp_path / "log"
    with guarded("--access-log", str(log)) as (_, _, front):
        assert Browser().go(front.url)[1] == 200
        until(lambda: log.read_text().count("GET / ") == 2)
        assert '"GET /-/oidc/callback HTTP/1.1" 302' in log.read_text()
        assert "code" not in log.read_text() + front.stderr


def test_scripts_get_401_and_no_login_page():
    with guarded() as (_, behind, front):
        for method, fields in (
            ("GET", {"Accept": "application/json"}),
            ("GET", {}),
            ("GET", {**PAGE, "X-Requested-With": "XMLHttpRequest"}),
            ("GET", {**PAGE, "Sec-Fetch-Mode": "cors"}),
            ("POST", PAGE),
            ("HEAD", PAGE),
            ("GET", {**PAGE, "Connection": "Upgrade", "Upgrade": "websocket"}),
        ):
            status, answer, _ = Browser().get(front.url, method=method, fields=fields)
            assert (status, answer["WWW-Authenticate"], answer["Set-Cookie"]) == (401, 'OIDC realm="/"', None)
        assert behind.requests == []


def test_what_comes_back_must_be_what_was_sent():
    with guarded() as (ident, behind, front):
        browser = Browser()
        _, fields, _ = browser.get(front.url)
        back = ident.authorize(dict(parse_qsl(urlsplit(fields["Location"]).query)))
        assert Browser().get(back)[0] == 400  # a browser that began no login: a code was put upon it
        assert Browser(browser.cookies).get(back.replace("state=", "state=x"))[0] == 400
        assert Browser(browser.cookies).get(re.sub("iss=[^&]*", "iss=x", back))[0] == 403
        forged = {name: value[:-2] for name, value in browser.cookies.items()}
        assert Browser(forged).get(back)[0] == 400
        assert Browser(browser.cookies).get(re.sub("code=[^&]*", "code=x", back))[0] == 403
        denied = re.sub("code=[^&]*", "error=access_denied", back)
        assert Browser(browser.cookies).get(denied)[0] == 403
        for spoilt in (
            {"nonce": "x"},
            {"nonce": None},
            {"nonce": "\ud800"},
            {"aud": "else"},
            {"iss": "x"},
            {"exp": 1},
            {"azp": "else"},
            {"aud": ["web", "else"]},
            {"aud": ["web", {}]},
        ):
            ident.spoilt = spoilt
            assert Browser().go(front.url)[1] == 403, spoilt
        ident.spoilt = {}
        assert browser.get(back)[0] == 302
        assert Browser(browser.cookies).get(back)[0] in (400, 403)
        assert behind.requests == []
        changed = {name: "A" * 9 + value[9:] for name, value in browser.cookies.items()}
        assert Browser(changed).get(front.url)[0] == 302


def test_eight_pages_of_a_browser_may_be_logging_in_at_once():
    with guarded() as (_, _, front):
        browser = Browser()
        begun = [browser.get(f"{front.url}/page{at}")[1]["Location"] for at in range(8)]
        assert [browser.go(place) for place in begun] == [(f"{front.url}/page{at}", 200) for at in range(8)]


@pytest.mark.parametrize(
    ("instead", "why"),
    [
        ((503, b"busy"), "answers 503"),
        ((200, b"<html>"), "answers with no JSON object"),
        ((200, b"[]"), "answers with no JSON object"),
    ],
)
def test_what_a_token_endpoint_answers_is_told_to_this_machine(instead, why):
    with guarded() as (ident, _, front):
        ident.grants_instead = instead
        browser = Browser()
        back = ident.authorize(dict(parse_qsl(urlsplit(browser.get(front.url)[1]["Location"]).query)))
        status, _, page = browser.get(back)
        assert status == 503
        assert f"login: its token endpoint {why}" in page.decode()


def test_logging_out_ends_it_here_and_at_the_issuer():
    with guarded() as (ident, _, front):
        browser = Browser()
        browser.go(front.url)
        assert browser.get(f"{front.url}/-/oidc/logout", fields={"Sec-Fetch-Site": "cross-site"})[0] == 403
        status, fields, _ = browser.get(f"{front.url}/-/oidc/logout")
        assert (status, fields["Location"]) == (302, f"{ident.url}/logout?client_id=web")
        assert browser.cookies == {}
        assert browser.get(front.url)[0] == 302


def test_large_claims_are_split_over_cookies_and_what_finds_no_room_is_left_out():
    with guarded() as (ident, behind, front):
        ident.claims = {"groups": [f"g{at * 7919 % 99991:x}-{at}" for at in range(500)]}
        browser = Browser()
        assert browser.go(front.url)[1] == 200
        assert all(len(value) < 4000 for value in browser.cookies.values())
        assert behind.requests[-1].get(b"x-user") == b"ada"


def aged(browser, key):
    """Make the session in a browser one that is due to be renewed, as its lifetime would."""
    (name,) = browser.cookies
    sealer = Sealer([key.encode()], secrets.token_bytes)
    purpose = b"session " + name.removeprefix("netfront-").removesuffix("-s0").encode()
    claims, scopes, refresh, _, until = sealer.open(purpose, browser.cookies[name].encode())
    browser.cookies[name] = sealer.seal(purpose, [claims, scopes, refresh, 0, until]).decode()


def test_an_answer_that_renews_a_session_is_for_no_cache():
    public = (
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nCache-Control: public, max-age=99\r\nExpires: 0\r\n\r\nok"
    )
    with issuer() as ident, origin(answering(public)) as behind:
        line = (f"/={behind.url}", "--oidc", f"/: {ident.url},client-id=web,client-secret=env:SECRET")
        with running("gateway", *line, "--session-key", "env:KEY", KEY="k" * 32, SECRET="s:cret") as front:
            browser = Browser()
            browser.go(front.url)
            assert browser.get(front.url)[1]["Cache-Control"] == "public, max-age=99"
            aged(browser, "k" * 32)
            _, fields, _ = browser.get(front.url)
            assert fields["Set-Cookie"] is not None
            assert (fields.get_all("Cache-Control"), fields["Expires"]) == (["no-store"], None)


def test_a_session_that_is_renewed_for_a_part_is_the_browsers():
    """Its refresh token was good once: who keeps the old session has none in a minute."""
    json = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Type: application/json\r\n\r\n1"
    with issuer() as ident, origin(answering(json)) as behind:
        line = (f"/api={behind.url}", "--oidc", f"/api: {ident.url},client-id=web,client-secret=env:SECRET")
        line += ("--compose", "/home = a:/api/a + b:/api/b", "--session-key", "env:KEY")
        with running("gateway", *line, KEY="k" * 32, SECRET="s:cret") as front:
            browser = Browser()
            browser.go(f"{front.url}/api")
            aged(browser, "k" * 32)
            status, fields, body = browser.get(f"{front.url}/home")
            assert (status, body, len(ident.grants)) == (200, b'{"a":1,"b":1}', 2)
            assert len(fields.get_all("Set-Cookie")) == 1
            assert browser.get(f"{front.url}/home")[1]["Set-Cookie"] is None


def test_sessions_outlive_a_restart_by_a_key_that_is_kept(tmp_path):
    data = tmp_path / "data"
    with issuer() as ident, origin(answering(OK)) as behind:
        line = (f"/={behind.url}", "--oidc", f"/: {ident.url},client-id=web,client-secret=env:SECRET")
        environment = {"SECRET": "s:cret", "NETFRONT_DATA": str(data)}
        browser = Browser()
        with running("gateway", *line, **environment) as front:
            assert browser.go(front.url)[1] == 200
        key = data / "session.key"
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        with running("gateway", *line, **environment) as front:
            assert browser.get(front.url)[0] == 200
        with running("gateway", *line, "--session-key", "env:KEY", KEY="k" * 32, **environment) as front:
            assert browser.get(front.url)[0] == 302
        both = "n" * 32 + "\n" + "k" * 32
        with running("gateway", *line, "--session-key", "env:KEY", KEY="k" * 32, **environment) as front:
            assert browser.go(front.url)[1] == 200
        with running("gateway", *line, "--session-key", "env:KEY", KEY=both, **environment) as front:
            assert browser.get(front.url)[0] == 200


def test_a_reload_reads_the_session_key_again_and_forgets_no_renewal(tmp_path):
    key, file = tmp_path / "key", tmp_path / "shop.nf"
    with issuer() as ident, origin(answering(OK)) as behind:
        login = f"--oidc /: {ident.url},client-id=web,client-secret=env:SECRET\n"
        file.write_text(f"/={behind.url}\n{login}--session-key @{key}\n")
        key.write_text("k" * 32)
        key.chmod(0o600)
        with running("gateway", f"@{file}", SECRET="s:cret") as front:
            browser = Browser()
            browser.go(front.url)
            aged(browser, "k" * 32)
            old = dict(browser.cookies)
            assert browser.get(front.url)[0] == 200
            for content, status in (("n" * 32 + "\n" + "k" * 32, 200), ("n" * 32, 302)):
                key.write_text(content)
                said = front.stderr.count("reload")
                front.process.send_signal(signal.SIGHUP)
                until(lambda said=said: front.stderr.count("reload") > said)
                assert Browser(old).get(front.url)[0] == status, content
                assert ident.reused == 0


def test_one_login_may_stand_in_several_scopes():
    with issuer() as ident, origin(answering(OK)) as behind:
        login = f"{ident.url},client-id=web,client-secret=env:SECRET"
        line = (f"/={behind.url}", "--oidc", f"/: {login}", "--oidc", f"/admin: {login}", "--public", "/open")
        with running("gateway", *line, SECRET="s:cret") as front:
            browser = Browser()
            assert browser.go(f"{front.url}/admin") == (f"{front.url}/admin", 200)
            assert browser.get(f"{front.url}/open")[0] == 200
        assert [seen.get(b"cookie") for seen in behind.requests] == [None, None]


def test_a_token_is_as_good_as_a_login_where_both_are_asked_for():
    with issuer() as ident, origin(answering(OK)) as behind:
        line = ("--oidc", f"/: {ident.url},client-id=web", "--jwt", f"/: {ident.url},aud=shop")
        with running("gateway", f"/={behind.url}", *line) as front:
            token = {"Authorization": "Bearer " + ident.token().decode()}
            assert Browser().get(front.url, fields=token)[0] == 200
            assert Browser().get(front.url)[0] == 302
            status, fields, _ = Browser().get(front.url, fields={})
            assert (status, fields.get_all("WWW-Authenticate")) == (
                401,
                ['Bearer realm="/"', 'OIDC realm="/"'],
            )


def test_what_is_wrong_with_it_is_told():
    base = ("gateway", "/=:3000", "-l", "http://127.0.0.1:0")
    for line, why in (
        (("--oidc", "/: https://id.example.com"), "add ,client-id=NAME"),
        (
            ("--oidc", "/: https://id.example.com,client-id=a,client-secret=hunter2"),
            "a secret is not given inline",
        ),
        (("--session-key", "env:X"), "there is no --oidc"),
        (("--oidc", "/: https://id.example.com,client-id=a", "-l", "http://*:0"), "anybody on the way"),
        (("--oidc", "/: https://id.example.com,client-id=a,client-secret=env:ABSENT"), "env:ABSENT"),
    ):
        ended = run(*base, *line)
        assert ended.returncode == 2, (line, ended.stderr)
        assert why in ended.stderr
        assert "hunter2" not in ended.stderr
    said = run("gateway", "/=:3000", "--oidc", "/: https://id.example.com,client-id=a", "--explain").stdout
    assert "oidc at https://id.example.com as a, for openid profile email, sessions of 8h" in said
