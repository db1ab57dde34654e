"""The hosts file: what it says of a name."""

import pytest

from netfront.net.hosts import HostsFile

TEXT = """\
127.0.0.1  localhost loop
::1        localhost ip6-localhost   # app.test is none of its names
10.0.0.1\tapp.test\tApp2.Test  # app3.test
  10.0.0.2 app.test
10.0.0.1 app.test
fd00::0001 app.test
#10.0.0.9 app.test
fe80::1%eth0 zone.test
nonsense odd.test
10.0.0.300 odd.test
10.0.0.3 long.app.test app.test.org
10.0.0.4"""


@pytest.mark.parametrize(
    ("name", "addresses"),
    [
        ("app.test", ("10.0.0.1", "10.0.0.2", "fd00::1")),
        ("APP.test.", ("10.0.0.1", "10.0.0.2", "fd00::1")),
        ("app2.test", ("10.0.0.1",)),
        ("localhost", ("127.0.0.1", "::1")),
        ("app3.test", ()),
        ("test", ()),
        ("zone.test", ()),
        ("odd.test", ()),
        ("app.test.org", ("10.0.0.3",)),
        ("10.0.0.4", ()),
        ("none.test", ()),
        ("", ()),
        ("bücher.test", ()),
    ],
)
def test_name_is_found(tmp_path, name, addresses):
    file = tmp_path / "hosts"
    file.write_text(TEXT)
    assert HostsFile(str(file)).addresses(name) == addresses


def test_windows_line_ends_do_no_harm(tmp_path):
    file = tmp_path / "hosts"
    file.write_bytes(b"10.0.0.1 a.test\r\n10.0.0.2 b.test\r\n")
    hosts = HostsFile(str(file))
    assert (hosts.addresses("a.test"), hosts.addresses("b.test")) == (("10.0.0.1",), ("10.0.0.2",))


def test_missing_file_says_nothing_and_one_that_went_says_what_it_said(tmp_path):
    file = tmp_path / "hosts"
    hosts = HostsFile(str(file))
    assert hosts.addresses("a.test") == ()
    file.write_text("10.0.0.1 a.test\n")
    hosts.read()
    assert hosts.addresses("a.test") == ("10.0.0.1",)
    file.unlink()
    hosts.read()
    assert hosts.addresses("a.test") == ("10.0.0.1",)
