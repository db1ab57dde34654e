"""TLS on both sides of `netfront proxy`, as curl, browsers and Python's ssl meet it."""

import json
import signal
import socket
import ssl
import threading
import time
from contextlib import closing

import pytest

from tests.support.certificates import CLIENT, make_ca, make_leaf, write_pem
from tests.support.handshake import answering
from tests.support.netfront import run, running

CA = make_ca()
HTTPS = ("-l", "https://127.0.0.1:0")
PATIENCE = 10.0


def trusting(ca=CA, certificate=None, **versions):
    context = ssl.create_default_context(cadata=ca.pem.decode())
    if certificate is not None:
        context.load_cert_chain(*certificate)
    return context


def connect(port, context, name="localhost", session=None):
    sock = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    return closing(context.wrap_socket(sock, server_hostname=name, session=session))


def ask(secure, path="/headers", *fields):
    """Send a GET on an open connection; give the answer's head and body."""
    secure.sendall(b"\r\n".join([b"GET %b HTTP/1.1" % path.encode(), b"Host: localhost", *fields, b"", b""]))
    data = b""
    while b"\r\n\r\n" not in data:
        data += secure.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    length = int(lengths[0].partition(b":")[2])
    while len(body) < length:
        body += secure.recv(65536)
    return head, body


def status(head):
    return int(head.split(b" ", 2)[1])


def shown(port, context, name="localhost"):
    with connect(port, context, name) as secure:
        return secure.getpeercert(binary_form=True)


def received(body):
    """The fields that the demo origin saw, by lower-case name."""
    told = json.loads(body)
    rows = told.get("headers", told)
    pairs = rows.items() if isinstance(rows, dict) else rows
    return {name.lower(): value for name, value in pairs}


# -- certificates


def test_certificate_and_key_may_come_through_one_pipe(tmp_path):
    leaf = make_leaf(CA, "localhost")
    (tmp_path / "both.pem").write_bytes(leaf.pem + leaf.key_pem())
    prefix = ("bash", "-c", 'exec "$@" --cert <(cat "$0")', str(tmp_path / "both.pem"))
    with running("proxy", "demo:", *HTTPS, prefix=prefix) as netfront:
        assert shown(netfront.port, trusting()) == leaf.der
        netfront.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "nothing to read again: /dev/fd/" in netfront.stderr)
        assert shown(netfront.port, trusting()) == leaf.der


def test_certificate_that_is_deleted_is_told_once_and_stays_in_use(tmp_path):
    leaf = make_leaf(CA, "localhost")
    cert, key = write_pem(tmp_path, "site", leaf)
    with running("proxy", "demo:", *HTTPS, "--cert", cert, "--key", key) as netfront:
        (tmp_path / "site.pem").rename(tmp_path / "away")
        gone = f"netfront: {cert}: no such file or directory; what was read of it stays in use\n"
        wait_until(lambda: gone in netfront.stderr)
        assert shown(netfront.port, trusting()) == leaf.der
        (tmp_path / "away").rename(cert)
        wait_until(lambda: f"netfront: {cert} is back\n" in netfront.stderr)
        assert netfront.stderr.count(gone) == 1


def test_local_certificate_is_made_at_first_use_and_verified_by_its_authority():
    with running("proxy", "demo:", "app.localhost=demo:", "--name", "shop.test", *HTTPS) as netfront:
        place = netfront.told.parent / "netfront"
        context = ssl.create_default_context(cafile=place / "ca.pem")
        for name in ("localhost", "127.0.0.1", "app.localhost", "shop.test"):
            with connect(netfront.port, context, name) as secure:
                assert status(ask(secure)[0]) == 200
        assert {path.stat().st_mode & 0o777 for path in place.iterdir()} == {0o600}
        wait_until(lambda: 'to trust it: eval "$(netfront trust env)"' in netfront.stderr)


@pytest.mark.parametrize(
    ("args", "what"),
    [
        (["demo:", "--name", "shop.example.com"], "--name shop.example.com"),
        (["shop.example.com=demo:"], "shop.example.com"),
    ],
)
def test_other_name_without_a_certificate_is_a_usage_error(args, what, tmp_path):
    done = run("proxy", *args, *HTTPS, NETFRONT_DATA=str(tmp_path / "data"))
    assert done.returncode == 2
    assert what in done.stderr
    assert "--cert FILE" in done.stderr
    assert not (tmp_path / "data").exists()


