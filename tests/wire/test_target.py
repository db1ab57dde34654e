"""Request targets: the forms of RFC 9112 §3.2, what is refused, and the normal form by which decisions are made."""

from urllib.parse import quote, unquote

import h11
import httptools
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from netfront.errors import BadMessage
from netfront.wire.target import canonical, parse_authority, parse_target

PIECES = (
    rb"/ a B . .. %2e %2E%2e %61 %41 ; ;p=1 %2f %2F %5c \ ~ %7e @ %40 %C3%A9 %c3%a9 | %20 %3b %25".split()
)
PATHS = st.lists(st.sampled_from([*PIECES, b"\xc3\xa9"]), max_size=14).map(
    lambda parts: b"/" + b"".join(parts)
)


def target(raw, method=b"GET"):
    return parse_target(method, raw)


def refusal(call, *args):
    with pytest.raises(BadMessage) as caught:
        call(*args)
    return caught.value.status


# -- the four forms ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "path", "query"),
    [
        (b"/", b"/", None),
        (b"/?", b"/", b""),
        (b"/a/b?c=d?e=/../", b"/a/b", b"c=d?e=/../"),
        (b"//a//b/", b"//a//b/", None),
        (b"/a;v=1/../%41", b"/a;v=1/../%41", None),
        (b'/"<>\\^`{|}', b'/"<>\\^`{|}', None),
        (b"/%", b"/%", None),
        (b"/\xe9\xff", b"/\xe9\xff", None),
        (b"/a?http://x/", b"/a", b"http://x/"),
        (b"/http://x/", b"/http://x/", None),
    ],
)
def test_origin_form_is_kept_byte_for_byte(raw, path, query):
    parsed = target(raw)
    assert (parsed.form, parsed.raw, parsed.origin_form) == ("origin", raw, raw)
    assert (parsed.path, parsed.query, parsed.scheme, parsed.authority) == (path, query, None, None)


def test_query_may_be_asked_before_the_path():
    assert target(b"/a?b").query == b"b"


@pytest.mark.parametrize(
    ("raw", "scheme", "authority", "origin_form"),
    [
        (b"http://a.test", b"http", b"a.test", b"/"),
        (b"HTTP://A.test:80/", b"http", b"A.test:80", b"/"),
        (b"https://a.test/x?y", b"https", b"a.test", b"/x?y"),
        (b"http://a.test?y", b"http", b"a.test", b"/?y"),
        (b"http://[::1]:8080/x//y", b"http", b"[::1]:8080", b"/x//y"),
        (b"http://a.test//b.test/x", b"http", b"a.test", b"//b.test/x"),
    ],
)
def test_absolute_form_is_sent_on_in_origin_form(raw, scheme, authority, origin_form):
    parsed = target(raw)
    assert (parsed.form, parsed.raw) == ("absolute", raw)
    assert (parsed.scheme, parsed.authority, parsed.origin_form) == (scheme, authority, origin_form)


@pytest.mark.parametrize(
    ("raw", "authority", "origin_form"),
    [(b"*", None, b"*"), (b"http://a.test", b"a.test", b"*"), (b"http://a.test:81", b"a.test:81", b"*")],
)
def test_options_may_ask_about_the_whole_server(raw, authority, origin_form):
    parsed = target(raw, b"OPTIONS")
    assert (parsed.form, parsed.authority, parsed.origin_form) == ("asterisk", authority, origin_form)
    assert parsed.normalised == b"/"


def test_options_with_a_path_asks_about_the_path():
    assert target(b"http://a.test/", b"OPTIONS").form == "absolute"
    assert target(b"/", b"OPTIONS").form == "origin"


def test_connect_names_an_authority():
    assert target(b"a.test:443", b"CONNECT").form == "authority"


