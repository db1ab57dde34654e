"""Heads: what is read, what is refused, and that nothing shows of what is remembered."""

import h11
import httptools
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netfront.errors import BadMessage
from netfront.wire.fields import HIDDEN, ID, Edit, field
from netfront.wire.head import HeadLimits, RequestHeads, ResponseHeads, request_memory, response_memory

HOST = b"Host: a.test\r\n"
LINES = [
    b"Host: a.test",
    b"host: b.test:81",
    b"Host: ",
    b"Content-Length: 5",
    b"Content-Length: 6",
    b"content-length: +5",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: gzip, chunked",
    b"Connection: close",
    b"Connection: keep-alive, x-mine",
    b"Connection: content-length",
    b"X-Mine: yes",
    b"X_Forwarded_For: 1.2.3.4",
    b"Content_Length: 7",
    b"Cookie: a=1; b=2",
    b"Cookie: a=2",
    b"Expect: 100-continue",
    b"Expect: more",
    b"Upgrade: websocket",
    b"TE: trailers",
    b"Accept:*/*",
    b"Accept: \t text/html \t",
    b" folded",
    b"no colon",
    b"space : before",
    b"nul: \x00",
    b"lone: a\rb",
    b"lone: a\nb",
    b": empty",
    b"Latin: \xe9",
]
STARTS = [
    b"GET / HTTP/1.1",
    b"GET /other?x=1 HTTP/1.1",
    b"POST /p HTTP/1.1",
    b"GET / HTTP/1.0",
    b"GET  / HTTP/1.1",
    b"G(T / HTTP/1.1",
    b"GET / HTTP/2.0",
    b"GET /",
]


def read(heads, data):
    """What comes of a head, as a value that compares."""
    try:
        parsed = heads.parse(data)
    except BadMessage as error:
        return error.status
    if parsed is None:
        return None
    method, target, block, fields, rest = parsed
    return (
        method,
        target,
        block.minor,
        rest,
        block.host,
        block.lengths,
        block.codings,
        block.keeps_alive,
        block.expects,
        block.upgrade,
        block.takes_trailers,
        [(row.name, row.value, row.raw) for row in block.forwarded],
        *seen_of(fields),
    )


def seen_of(fields):
    """All that can be seen of a section: as it is written, edited in two ways, and taken apart."""
    edit = Edit(names=[b"x-a", b"cookie"], kinds=1 << HIDDEN, added=[field(b"X-Ours", b"1")])
    edited = fields.plus(field(b"X-Told", b"2")).edited(edit)
    return (
        fields.rendered,
        fields.kinds,
        edited.rendered,
        edited.kinds,
        [(row.name, row.value, row.raw, row.kind) for row in edited],
        [(row.name, row.value, row.raw, row.kind) for row in fields],
        edited.edited(edit).rendered,
    )


def fresh(*, remembers):
    return RequestHeads(HeadLimits(), request_memory(remembers=remembers))


heads_of_requests = st.builds(
    lambda start, lines: b"\r\n".join([start, *lines]) + b"\r\n\r\n",
    st.sampled_from(STARTS[:4]) | st.sampled_from(STARTS),
    st.lists(st.sampled_from(LINES[:12]) | st.sampled_from(LINES), max_size=6).map(
        lambda lines: [b"Host: a.test", *lines]
    )
    | st.lists(st.sampled_from(LINES), max_size=5),
)


@settings(max_examples=400, deadline=None)
@given(st.lists(heads_of_requests, min_size=1, max_size=6))
def test_what_is_remembered_is_invisible(requests):
    """Each head twice, so that its lines and its section are remembered when it comes again."""
    memory = request_memory(sights=1)
    warm = RequestHeads(HeadLimits(), memory)
    other = RequestHeads(HeadLimits(), memory)
    for data in [one for request in requests for one in (request, request)] + requests:
        expected = read(fresh(remembers=False), data)
        assert read(warm, data) == expected
        assert read(other, data) == expected


@settings(max_examples=300, deadline=None)
@given(heads_of_requests, st.data())
def test_any_split_gives_the_same(data, choose):
    data = choose.draw(st.sampled_from([b"", b"", b"\r\n", b"\r\n\r\n"])) + data
    cut = choose.draw(st.integers(0, len(data)))
    whole = read(fresh(remembers=True), data)
    heads = fresh(remembers=True)
    early = read(heads, data[:cut])
    assert early is None or early == whole or isinstance(early, int) or cut == len(data)
    if early is None:
        assert read(heads, data) == whole
    elif isinstance(early, int):
        assert isinstance(whole, int), "refused early what is good when whole"


@pytest.mark.parametrize("cut", range(7))
def test_an_empty_line_first_may_come_in_pieces(cut):
    data = b"\r\nGET / HTTP/1.1\r\n" + HOST + b"\r\n"
    heads = fresh(remembers=True)
    assert read(heads, data[:cut]) is None
    assert read(heads, data)[:3] == (b"GET", b"/", b"1")


