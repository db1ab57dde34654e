"""Who may pass, over real connections, with and without the lane."""

import json
import os
import signal
import socket
import ssl
from base64 import b64encode
from contextlib import closing

import bcrypt
import pytest

from tests.support.certificates import CLIENT, make_ca, make_leaf, write_pem
from tests.support.client import connect, converse
from tests.support.named import ask, until
from tests.support.netfront import NotReady, run, running
from tests.support.origins import answering, origin, switching

pytestmark = pytest.mark.usefixtures("modes")
ANN = "ann:$2y$05$1e2dBskcwO.bCJFHVu9f..davjP8f2xHVJlTFFuquDws3/cErxUvu\n"
SHA = "bob:{SHA}I7dElEdfX4dJgLdnbVEeI9iG2mQ=\n"
PASSWORD = "pässword"


def basic(user="ann", password=PASSWORD):
    return b"Authorization: Basic " + b64encode(f"{user}:{password}".encode())


@pytest.fixture
def files(tmp_path):
    """A file of users, one of keys, and the key of "shop", which has the scope "read"."""
    users, keys = tmp_path / "htpasswd", tmp_path / "keys"
    key, line = run("gateway", "--new-key", "shop").stdout.splitlines()
    users.write_text(ANN + SHA)
    keys.write_text(f"{line} read\n")
    for file in (users, keys):
        file.chmod(0o600)
    return users, keys, b"X-API-Key: " + key.encode()


def test_alternatives_groups_rules_and_exceptions(files, tmp_path):
    users, keys, key = files
    log = tmp_path / "log"
    flags = [
        "--basic", f"@{users}", "--api-key", f"@{keys}", "--api-key", f"/both: @{keys},header=X-Second",
        "--token-scope", "/keys: read", "--token-scope", "/admin: admin", "--ip", "/far: 192.0.2.0/24",
        "--ip", "/near: 127.0.0.0/8", "--public", "/open", "--allow", '/ann: user == "ann" && method == "GET"',
        "--claim", "/bob: sub=bob", "--pass-identity", "X-User=sub", "--access-log", str(log), "--log-format", "json",
    ]  # fmt: skip
    with origin(answering()) as behind, running("gateway", behind.url, *flags) as front:

        def status(target, *fields, method=b"GET"):
            return ask(front.port, target, *fields, method=method).status

        refused = ask(front.port, b"/")
        assert refused.status == 401
        assert refused.get_all(b"www-authenticate") == [
            b'ApiKey realm="/", header="x-api-key"', b'Basic realm="/", charset="UTF-8"'
        ]  # fmt: skip
        assert b"credential" not in refused.body
        assert behind.requests == []

        assert status(b"/", basic()) == 200
        assert behind.requests[-1].get(b"x-user") == b"ann"
        assert behind.requests[-1].get(b"authorization") is not None  # as nginx and Kong have it: see ,hide
        assert status(b"/", key) == 200
        assert behind.requests[-1].get(b"x-user") == b"shop"
        assert status(b"/", key, basic(password="x")) == 200  # the key decides
        assert status(b"/", b"X-API-Key: nf_forged", basic()) == 401  # and does not fall through
        assert status(b"/", basic("bob")) == 200
        assert status(b"/", basic("nobody")) == 401
        assert status(b"/", key, method=b"HEAD") == 200
        assert status(b"/", method=b"HEAD") == 401
        assert status(b"/", method=b"OPTIONS") == 401
        assert status(b"/", b"X-API-Key: " + key[11:][:-1]) == 401

        assert status(b"/both", basic()) == 401
        assert status(b"/both", basic(), b"X-Second: " + key[11:]) == 200
        assert status(b"/keys", key) == 200
        assert status(b"/keys", basic()) == 403
        assert status(b"/admin", key) == 403
        assert status(b"/far", key) == 403
        assert status(b"/near", key) == 200
        assert status(b"/ann", basic()) == 200
        assert status(b"/ann", basic(), method=b"POST") == 403
        assert status(b"/ann", basic("bob")) == 403
        assert status(b"/bob", basic("bob")) == 200
        assert status(b"/bob", basic()) == 403
        assert status(b"/open", b"X-User: root", b"x_user: root") == 200
        assert not [name for name, _ in behind.requests[-1].fields if name.lower() in (b"x-user", b"x_user")]
        assert status(b"/opened") == 401

        hidden = ask(front.port, b"/admin", key)
        assert b"scope" not in hidden.body
    reasons = {json.loads(line).get("outcome") for line in log.read_text().splitlines()}
    assert {"no credentials", "an unknown API key", "a wrong user or password"} <= reasons
    assert "the scope admin is missing (shop)" in reasons
    assert "127.0.0.1 may not come in" in reasons
    told = log.read_text() + front.told.read_text() if front.told.exists() else log.read_text()
    assert key[11:].decode() not in told
    assert PASSWORD not in told