@pytest.mark.parametrize(
    ("method", "raw"),
    [
        (b"GET", b""),
        (b"GET", b"*"),
        (b"GET", b"a"),
        (b"GET", b"a/b"),
        (b"GET", b"?a"),
        (b"GET", b"\\a"),
        (b"GET", b"a.test:443"),
        (b"GET", b"/a b"),
        (b"GET", b"/a\tb"),
        (b"GET", b"/a\r\nb"),
        (b"GET", b"/a\x00"),
        (b"GET", b"/a\x7f"),
        (b"GET", b"/a#b"),
        (b"GET", b"/#"),
        (b"GET", b"/a\n"),
        (b"GET", b"http://"),
        (b"GET", b"http:///a"),
        (b"GET", b"http:/a"),
        (b"GET", b"http:a"),
        (b"GET", b"://a/"),
        (b"GET", b"ftp://a.test/"),
        (b"GET", b"file:///etc/passwd"),
        (b"GET", b"http://u@a.test/"),
        (b"GET", b"http://u:p@a.test/"),
        (b"GET", b"http://a.test:70000/"),
        (b"GET", b"http://a.test:x/"),
        (b"GET", b"http://a.test\\@b.test/"),
        (b"GET", b"http://a.test/#b"),
        (b"GET", b"http://a test/"),
        (b"GET", b"http://\xe9.test/"),
        (b"GET", b"http://a.test/\x80\x00"),
        (b"CONNECT", b"/"),
        (b"CONNECT", b"*"),
        (b"CONNECT", b"a.test"),
        (b"CONNECT", b"http://a.test/"),
        (b"CONNECT", b"u@a.test:443"),
        (b"OPTIONS", b"**"),
        (b"OPTIONS", b"*/"),
    ],
)
def test_malformed_target_is_refused(method, raw):
    assert refusal(parse_target, method, raw) == 400


@given(st.sampled_from([b"GET", b"OPTIONS", b"CONNECT"]), st.binary(max_size=30))
def test_garbage_raises_only_bad_message(method, raw):
    try:
        parsed = parse_target(method, raw)
        readings = parsed.readings
    except BadMessage:
        return
    assert readings[0] == parsed.normalised
    assert parsed.resolved.startswith(b"/")


# -- authorities ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "host", "port"),
    [
        (b"localhost", b"localhost", None),
        (b"App.Localhost:8443", b"app.localhost", 8443),
        (b"a.test.", b"a.test.", None),
        (b"a.test:", b"a.test", None),
        (b"a.test:0", b"a.test", 0),
        (b"a.test:65535", b"a.test", 65535),
        (b"a.test:00080", b"a.test", 80),
        (b"127.0.0.1:80", b"127.0.0.1", 80),
        (b"[::1]", b"[::1]", None),
        (b"[2001:DB8::A]:443", b"[2001:db8::a]", 443),
        (b"[::ffff:127.0.0.1]", b"[::ffff:127.0.0.1]", None),
        (b"a_b.test", b"a_b.test", None),
        (b"a%2db!$&'()*+,;=", b"a%2db!$&'()*+,;=", None),
    ],
)
def test_authority_is_split_into_host_and_port(value, host, port):
    assert parse_authority(value) == (host, port)


@pytest.mark.parametrize(
    "value",
    [
        *rb": :80 a:b a:80:80 a:+80 a:8_0 a:65536 a:099999 a/b a?b a#b a@b u:p@b a\b % %4 %zz <a>".split(),
        *rb"[ ] [] [:] [:::] [1::2::3] [::1 ::1 [::1]x [::1]:x [1.2.3.4] [12345::] [v1.x]".split(),
        *rb"[::1%25eth0] [fe80::1%eth0]".split(),
        *(b"", b"a: 80", b"a b", b"a\tb", b"a\x00", b"a\r\n", b"a\n", b"a:\xb2", b"\xc3\xa9.test", b'"a"'),
    ],
)
def test_malformed_authority_is_refused(value):
    assert refusal(parse_authority, value) == 400


# -- the normal form -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "normalised"),
    [
        (b"/", b"/"),
        (b"/a/b/", b"/a/b/"),
        (b"/a?x=/../%2f", b"/a"),
        (b"//a///b//", b"/a/b/"),
        (b"/a/./b/.", b"/a/b/"),
        (b"/a/b/../c", b"/a/c"),
        (b"/a/b/..", b"/a/"),
        (b"/a/..", b"/"),
        (b"/a//../b", b"/b"),
        (b"/./", b"/"),
        (b"/.well-known/x", b"/.well-known/x"),
        (b"/...", b"/..."),
        (b"/..a/.b", b"/..a/.b"),
        (b"/a/%2e%2E/b", b"/b"),
        (b"/a/.%2e/b", b"/b"),
        (b"/%61%2Db%7e", b"/a-b~"),
        (b"/a%21%24%26%27%28%29%2a%2b%2c%3d%3a%40", b"/a!$&'()*+,=:@"),
        (b"/a%3bb", b"/a%3Bb"),
        (b"/a%3f%23%25", b"/a%3F%23%25"),
        (b"/a%252e", b"/a%252e"),
        (b"/a;v=1/b;w", b"/a/b"),
        (b"/a;/b;", b"/a/b"),
        (b"/;x/a", b"/a"),
        (b"/a/;x", b"/a/"),
        (b"/a;b/../c", b"/c"),
        (b"/a;x=../b", b"/a/b"),
        (b'/"|{ }'.replace(b" ", b""), b"/%22%7C%7B%7D"),
        (b"/caf\xc3\xa9", b"/caf%C3%A9"),
        (b"/caf%c3%a9", b"/caf%C3%A9"),
        (b"/caf%e9", b"/caf%E9"),
        (b"/m\xfcller", b"/m%FCller"),
        (b"/%0d%0a", b"/%0D%0A"),
        (b"http://a.test/x/../y", b"/y"),
    ],
)
def test_path_is_normalised(raw, normalised):
    assert target(raw).normalised == normalised


