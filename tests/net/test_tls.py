"""TLS contexts in real handshakes: names, tickets, replaced certificates, clients' certificates, verified backends."""

import base64
import shutil
import ssl
import subprocess
import warnings

import pytest

from netfront.errors import UsageError
from netfront.net.certfile import load_certificate
from netfront.net.tls import ServerTls, client_context, client_fields, handshake_failure
from tests.support.certificates import CLIENT, make_ca, make_leaf, write_pem
from tests.support.handshake import Pair, answering, shake

CA = make_ca()
OTHER_CA = make_ca("another authority")
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")


def loaded(directory, leaf, *chain):
    return load_certificate(*write_pem(directory, f"c{leaf.certificate.serial_number}", leaf, *chain))


def trusting(ca=CA, version=None, certificate=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(cadata=ca.pem.decode())
    if version is not None:
        context.minimum_version = context.maximum_version = version
    if certificate is not None:
        context.load_cert_chain(*certificate)
    return context


@pytest.fixture
def file(tmp_path):
    def write(name, data):
        path = tmp_path / name
        path.write_bytes(data)
        return str(path)

    return write


# -- which certificate is shown


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ("one.test", 0),
        ("two.test", 1),
        ("TWO.test", 1),
        ("a.two.test", 1),
        ("three.test", 2),
        ("exact.two.test", 2),
        ("b.a.two.test", 0),
        ("unknown.test", 0),
        ("127.0.0.1", 0),
        (None, 0),
    ],
)
def test_sni_picks_the_exact_name_then_a_wildcard_then_the_first(tmp_path, version, asked, shown):
    leaves = [
        make_leaf(CA, "one.test"),
        make_leaf(CA, "two.test", "*.two.test"),
        make_leaf(CA, "three.test", "exact.two.test", "two.test"),
    ]
    tls = ServerTls([loaded(tmp_path, leaf) for leaf in leaves])
    assert shake(tls.context, trusting(version=version), asked).shown == leaves[shown].der


def test_whole_chain_is_shown(tmp_path):
    middle = make_ca("middle", issuer=CA)
    tls = ServerTls([loaded(tmp_path, make_leaf(middle, "localhost"), middle)])
    assert shake(tls.context, trusting()).server.version() == "TLSv1.3"


def test_replaced_certificate_is_shown_while_old_connections_go_on(tmp_path):
    old, new = make_leaf(CA, "localhost"), make_leaf(CA, "localhost")
    tls = ServerTls([loaded(tmp_path, old)])
    pair = shake(tls.context, trusting())
    tls.replace([loaded(tmp_path, new)])
    assert pair.say(pair.client, pair.server) == b"hello"
    assert pair.shown == old.der
    assert shake(tls.context, trusting()).shown == new.der


# -- what is spoken


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_old_versions_are_refused(tmp_path, version):
    tls = ServerTls([loaded(tmp_path, make_leaf(CA, "localhost"))])
    client = trusting()
    client.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings(action="ignore"):  # they are as old as that
        client.minimum_version = client.maximum_version = version
    with pytest.raises(ssl.SSLError):
        shake(tls.context, client)


@pytest.mark.parametrize(
    ("ciphers", "goes"),
    [
        ("ECDHE-ECDSA-AES128-GCM-SHA256", True),
        ("ECDHE-ECDSA-CHACHA20-POLY1305", True),
        ("ECDHE-ECDSA-AES128-SHA256", False),
        ("AES128-GCM-SHA256", False),
    ],
)
def test_only_authenticated_ciphers_with_forward_secrecy_are_spoken(tmp_path, ciphers, goes):
    tls = ServerTls([loaded(tmp_path, make_leaf(CA, "localhost"))])
    client = trusting(version=ssl.TLSVersion.TLSv1_2)
    client.set_ciphers(ciphers)
    if goes:
        assert shake(tls.context, client).server.cipher()[0] == ciphers
    else:
        with pytest.raises(ssl.SSLError):
            shake(tls.context, client)