NO_CREDENTIALS = [
    [basic(), basic()],
    [basic(), b"authorization: Bearer x"],
    [b"Authorization: Basic"],
    [b"Authorization: Basic \xff\xfe"],
    [b"Authorization: Basic " + b"A" * 7000],
    [b"Authorization: Basic " + b"=" * 100],
    [basic()[:-1]],
    [basic()[:-4]],
    [basic() + b"x"],
    [basic("ann", PASSWORD + "\0")],
    [basic("ann", "x" * 4000)],
    [basic("", "")],
    [b"Authorization: " + b"Basic " * 1000],
    [b"X-API-Key:"],
    [b"X-API-Key: nf_", b"X-API-Key: nf_"],
    [b"X-API-Key: " + b"x" * 7000],
    [b"X-API-Key: sha256:" + b"a" * 64],
    [b"Proxy-Authorization: Basic eDp5"],
]


def test_what_is_no_credential_passes_nowhere(files):
    users, keys, _ = files
    with (
        origin(answering()) as behind,
        running("gateway", behind.url, "--basic", f"@{users}", "--api-key", f"@{keys}", "-q") as front,
    ):
        answers = {
            (method, *fields): ask(front.port, b"/", *fields, method=method).status
            for fields in NO_CREDENTIALS
            for method in (b"GET", b"HEAD", b"POST")
        }
        assert set(answers.values()) <= {400, 401}, answers
        assert behind.requests == []


def test_an_upgrade_is_guarded_and_a_body_is_not_needed_for_a_refusal(files):
    users, _, _ = files
    upgrade = b"GET /chat HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    with (
        origin(switching()) as behind,
        running("gateway", behind.url, "--basic", f"@{users}", "-q") as front,
    ):
        assert ask(front.port, b"/chat", b"Connection: Upgrade", b"Upgrade: websocket").status == 401
        waiting = (
            b"POST / HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 100000\r\n\r\n"
        )
        assert converse(front.port, waiting, half_close=True)[0].startswith(b"HTTP/1.1 401 ")
        assert behind.requests == []
        assert converse(front.port, upgrade + basic() + b"\r\n\r\n", half_close=True)[0].startswith(
            b"HTTP/1.1 101 "
        )


def test_who_guesses_holds_up_nobody_else(files, tmp_path):
    users, _, _ = files
    log = tmp_path / "log"
    users.write_text(f"ann:{bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(11)).decode()}\n")
    users.chmod(0o600)
    flags = ("--basic", f"@{users}", "--access-log", str(log))
    with origin(answering()) as behind, running("gateway", behind.url, *flags) as front:
        request = b"GET / HTTP/1.1\r\nHost: a\r\n%b\r\n\r\n"
        guesses = [socket.create_connection(("127.0.0.1", front.port), 20) for _ in range(30)]
        for at, guess in enumerate(guesses):
            guess.sendall(request % basic(password=str(at)))
        with closing(
            socket.create_connection(("127.0.0.1", front.port), 20, source_address=("127.0.0.2", 0))
        ) as good:
            good.sendall(request % basic())
            assert good.recv(12, socket.MSG_WAITALL) == b"HTTP/1.1 200"
        for guess in guesses:
            assert guess.recv(12, socket.MSG_WAITALL) == b"HTTP/1.1 401"
            guess.close()
        until(lambda: log.read_text().count("\n") == 31)
        answered = [line.split('" ')[1][:3] for line in log.read_text().splitlines()]
        assert answered.index("200") < 15


