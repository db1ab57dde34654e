"""--auth-url end to end: another service decides, and what happens while it is down."""

import pytest

from tests.e2e.test_gateway_tokens import ask
from tests.support.named import until
from tests.support.netfront import run, running
from tests.support.origins import answering, closed_port, origin, silent

pytestmark = pytest.mark.usefixtures("modes")
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
YES = b"HTTP/1.1 204 No Content\r\nX-User: ada\r\nX-Roles: a b\r\nX-Other: c\r\n\r\n"


def test_it_is_asked_with_method_host_target_and_fields_and_tells_the_backend_who_asks():
    with origin(answering(OK)) as behind, origin(answering(YES)) as guard:
        value = f"/: {guard.url}/check?a=b,fields=X-User,user=X-User,scopes=X-Roles"
        line = (
            f"/={behind.url}",
            "--auth-url",
            value,
            "--token-scope",
            "/adm: b",
            "--token-scope",
            "/root: c",
        )
        with running("gateway", *line) as front:
            sent = {
                "X-User": "eve",
                "X_User": "eve",
                "Authorization": "t",
                "Range": "bytes=0-1",
                "Host": "shop.test",
            }
            assert ask(front.port, method="POST", target="/adm/x?y=z", fields=sent)[0] == 200
            assert ask(front.port, target="/root")[0] == 403
        seen, _ = guard.requests
        assert (seen.method, seen.target, seen.body) == (b"GET", b"/check?a=b", b"")
        assert seen.get(b"x-forwarded-method") == b"POST"
        assert seen.get(b"x-forwarded-uri") == b"/adm/x?y=z"
        assert seen.get(b"x-forwarded-host") == b"shop.test"
        assert seen.get(b"authorization") == b"t"
        assert seen.get(b"range") is None
        assert seen.host == guard.url.removeprefix("http://").encode()
        (passed,) = behind.requests
        assert (passed.get(b"x-user"), passed.get(b"x_user"), passed.get(b"x-other")) == (b"ada", None, None)
        assert passed.get(b"x-forwarded-uri") is None


def test_a_trusted_proxy_does_not_say_who_asks_either():
    """It passes on what its clients send; and the service may say nothing, or be down."""
    silent = b"HTTP/1.1 204 No Content\r\n\r\n"
    with origin(answering(OK)) as behind, origin(answering(silent)) as guard, closed_port() as nobody:
        for url in (guard.url, f"http://127.0.0.1:{nobody}"):
            value = f"/: {url},open,fields=X-Forwarded-User"
            line = (f"/={behind.url}", "--auth-url", value, "--trust-proxy", "127.0.0.1")
            with running("gateway", *line) as front:
                for name in ("X-Forwarded-User", "X_Forwarded_User"):
                    assert ask(front.port, fields={name: "root", "X-Forwarded-For": "192.0.2.7"})[0] == 200
        for seen in (*behind.requests, *guard.requests):
            assert not [
                name for name, _ in seen.fields if b"user" in name.lower() and b"agent" not in name.lower()
            ]
            assert b"192.0.2.7" in seen.get(b"x-forwarded-for")


@pytest.mark.parametrize("status", [b"401 Unauthorized", b"403 Forbidden"])
def test_its_no_goes_to_the_client(status):
    no = b"HTTP/1.1 %b\r\nWWW-Authenticate: Basic\r\nServer: s\r\nContent-Length: 3\r\n\r\nwhy" % status
    with origin(answering(OK)) as behind, origin(answering(no)) as guard:
        with running("gateway", f"/={behind.url}", "--auth-url", f"/: {guard.url},open") as front:
            until(lambda: f"--auth-url {guard.url}/,open: whoever has it fail or hang passes" in front.stderr)
            for method in ("GET", "HEAD", "POST"):
                answer, fields = ask(front.port, method=method)
                assert answer == int(status[:3])
                assert (fields["WWW-Authenticate"], fields["Server"], fields["Content-Length"]) == (
                    "Basic",
                    None,
                    "3",
                )
        assert behind.requests == []


def test_what_its_own_answer_is_called_does_not_name_the_request():
    no = b"HTTP/1.1 403 Forbidden\r\nX-Request-Id: guards\r\nContent-Length: 0\r\n\r\n"
    with origin(answering(OK)) as behind, origin(answering(no)) as guard:
        with running("gateway", f"/={behind.url}", "--auth-url", f"/: {guard.url}") as front:
            status, fields = ask(front.port)
        assert status == 403
        (name,) = fields.get_all("X-Request-Id")
        assert name != "guards"


@pytest.mark.parametrize(
    "name",
    [
        "X-Original-URL", "X-Original-URI", "x-original-method", "X_Original_Uri", "X-Rewrite-URL",
        "X-Forwarded-Uri", "X_Forwarded_Uri", "X-Forwarded_Method",
    ],
)  # fmt: skip
def test_a_client_cannot_tell_it_of_another_target(name):
    with origin(answering(OK)) as behind, origin(answering(OK)) as guard:
        with running("gateway", f"/={behind.url}", "--auth-url", f"/: {guard.url}") as front:
            is_ours = name.lower().replace("_", "-").startswith("x-forwarded-")
            status = ask(front.port, fields={name: "/public", "X-Forwards": "stays"})[0]
            assert status == (200 if is_ours else 400)
        if not is_ours:  # some frameworks heed it in place of the request line
            assert (guard.requests, behind.requests) == ([], [])
            return
        (asked,) = guard.requests
        assert asked.get(b"x-forwarded-uri") == b"/"
        assert b"/public" not in [value for _, value in asked.fields]
        assert asked.get(b"x-forwards") == b"stays"