def test_order_of_ciphers_is_the_client_s(tmp_path):
    tls = ServerTls([loaded(tmp_path, make_leaf(CA, "localhost"))])
    client = trusting(version=ssl.TLSVersion.TLSv1_2)
    client.set_ciphers("ECDHE+CHACHA20:ECDHE+AESGCM")
    assert "CHACHA20" in shake(tls.context, client).server.cipher()[0]


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [(["h2", "http/1.1"], "http/1.1"), (["h2"], None), ([], None)],
)
def test_alpn_is_http_1_1(tmp_path, offered, chosen):
    tls = ServerTls([loaded(tmp_path, make_leaf(CA, "localhost"))])
    client = trusting()
    if offered:
        client.set_alpn_protocols(offered)
    pair = shake(tls.context, client)
    assert pair.client.selected_alpn_protocol() == pair.server.selected_alpn_protocol() == chosen


@needs_openssl
def test_renegotiation_is_refused(tmp_path):
    tls = ServerTls([loaded(tmp_path, make_leaf(CA, "localhost"))])
    with answering(lambda: tls.context) as port:
        told = s_client(port, "-tls1_2", say="R\n")
    assert "no renegotiation" in told


# -- tickets


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", ["one.test", "two.test", "unknown.test", None])
def test_session_is_resumed_whatever_certificate_sni_picks(tmp_path, version, name):
    tls = ServerTls([loaded(tmp_path, make_leaf(CA, host)) for host in ("one.test", "two.test")])
    client = trusting(version=version)
    first = shake(tls.context, client, name)
    again = shake(tls.context, client, name, first.client.session)
    assert (first.server.session_reused, again.server.session_reused) == (False, True)


@pytest.mark.parametrize("version", VERSIONS)
def test_session_is_resumed_after_certificates_were_replaced(tmp_path, version):
    tls = ServerTls([loaded(tmp_path, make_leaf(CA, "localhost"))])
    client = trusting(version=version)
    first = shake(tls.context, client)
    for _ in range(3):
        tls.replace([loaded(tmp_path, make_leaf(CA, "localhost"))])
    assert shake(tls.context, client, session=first.client.session).server.session_reused


@pytest.mark.parametrize("version", VERSIONS)
def test_resumed_session_still_knows_the_client(tmp_path, version, file):
    tls = ServerTls([loaded(tmp_path, make_leaf(CA, "localhost"))], client_ca=file("ca.pem", CA.pem))
    leaf = make_leaf(CA, "someone", usage=CLIENT)
    client = trusting(version=version, certificate=write_pem(tmp_path, "client", leaf))
    first = shake(tls.context, client)
    again = shake(tls.context, client, session=first.client.session)
    assert again.server.session_reused
    assert again.server.getpeercert(binary_form=True) == leaf.der


@pytest.mark.parametrize("version", VERSIONS)
def test_session_is_not_resumed_once_the_clients_authority_has_changed(tmp_path, version, file):
    ca = file("ca.pem", CA.pem)
    mine = [loaded(tmp_path, make_leaf(CA, "localhost"))]
    tls = ServerTls(mine, client_ca=ca)
    leaf = write_pem(tmp_path, "client", make_leaf(CA, "someone", usage=CLIENT))
    client = trusting(version=version, certificate=leaf)
    first = shake(tls.context, client)
    tls.replace(mine)
    first = shake(tls.context, client, session=first.client.session)
    assert first.server.session_reused
    file("ca.pem", OTHER_CA.pem)
    tls.replace([loaded(tmp_path, make_leaf(CA, "localhost"))])
    with pytest.raises(ssl.SSLError):
        shake(tls.context, client, session=first.client.session)


@needs_openssl
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_openssl_resumes_across_connections_and_a_reload(tmp_path, version):
    tls = ServerTls([loaded(tmp_path, make_leaf(CA, host)) for host in ("one.test", "localhost")])
    kept = str(tmp_path / "session")
    ask = "GET / HTTP/1.1\r\n\r\n"
    with answering(lambda: tls.context) as port:
        assert "New, TLSv1" in s_client(port, version, "-sess_out", kept, say=ask)
        assert "Reused, TLSv1" in s_client(port, version, "-sess_in", kept, "-sess_out", kept, say=ask)
        tls.replace([loaded(tmp_path, make_leaf(CA, host)) for host in ("one.test", "localhost")])
        assert "Reused, TLSv1" in s_client(port, version, "-sess_in", kept, say=ask)