def test_sni_picks_among_certificates_and_locked_keys_open(tmp_path):
    one, two = make_leaf(CA, "one.test", "localhost"), make_leaf(CA, "*.two.test")
    first = write_pem(tmp_path, "one", one, password=b"first")
    second = write_pem(tmp_path, "two", two, password=b"second")
    (tmp_path / "secret").write_text("second\n")
    flags = ["--cert", first[0], "--key", first[1], "--cert", second[0], "--key", second[1]]
    flags += ["--key-password", "env:FIRST", "--key-password", f"@{tmp_path / 'secret'}"]
    with running("proxy", "demo:", *HTTPS, *flags, FIRST="first") as netfront:
        assert shown(netfront.port, trusting(), "one.test") == one.der
        assert shown(netfront.port, trusting(), "a.two.test") == two.der


def test_bad_certificates_are_all_told_before_anything_opens(tmp_path):
    over = write_pem(tmp_path, "over", make_leaf(CA, "a.test", begins=-9, days=3))
    locked = write_pem(tmp_path, "locked", make_leaf(CA, "b.test"), password=b"x")
    mine, others = write_pem(tmp_path, "c", make_leaf(CA, "c")), write_pem(tmp_path, "d", make_leaf(CA, "d"))
    flags = [
        *("--cert", over[0], "--key", over[1]),
        *("--cert", locked[0], "--key", locked[1]),
        *("--cert", mine[0], "--key", others[1]),
    ]
    done = run("proxy", "demo:", *HTTPS, *flags, "--port-file", str(tmp_path / "ports"))
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{over[0]}: the certificate expired on 20" in done.stderr
    assert f"{locked[1]}: the key is encrypted" in done.stderr
    assert f"{others[1]}: the key does not fit the certificate {mine[0]}" in done.stderr
    assert not (tmp_path / "ports").exists()


@pytest.mark.parametrize("with_signal", [True, False], ids=["SIGHUP", "by itself"])
def test_changed_certificate_is_shown_while_open_connections_go_on(tmp_path, with_signal):
    old, new = make_leaf(CA, "localhost"), make_leaf(CA, "localhost")
    cert, key = write_pem(tmp_path, "site", old)
    context = trusting()
    with (
        running("proxy", "demo:", *HTTPS, "--cert", cert, "--key", key) as netfront,
        connect(netfront.port, context) as secure,
    ):
        ask(secure)
        session = secure.session
        write_pem(tmp_path, "site", new)
        if with_signal:
            netfront.process.send_signal(signal.SIGHUP)
        wait_until(lambda: shown(netfront.port, trusting()) == new.der)
        assert status(ask(secure)[0]) == 200
        with connect(netfront.port, context, session=session) as again:
            assert again.session_reused
        (tmp_path / "site.key").write_text("")
        netfront.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "the old certificates stay: " in netfront.stderr)
        assert shown(netfront.port, trusting()) == new.der


def wait_until(holds):
    until = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < until, "it does not come to hold"
        time.sleep(0.05)


# -- clients' certificates


def test_client_s_certificate_goes_on_and_cannot_be_forged(tmp_path):
    ca = tmp_path / "ca.pem"
    ca.write_bytes(CA.pem)
    leaf = make_leaf(CA, "someone", usage=CLIENT)
    mine = write_pem(tmp_path, "mine", leaf)
    site = write_pem(tmp_path, "site", make_leaf(CA, "localhost"))
    forged = [b"Client-Cert: :AAAA:", b"X-Client-Subject: CN=root", b"client_cert: x", b"X_Client-Subject: y"]
    flags = ["--cert", site[0], "--key", site[1], "--client-ca", str(ca)]
    with running("proxy", "demo:", *HTTPS, "-l", "http://127.0.0.1:0", *flags) as netfront:
        with connect(netfront.port, trusting(certificate=mine)) as secure:
            for _ in range(2):
                told = received(ask(secure, "/headers", *forged)[1])
                assert ssl.PEM_cert_to_DER_cert(pem_of(told["client-cert"])) == leaf.der
                assert told["x-client-subject"] == "CN=someone"
                assert not {"client_cert", "x_client-subject"} & set(told)
        with closing(socket.create_connection(("127.0.0.1", netfront.ports[1]), timeout=PATIENCE)) as plain:
            told = received(ask(plain, "/headers", *forged)[1])
            assert not {"client-cert", "x-client-subject", "client_cert", "x_client-subject"} & set(told)
        with pytest.raises(OSError), connect(netfront.port, trusting()) as secure:
            ask(secure)