@pytest.mark.parametrize(
    "raw",
    [
        b"/..",
        b"/../a",
        b"/a/../../b",
        b"/%2e%2e/a",
        b"/a;x/../../b",
        b"//../a",
        b"/.;",
        b"/a/..;/b",
        b"/a/..;x=1/b",
        b"/a/.;x/b",
        b"/a/%2e%2e;/b",
        b"/a%00",
        b"/%",
        b"/%4",
        b"/%zz",
        b"/%u002e",
        b"/%%34",
        b"/a/%c0%ae%c0%ae/b",
        b"/\xc0\xae",
        b"/%c0%af",
        b"/%c1%9c",
        b"/%e0%80%af",
        b"/%E0%9F%BF",
        b"/%f0%80%80%af",
        b"/%f8%80%80%80%af",
        b"/%fc%80%80%80%80%af",
        b"/..%2fa",
        b"/a%2f..%2f..%2fb",
        b"/a%5c..%5c..%5cb",
        b"/..\\a",
        b"/;%2fa/%2f..",
        b"/%2f%",
        b"/" + b"a%2f" * 257,
        b"/x/a%2fb/../%2f..%2f..%2fy",
    ],
)
def test_path_that_cannot_be_normalised_safely_is_refused_when_asked_for(raw):
    parsed = target(raw)
    assert parsed.origin_form == raw
    for _ in range(2):
        with pytest.raises(BadMessage) as caught:
            _ = parsed.normalised
        assert caught.value.status == 400


@pytest.mark.parametrize(
    ("raw", "readings"),
    [
        (b"/a/b", (b"/a/b",)),
        (b"/a%41", (b"/aA",)),
        (b"/@scope%2fpkg", (b"/@scope%2Fpkg", b"/@scope/pkg")),
        (b"/public/..%2fadmin", (b"/public/..%2Fadmin", b"/admin", b"/public/../admin")),
        (b"/public/..%5Cadmin", (b"/public/..%5Cadmin", b"/admin", b"/public/../admin")),
        (b"/public/..\\admin", (b"/public/..%5Cadmin", b"/admin", b"/public/../admin")),
        (b"/admin%2f..%2fx", (b"/admin%2F..%2Fx", b"/x", b"/admin/../x")),
        (b"/a;x%2fy", (b"/a", b"/a/y")),
        (b"/a%252fb", (b"/a%252fb",)),
        (b"/a" + b"%2f" * 256, (b"/a" + b"%2F" * 256, b"/a/")),
        (
            b"/x/a;%2fb/..%2f..%2fadmin",
            (b"/x/a/..%2F..%2Fadmin", b"/x/admin", b"/x/a/b/../../admin", b"/admin", b"/x/a/../../admin"),
        ),
        (b"/admin%3bx", (b"/admin%3Bx", b"/admin")),
        (b"/%3B/admin", (b"/%3B/admin", b"/admin")),
        (b"/a%253bb", (b"/a%253bb",)),
        (
            b"/a%2fb%5Cc",
            (b"/a%2Fb%5Cc", b"/a%2Fb/c", b"/a/b%5Cc", b"/a/b/c"),
        ),
        (b"/x/a%2fb/../%2f..%2fy", (b"/x/%2F..%2Fy", b"/x/y", b"/x/a/b/../../y", b"/y", b"/x/../y")),
        (
            b"/x/y/;%2fa/%2f..%2f..%2fz",
            (b"/x/y/%2F..%2F..%2Fz", b"/x/z", b"/x/y/a/../../z", b"/z", b"/x/y/../../z"),
        ),
    ],
)
def test_doubtful_separator_is_read_both_ways(raw, readings):
    assert target(raw).readings == readings