def s_client(port, *args, say):
    """Talk to a port by openssl; it ends with the answer, or with what it is told of its handshake."""
    process = subprocess.Popen(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", "localhost", *args],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    process.stdin.write(say)
    process.stdin.flush()
    told = ""
    for line in process.stdout:
        told += line
        if "HTTP/1.1 200" in line or "no renegotiation" in line:
            break
    process.stdin.close()
    told += process.stdout.read()
    process.stdout.close()
    process.wait(10)
    return told


# -- clients' certificates


def test_client_without_a_certificate_is_refused(tmp_path, file):
    tls = ServerTls([loaded(tmp_path, make_leaf(CA, "localhost"))], client_ca=file("ca.pem", CA.pem))
    for version in VERSIONS:
        with pytest.raises(ssl.SSLError):
            shake(tls.context, trusting(version=version))


@pytest.mark.parametrize(
    "leaf",
    [
        make_leaf(OTHER_CA, "someone", usage=CLIENT),
        make_leaf(CA, "someone", usage=CLIENT, begins=-10, days=5),
        make_leaf(CA, "a server"),
        make_leaf(None, "itself", usage=CLIENT),
    ],
    ids=["another authority's", "expired", "a server's", "self-signed"],
)
def test_certificate_that_does_not_do_is_refused(tmp_path, file, leaf):
    tls = ServerTls([loaded(tmp_path, make_leaf(CA, "localhost"))], client_ca=file("ca.pem", CA.pem))
    client = trusting(certificate=write_pem(tmp_path, "client", leaf))
    with pytest.raises(ssl.SSLError):
        shake(tls.context, client)


def test_client_is_verified_whatever_name_it_asks_for(tmp_path, file):
    tls = ServerTls(
        [loaded(tmp_path, make_leaf(CA, host)) for host in ("one.test", "two.test")],
        client_ca=file("ca.pem", CA.pem),
    )
    stranger = write_pem(tmp_path, "stranger", make_leaf(OTHER_CA, "x", usage=CLIENT))
    known = write_pem(tmp_path, "known", make_leaf(CA, "x", usage=CLIENT))
    for name in ("one.test", "two.test", "three.test", None):
        assert shake(tls.context, trusting(certificate=known), name)
        for client in (trusting(), trusting(certificate=stranger)):
            with pytest.raises(ssl.SSLError):
                shake(tls.context, client, name)


def test_authority_of_clients_need_not_be_a_root(tmp_path, file):
    middle = make_ca("middle", issuer=CA)
    tls = ServerTls([loaded(tmp_path, make_leaf(CA, "localhost"))], client_ca=file("ca.pem", middle.pem))
    below = write_pem(tmp_path, "below", make_leaf(middle, "x", usage=CLIENT))
    beside = write_pem(tmp_path, "beside", make_leaf(CA, "x", usage=CLIENT))
    assert shake(tls.context, trusting(certificate=below))
    with pytest.raises(ssl.SSLError):
        shake(tls.context, trusting(certificate=beside))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"", "there is no certificate in it\n  it has to be a PEM file"),
        (
            b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "a certificate in it is malformed",
        ),
    ],
)
def test_bad_file_of_authorities_is_told_and_changes_nothing(tmp_path, file, text, why):
    ca = file("ca.pem", CA.pem)
    tls = ServerTls([loaded(tmp_path, leaf := make_leaf(CA, "localhost"))], client_ca=ca)
    file("ca.pem", text)
    with pytest.raises(UsageError) as raised:
        tls.replace([loaded(tmp_path, make_leaf(CA, "localhost"))])
    assert str(raised.value) == f"--client-ca {ca}: {why}"
    known = write_pem(tmp_path, "known", make_leaf(CA, "x", usage=CLIENT))
    assert shake(tls.context, trusting(certificate=known)).shown == leaf.der
    with pytest.raises(UsageError):
        ServerTls([loaded(tmp_path, make_leaf(CA, "localhost"))], client_ca=ca)


def test_client_s_certificate_is_told_by_rfc_9440():
    leaf = make_leaf(CA, "someone", usage=CLIENT)
    value, subject = client_fields(leaf.der)
    assert value[:1] == value[-1:] == b":"
    assert base64.b64decode(value[1:-1], validate=True) == leaf.der
    assert subject == b"CN=someone"


# -- backends


def failure(server, context, name):
    with pytest.raises(ssl.SSLError) as raised:
        shake(server, context, name)
    return handshake_failure(raised.value)