def pem_of(value):
    return f"-----BEGIN CERTIFICATE-----\n{value.strip(':')}\n-----END CERTIFICATE-----\n"


# -- what is no TLS, or odd


def test_plain_http_on_a_tls_port_is_sent_on_or_told():
    with running("proxy", "demo:", *HTTPS) as netfront:
        assert plainly(netfront.port, b"GET /a?b HTTP/1.1\r\nHost: localhost:%d\r\n\r\n" % netfront.port) == (
            308,
            b"https://localhost:%d/a?b" % netfront.port,
        )
        posted = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"
        assert plainly(netfront.port, posted)[0] == 400
        cookies = b"Cookie: %b\r\n" % (b"a" * 4000) * 4
        assert plainly(netfront.port, b"GET /x HTTP/1.1\r\nHost: localhost\r\n%b\r\n" % cookies)[0] == 308


def plainly(port, request):
    with closing(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)) as sock:
        for at in range(0, len(request), 9000):  # a long head comes in several reads
            sock.sendall(request[at : at + 9000])
            time.sleep(0.05)
        data = b""
        while more := sock.recv(65536):
            data += more
    head, _, _ = data.partition(b"\r\n\r\n")
    locations = [line[10:] for line in head.split(b"\r\n") if line.lower().startswith(b"location: ")]
    return status(head), locations[0] if locations else None


def test_name_that_is_not_ascii_fails_quietly():
    with running("proxy", "demo:", *HTTPS) as netfront:
        outgoing = ssl.MemoryBIO()
        client = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="zz.test")
        with pytest.raises(ssl.SSLWantReadError):
            client.do_handshake()
        with closing(socket.create_connection(("127.0.0.1", netfront.port), timeout=PATIENCE)) as sock:
            sock.sendall(outgoing.read().replace(b"zz.test", b"\xff\xfe.test"))
            assert sock.recv(100)[:1] == b"\x15"  # an alert
        context = ssl.create_default_context(cafile=netfront.told.parent / "netfront" / "ca.pem")
        with connect(netfront.port, context) as secure:
            assert status(ask(secure)[0]) == 200
        assert "Traceback" not in netfront.stderr
        assert "Exception" not in netfront.stderr


# -- ends


@pytest.mark.parametrize("why", ["close", "until close", "idle", "drain", "asked for more"])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_each_end_in_good_order_is_told_by_tls(why, version):
    """Else nobody could tell it from a cut (RFC 9112 §9.8)."""
    idle = "300ms" if why == "idle" else "20s"
    with running("proxy", "demo:", *HTTPS, "--idle-timeout", idle) as netfront:
        context = ssl.create_default_context(cafile=netfront.told.parent / "netfront" / "ca.pem")
        context.maximum_version = version
        plain = socket.create_connection(("127.0.0.1", netfront.port), timeout=PATIENCE)
        with closing(
            context.wrap_socket(plain, server_hostname="localhost", suppress_ragged_eofs=False)
        ) as secure:
            if why == "close":
                ask(secure, "/bytes/3000", b"Connection: close")
            elif why == "until close":
                secure.sendall(b"GET /sse?count=1 HTTP/1.0\r\n\r\n")
            elif why == "asked for more":
                secure.sendall(b"GET / HTTP/1.0\r\n\r\nGET / HTTP/1.0\r\n\r\n")
            else:
                ask(secure)
            if why == "drain":
                netfront.process.send_signal(signal.SIGTERM)
            while secure.recv(65536):
                pass
        if why == "drain":
            assert netfront.process.wait(PATIENCE) == 0


# -- backends


@pytest.fixture
def backend(tmp_path):
    """A TLS backend called api.test, whose CA is in ca.pem."""
    (tmp_path / "ca.pem").write_bytes(CA.pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*write_pem(tmp_path, "api", make_leaf(CA, "api.test", "127.0.0.1")))
    with answering(lambda: context) as port:
        yield f"https://127.0.0.1:{port}", context, tmp_path