@pytest.mark.parametrize(
    ("answer", "is_down"),
    [
        (b"500 No\r\nContent-Length: 0\r\n\r\n", True),
        (b"503 No\r\nContent-Length: 0\r\n\r\n", True),
        (None, True),
        (b"302 Found\r\nContent-Length: 0\r\n\r\n", False),
        (b"404 Not Found\r\nContent-Length: 0\r\n\r\n", False),
        (b"431 Too Large\r\nContent-Length: 0\r\n\r\n", False),
        (b"999 What\r\nContent-Length: 0\r\n\r\n", False),
        (b"200 OK\r\nBad Field: x\r\nContent-Length: 0\r\n\r\n", False),
        (b"200 OK\r\nX: " + b"x" * 99999 + b"\r\n\r\n", False),
        (b"403 Forbidden\r\nContent-Length: 100\r\n\r\ncut", False),
        (b"403 Forbidden\r\nContent-Length: 100\r\n\r\nstalls", False),
        (b"401 Unauthorized\r\nContent-Length: 100\r\n\r\nstalls", False),
        (b"101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n", False),
        (b"100 Continue\r\n\r\nHTTP/1.1 " * 200 + b"403 Forbidden\r\nContent-Length: 0\r\n\r\n", False),
    ],
    ids=lambda value: value[:3].decode() if isinstance(value, bytes) else str(value),
)
@pytest.mark.parametrize("is_open", [False, True])
def test_any_other_answer_lets_nobody_in_unless_it_is_down_and_may(answer, is_down, is_open):

    def says(connection):
        connection.read_request()
        connection.send(b"HTTP/1.1 " + answer)
        if answer.endswith(b"stalls"):
            connection.wait_until_gone()

    script = silent if answer is None else says
    option = ",timeout=0.3s" + (",open" if is_open else "")
    with origin(answering(OK)) as behind, origin(script) as guard:
        with running("gateway", f"/={behind.url}", "--auth-url", f"/: {guard.url}{option}") as front:
            assert ask(front.port)[0] == (200 if is_open and is_down else 503)
        assert len(behind.requests) == (is_open and is_down)


@pytest.mark.parametrize("user", ["Jörg".encode(), b"J\xf6rg"])
def test_whoever_it_names_is_told_to_the_backend_in_the_same_bytes_where_that_is_text(user):
    yes = b"HTTP/1.1 204 No Content\r\nX-User: " + user + b"\r\n\r\n"
    with origin(answering(OK)) as behind, origin(answering(yes)) as guard:
        value = f"/: {guard.url},user=X-User"
        with running(
            "gateway", f"/={behind.url}", "--auth-url", value, "--pass-identity", "X-Me=sub"
        ) as front:
            assert ask(front.port)[0] == 200
        (seen,) = behind.requests
        assert seen.get(b"x-me") == "Jörg".encode()


def test_a_client_says_none_of_what_it_is_asked_for():
    with (
        origin(answering(OK)) as behind,
        origin(answering(b"HTTP/1.1 200 OK\r\nX-U: ann\r\nContent-Length: 0\r\n\r\n")) as guard,
    ):
        options = f"/in: {guard.url},user=X-U,scopes=X-S"
        with running("gateway", f"/={behind.url}", "--auth-url", options) as front:
            for path in ("/in", "/"):
                said = {"X-U": "eve", "X_S": "admin", "X.U": "eve", "X-V": "stays"}
                assert ask(front.port, target=path, fields=said)[0] == 200
        for seen in (*behind.requests, *guard.requests):
            names = {name.lower() for name, _ in seen.fields}
            assert b"x-v" in names
            assert not names & {b"x-u", b"x_s", b"x.u", b"x-s"}


def test_who_is_not_there_is_down():
    with closed_port() as port:
        line = ("/=:3000", "--auth-url", f"/: http://127.0.0.1:{port}/")
        with running("gateway", *line) as front:
            assert ask(front.port)[0] == 503


def test_what_is_wrong_with_it_is_told():
    for value, why in (
        (":9100/check", "not an http:// or https:// URL"),
        ("http://:9100/check,opened", "did you mean open?"),
        ("http://:9100/check,fields=Host", "no field that can be handed on"),
        ("http://:9100/check,timeout=1h", "1h"),
    ):
        ended = run("gateway", "/=:3000", "--auth-url", f"/: {value}", "-l", "http://127.0.0.1:0")
        assert ended.returncode == 2, (value, ended.stderr)
        assert why in ended.stderr
    said = run("gateway", "/=:3000", "--auth-url", "/: http://:9100/check,open", "--explain").stdout
    assert "ask http://localhost:9100/check within 5s, while it is down passes" in said