def test_hidden_credentials_do_not_reach_the_backend(files):
    users, keys, key = files
    flags = ["--basic", f"@{users},hide", "--api-key", f"@{keys},hide", "-q"]
    with origin(answering()) as behind, running("gateway", behind.url, *flags) as front:
        assert ask(front.port, b"/", basic()).status == 200
        assert ask(front.port, b"/", basic()).status == 200
        assert ask(front.port, b"/", key).status == 200
        assert not [seen for seen in behind.requests if seen.get(b"authorization") or seen.get(b"x-api-key")]


def test_parts_of_an_answer_are_asked_for_with_the_same_credentials(files):
    users, keys, key = files
    flags = ["--basic", f"@{users},hide", "--api-key", f"/orders: @{keys},hide", "--token-scope", "/orders: read",
             "--compose", "/home = u:/users/me + o?:/orders", "--pass-identity", "X-User=sub", "-q"]  # fmt: skip
    body = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    with origin(answering(body)) as behind:
        routes = [f"/users={behind.url}", f"/orders={behind.url}"]
        with running("gateway", *routes, *flags) as front:
            assert ask(front.port, b"/home").status == 401
            assert ask(front.port, b"/home", key).status == 401
            assert behind.requests == []
            assert json.loads(ask(front.port, b"/home", basic()).body) == {"u": {}, "o": None}
            assert json.loads(ask(front.port, b"/home", basic(), key).body) == {"u": {}, "o": {}}
            told = sorted((seen.target, seen.get(b"x-user")) for seen in behind.requests)
            assert told == [(b"/orders", b"shop"), (b"/users/me", b"ann"), (b"/users/me", b"ann")]
            assert not [seen for seen in behind.requests if seen.get(b"authorization")]


def test_trailers_cannot_say_who_asks(files):
    users, _, _ = files
    flags = ["--basic", f"@{users}", "--pass-identity", "X-User=sub", "-q"]
    body = b"1\r\nx\r\n0\r\nX-User: root\r\nX_User: root\r\nX-Sum: 1\r\n\r\n"
    asked = (
        b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n" + basic()
    )
    with origin(answering()) as behind, running("gateway", behind.url, *flags) as front:
        assert converse(front.port, asked + b"\r\n\r\n" + body)[0].startswith(b"HTTP/1.1 200 ")
        assert [name.lower() for name, _ in behind.requests[-1].trailers] == [b"x-sum"]
        assert behind.requests[-1].get_all(b"x-user") == [b"ann"]


@pytest.mark.parametrize("how", ["look", "sighup"])
def test_files_are_read_again_while_it_serves(files, how):
    users, keys, key = files
    flags = ["--basic", f"@{users}", "--api-key", f"@{keys}"]
    with origin(answering()) as behind, running("gateway", behind.url, *flags) as front:
        assert ask(front.port, b"/", basic()).status == 200
        assert ask(front.port, b"/", key).status == 200
        replace(users, SHA)
        replace(keys, run("gateway", "--new-key", "other").stdout.splitlines()[1])
        if how == "sighup":
            front.process.send_signal(signal.SIGHUP)
        until(lambda: ask(front.port, b"/", basic()).status == 401)
        until(lambda: ask(front.port, b"/", key).status == 401)
        assert ask(front.port, b"/", basic("bob")).status == 200
        replace(users, "bob:plain")
        if how == "sighup":
            front.process.send_signal(signal.SIGHUP)
        until(lambda: "what was read before stays in use" in front.stderr)
        assert ask(front.port, b"/", basic("bob")).status == 200
        assert "plain" not in front.stderr


