"""The certificates of a run: read again as they change, renewed as they age, never lost to a bad file."""

import time
from dataclasses import replace

import pytest

from netfront.cli import certificates as subject
from netfront.cli.certificates import Certificates
from netfront.cli.plan import CertificatePlan, Secret, TlsPlan
from netfront.errors import UsageError
from tests.net.test_certfile import piped
from tests.net.test_tls import trusting
from tests.support.certificates import make_ca, make_leaf, write_pem
from tests.support.handshake import shake

CA = make_ca()
DAY = 86400.0


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("NETFRONT_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def given(directory, leaf, stem="site", **more):
    return CertificatePlan(*write_pem(directory, stem, leaf, **more))


def shown(certificates, name="localhost"):
    return shake(certificates.context(), trusting(CA), name).shown


def test_files_that_changed_are_read_again(tmp_path):
    first, second = make_leaf(CA, "localhost"), make_leaf(CA, "localhost")
    held = Certificates(TlsPlan((given(tmp_path, first),)))
    assert (held.look(), shown(held)) == ([], first.der)
    write_pem(tmp_path, "site", second)
    assert held.look() == ["certificates read again"]
    assert (held.look(), shown(held)) == ([], second.der)


def test_bad_new_file_is_told_and_the_old_certificate_stays(tmp_path):
    first, second = make_leaf(CA, "localhost"), make_leaf(CA, "localhost")
    held = Certificates(TlsPlan((given(tmp_path, first),)))
    (tmp_path / "site.pem").write_bytes(second.pem)  # its key comes a moment later
    (told,) = held.look()
    assert told == (
        f"the old certificates stay: {tmp_path / 'site.key'}: "
        f"the key does not fit the certificate {tmp_path / 'site.pem'}"
    )
    assert (held.look(), shown(held)) == ([], first.der)
    (tmp_path / "site.key").write_bytes(second.key_pem())
    assert held.look() == ["certificates read again"]
    assert shown(held) == second.der


def test_files_are_read_again_when_told_so(tmp_path):
    held = Certificates(TlsPlan((given(tmp_path, make_leaf(CA, "localhost")),)))
    second = make_leaf(CA, "localhost")
    write_pem(tmp_path, "site", second)
    assert held.reload() == ["certificates read again"]
    assert (held.look(), shown(held)) == ([], second.der)


@pytest.mark.parametrize("name", ["site.pem", "site.key", "ca.pem"])
def test_missing_file_is_told_once_and_once_that_it_is_back(tmp_path, name):
    (tmp_path / "ca.pem").write_bytes(CA.pem)
    leaf = make_leaf(CA, "localhost")
    held = Certificates(TlsPlan((given(tmp_path, leaf),), client_ca=str(tmp_path / "ca.pem")))
    file = tmp_path / name
    file.rename(tmp_path / "away")
    gone = f"{file}: no such file or directory; what was read of it stays in use"
    assert [held.look(), held.look(), held.look()] == [[], [gone], []]
    (tmp_path / "away").rename(file)
    assert [held.look(), held.look()] == [[f"{file} is back"], []]
    file.unlink()
    assert [held.look(), held.look(), held.look()] == [[], [gone], []]


def test_missing_file_that_comes_back_changed_is_read(tmp_path):
    held = Certificates(TlsPlan((given(tmp_path, make_leaf(CA, "localhost")),)))
    key = tmp_path / "site.key"
    key.unlink()
    assert len(held.look() + held.look()) == 1
    second = make_leaf(CA, "localhost")
    write_pem(tmp_path, "site", second)
    assert held.look() == [f"{key} is back", "certificates read again"]
    assert shown(held) == second.der


def test_file_missing_for_one_look_or_told_by_a_reload_is_not_told_again(tmp_path):
    held = Certificates(TlsPlan((given(tmp_path, make_leaf(CA, "localhost")),)))
    cert = tmp_path / "site.pem"
    text = cert.read_bytes()
    cert.unlink()
    assert held.look() == []
    cert.write_bytes(text)
    assert held.look() == ["certificates read again"]
    cert.unlink()
    assert held.reload() == [f"the old certificates stay: {cert}: no such file or directory"]
    assert held.look() + held.look() == []


def test_pipe_is_read_once_and_that_is_said_when_a_reload_is_asked_for(tmp_path):
    leaf = make_leaf(CA, "localhost")
    with piped(leaf.pem + leaf.key_pem()) as path:
        held = Certificates(TlsPlan((CertificatePlan(path),)))
    assert (held.look(), shown(held)) == ([], leaf.der)
    assert held.reload() == [f"nothing to read again: {path}: a pipe is read but once"]
    ca = tmp_path / "ca.pem"
    ca.write_bytes(CA.pem)
    with piped(leaf.pem + leaf.key_pem()) as path:
        held = Certificates(TlsPlan((CertificatePlan(path),), client_ca=str(ca)))
    assert held.reload() == ["certificates read again", f"{path}: a pipe is read but once"]
    ca.write_bytes(make_ca("another").pem)
    assert held.look() == ["certificates read again"]


def test_authorities_of_clients_are_watched_too(tmp_path):
    ca = tmp_path / "ca.pem"
    ca.write_bytes(CA.pem)
    held = Certificates(TlsPlan((given(tmp_path, make_leaf(CA, "localhost")),), client_ca=str(ca)))
    ca.write_bytes(make_ca("another").pem)
    assert held.look() == ["certificates read again"]
    ca.write_bytes(b"")
    assert held.look() == [
        f"the old certificates stay: --client-ca {ca}: there is no certificate in it\n  it has to be a PEM file"
    ]


def test_password_is_read_from_its_file_or_variable(tmp_path, monkeypatch):
    secret = tmp_path / "secret"
    secret.write_bytes(b"open\r\n")
    monkeypatch.setenv("SECRET", "open")
    plan = given(tmp_path, make_leaf(CA, "localhost"), password=b"open")
    for source in (Secret(file=str(secret)), Secret(variable="SECRET")):
        assert Certificates(TlsPlan((replace(plan, password=source),)))
    for source in (Secret(file=str(tmp_path / "none")), Secret(variable="NOT_SET")):
        with pytest.raises(UsageError, match="no such"):
            Certificates(TlsPlan((replace(plan, password=source),)))


def test_all_faults_are_told_at_once(tmp_path):
    over = given(tmp_path, make_leaf(CA, "a", begins=-9, days=3), "over")
    locked = given(tmp_path, make_leaf(CA, "b"), "locked", password=b"x")
    with pytest.raises(UsageError) as raised:
        Certificates(TlsPlan((over, locked), client_ca=over.key))
    assert [fault.what for fault in raised.value.faults] == [over.cert, locked.key, f"--client-ca {over.key}"]


def test_name_that_no_certificate_is_for_is_refused(tmp_path):
    plans = (given(tmp_path, make_leaf(CA, "a.test"), "a"), given(tmp_path, make_leaf(CA, "*.b.test"), "b"))
    Certificates(TlsPlan(plans, ("A.test", "x.b.test")))
    with pytest.raises(UsageError) as raised:
        Certificates(TlsPlan(plans, ("a.test", "b.test")))
    assert str(raised.value) == (
        "--name b.test: none of the certificates given is for it\n  they are for a.test, *.b.test"
    )


def test_note_tells_names_days_and_hosts_that_are_missed(tmp_path):
    plan = TlsPlan((given(tmp_path, make_leaf(CA, "a.test", "b.test", days=11)),))
    assert Certificates(plan).note == "certificate for a.test, b.test, 9 days left"
    assert Certificates(plan, ["a.test", "c.test"]).note.endswith("left; not for c.test")


def test_local_certificate_carries_the_names_of_the_plan():
    held = Certificates(TlsPlan(names=("app.test",)))
    pair = shake(held.context(), trusting_local(), "app.test")
    names = {value for _, value in pair.client.getpeercert()["subjectAltName"]}
    assert names == {"localhost", "127.0.0.1", "0:0:0:0:0:0:0:1", "app.test"}


def trusting_local():
    import ssl

    from netfront.net.devcert import ca_path

    return ssl.create_default_context(cafile=str(ca_path()))


@pytest.fixture
def clock(monkeypatch):
    """The time of day, as this file's subject reads it."""

    class Clock:
        now = time.time()
        strftime, gmtime = time.strftime, time.gmtime

        def time(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(subject, "time", clock)
    return clock


def test_local_certificate_is_renewed_while_it_serves(clock):
    held = Certificates(TlsPlan())
    first = shake(held.context(), trusting_local()).shown
    clock.now += 18 * DAY
    assert held.look() == []
    assert shake(held.context(), trusting_local()).shown == first
    clock.now += 3 * DAY
    assert held.look() == ["certificates read again"]
    assert held.look() == []


def test_renewal_that_fails_is_told_and_tried_again_in_an_hour(clock, place):
    held = Certificates(TlsPlan())
    key = place / "ca-key.pem"
    good = key.read_bytes()
    key.write_bytes(b"damaged")
    clock.now += 25 * DAY
    (told,) = held.look()
    assert told.startswith(f"the old certificates stay: {key}: the local CA is damaged")
    assert held.look() == []
    key.write_bytes(good)
    clock.now += 3601
    assert held.look() == ["certificates read again"]
