"""The local CA: made once, private, bound to this machine's names, and leaves that are kept and renewed."""

import errno
import fcntl
import os
import shutil
import ssl
import stat
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID

from netfront.errors import UsageError
from netfront.net.datadir import data_directory
from netfront.net.devcert import ca_path, leaf_for, permitted, renewal_due
from netfront.net.tls import ServerTls
from tests.support.certificates import Issued, make_ca, make_leaf, write_pem
from tests.support.handshake import answering, shake
from tests.support.netfront import ROOT

DAY = 86400.0
NAMES = ["localhost", "127.0.0.1", "::1", "app.localhost", "shop.test"]


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """Keep the user's own directory out of it."""
    directory = tmp_path / "home" / "netfront"
    monkeypatch.setenv("NETFRONT_DATA", str(directory))
    return directory


def authority():
    """The local CA with its key, as a thief would have it."""
    text = data_directory().joinpath("ca-key.pem").read_bytes()
    return Issued(x509.load_pem_x509_certificate(text), serialization.load_pem_private_key(text, None))


def trusting():
    return ssl.create_default_context(cafile=str(ca_path()))


def leaves(directory):
    return sorted(path.name for path in directory.glob("leaf-*.pem"))


# -- what it may vouch for


@pytest.mark.parametrize(
    ("name", "is_permitted"),
    [
        ("localhost", True),
        ("LOCALHOST.", True),
        ("app.localhost", True),
        ("*.app.localhost", True),
        ("*.localhost", True),
        ("shop.test", True),
        ("a.b.test", True),
        ("127.0.0.1", True),
        ("127.255.255.254", True),
        ("::1", True),
        ("[::1]", True),
        ("0:0:0:0:0:0:0:1", True),
        ("example.com", False),
        ("localhost.example.com", False),
        ("notlocalhost", False),
        ("mytest", False),
        ("test.example", False),
        ("10.0.0.1", False),
        ("128.0.0.1", False),
        ("::2", False),
        ("::ffff:127.0.0.1", False),
        ("0.0.0.0", False),
        ("", False),
        ("bücher.test", False),
    ],
)
def test_permitted_names_are_those_of_this_machine(name, is_permitted):
    assert permitted(name) is is_permitted


def test_name_outside_is_a_usage_error_that_names_cert(place):
    with pytest.raises(UsageError) as raised:
        leaf_for(["localhost", "example.com"], time.time())
    assert str(raised.value) == (
        "example.com: the local CA vouches only for localhost, .localhost, .test and loopback addresses\n"
        "  give a certificate for it: --cert FILE --key FILE"
    )
    assert not place.exists()


def test_constraint_is_part_of_the_authority():
    ca_path()
    extensions = authority().certificate.extensions
    bounds = extensions.get_extension_for_oid(ExtensionOID.NAME_CONSTRAINTS)
    assert bounds.critical
    assert {str(name.value) for name in bounds.value.permitted_subtrees} == {
        "localhost",
        "test",
        "127.0.0.0/8",
        "::1/128",
    }
    basic = extensions.get_extension_for_oid(ExtensionOID.BASIC_CONSTRAINTS)
    assert (basic.critical, basic.value.ca, basic.value.path_length) == (True, True, 0)


@pytest.mark.parametrize(
    "name",
    ["example.com", "localhost.example.com", "*.example.com", "notlocalhost", "10.0.0.1", "2001:db8::1"],
)
def test_python_refuses_a_leaf_outside_signed_with_the_stolen_key(tmp_path, name):
    ca_path()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(*write_pem(tmp_path, "evil", make_leaf(authority(), name)))
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree violation"):
        shake(server, trusting(), name.replace("*", "www"))


def test_name_in_the_subject_does_not_evade_the_constraint(tmp_path):
    ca_path()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "example.com")])
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(*write_pem(tmp_path, "evil", make_leaf(authority(), subject=subject)))
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree violation"):
        shake(server, trusting(), "example.com")


def test_authority_below_it_is_refused(tmp_path):
    ca_path()
    below = make_ca("below", issuer=authority())
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(*write_pem(tmp_path, "evil", make_leaf(below, "app.test"), below))
    with pytest.raises(ssl.SSLCertVerificationError, match="path length constraint exceeded"):
        shake(server, trusting(), "app.test")