def test_what_is_remembered_outlives_a_reload(files, tmp_path):
    users, _, _ = files
    words = tmp_path / "shop.nf"
    with origin(answering()) as behind:
        words.write_text(f"{behind.url}\n--basic @{users}\n")
        with running("gateway", f"@{words}") as front:
            assert ask(front.port, b"/", basic()).status == 200
            assert ask(front.port, b"/x").status == 401
            replace(words, f"{behind.url}\n--basic @{users}\n--public /x\n")
            until(lambda: ask(front.port, b"/x").status == 200)
            assert ask(front.port, b"/", basic()).status == 200
            assert ask(front.port, b"/").status == 401


def test_files_that_others_can_write_are_refused(files):
    users, keys, _ = files
    users.chmod(0o666)
    keys.write_text("nonsense")
    with (
        pytest.raises(NotReady) as refused,
        running("gateway", ":1", "--basic", f"@{users}", "--api-key", f"@{keys}"),
    ):
        pass
    assert "exit 2" in str(refused.value)
    assert f"--basic @{users}: others can write it" in str(refused.value)
    assert f"--api-key @{keys}, line 1: not NAME sha256:HASH" in str(refused.value)


def replace(file, text):
    new = file.with_suffix(".new")
    new.write_text(text)
    new.chmod(0o600)
    os.replace(new, file)


def test_a_client_certificate_is_asked_for_in_its_scope_alone(tmp_path):
    ca, other = make_ca(), make_ca("another")
    (tmp_path / "ca.pem").write_bytes(ca.pem)
    site = write_pem(tmp_path, "site", make_leaf(ca, "localhost"))
    mine = write_pem(tmp_path, "mine", make_leaf(ca, "ann.test", usage=CLIENT))
    forged = write_pem(tmp_path, "forged", make_leaf(other, "ann.test", usage=CLIENT))
    flags = [
        "-l", "https://127.0.0.1:0", "-l", "http://127.0.0.1:0", "--cert", site[0], "--key", site[1],
        "--client-ca", str(tmp_path / "ca.pem"), "--mtls", "/admin", "--claim", "/admin/bob: cn=bob.test",
        "--pass-identity", "X-User=sub,X-San=san", "-q",
    ]  # fmt: skip

    def get(port, target, certificate=None):
        context = ssl.create_default_context(cadata=ca.pem.decode())
        if certificate is not None:
            context.load_cert_chain(*certificate)
        sock = socket.create_connection(("127.0.0.1", port), timeout=10)
        with closing(context.wrap_socket(sock, server_hostname="localhost")) as secure:
            secure.sendall(b"GET %b HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" % target)
            data = b""
            while more := secure.recv(65536):
                data += more
            return int(data.split(b" ")[1])

    with origin(answering()) as behind, running("gateway", behind.url, *flags) as front:
        assert get(front.port, b"/") == 200
        assert get(front.port, b"/admin") == 403
        assert ask(front.ports[1], b"/admin").status == 403
        assert ask(front.ports[1], b"/admin", b"Client-Cert: :AAAA:").status == 403
        assert get(front.port, b"/admin", mine) == 200
        seen = behind.requests[-1]
        assert (seen.get(b"x-user"), seen.get(b"x-san")) == (b"CN=ann.test", b"DNS:ann.test")
        assert get(front.port, b"/admin/bob", mine) == 403
        with pytest.raises(OSError):
            get(front.port, b"/", forged)


def test_an_address_is_that_of_the_client_behind_a_trusted_proxy():
    flags = ["--ip", "/: 192.0.2.0/24", "--allow", '/x: ip == "192.0.2.7"', "-q"]
    with origin(answering()) as behind:
        with running("gateway", behind.url, *flags, "--trust-proxy", "127.0.0.1") as front:
            for told, status in ((b"192.0.2.7", 200), (b"::ffff:192.0.2.7", 200), (b"10.0.0.1, 192.0.2.7", 200),
                                 (b"192.0.2.7, 10.0.0.1", 403), (b"nonsense", 403)):  # fmt: skip
                assert ask(front.port, b"/", b"X-Forwarded-For: " + told).status == status
            assert ask(front.port, b"/").status == 403
            assert ask(front.port, b"/x", b"X-Forwarded-For: 192.0.2.7").status == 200
            assert ask(front.port, b"/x", b"X-Forwarded-For: 192.0.2.8").status == 403
        with running("gateway", behind.url, *flags) as front:
            assert ask(front.port, b"/", b"X-Forwarded-For: 192.0.2.7").status == 403