@pytest.mark.parametrize(
    ("raw", "length"), [(b"/%2f", 8190), (b"/%2f%3b", 2728), (b"/%2f%3b%5c", 908), (b"/%2f%3b%5c\\", 301)]
)
def test_a_path_that_mixes_them_is_shorter_the_more_kinds_there_are(raw, length):
    assert target(raw.ljust(length, b"x")).readings
    with pytest.raises(BadMessage, match="too many kinds"):
        assert target(raw.ljust(length + 10, b"x")).readings


def test_server_that_takes_one_doubtful_separator_for_another_is_thought_of():
    # text and all-separators both lie in /public; a server that decodes %2F and keeps backslashes sees /admin
    raw = b"/public/x%2f..%2f..%2fadmin%2fy%5c..%5c..%5cpublic%5cx"
    assert any(reading.startswith(b"/admin/") for reading in target(raw).readings)


@given(PATHS)
def test_normal_form_is_its_own_normal_form(raw):
    try:
        readings = target(raw).readings
    except BadMessage:
        assume(False)
    assert not {b".", b".."} & set(readings[0].split(b"/"))
    for reading in readings:
        assert reading.startswith(b"/")
        assert b"//" not in reading
        assert b";" not in reading
        # not parsed again: another server may see in it what the one that this reading is of has not seen
        assert canonical(reading) == reading


@given(PATHS, st.data())
def test_spelling_of_unreserved_characters_changes_no_decision(raw, data):
    spelt = b"".join(
        data.draw(st.sampled_from([b"%%%02X" % octet, b"%%%02x" % octet, bytes([octet])]))
        if bytes([octet]).isalpha() and not raw[max(0, at - 2) : at].count(b"%")
        else bytes([octet])
        for at, octet in enumerate(raw)
    )
    try:
        expected = target(raw).normalised
    except BadMessage:
        refusal(lambda: target(spelt).normalised)
        return
    assert target(spelt).normalised == expected


@pytest.mark.parametrize("path", [b"/a%2fb", b"/%7E\xc3\xa9", b"/a%21b%3B", b"/a;b"])
def test_canonical_spelling_is_its_own(path):
    assert canonical(canonical(path)) == canonical(path)


# -- what is forwarded in its place --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "resolved"),
    [
        (b"/a/b", b"/a/b"),
        (b"/a;v=1/../b;w=2/", b"/b;w=2/"),
        (b"//%61//b", b"/a/b"),
        (b"/%2fx%c3%a9%21", b"/%2fx%c3%a9%21"),
        (b"/;x/a", b"/a"),
        (b"/admin\xa0", b"/admin%A0"),
        (b"/m\xc3\xbc/../m\xfc", b"/m%FC"),
    ],
)
def test_resolved_path_keeps_parameters_and_escapes(raw, resolved):
    assert target(raw).resolved == resolved


@given(PATHS)
@example(b"/x/a%2fb/../%2f..%2fy")
@example(b"/x/y/;%2fa/%2f..%2f..%2fz")
def test_no_server_reads_in_the_resolved_path_what_was_not_decided_by(raw):
    try:
        readings, resolved = target(raw).readings, target(raw).resolved
    except BadMessage:
        assume(False)
    assert set(target(resolved).readings) <= set(readings)
    assert target(resolved).resolved == resolved


@pytest.mark.parametrize(
    ("raw", "count", "rest"),
    [
        (b"/", 0, b"/"),
        (b"/x/y?z", 0, b"/x/y"),
        (b"/api", 1, b""),
        (b"/api/", 1, b"/"),
        (b"/api/x", 1, b"/x"),
        (b"/api/v1/x", 2, b"/x"),
        (b"/api//x//y", 1, b"/x//y"),
        (b"//api//x", 1, b"/x"),
        (b"/%61pi/%41;v=1", 1, b"/%41;v=1"),
        (b"/api;v=1/x", 1, b"/x"),
        (b"/api/x%2fy", 1, b"/x%2fy"),
        (b"/api/.well-known/%41", 1, b"/.well-known/%41"),
        (b"/b/../api/%41;v=1", 1, b"/A;v=1"),
        (b"/api/x/../../api/y", 1, b"/y"),
        (b"/./api/x", 1, b"/x"),
        (b"/;p/api/x", 1, b"/x"),
        (b"/api/..", 0, b"/"),
    ],
)
def test_what_follows_a_prefix_stays_as_it_came(raw, count, rest):
    assert target(raw).behind(count) == rest


