"""Certificates out of files: what is taken, and what is refused in which words."""

import os
import time
from contextlib import contextmanager

import pytest

from netfront.errors import UsageError
from netfront.net.certfile import covers, load_certificate
from netfront.net.files import Files
from tests.support.certificates import CLIENT, make_ca, make_leaf, write_pem

ROOT = make_ca("root")
MIDDLE = make_ca("middle", issuer=ROOT)
LEAF = make_leaf(MIDDLE, "app.test", "*.app.test", "127.0.0.1")


def refusal(*given, **more):
    with pytest.raises(UsageError) as raised:
        load_certificate(*given, **more)
    return str(raised.value)


def test_certificate_with_chain_is_loaded(tmp_path):
    loaded = load_certificate(*write_pem(tmp_path, "a", LEAF, MIDDLE, ROOT))
    assert loaded.names == ("app.test", "*.app.test", "127.0.0.1")
    assert loaded.not_after == LEAF.certificate.not_valid_after_utc.timestamp()
    assert loaded.not_before == LEAF.certificate.not_valid_before_utc.timestamp()


def test_certificate_and_key_may_be_one_file(tmp_path):
    both = tmp_path / "both.pem"
    both.write_bytes(LEAF.key_pem() + LEAF.pem)
    assert load_certificate(str(both), str(both)).names == LEAF_NAMES


LEAF_NAMES = ("app.test", "*.app.test", "127.0.0.1")


@pytest.mark.parametrize("traditional", [False, True])
def test_locked_key_opens_by_its_password_alone(tmp_path, traditional):
    cert, key = write_pem(tmp_path, "a", LEAF)
    (tmp_path / "a.key").write_bytes(LEAF.key_pem(b"secret", traditional=traditional))
    assert load_certificate(cert, key, b"secret").names == LEAF_NAMES
    assert refusal(cert, key) == (
        f"{key}: the key is encrypted\n  give its password by --key-password @FILE or env:NAME"
    )
    for wrong in (b"wrong", b"", b"x" * 2000):
        assert refusal(cert, key, wrong) == f"{key}: the password does not open the key"


def test_password_for_a_key_that_is_not_locked_is_no_fault(tmp_path):
    assert load_certificate(*write_pem(tmp_path, "a", LEAF), b"needless").names == LEAF_NAMES


@pytest.mark.parametrize("other", [make_leaf(ROOT, "b.test"), make_leaf(ROOT, "b.test", rsa_bits=2048)])
def test_key_of_another_certificate_is_refused(tmp_path, other):
    cert, _ = write_pem(tmp_path, "a", LEAF)
    _, key = write_pem(tmp_path, "b", other)
    assert refusal(cert, key) == f"{key}: the key does not fit the certificate {cert}"


def test_swapped_files_are_told(tmp_path):
    cert, key = write_pem(tmp_path, "a", LEAF)
    assert refusal(key, cert) == (f"{key}: there is no certificate in it\n  are certificate and key swapped?")
    assert refusal(cert, cert) == f"{cert}: there is no private key in it\n  it has to be a PEM file"


def test_all_that_is_wrong_with_a_pair_is_told_at_once(tmp_path):
    over = make_leaf(ROOT, "a.test", begins=-10, days=5, usage=CLIENT)
    cert, _ = write_pem(tmp_path, "a", over, MIDDLE)
    _, key = write_pem(tmp_path, "b", LEAF)
    with pytest.raises(UsageError) as raised:
        load_certificate(cert, key)
    assert [(fault.what, fault.why.split(" on 20")[0]) for fault in raised.value.faults] == [
        (key, f"the key does not fit the certificate {cert}"),
        (cert, "the certificate expired"),
        (cert, "the certificate is not for servers"),
        (cert, "the chain is out of order: CN=middle did not issue CN=a.test"),
    ]
    assert refusal(str(tmp_path / "x"), str(tmp_path / "y")).count("no such file") == 2


def test_key_that_is_not_named_is_in_the_file_of_the_certificate(tmp_path):
    both = tmp_path / "both.pem"
    both.write_bytes(LEAF.pem + MIDDLE.pem + LEAF.key_pem())
    assert load_certificate(str(both), None).names == LEAF_NAMES
    cert, _ = write_pem(tmp_path, "a", LEAF)
    assert refusal(cert, None) == (
        f"--cert {cert}: it has no --key\n  give --key FILE, or put the key into the certificate's file"
    )
    assert refusal(str(tmp_path / "none"), None) == f"{tmp_path / 'none'}: no such file or directory"


def test_pipe_is_read_once_and_serves_again(tmp_path):
    with piped(LEAF.pem + LEAF.key_pem()) as path:
        files = Files()
        for _ in range(2):
            assert load_certificate(path, None, files=files).names == LEAF_NAMES
        assert files.is_pipe(path)
    cert, key = write_pem(tmp_path, "a", LEAF)
    load_certificate(cert, key, files=files)
    assert not files.is_pipe(cert)