def h11_reads(data):
    server = h11.Connection(h11.SERVER)
    server.receive_data(data)
    try:
        event = server.next_event()
    except h11.RemoteProtocolError:
        return None
    return (event.method, event.target) if isinstance(event, h11.Request) else None


def httptools_reads(data):
    class Told:
        target = None

        def on_url(self, url):
            self.target = (self.target or b"") + url

    told = Told()
    parser = httptools.HttpRequestParser(told)
    try:
        parser.feed_data(data)
    except httptools.HttpParserUpgrade:
        pass
    except httptools.HttpParserError:
        return None
    return parser.get_method(), told.target


@settings(max_examples=400, deadline=None)
@given(heads_of_requests)
def test_what_is_accepted_others_accept_and_read_alike(data):
    ours = read(fresh(remembers=False), data)
    if not isinstance(ours, tuple):
        return
    lengths, codings = ours[5], ours[6]
    if (
        len(lengths) > 1
        or (lengths and codings)
        or codings not in ([], [b"chunked"])
        or lengths not in ([], [b"5"], [b"6"])
    ):
        return  # refused by `framing`, which reads these values next
    if codings and ours[2] == b"0":
        return
    for reads in (h11_reads, httptools_reads):
        theirs = reads(data)
        assert theirs is not None, f"{reads.__name__} refuses it"
        assert theirs == ours[:2]


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1\nHost: a\n\n", 400),
        (b"\x16\x03\x01\x02\x00", 400),
        (b"GET / HTTP/1.1\r\nHost: a.test\r\nX: " + b"v" * 9000, None),
        (b"GET /" + b"a" * 9000, 414),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 6000, 431),
        (b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"v" * 9000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + HOST + b"X: y\r\n" * 120 + b"\r\n", 431),
        (b"GET / HTTP/3.0\r\n" + HOST + b"\r\n", 505),
        (b"GET / HTTP/1.2\r\n" + HOST + b"\r\n", 505),
    ],
)
def test_it_is_refused_as_early_as_can_be(data, status):
    assert read(fresh(remembers=False), data) == status


def test_a_cookie_may_be_twice_as_long():
    data = b"GET / HTTP/1.1\r\n" + HOST + b"Cookie: " + b"c" * 12000 + b"\r\n\r\n"
    assert isinstance(read(fresh(remembers=False), data), tuple)


def test_a_line_of_eight_thousand_bytes_passes():
    data = b"GET /" + b"a" * 7990 + b" HTTP/1.1\r\n" + HOST + b"\r\n"
    assert isinstance(read(fresh(remembers=False), data), tuple)


ANSWER_LINES = [
    b"Content-Length: 5",
    b"Transfer-Encoding: chunked",
    b"Connection: close, x-mine",
    b"X-Mine: yes",
    b"Date: Tue, 24 Nov 2026 12:00:00 GMT",
    b"Server: x",
    b"Location: /there",
    b"Set-Cookie: a=1",
    b"Keep-Alive: timeout=5",
    b" folded",
    b"lone: a\nb",
]


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                [b"HTTP/1.1 200 OK", b"HTTP/1.0 404", b"HTTP/1.1 204 ", b"HTTP/2 200 OK", b"ICY 200"]
            ),
            st.lists(st.sampled_from(ANSWER_LINES), max_size=5),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_responses_are_read_the_same_when_remembered(answers):
    def seen(heads, data):
        try:
            parsed = heads.parse(data)
        except BadMessage as error:
            return error.status
        if parsed is None:
            return None
        head, rest = parsed
        block = head.block
        return (block.minor, head.status, head.reason, rest, head.lengths, block.codings, block.keeps_alive,
                block.has_date, *seen_of(head.fields))  # fmt: skip

    warm = ResponseHeads(HeadLimits(), response_memory(sights=1))
    for start, lines in answers * 3:
        data = b"\r\n".join([start, *lines]) + b"\r\n\r\nbody"
        cold = ResponseHeads(HeadLimits(), response_memory(remembers=False))
        assert seen(warm, data) == seen(cold, data)


@pytest.mark.parametrize(
    "limits", [HeadLimits(line=80, field=300, head=300), HeadLimits(line=300, field=300, head=200)]
)
def test_a_section_that_comes_again_makes_no_line_or_head_longer(limits):
    section = b" HTTP/1.1\r\nHost: a.test\r\nX: " + b"y" * 60 + b"\r\n\r\n"
    memory = request_memory()
    RequestHeads(limits, memory).parse(b"GET /" + section)
    for count in range(40, 220):
        data = b"GET /" + b"a" * count + section
        known = RequestHeads(limits, memory)
        assert known.parse(b"GET /" + section) is not None
        assert read(known, data) == read(RequestHeads(limits, request_memory(remembers=False)), data)


def test_an_id_that_a_client_sends_stays_among_its_fields():
    parsed = RequestHeads(HeadLimits(), request_memory()).parse(
        b"GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: 7\r\n\r\n"
    )
    assert parsed is not None
    assert parsed[3].get(b"x-request-id") == b"7"
    assert parsed[3].kinds == 1 << ID