@pytest.mark.parametrize(
    ("raw", "count"),
    [
        (b"/../x", 0),
        (b"/x%2f..%2f..%2fadmin", 0),
        (b"/..\\x", 0),
        (b"/..;/x", 0),
        (b"/a/..%2fx", 1),
        (b"/a/..%2Fx", 1),
    ],
)
def test_base_cannot_be_climbed_out_of(raw, count):
    assert refusal(target(raw).behind, count) == 400


@given(PATHS, st.integers(0, 3))
def test_what_follows_a_prefix_means_what_was_decided_by(raw, count):
    try:
        normalised = target(raw).normalised
        rest = target(raw).behind(count)
    except BadMessage:
        assume(False)
    segments = [segment for segment in normalised.split(b"/") if segment][count:]
    left = [segment for segment in parse_target(b"GET", rest or b"/").normalised.split(b"/") if segment]
    assert left == segments


# -- other implementations -----------------------------------------------------------------------------------


@given(PATHS, st.sampled_from([b"", b"?", b"?a=b", b"?a?b/c"]))
def test_httptools_splits_a_target_at_the_same_place(path, query):
    raw = path + query
    assume(all(0x20 < octet < 0x7F for octet in raw) and not raw.startswith(b"//"))
    theirs = httptools.parse_url(raw)
    ours = target(raw)
    assert (ours.path, ours.query or None) == (theirs.path, theirs.query or None)


@given(st.from_regex(rb"https?://[a-z\[\]:0-9.@%]{1,12}(/[a-z]{0,3})?(\?[a-z]{0,3})?", fullmatch=True))
def test_what_is_taken_in_absolute_form_httptools_reads_the_same(raw):
    try:
        ours = target(raw)
        theirs = httptools.parse_url(raw)
    except (BadMessage, httptools.HttpParserInvalidURLError):
        assume(False)
    host, port = parse_authority(ours.authority)
    assert theirs.host == host.strip(b"[]")
    assert theirs.port == port
    assert (theirs.path or b"/", theirs.query) == (ours.path, ours.query or None)


@given(st.binary(max_size=20).map(lambda raw: b"/" + raw))
def test_what_is_taken_h11_takes_too(raw):
    try:
        target(raw)
    except BadMessage:
        return
    ascii_only = bytes(octet for octet in raw if octet < 0x80)
    assert h11.Request(method=b"GET", target=ascii_only, headers=[("Host", "a")]).target == ascii_only


@pytest.mark.parametrize(
    "raw",
    [b"/a%0a", b"/a%0A/b", b"/%01", b"/a%7F", b"/a%09b", b"/%80", b"/a%ff", b"/a\x80", b"/%ed%a0%80", b"/\xe9"],
)  # fmt: skip
def test_a_path_that_is_no_text_is_settled_nowhere(raw):
    target = parse_target(b"GET", raw)
    assert target.readings
    with pytest.raises(BadMessage) as caught:
        target.settled()
    assert caught.value.status == 400


@pytest.mark.parametrize("raw", [b"/caf%C3%A9", "/café".encode(), b"/%E2%80%A8", b"/a%20b", b"/a?%0a%ff"])
def test_a_path_that_is_text_is(raw):
    assert parse_target(b"GET", raw).settled().origin_form.isascii()


@pytest.mark.parametrize(
    ("path", "others"),
    [
        ("/Pub/\u00fc.Png", {"/Pub/\u00dc.Png"}),
        ("/pub/\u65e5.png", set()),
        ("/a/stra\u00dfe", {"/a/strasse", "/a/straSSe"}),
        ("/adm\u0130n", {"/admin", "/admi\u0307n"}),
        ("/bu\u0308cher", {"/b\u00fccher"}),
        ("/x/\u0661", {"/x/1"}),
        ("/a;b", {"/a"}),
        ("/a/b", set()),
    ],
)
def test_what_a_path_may_be_taken_for_differs_where_it_is_not_ascii(path, others):
    """Whoever goes by case goes by it in the rest of the path too."""
    raw = quote(path, safe="/;").encode()
    assert {unquote(other.path.decode()) for other in parse_target(b"GET", raw).lookalikes} == others


def test_a_letter_has_few_combining_characters():
    """To compose them takes time by the square of their number."""
    for marks, is_text in (("\u0301" * 30, True), ("\u0301" * 31, False), ("\u0301\u0334" * 2000, False)):
        target = parse_target(b"GET", b"/a" + marks.encode())
        if is_text:
            assert target.meant
        else:
            with pytest.raises(BadMessage) as caught:
                _ = target.meant
            assert caught.value.status == 400