def test_backend_is_verified_by_name_and_by_address(tmp_path, file):
    server = ServerTls([loaded(tmp_path, make_leaf(CA, "api.test", "127.0.0.1"))]).context
    context = client_context(ca=file("ca.pem", CA.pem))
    assert shake(server, context, "api.test").client.selected_alpn_protocol() == "http/1.1"
    assert shake(server, context, "127.0.0.1")
    assert failure(server, context, "other.test") == (
        "certificate verify failed: hostname mismatch, certificate is not valid for 'other.test'; "
        "--backend-name NAME says whose it has to be"
    )
    assert failure(server, context, "127.0.0.2").startswith(
        "certificate verify failed: IP address mismatch, certificate is not valid for '127.0.0.2'"
    )


def test_unknown_authority_of_a_backend_is_told(tmp_path, file):
    server = ServerTls([loaded(tmp_path, make_leaf(CA, "api.test"))]).context
    hint = "; --backend-ca FILE names a CA to trust"
    for context in (client_context(), client_context(ca=file("other.pem", OTHER_CA.pem))):
        told = failure(server, context, "api.test")
        assert told == f"certificate verify failed: unable to get local issuer certificate{hint}"
    alone = ServerTls([loaded(tmp_path, make_leaf(None, "api.test"))]).context
    assert failure(alone, client_context(), "api.test").endswith(hint)


def test_backend_whose_certificate_is_over_is_told(tmp_path, file):
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(*write_pem(tmp_path, "a", make_leaf(CA, "api.test", begins=-10, days=5)))
    context = client_context(ca=file("ca.pem", CA.pem))
    assert failure(server, context, "api.test") == "certificate verify failed: certificate has expired"


def test_backend_s_own_certificate_may_be_its_authority(tmp_path, file):
    leaf = make_leaf(None, "api.test")
    server = ServerTls([loaded(tmp_path, leaf)]).context
    assert shake(server, client_context(ca=file("leaf.pem", leaf.pem)), "api.test")


def test_insecure_takes_any_backend(tmp_path):
    server = ServerTls([loaded(tmp_path, make_leaf(None, "api.test"))]).context
    assert shake(server, client_context(insecure=True), "other.test")


def test_backend_is_shown_our_certificate(tmp_path, file):
    leaf = make_leaf(CA, "netfront", usage=CLIENT)
    cert, key = write_pem(tmp_path, "mine", leaf)
    ca = file("ca.pem", CA.pem)
    server = ServerTls([loaded(tmp_path, make_leaf(CA, "api.test"))], client_ca=ca).context
    pair = shake(server, client_context(ca=ca, cert=cert, key=key), "api.test")
    assert pair.server.getpeercert(binary_form=True) == leaf.der


def test_locked_backend_key_is_refused_and_nobody_is_asked(tmp_path):
    cert, key = write_pem(tmp_path, "mine", make_leaf(CA, "netfront", usage=CLIENT), password=b"secret")
    with pytest.raises(UsageError) as raised:
        client_context(cert=cert, key=key)
    assert str(raised.value) == (
        f"{key}: the key is encrypted\n  a key without a password is needed: openssl pkey -in FILE"
    )


def test_missing_backend_ca_is_told(tmp_path):
    with pytest.raises(UsageError) as raised:
        client_context(ca=str(tmp_path / "none.pem"))
    assert str(raised.value) == f"--backend-ca {tmp_path / 'none.pem'}: no such file or directory"


def test_backend_without_tls_is_told():
    context = client_context(insecure=True)
    incoming = ssl.MemoryBIO()
    connection = context.wrap_bio(incoming, ssl.MemoryBIO(), server_hostname="api.test")
    with pytest.raises(ssl.SSLWantReadError):
        connection.do_handshake()
    incoming.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
    with pytest.raises(ssl.SSLError) as raised:
        connection.do_handshake()
    assert handshake_failure(raised.value) == "it does not speak TLS"


def test_backend_that_wants_a_certificate_is_told(tmp_path, file):
    ca = file("ca.pem", CA.pem)
    server = ServerTls([loaded(tmp_path, make_leaf(CA, "api.test"))], client_ca=ca).context
    pair = Pair(server, client_context(ca=ca), "api.test")
    with pytest.raises(ssl.SSLError):
        pair.shake()
    with pytest.raises(ssl.SSLError) as raised:  # in TLS 1.3 the client learns it after its own handshake
        pair.client.read(1)
    assert handshake_failure(raised.value) == (
        "it wants a certificate of ours; give --backend-cert and --backend-key"
    )
