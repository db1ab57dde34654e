"""Endpoints: where to listen and dial, what is refused, and that what is written is read as the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netfront.endpoint import (
    Endpoint,
    is_loopback_name,
    parse_listen,
    parse_place,
    parse_resolver,
    service_domain,
)
from netfront.errors import UsageError


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("3000", Endpoint("", "localhost", 3000)),
        (":3000", Endpoint("", "localhost", 3000)),
        ("app.internal:3000", Endpoint("", "app.internal", 3000)),
        ("app.internal", Endpoint("", "app.internal", 80)),
        ("[::1]:80", Endpoint("", "::1", 80)),
        ("[0:0:0:0:0:0:0:1]:80", Endpoint("", "::1", 80)),
        ("http://[::1]:8080/x", Endpoint("http", "::1", 8080, base="/x")),
        ("https://API.example.com/v2", Endpoint("https", "api.example.com", 443, base="/v2")),
        ("HTTP://h", Endpoint("http", "h", 80)),
        (":8000/", Endpoint("", "localhost", 8000, base="/")),
        ("unix:/run/app.sock", Endpoint("", "", 0, path="/run/app.sock")),
        ("unix:///run/app.sock", Endpoint("", "", 0, path="/run/app.sock")),
        ("unix:app.sock", Endpoint("", "", 0, path="app.sock")),
        ("demo:", Endpoint("demo", "", 0)),
        ("DEMO:/", Endpoint("demo", "", 0, base="/")),
        ("demo:/status", Endpoint("demo", "", 0, base="/status")),
        ("UNIX:app.sock", Endpoint("", "", 0, path="app.sock")),
        ("tcp://db1:5432", Endpoint("tcp", "db1", 5432)),
    ],
)
def test_place_is_read(text, endpoint):
    assert parse_place(text) == endpoint


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("0", "no such port as 0"),
        ("demo:3000", "the built-in origin has neither host nor port"),
        ("65536", "no such port as 65536"),
        (":x", "'x' is not a port"),
        ("::1", "not an address"),
        ("::1:80", "not an address"),
        ("[::1", "not an address"),
        ("[x]:80", "[x] is not an IPv6 address"),
        ("[::1%eth0]:80", "[::1%eth0] is not an IPv6 address"),
        ("1.2.3:80", "1.2.3 is not an IPv4 address"),
        ("a b:80", "'a b' is not a host name"),
        ("-x:80", "'-x' is not a host name"),
        ("bücher.example:80", "a host is ASCII; write it in its xn-- form"),
        ("htps://h", "unknown scheme htps://"),
        ("http://u:p@h", "an address has no credentials"),
        ("http://h/x?y", "a target takes a path, but neither a query nor a fragment"),
        ("http://h/x#y", "a target takes a path, but neither a query nor a fragment"),
        ("http://h/a b", "its path has a character that no path has"),
        ("http://h/%zz", "its path has a character that no path has"),
        ("http://", "no host to dial"),
        ("http:///x", "no host to dial"),
        ("*:80", "no host to dial"),
        ("", "no host to dial"),
        ("unix:", "no file after unix:"),
        ("tcp://h", "tcp:// needs a port"),
        ("http://h\n:80", "'h\\n' is not a host name"),
    ],
)
def test_place_is_refused_with_its_reason(text, why):
    with pytest.raises(UsageError) as caught:
        parse_place(text)
    assert (caught.value.faults[0].what, caught.value.faults[0].why) == (text, why)


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        (":8443", Endpoint("", "localhost", 8443)),
        ("http://:8080", Endpoint("http", "localhost", 8080)),
        ("https://localhost:8443", Endpoint("https", "localhost", 8443)),
        ("https://*:443", Endpoint("https", "*", 443)),
        ("127.0.0.2:0", Endpoint("", "127.0.0.2", 0)),
        ("http://[::]:80", Endpoint("http", "::", 80)),
        ("unix:/run/x", Endpoint("", "", 0, path="/run/x")),
    ],
)
def test_listen_address_is_read(text, endpoint):
    assert parse_listen(text) == endpoint


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("8080", "write :8080"),
        ("localhost", "write localhost:8443"),
        (
            "https://app.example:443",
            "listen on localhost, an IP address or *; names for the certificate come from --name",
        ),
        ("http://:80/x", "paths belong to routes, as in /api=:8000"),
        (":65536", "a port is a number from 0 to 65535"),
        ("htp://:80", "did you mean http://?"),
    ],
)
def test_listen_address_is_refused_with_what_to_do(text, hint):
    with pytest.raises(UsageError) as caught:
        parse_listen(text)
    assert caught.value.faults[0].hint == hint


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST.", "app.localhost", "127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"]
)
def test_loopback_name_is_known(host):
    assert is_loopback_name(host)


@pytest.mark.parametrize(
    "host", ["", "*", "localhost.example", "mylocalhost", "0.0.0.0", "::", "10.0.0.1", "127.0.0.1.nip.io"]
)
def test_other_name_is_no_loopback(host):
    assert not is_loopback_name(host)


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        (Endpoint("https", "api.example.com", 443, base="/v2"), "https://api.example.com/v2"),
        (Endpoint("http", "::1", 8080), "http://[::1]:8080"),
        (Endpoint("http", "", 0, path="/run/x"), "unix:/run/x"),
        (Endpoint("demo", "", 0), "demo:"),
    ],
)
def test_url_leaves_out_what_goes_without_saying(endpoint, url):
    assert endpoint.url == url


_LABEL = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z])?", fullmatch=True)
_HOST = st.one_of(
    st.lists(_LABEL, min_size=1, max_size=4)
    .map(".".join)
    .filter(lambda host: not host.replace(".", "").isdigit()),
    st.ip_addresses().map(str),
)


@given(
    st.sampled_from(["", "http", "https", "tcp"]),
    _HOST,
    st.integers(1, 65535),
    st.from_regex(r"(/[A-Za-z0-9._~%-]{0,8}){0,3}", fullmatch=True).filter(lambda base: "%" not in base),
)
def test_place_survives_render_and_parse(scheme, host, port, base):
    endpoint = Endpoint(scheme, host, port, base=base)
    assert parse_place(str(endpoint)) == endpoint


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused_by_its_name(text):
    for parse in (parse_place, parse_listen, parse_resolver):
        refused = []
        try:
            parse(text)
        except UsageError as error:
            refused = [fault.what for fault in error.faults]
        assert refused in ([], [text])


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("10.0.0.53", ("10.0.0.53", 53)),
        ("127.0.0.1:5353", ("127.0.0.1", 5353)),
        ("::1", ("::1", 53)),
        ("[::1]", ("::1", 53)),
        ("[FD00::0001]:5353", ("fd00::1", 5353)),
    ],
)
def test_resolver_is_read(text, server):
    assert parse_resolver(text) == server


@pytest.mark.parametrize(
    "text", ["", "dns.test", "dns.test:53", ":53", "10.0.0.1:0", "10.0.0.1:x", "10.0.0.1/x", "1.2.3"]
)
def test_resolver_that_is_no_address_is_refused(text):
    with pytest.raises(UsageError):
        parse_resolver(text)


@pytest.mark.parametrize(
    ("name", "domain"),
    [("_http._tcp.shop.internal", "shop.internal"), ("_db.shop", "shop"), ("shop", "shop"), ("_x._y", "_y")],
)
def test_domain_of_a_service_is_what_its_labels_belong_to(name, domain):
    assert service_domain(name) == domain