def through(netfront):
    with closing(socket.create_connection(("127.0.0.1", netfront.port), timeout=PATIENCE)) as sock:
        head, body = ask(sock, "/", b"Accept: text/plain")
        return status(head), body


@pytest.mark.parametrize(
    "flags",
    [["--backend-ca", "ca.pem"], ["--backend-ca", "ca.pem", "--backend-name", "api.test"], ["-k"]],
    ids=lambda flags: " ".join(flags),
)
def test_backend_is_reached(backend, flags):
    url, _, place = backend
    flags = [str(place / flag) if flag == "ca.pem" else flag for flag in flags]
    with running("proxy", url, *flags) as netfront:
        assert through(netfront) == (200, b"hello")
        wait_until(lambda: "stop with" in netfront.stderr)
        assert ("not verified" in netfront.stderr or "insecure" in netfront.stderr) is (flags == ["-k"])


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        ([], b"certificate verify failed: unable to get local issuer certificate; --backend-ca FILE"),
        (["--backend-ca", "ca.pem", "--backend-name", "other.test"], b"hostname mismatch"),
    ],
    ids=["unknown authority", "another name"],
)
def test_backend_that_is_not_who_it_should_be_is_502(backend, flags, why):
    url, _, place = backend
    flags = [str(place / flag) if flag == "ca.pem" else flag for flag in flags]
    with running("proxy", url, *flags) as netfront:
        code, body = through(netfront)
    assert (code, why in body) == (502, True), body


@pytest.mark.parametrize("with_signal", [True, False], ids=["SIGHUP", "change"])
def test_changed_ca_for_backends_is_heeded(backend, with_signal):
    url, _, place = backend
    (place / "used.pem").write_bytes(make_ca("stranger").pem)
    with running("proxy", url, "--backend-ca", str(place / "used.pem")) as netfront:
        assert through(netfront)[0] == 502
        (place / "used.pem").write_bytes(CA.pem)
        if with_signal:
            netfront.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "reloaded" in netfront.stderr)
        assert through(netfront) == (200, b"hello")
        (place / "used.pem").write_text("no PEM")
        netfront.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "not reloaded" in netfront.stderr)
        assert through(netfront) == (200, b"hello")


def test_backend_is_shown_our_certificate(backend):
    url, context, place = backend
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(place / "ca.pem")
    cert, key = write_pem(place, "mine", make_leaf(CA, "netfront", usage=CLIENT))
    known = ["--backend-ca", str(place / "ca.pem")]
    with running("proxy", url, *known, "--backend-cert", cert, "--backend-key", key) as netfront:
        assert through(netfront) == (200, b"hello")
    with running("proxy", url, *known) as netfront:
        assert through(netfront)[0] == 502


def test_backend_that_wants_a_certificate_is_told_with_the_flags_for_it(tmp_path):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*write_pem(tmp_path, "api", make_leaf(CA, "127.0.0.1")))
    context.verify_mode = ssl.CERT_REQUIRED
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=refuse_all, args=(listener, context), daemon=True).start()
        with running("proxy", f"https://127.0.0.1:{listener.getsockname()[1]}", "-k") as netfront:
            code, body = through(netfront)
    assert (code, b"give --backend-cert and --backend-key" in body) == (502, True), body


def refuse_all(listener, context):
    """Shake hands, and read to the end after the alert: a close over unread bytes would destroy it."""
    while True:
        try:
            sock, _ = listener.accept()
        except OSError:
            return
        secure = context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        try:
            secure.do_handshake()
        except OSError:
            pass
        raw = socket.socket(fileno=secure.detach())
        raw.settimeout(PATIENCE)
        with raw:
            try:
                raw.shutdown(socket.SHUT_WR)
                while raw.recv(65536):
                    pass
            except OSError:
                pass


def test_bad_files_for_backends_are_told(tmp_path):
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    done = run(
        "proxy", "https://127.0.0.1:1", "--backend-ca", str(empty), NETFRONT_DATA=str(tmp_path / "data")
    )
    assert done.returncode == 2
    assert f"--backend-ca {empty}: there is no certificate in it" in done.stderr