def test_who_a_proxy_line_names_is_believed_no_more_than_by_their_own_address():
    """What hands a connection on with a PROXY line does not read what its client says in it."""
    flags = ["--ip", "/adm: 192.0.2.0/24", "--limit", "/few: 1/h:ip", "-q"]
    trust = ["--accept-proxy", "--trust-proxy", "127.0.0.1", "--trust-proxy", "198.51.100.1"]
    with origin(answering()) as behind, running("gateway", behind.url, *flags, *trust) as front:

        def ask_as(peer, target, told):
            with connect(front.port) as client:
                client.send(b"PROXY TCP4 %b 127.0.0.1 4711 80\r\n" % peer)
                client.send(
                    b"GET %b HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-For: %b\r\nX-Forwarded-Proto: https\r\n"
                    b"X-Real-IP: %b\r\nX-Request-Id: mine\r\n\r\n" % (target, told, told)
                )
                return client.read_answer().status

        assert ask_as(b"203.0.113.9", b"/adm", b"192.0.2.7") == 403
        assert [ask_as(b"203.0.113.9", b"/few", b"192.0.2.%d" % last) for last in (1, 2)] == [200, 429]
        seen = behind.requests[-1]
        assert (seen.get(b"x-forwarded-for"), seen.get(b"x-real-ip")) == (b"203.0.113.9", b"203.0.113.9")
        assert seen.get(b"x-forwarded-proto") == b"http"
        assert seen.get(b"x-request-id") != b"mine"
        assert ask_as(b"198.51.100.1", b"/adm", b"192.0.2.7") == 200
        assert behind.requests[-1].get(b"x-request-id") == b"mine"


def test_no_log_is_made_where_a_file_is_wrong(tmp_path):
    wrong, log = tmp_path / "wrong", tmp_path / "log"
    wrong.write_text("ann:plain\n")
    wrong.chmod(0o600)
    for flag, value in (
        ("--basic", f"/: @{wrong}"),
        ("--api-key", f"/: @{wrong}"),
        ("--jwt", f"/: @{wrong}"),
    ):
        done = run("gateway", ":1", flag, value, "--access-log", str(log))
        assert (done.returncode, log.exists()) == (2, False), done.stderr


def test_credentials_for_a_backend_are_read_from_where_they_are(tmp_path):
    file = tmp_path / "secret"
    file.write_text("eDp5\n")
    with origin(answering()) as behind:
        routes = (f"/a={behind.url}", f"/b={behind.url}")
        fields = ("-H", "/a: Authorization: Bearer env:TOKEN", "-H", f"/b: Authorization: Basic @{file}")
        with running("gateway", *routes, *fields, "-q", TOKEN="s3cret") as front:
            for path in (b"/a", b"/b"):
                assert ask(front.port, path, b"Authorization: Bearer mine").status == 200
        told = [seen.get(b"authorization") for seen in behind.requests]
        assert told == [b"Bearer s3cret", b"Basic eDp5"]


def test_a_secret_of_a_header_in_a_file_is_found_beside_that(tmp_path):
    (tmp_path / "secret").write_text("eDp5\n")
    with origin(answering()) as behind:
        (tmp_path / "shop.nf").write_text(f"/a={behind.url}\n--header Authorization: Basic @secret\n")
        with running("gateway", f"@{tmp_path / 'shop.nf'}", "-q") as front:
            assert ask(front.port, b"/a").status == 200
        assert [seen.get(b"authorization") for seen in behind.requests] == [b"Basic eDp5"]