@contextmanager
def piped(data):
    """Give the path of a pipe that holds this, as `<(command)` does."""
    reads, writes = os.pipe()
    os.write(writes, data)
    os.close(writes)
    try:
        yield f"/dev/fd/{reads}"
    finally:
        os.close(reads)


def test_endless_file_is_refused():
    assert refusal("/dev/zero", None) == "/dev/zero: longer than 4MiB\n  name a PEM file"


def test_der_is_told_from_pem(tmp_path):
    _, key = write_pem(tmp_path, "a", LEAF)
    der = tmp_path / "a.der"
    der.write_bytes(LEAF.der)
    assert refusal(str(der), key).startswith(f"{der}: not a PEM file\n  if it is DER: openssl x509")


@pytest.mark.parametrize(
    ("file", "text", "why"),
    [
        (
            "a.pem",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "a malformed certificate: ",
        ),
        ("a.pem", "-----BEGIN CERTIFICATE-----\nA\n-----END CERTIFICATE-----\n", "a malformed certificate: "),
        ("a.pem", "", "not a PEM file"),
        ("a.key", "", "there is no private key in it"),
        (
            "a.key",
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            "the private key in it is malformed",
        ),
    ],
)
def test_damaged_files_are_told(tmp_path, file, text, why):
    cert, key = write_pem(tmp_path, "a", LEAF)
    (tmp_path / file).write_text(text)
    assert refusal(cert, key).startswith(f"{tmp_path / file}: {why}")


def test_missing_file_and_directory_are_told(tmp_path):
    cert, key = write_pem(tmp_path, "a", LEAF)
    assert refusal(str(tmp_path / "none"), key) == f"{tmp_path / 'none'}: no such file or directory"
    assert refusal(cert, str(tmp_path)) == f"{tmp_path}: is a directory"


def test_certificate_that_is_over_or_to_come_is_refused(tmp_path):
    over = make_leaf(ROOT, "a.test", begins=-10, days=5)
    coming = make_leaf(ROOT, "a.test", begins=2, days=5)
    day = time.strftime("%Y-%m-%d", time.gmtime(over.certificate.not_valid_after_utc.timestamp()))
    assert f": the certificate expired on {day}\n  renew it" in refusal(*write_pem(tmp_path, "a", over))
    assert ": the certificate is not valid before 20" in refusal(*write_pem(tmp_path, "b", coming))


def test_moment_of_the_check_may_be_given(tmp_path):
    files = write_pem(tmp_path, "a", LEAF)
    end = LEAF.certificate.not_valid_after_utc.timestamp()
    assert load_certificate(*files, now=end).names == LEAF_NAMES
    assert "expired" in refusal(*files, now=end + 1)


def test_issuer_that_is_over_is_refused(tmp_path):
    old = make_ca("an old one", issuer=ROOT, begins=-10, days=5)
    told = refusal(*write_pem(tmp_path, "a", make_leaf(old, "a.test"), old))
    assert ": its issuer CN=an old one expired on 20" in told


def test_chain_out_of_order_is_refused(tmp_path):
    assert refusal(*write_pem(tmp_path, "a", LEAF, ROOT, MIDDLE)).endswith(
        ": the chain is out of order: CN=root did not issue CN=app.test\n"
        "  put the certificate first, and after each the one that issued it"
    )


def test_chain_is_compared_without_regard_to_case(tmp_path):
    loud = make_ca("Middle", issuer=ROOT)
    quiet = make_leaf(loud, "a.test")
    renamed = make_ca("MIDDLE", issuer=ROOT)
    assert load_certificate(*write_pem(tmp_path, "a", quiet, renamed)).names == ("a.test",)


def test_certificate_for_clients_is_refused(tmp_path):
    told = refusal(*write_pem(tmp_path, "a", make_leaf(ROOT, "a.test", usage=CLIENT)))
    assert ": the certificate is not for servers" in told


def test_weak_key_is_refused(tmp_path):
    weak = make_leaf(None, "a.test", rsa_bits=1024)
    assert ": too weak for TLS: ee key too small" in refusal(*write_pem(tmp_path, "a", weak))


def test_self_signed_certificate_without_names_is_taken(tmp_path):
    # what `openssl req -x509 -subj /CN=localhost` makes
    alone = make_leaf(None, usage=None)
    assert load_certificate(*write_pem(tmp_path, "a", alone)).names == ("nobody",)


@pytest.mark.parametrize(
    ("host", "is_covered"),
    [
        ("app.test", True),
        ("APP.test.", True),
        ("x.app.test", True),
        ("y.x.app.test", False),
        ("*.app.test", True),
        ("test", False),
        ("127.0.0.1", True),
        ("127.0.0.2", False),
    ],
)
def test_wildcard_covers_one_label(host, is_covered):
    assert covers(LEAF_NAMES, host) is is_covered