@pytest.mark.parametrize("purpose", ["sslclient", "smimesign", "smimeencrypt"])
@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_it_vouches_for_servers_only(tmp_path, purpose):
    ca = ca_path()
    evil, _ = write_pem(tmp_path, "evil", make_leaf(authority(), "app.test", usage=None))
    done = verify("-purpose", purpose, "-CAfile", ca, evil)
    assert (done.returncode, "unsuitable certificate purpose" in done.stderr) == (2, True)
    assert verify("-purpose", "sslserver", "-CAfile", ca, evil).returncode == 0


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_openssl_takes_a_leaf_by_its_strictest_reading(place):
    leaf_for(NAMES, time.time())
    (leaf,) = place.glob("leaf-*.pem")
    done = verify(
        "-x509_strict", "-purpose", "sslserver", "-verify_hostname", "shop.test", "-CAfile", ca_path(), leaf
    )
    assert done.returncode == 0, done.stderr


def verify(*args):
    return subprocess.run(["openssl", "verify", *map(str, args)], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", NAMES)
def test_python_takes_a_leaf_for_each_of_its_names(name):
    server = ServerTls([leaf_for(NAMES, time.time())])
    assert shake(server.context, trusting(), name)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_takes_a_leaf_and_refuses_one_outside(tmp_path):
    mine = ServerTls([leaf_for(NAMES, time.time())])
    evil = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    evil.load_cert_chain(*write_pem(tmp_path, "evil", make_leaf(authority(), "example.com")))
    with answering(lambda: mine.context) as port:
        assert curl("shop.test", port).stdout == "hello"
    with answering(lambda: evil) as port:
        done = curl("example.com", port)
    assert (done.returncode, "permitted subtree violation" in done.stderr) == (60, True)


def curl(name, port):
    resolve = f"{name}:{port}:127.0.0.1"
    return subprocess.run(
        [
            "curl",
            "-sS",
            "--cacert",
            ca_path(),
            "--noproxy",
            "*",
            "--resolve",
            resolve,
            f"https://{name}:{port}/",
        ],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


# -- what a leaf is


def test_leaf_has_names_only_in_its_alternative_names(place):
    leaf_for(NAMES, time.time())
    (path,) = place.glob("leaf-*.pem")
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    names = certificate.extensions.get_extension_for_oid(ExtensionOID.SUBJECT_ALTERNATIVE_NAME)
    assert names.critical
    assert names.value.get_values_for_type(x509.DNSName) == ["app.localhost", "localhost", "shop.test"]
    assert [str(one) for one in names.value.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]
    assert len(certificate.subject) == 0
    usage = certificate.extensions.get_extension_for_oid(ExtensionOID.EXTENDED_KEY_USAGE)
    assert list(usage.value) == [ExtendedKeyUsageOID.SERVER_AUTH]
    lasts = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    assert lasts.days <= 31


def test_kept_leaf_serves_again_whatever_the_order_and_spelling_of_names(place):
    now = time.time()
    first = leaf_for(["localhost", "app.test", "::1"], now)
    (kept,) = leaves(place)
    made = (place / kept).read_bytes()
    again = leaf_for(["[::1]", "APP.test.", "localhost", "app.test"], now + DAY)
    assert (again.names, again.not_after) == (first.names, first.not_after)
    assert (leaves(place), (place / kept).read_bytes()) == ([kept], made)


def test_other_names_get_another_leaf(place):
    now = time.time()
    assert leaf_for(["localhost"], now).names == ("localhost",)
    assert leaf_for(["localhost", "app.test"], now).names == ("app.test", "localhost")
    assert len(leaves(place)) == 2


def test_leaf_is_renewed_when_a_third_of_its_life_is_left():
    now = time.time()
    leaf = leaf_for(["localhost"], now)
    life = leaf.not_after - leaf.not_before
    last = leaf.not_after - life / 3
    assert not renewal_due(leaf, now)
    assert not renewal_due(leaf, last - 1)
    assert renewal_due(leaf, last)
    assert leaf_for(["localhost"], last - 1).not_after == leaf.not_after
    assert leaf_for(["localhost"], last + 1).not_after > leaf.not_after + 10 * DAY


@pytest.mark.parametrize("days", [2, 30, 363])
def test_clock_that_was_set_back_keeps_the_authority_and_makes_another_leaf(days, place):
    now = time.time()
    leaf = leaf_for(["localhost"], now)
    first = authority().certificate
    told = []
    before = now - days * DAY
    assert renewal_due(leaf, before)
    earlier = leaf_for(["localhost"], before, tell=told.append)
    assert earlier.not_before <= before < earlier.not_after
    assert first.not_valid_before_utc.timestamp() <= before  # so whoever trusts it finds it valid
    assert (authority().certificate, told) == (first, [])
    assert leaf_for(["localhost"], now).not_after > now
    assert authority().certificate == first


def test_authority_that_has_not_begun_stays_and_the_clock_is_blamed(place):
    now = time.time()
    ahead = leaf_for(["localhost"], now + 800 * DAY)  # made while the clock was ahead
    first = authority().certificate
    told = []
    leaf = leaf_for(["localhost"], now, tell=told.append)
    assert authority().certificate == first
    assert leaf.not_before <= now < leaf.not_after < ahead.not_before
    day = time.strftime("%Y-%m-%d", time.gmtime(first.not_valid_before_utc.timestamp()))
    assert told == [
        f"the local CA is not valid before {day}, so clients will refuse it: set this machine's clock; "
        f"or, if that is right, remove {place / 'ca-key.pem'} to have another made"
    ]


def test_damaged_leaf_is_made_anew(place):
    now = time.time()
    leaf_for(["localhost"], now)
    (name,) = leaves(place)
    for text in (b"", b"garbage", (place / name).read_bytes()[:300]):
        (place / name).write_bytes(text)
        assert leaf_for(["localhost"], now).names == ("localhost",)
        assert leaves(place) == [name]


def test_leaves_that_are_over_are_removed(place):
    now = time.time()
    leaf_for(["old.test"], now)
    old = leaves(place)
    leaf_for(["new.test"], now + 40 * DAY)
    assert len(leaves(place)) == 1
    assert leaves(place) != old


def test_kept_leaf_is_loaded_without_the_library_that_makes_it():
    leaf_for(["localhost"], time.time())
    code = (
        "import sys, time; from netfront.net.devcert import leaf_for; leaf_for(['localhost'], time.time());"
        "print('cryptography' in sys.modules)"
    )
    assert python(code) == "False\n"


def python(code):
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout


# -- how it is kept


def test_all_is_private(place):
    old = os.umask(0)
    try:
        leaf_for(["localhost"], time.time())
    finally:
        os.umask(old)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in place.iterdir()}
    assert len(modes) == 4
    assert set(modes.values()) == {0o600}
    assert stat.S_IMODE(place.stat().st_mode) == 0o700


def test_access_of_others_to_the_key_is_ended(place):
    ca_path()
    (place / "ca-key.pem").chmod(0o644)
    leaf_for(["localhost"], time.time())
    assert stat.S_IMODE((place / "ca-key.pem").stat().st_mode) == 0o600


def test_a_directory_that_others_can_write_in_is_refused_and_left_alone(place):
    place.mkdir(parents=True)
    place.chmod(0o1777)
    with pytest.raises(UsageError, match="others can write"):
        ca_path()
    assert stat.S_IMODE(place.stat().st_mode) == 0o1777


def test_authority_stays_the_same(place):
    first = ca_path().read_bytes()
    leaf_for(["localhost"], time.time())
    assert ca_path().read_bytes() == first
    assert b"PRIVATE" not in first


def test_public_copy_is_restored(place):
    first = ca_path().read_bytes()
    for spoil in ((place / "ca.pem").unlink, lambda: (place / "ca.pem").write_bytes(b"x")):
        spoil()
        assert ca_path().read_bytes() == first


def test_authority_is_made_anew_before_it_ends(place):
    now = time.time()
    leaf_for(["localhost"], now)
    first = authority().certificate
    lasts = first.not_valid_after_utc.timestamp()
    leaf_for(["localhost"], lasts - 61 * DAY)
    assert authority().certificate == first
    late = leaf_for(["localhost"], lasts - 59 * DAY)
    assert authority().certificate != first
    assert late.not_after <= authority().certificate.not_valid_after_utc.timestamp()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: b"",
        lambda text: b"garbage",
        lambda text: text[:-200],
        lambda text: text[text.index(b"-----BEGIN CERTIFICATE") :],
        lambda text: text[: text.index(b"-----BEGIN CERTIFICATE")],
        lambda text: make_ca().key_pem() + text[text.index(b"-----BEGIN CERTIFICATE") :],
    ],
    ids=["empty", "garbage", "cut", "without key", "without certificate", "another's key"],
)
def test_damaged_authority_is_told_and_not_replaced(place, spoil):
    ca_path()
    spoilt = spoil((place / "ca-key.pem").read_bytes())
    (place / "ca-key.pem").write_bytes(spoilt)
    with pytest.raises(UsageError) as raised:
        leaf_for(["localhost"], time.time())
    assert str(raised.value).startswith(f"{place / 'ca-key.pem'}: the local CA is damaged: ")
    assert "\n  remove the file to have another made" in str(raised.value)
    assert (place / "ca-key.pem").read_bytes() == spoilt


def test_removed_authority_is_made_anew_and_its_leaves_too(place):
    now = time.time()
    leaf_for(["localhost"], now)
    (place / "ca-key.pem").unlink()
    server = ServerTls([leaf_for(["localhost"], now)])
    assert shake(server.context, trusting(), "localhost")


def test_processes_that_start_at_once_end_with_the_same_authority(place):
    code = (
        "import sys, time; from netfront.net.devcert import ca_path, leaf_for; sys.stdin.read();"
        "leaf_for(['localhost'], time.time()); print(ca_path().read_text())"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    for process in started:
        process.stdin.close()
    told = set()
    for process in started:
        told.add(process.stdout.read())
        process.stdout.close()
        assert process.wait(30) == 0
    assert told == {ca_path().read_text() + "\n"}
    assert len(leaves(place)) == 1
    assert not list(place.glob(".new-*"))


@contextmanager
def locked(directory):
    """Another process, as far as flock is concerned, works in the directory."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (directory / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def this_process():
    with open("/proc/self/comm", encoding="utf-8") as name:
        return f"{name.read().strip()} (pid {os.getpid()})"


def test_lock_that_is_held_is_given_up_in_the_end_and_its_holder_told(place):
    told = []
    with locked(place), pytest.raises(UsageError) as raised:
        leaf_for(["localhost"], time.time(), tell=told.append, patience=1.0)
    assert told == [f"waiting for the lock of {place}, held by {this_process()}"]
    assert str(raised.value) == (
        f"{place}: its lock is held by {this_process()}, for over 1 s\n"
        "  end that process, or set NETFRONT_DATA to another directory, of yours"
    )


def test_lock_that_is_let_go_is_taken(place):
    held = locked(place)
    held.__enter__()
    told = []

    def let_go(line):
        told.append(line)
        held.__exit__(None, None, None)

    assert leaf_for(["localhost"], time.time(), tell=let_go).names
    assert len(told) == 1


def test_renewal_while_connections_are_served_waits_for_nobody(place):
    now = time.time()
    leaf_for(["localhost"], now)
    with locked(place), pytest.raises(UsageError, match="its lock is held by") as raised:
        leaf_for(["localhost"], now, patience=0.0)
    assert "for over" not in str(raised.value)


def test_directory_that_cannot_be_made_is_told(place, tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("NETFRONT_DATA", str(blocked / "below"))
    with pytest.raises(UsageError) as raised:
        ca_path()
    assert str(raised.value) == (
        f"{blocked / 'below'}: not a directory\n  set NETFRONT_DATA to another directory, of yours"
    )


def test_directory_that_may_only_be_read_serves_what_it_holds(place, monkeypatch):
    leaf_for(["localhost"], time.time())
    opened = os.open

    def read_only(path, flags, mode=0o777, **rest):
        if os.fspath(path).startswith(str(place)) and flags & (os.O_RDWR | os.O_WRONLY | os.O_CREAT):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), os.fspath(path))
        return opened(path, flags, mode, **rest)

    monkeypatch.setattr(os, "open", read_only)
    assert ca_path() == place / "ca.pem"
    leaf_for(["localhost"], time.time())
    with pytest.raises(UsageError) as raised:
        leaf_for(["other.test"], time.time())
    assert "read-only file system" in str(raised.value)


def test_directory_of_another_user_is_refused(place, monkeypatch):
    ca_path()
    owner = place.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(UsageError) as raised:
        ca_path()
    assert f"{place}: it belongs to another user (uid {owner})" in str(raised.value)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"NETFRONT_DATA": "/data/x"}, "/data/x"),
        ({"XDG_DATA_HOME": "/share", "HOME": "/home/me"}, "/share/netfront"),
        ({"XDG_DATA_HOME": "relative", "HOME": "/home/me"}, "/home/me/.local/share/netfront"),
        ({"HOME": "/home/me"}, "/home/me/.local/share/netfront"),
    ],
)
@pytest.mark.skipif(sys.platform == "darwin", reason="XDG is not for macOS")
def test_directory_is_where_such_things_are_kept(monkeypatch, environment, expected):
    for name in ("NETFRONT_DATA", "XDG_DATA_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert str(data_directory()) == expected
