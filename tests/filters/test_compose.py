"""Compositions in plain trio tasks: who asks when, what comes of it, and that nothing stays out."""

import gzip
import json
from functools import partial

import pytest
import trio
from trio.testing import MockClock

from netfront.errors import AnswerTooLong, BackendError, BadMessage, ClientGone, NoBackend, Refusal
from netfront.filters.compose import DEEPEST, compose
from netfront.http.message import Allowance, Answer, PartOf
from netfront.net.lane import Signal
from netfront.net.stream import Facts
from netfront.net.tasks import Tasks
from netfront.policy.claims import Identity
from netfront.policy.compose import parse_composition
from netfront.policy.memory import Held, MemoryFull
from netfront.policy.shared import Shared
from netfront.wire.fields import REQUEST_KINDS, FieldMemory, Fields
from tests.filters.requests import asking
from tests.support.composed import compose_rules

JSON = (b"Content-Type", b"application/json")


class Client:
    facts = Facts(("192.0.2.1", 1), ("192.0.2.2", 2))
    told = None
    due = None

    def __init__(self):
        self.gone = Signal()
        self.interims = []

    def has_left(self):
        return self.gone.is_set

    async def interim(self, status, fields):
        self.interims.append(status)


class Says:
    """What a part is answered with, after a while."""

    def __init__(self, body=b"{}", *fields, status=200, after=0.0, error=None, kind=JSON):
        self.body, self.status, self.after, self.error = body, status, after, error
        self.fields = Fields.of(*([kind] if kind else []), *fields)


class Memory(Shared):
    """It knows how much was taken at most."""

    peak = 0

    def __init__(self, most):
        super().__init__(most)
        self.most = most

    def take(self, count, address):
        had = super().take(count, address)
        self.peak = max(self.peak, self.most - self.left)
        return had


class Stage:
    """A composition, and the services behind it by path."""

    def __init__(self, rule, answers, memory=1 << 30, **rules):
        self.answers = answers
        self.asked = []
        self.times = []
        self.out = self.cut = 0
        self.tasks = Tasks()
        self.memory = Memory(memory)
        composition = parse_composition(rule)
        self.handler = compose(
            composition.parts,
            [self._ask] * len(composition.parts),
            self.tasks.begin,
            compose_rules(**rules),
            self._hold,
        )

    def _hold(self, request):
        return Held(self.memory, b"192.0.2.7")

    async def _ask(self, asked):
        self.asked.append(asked)
        self.times.append((asked.target.decode(), trio.current_time()))
        self.out += 1
        try:
            says = self.answers(asked) if callable(self.answers) else self.answers[asked.target.decode()]
            await trio.sleep(says.after)
        except trio.Cancelled:
            self.cut += 1
            raise
        finally:
            self.out -= 1
        if says.error is not None:
            raise says.error
        asked.weigh(len(says.body))
        return Answer(says.status, says.fields, says.body)

    async def answer(self, request):
        async with trio.open_nursery() as nursery:
            self.tasks.open(nursery, None)
            try:
                return await self.handler(request)
            finally:
                with trio.CancelScope(shield=True):
                    await trio.lowlevel.checkpoint()
                    await trio.lowlevel.checkpoint()
                self.left_out = self.out

    def run(self, *pairs, client=None, **given):
        body = given.pop("body", b"")
        params = given.pop("params", {})
        identity = given.pop("identity", None)
        part_of = given.pop("part_of", None)
        fields = given.pop("fields", None)
        request = self.request = asking(*pairs, client=client or Client(), **given)
        request.fields = fields or request.fields
        request.body, request.params, request.identity = body, params, identity
        request.part_of = part_of
        response = trio.run(self.answer, request, clock=MockClock(autojump_threshold=0))
        assert self.left_out == 0
        return response


def nothing_held():
    return Held(Shared(1 << 20), b"")


def told(response):
    assert response.fields.get(b"content-type") == b"application/problem+json"
    return json.loads(response.body)


HOME = "/home = user:/users/me + orders:/orders?u={user.id} + ads?:/ads/top"
SERVICES = {
    "/users/me": Says(b'{"id": 10000000000000001, "x": 0.10}', after=0.2),
    "/orders?u=10000000000000001": Says(b"[1e400]", after=0.1),
    "/ads/top": Says(b'"ad"', after=0.05),
}


# -- what is asked when ---------------------------------------------------------------------------------------


def test_parts_without_a_dependency_run_at_once_and_the_rest_as_soon_as_theirs_are_in():
    stage = Stage(HOME, SERVICES)
    response = stage.run()
    assert response.status == 200
    assert response.body == b'{"user":{"id": 10000000000000001, "x": 0.10},"orders":[1e400],"ads":"ad"}'
    assert sorted(stage.times, key=lambda pair: (pair[1], pair[0])) == [
        ("/ads/top", 0.0),
        ("/users/me", 0.0),
        ("/orders?u=10000000000000001", pytest.approx(0.2)),
    ]


def test_what_the_answer_says_does_not_depend_on_who_was_first():
    seen = set()
    for slow in SERVICES:
        services = {path: Says(says.body, after=0.3 * (path == slow)) for path, says in SERVICES.items()}
        response = Stage(HOME, services).run()
        seen.add((response.body, response.fields.rendered))
    assert len(seen) == 1


def test_the_services_of_this_gateway_hear_who_asks_and_urls_do_not():
    stage = Stage("/home = a:/a + b:https://api.test/b", lambda asked: Says(b"1"))
    stage.run(
        (b"Authorization", b"Bearer x"),
        (b"Cookie", b"a=b"),
        (b"Accept", b"text/html"),
        (b"If-None-Match", b'"x"'),
        (b"Range", b"bytes=0-1"),
        (b"Accept-Language", b"de"),
        (b"X-Request-Id", b"7"),
        identity=Identity("jwt", "ann"),
    )
    ours, theirs = (
        {row.name: row.value for row in asked.fields}
        for asked in sorted(stage.asked, key=lambda asked: asked.target)
    )
    assert ours == {
        b"authorization": b"Bearer x",
        b"cookie": b"a=b",
        b"accept-language": b"de",
        b"x-request-id": b"7",
        b"accept": b"application/json",
        b"accept-encoding": b"identity",
    }
    assert theirs == {
        b"accept-language": b"de",
        b"x-request-id": b"7",
        b"accept": b"application/json",
        b"accept-encoding": b"gzip, br, deflate",
    }


def test_a_body_is_made_of_what_it_names():
    stage = Stage(
        "POST /checkout/{shop} = user:/users/me + order:POST /orders/{params.shop} < "
        "{user: user.id, items: body.items, q: query.q, who: claims.sub}",
        {
            "/users/me": Says(b'{"id": 1e400}'),
            "/orders/s": Says(b'{"ok":true}', status=201),
        },
    )
    response = stage.run(
        JSON,
        method=b"POST",
        target=b"/checkout/s?q=%C3%BC",
        params={"shop": b"s"},
        body=b'{"items": [0.10, 1]}',
        identity=Identity("jwt", "ann", {"sub": "ann"}),
    )
    assert response.body == b'{"user":{"id": 1e400},"order":{"ok":true}}'
    sent = stage.asked[1]
    assert (sent.method, sent.fields.get(b"content-type")) == (b"POST", b"application/json")
    assert sent.body == '{"user":1e400,"items":[0.10,1],"q":"ü","who":"ann"}'.encode()


# -- for each -------------------------------------------------------------------------------------------------

EACH = "/o = order:/order + items[]:/items/{order.items[].id} | n"


def items(count, **given):
    order = json.dumps({"items": [{"id": number} for number in range(count)]}).encode()

    def answers(asked):
        if asked.target == b"/order":
            return Says(order)
        number = int(asked.target.rpartition(b"/")[2])
        return Says(b'{"n": %d.0}' % number, after=(count - number) * 0.01, **given)

    return answers


def test_for_each_runs_over_an_array_in_order_so_many_at_once():
    most, of = 0, items(10)

    def answers(asked):
        nonlocal most
        most = max(most, stage.out)
        return of(asked)

    stage = Stage(EACH, answers, each=3)
    assert json.loads(stage.run().body)["items"] == [float(number) for number in range(10)]
    assert most == 3
    assert b'"items":[0.0,1.0,2.0,' in stage.run().body


def test_for_each_of_nothing_is_an_empty_array():
    assert Stage(EACH, items(0)).run().body == b'{"order":{"items": []},"items":[]}'


def test_for_each_asks_for_a_hundred_and_no_more():
    assert Stage(EACH, items(100)).run().status == 200
    stage = Stage(EACH, items(101))
    response = stage.run()
    assert response.status == 502
    assert told(response)["part"] == "items"
    assert len(stage.asked) == 1


def test_an_item_that_fails_fails_the_part_and_ends_the_others():
    of = items(8)

    def answers(asked):
        return Says(status=404, after=0.005) if asked.target == b"/items/2" else of(asked)

    stage = Stage(EACH, answers)
    response = stage.run()
    assert response.status == 502
    assert told(response)["detail"] == "part items: item 2: it answered 404"
    assert stage.cut == 7
    stage = Stage(EACH.replace("items[]:", "items[]?=[]:"), answers)
    response = stage.run()
    assert json.loads(response.body)["items"] == []
    assert response.fields.get(b"netfront-missing") == b"items"


def test_the_values_of_a_query_may_be_run_over():
    stage = Stage("/o = items[]:/items/{query.id[]}", lambda asked: Says(asked.target[-1:]))
    assert stage.run(target=b"/o?id=3&id=1&id=2").body == b'{"items":[3,1,2]}'


def test_parameters_of_a_path_are_not_lost_without_a_word():
    stage = Stage("/h/{id} = a:/a/{params.id}", lambda asked: Says(b"1"))
    assert stage.run(target=b"/h/a;v=1", params={"id": b"a"}).status == 400
    assert stage.run(target=b"/h/a%3Bv?x=;", params={"id": b"a%3Bv"}).status == 200
    assert [asked.target for asked in stage.asked] == [b"/a/a%3Bv"]


def test_what_no_part_takes_of_a_query_may_be_no_utf_8():
    """Old clients write Latin-1, and a tracking link has what it has."""
    stage = Stage("/h = a:/a/{query.q}", lambda asked: Says(b"1"))
    for target in (b"/h?q=x&name=M%FCller", b"/h?q=x&name=M\xfcller", b"/h?M%FC=1&q=x"):
        assert stage.run(target=target).status == 200
    assert {asked.target for asked in stage.asked} == {b"/a/x"}
    response = stage.run(target=b"/h?q=M%FCller")
    assert (response.status, told(response)["detail"]) == (400, "part a: {query.q} is not text")
    stage = Stage("POST /h = a:POST /a < {q: query.q}", lambda asked: Says(b"1"))
    assert stage.run(method=b"POST", target=b"/h?q=M%FCller").status == 400
    assert stage.asked == []


# -- what is missing ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "status", "why"),
    [
        ("/h/{id} = a:/a/{params.id}", 400, "part a: {params.id} is missing"),
        ("/h = a:/a/{query.q}", 400, "part a: {query.q} is missing"),
        ("POST /h = a:/a/{body.x}", 400, "part a: {body.x} is missing"),
        ("/h = a:/a/{claims.sub}", 403, "part a: {claims.sub} is missing"),
        ("/h = u:/u + a:/a/{u.id}", 502, "part a: {u.id} is missing"),
    ],
)
def test_a_missing_value_is_told_by_where_it_should_be(rule, status, why):
    response = Stage(rule, lambda asked: Says(b"{}")).run(body=b"{}")
    assert response.status == status
    assert told(response)["detail"] == why


@pytest.mark.parametrize("body", [b"", b"{", b"a=b", b'{"a":1,"a":2}', b"\xff"])
def test_a_body_that_is_no_json_is_400_where_a_part_takes_it(body):
    response = Stage("POST /h = a:/a/{body.x}", {}).run(method=b"POST", body=body)
    assert response.status == 400
    assert Stage("POST /h = a:/a", {"/a": Says(b"1")}).run(method=b"POST", body=body).status == 200


@pytest.mark.parametrize(
    ("coding", "body", "status"),
    [
        (b"gzip", gzip.compress(b'"%b"' % (b"x" * 900_000)), 200),  # short as it is, it may have a megabyte
        (b"gzip", gzip.compress(b'"%b"' % (b"x" * 1_100_000)), 413),
        (b"gzip", b"\x1f\x8b garbage", 400),
        (b"zstd", b"x", 415),
    ],
)
def test_a_coded_body_is_decoded_within_bounds(coding, body, status):
    stage = Stage("POST /h = a:POST /a < {b: length(body)}", {"/a": Says(b"1")})
    fields = (b"Content-Type", b"application/json"), (b"Content-Encoding", coding)
    assert stage.run(*fields, method=b"POST", body=body).status == status


@pytest.mark.parametrize("body", [b'{"x":1}', b"[1]", b'"x"', b"1e400", b"true"])
def test_a_body_of_any_json_kind_is_body(body):
    stage = Stage("POST /h = a:POST /a < {b: body}", {"/a": Says(b"1")})
    assert stage.run(method=b"POST", body=body).status == 200
    assert stage.asked[0].body == b'{"b":%b}' % body


def test_a_form_of_another_page_is_no_json():
    form = (b"Content-Type", b"text/plain"), (b"Origin", b"https://elsewhere.test")
    stage = Stage("POST /h = a:POST /a < {b: body}", {"/a": Says(b"1")})
    assert stage.run(*form, method=b"POST", body=b"{}").status == 400
    assert stage.run(form[1], method=b"POST", body=b"{}").status == 400  # as a page can send it too, unasked
    assert stage.run(form[0], method=b"POST", body=b"{}").status == 200
    json = (b"Content-Type", b"application/json; charset=utf-8")
    assert stage.run(json, form[1], method=b"POST", body=b"{}").status == 200


# -- what fails -----------------------------------------------------------------------------------------------

FAILURES = [
    (Says(status=500), 502, "it answered 500", 500),
    (Says(status=404), 502, "it answered 404", 404),
    (Says(status=302), 502, "it answered 302", 302),
    (Says(status=206), 502, "it answered 206", 206),
    (Says(b"<p>", kind=(b"Content-Type", b"text/html")), 502, "it answered with text/html, which is no JSON", 200),
    (Says(b"{}", kind=None), 502, "it answered with nothing that says what it is, which is no JSON", 200),
    (
        Says(b"{}", kind=(b"Content-Type", b"application/json; charset=utf-16")),
        502,
        "it answered with application/json; charset=utf-16, which is no JSON",
        200,
    ),
    (Says(b"{"), 502, "it is no JSON from byte 1 on", 200),
    (Says(b""), 502, "it is no JSON from byte 0 on", 200),
    (Says(b"[" * 101), 502, "it is nested more than 100 levels deep", 200),
    (Says(b"{}", (b"Content-Encoding", b"zstd")), 502, "its content coding zstd is unknown", 200),
    (Says(error=BackendError("head", retry_safe=False, why="x", timed_out=True)), 504, "it did not answer in time", 0),
    (Says(error=BackendError("connect", retry_safe=True, why="x")), 502, "it cannot be reached", 0),
    (Says(error=AnswerTooLong(9)), 502, "an answer of over 9 bytes", 0),
    (Says(error=BackendError("body", retry_safe=False, why="an answer of over its head")), 502, "it broke off", 0),
    (Says(error=BackendError("body", retry_safe=False, why="reset")), 502, "it broke off", 0),
    (Says(error=NoBackend("none")), 502, "nobody serves it at present", 0),
    (Says(error=Refusal(401, "no", [(b"WWW-Authenticate", b"Basic")])), 502, "refused with 401", 401),
    (Says(error=BadMessage(400, "bad")), 400, "refused with 400", 400),
]  # fmt: skip


@pytest.mark.parametrize(("says", "status", "why", "part_status"), FAILURES)
def test_a_required_part_that_fails_is_told_with_its_name_status_and_time(says, status, why, part_status):
    says.after = 0.25
    stage = Stage("/h = b:/b + a:/a", {"/a": says, "/b": Says(b"{}", after=60)}, timeout=100)
    response = stage.run()
    assert response.status == status
    problem = told(response)
    assert problem["detail"] == f"part a: {why}"
    assert (problem["status"], problem["part"], problem["time_ms"]) == (status, "a", 250.0)
    assert problem.get("part_status", 0) == part_status
    assert response.fields.get(b"cache-control") == b"no-store"
    assert stage.cut == 1
    assert stage.request.exchange.outcome.startswith("part a: ")


@pytest.mark.parametrize(("says", "status", "why", "part_status"), FAILURES)
def test_an_optional_part_that_fails_leaves_its_default(says, status, why, part_status):
    fresh = (b"Cache-Control", b"max-age=60")
    stage = Stage('/h = b:/b + a?=0.10:/a + ...?={"z":1.0}:/a', {"/a": says, "/b": Says(b"1", fresh)})
    response = stage.run()
    assert (response.status, response.body) == (200, b'{"b":1,"a":0.10,"z":1.0}')
    assert response.fields.get(b"netfront-missing") == b"a, ..."
    assert response.fields.get(b"cache-control") == b"no-store"
    assert stage.request.exchange.outcome.startswith("part a: ")


def test_a_part_that_needs_one_that_is_missing_goes_by_its_default():
    rule = '/h = a?={"id":7}:/a + b:/b/{a.id} + c?:/c/{a.nope}'
    stage = Stage(rule, {"/a": Says(status=500), "/b/7": Says(b"7")})
    response = stage.run()
    assert response.body == b'{"a":{"id":7},"b":7,"c":null}'
    assert response.fields.get(b"netfront-missing") == b"a, c"


@pytest.mark.parametrize("error", [None, Refusal(429, "no", [(b"Retry-After", b"9"), (b"X", b"y")])])
def test_a_4xx_is_passed_on_where_that_is_wanted(error):
    says = Says(b"secret", (b"Retry-After", b"9"), (b"X", b"y"), status=429, error=error)
    response = Stage("/h = a:/a", {"/a": says}, passes_status=True).run()
    assert response.status == 429
    assert told(response)["part_status"] == 429
    assert response.fields.get(b"retry-after") == b"9"
    assert response.fields.get(b"x") is None
    assert Stage("/h = a:/a", {"/a": Says(status=500)}, passes_status=True).run().status == 502


def test_the_time_for_all_ends_them():
    stage = Stage(HOME, {**SERVICES, "/orders?u=10000000000000001": Says(after=60)}, timeout=2.0)
    response = stage.run()
    assert response.status == 504
    assert told(response)["detail"] == "part orders: not there after 2 s for all parts"
    assert told(response)["time_ms"] == 1800.0
    assert stage.cut == 1


def test_optional_parts_that_are_not_there_in_time_leave_their_defaults():
    late = {"/x": Says(after=60), "/y": Says(after=60)}
    stage = Stage('/h = a:/a + x?:/x + y?="d":/y', {"/a": Says(b"1"), **late}, timeout=2.0)
    response = stage.run()
    assert (response.status, response.body) == (200, b'{"a":1,"x":null,"y":"d"}')
    assert response.fields.get(b"netfront-missing") == b"x, y"
    assert response.fields.get(b"cache-control") == b"no-store"
    assert stage.cut == 2


def test_a_required_part_that_waits_for_a_late_one_has_failed_of_the_time():
    response = Stage("/h = x?:/x + b:/b/{x.id}", {"/x": Says(after=60)}, timeout=2.0).run()
    assert response.status == 504
    assert told(response)["detail"] == "part b: not there after 2 s for all parts"


def test_what_nobody_expected_is_raised_where_the_server_catches_it():
    stage = Stage("/h = a:/a + b:/b", {"/a": Says(error=ZeroDivisionError()), "/b": Says(after=9)})
    with pytest.raises(BaseExceptionGroup) as caught:
        stage.run()
    assert caught.group_contains(ZeroDivisionError)
    assert stage.cut == 1


def test_a_circle_that_could_not_be_seen_ends():
    stage = Stage("/h = a:/a", {})
    request = asking(client=Client())
    request.part_of = PartOf(tuple(range(DEEPEST)), Allowance(9), nothing_held())
    with pytest.raises(Refusal) as caught:
        trio.run(stage.handler, request)
    assert caught.value.status == 508


SENT = "POST /h = a:POST /a < body + b:/b"
TOLD = b'"%b"' % (b"x" * 98)


@pytest.mark.parametrize("size", [100, 108, 109])
def test_what_is_held_at_once_is_given_back(size):
    """Of the body twice its bytes, as text too; what a part is sent; 101 of answers."""
    stage = Stage(SENT, {"/a": Says(TOLD), "/b": Says(b"2")}, memory=4 * 428)
    response = stage.run(
        (b"Content-Type", b"application/json"), body=b'"%b"' % (b"x" * (size - 2)), method=b"POST"
    )
    assert response.status == 200
    assert stage.memory.peak == 3 * size + 101
    assert 4 * 428 - stage.memory.left == len(response.body)  # which has still to be sent
    stage.request.exchange.give_back()
    assert stage.memory.left == 4 * 428


def test_a_part_that_never_fits_beside_the_rest_has_failed():
    stage = Stage(SENT, {"/a": Says(TOLD), "/b": Says(b"22", after=0.1)}, memory=4 * 428)
    response = stage.run((b"Content-Type", b"application/json"), body=b'"%b"' % (b"x" * 107), method=b"POST")
    assert (response.status, told(response)["part"]) == (502, "b")


@pytest.mark.parametrize(("size", "is_read"), [(180, True), (300, False)])
def test_a_body_that_never_fits_is_413(size, is_read):
    stage = Stage(SENT, {"/a": Says(TOLD), "/b": Says(b"2")}, memory=4 * 428)
    body = b'"%b"' % (b"x" * (size - 2))
    if is_read:  # and finds no room once more to be sent on
        response = stage.run((b"Content-Type", b"application/json"), body=body, method=b"POST")
        assert response.status == 413
        return
    with pytest.raises(BaseExceptionGroup) as caught:
        stage.run((b"Content-Type", b"application/json"), body=body, method=b"POST")
    (error,) = caught.value.exceptions
    assert isinstance(error, BadMessage)
    assert error.status == 413
    assert stage.memory.left == 4 * 428


LIST = b"[%b]" % b",".join([b"[]"] * 10)
"""31 bytes, and 20 values."""


@pytest.mark.parametrize(
    ("rule", "held"),
    [
        ("/h = a:/a", 31),
        ("/h = a:/a | @", 31 + 31 + 20 * 100),
        ("/h = a:/a + b:POST /b < {x: a}", 31 + 31 + 20 * 100 + 37 + 1),
        ("/h = a:/a | [@, @, @]", 31 + 31 + 20 * 100),
        ("/h = ...:/o", 40 + 40 + 21 * 100),
    ],
)
def test_what_is_made_of_parts_counts_while_it_is_held(rule, held):
    answers = {"/a": Says(LIST), "/o": Says(b'{"list":%b}' % LIST), "/b": Says(b"2")}
    stage = Stage(rule, lambda asked: answers[asked.target.decode()[:2]])
    assert stage.run().status == 200
    assert stage.memory.peak == held
    stage.request.exchange.give_back()
    assert stage.memory.left == 1 << 30


def test_values_that_find_no_room_are_not_made():
    stage = Stage("/h = a?:/a | [0] + b:/b", {"/a": Says(LIST), "/b": Says(b"2")}, memory=4 * 1000)
    response = stage.run()
    assert (response.body, response.fields.get(b"netfront-missing")) == (b'{"a":null,"b":2}', b"a")
    stage.request.exchange.give_back()
    assert stage.memory.left == 4 * 1000


@pytest.mark.parametrize(("short", "status"), [(0, 200), (1, 502)])
def test_codings_that_are_taken_off_a_part_that_is_spread_count(short, status):
    """Of the first part what it is spread into, and of the second what its values take until they are."""
    data = b'{"a":"%b"}' % (b"x" * 5000)
    coded = gzip.compress(data, mtime=0)
    first, second = len(b"a") + len(data[5:-1]) + 100, len(coded) + len(data) + 100
    stage = Stage(
        "/h = ...:http://a.test/a + ...:http://a.test/b",
        lambda asked: Says(coded, (b"Content-Encoding", b"gzip"), after=0.1 * (asked.target == b"/b")),
        memory=4 * (first + second - short),
    )
    assert stage.run().status == status


def test_a_body_is_made_once_for_all_that_are_sent_it():
    rule = "POST /h = a[]:POST /a/{body.ids[].id}?{body.q} < {q: body.q} + b:POST /b < {q: body.q} + c:POST /c < body"
    stage = Stage(rule, lambda asked: Says(b"1"))
    body = b'{"q":"%b","ids":[{"id":1},{"id":2},{"id":3}]}' % (b"!" * 99)
    assert stage.run((b"Content-Type", b"application/json"), body=body, method=b"POST").status == 200
    *same, other = [asked.body for asked in sorted(stage.asked, key=lambda asked: asked.target)]
    assert len({*map(id, same)}) == 1
    assert same[0] == b'{"q":"%b"}' % (b"!" * 99)
    assert other != same[0]
    targets = sorted(asked.target for asked in stage.asked)
    assert targets[:3] == [b"/a/%d?%b" % (at, b"%21" * 99) for at in (1, 2, 3)]


def test_a_text_that_no_target_holds_is_400():
    stage = Stage("POST /h = a:/a?{body.q}", lambda asked: Says(b"1"))
    for size, status in ((16_384, 200), (16_385, 400)):
        body = b'{"q":"%b"}' % (b"x" * size)
        response = stage.run((b"Content-Type", b"application/json"), body=body, method=b"POST")
        assert response.status == status


def test_what_would_fit_at_another_time_is_503():
    stage = Stage("/h = a:/a + b:/b", {"/a": Says(b"1" * 10), "/b": Says(b"2" * 12)}, memory=100)
    stage.memory.take(80, b"127.0.0.1")
    with pytest.raises(BaseExceptionGroup) as caught:
        stage.run()
    (refusal,) = caught.value.exceptions
    assert isinstance(refusal, MemoryFull)
    assert (refusal.status, refusal.fields) == (503, ((b"Retry-After", b"1"),))
    assert stage.memory.left == 20


@pytest.mark.parametrize("is_optional", [False, True])
def test_no_more_requests_come_of_one_than_one_composition_may_make(is_optional):
    """Nor is that an optional part's failure: the whole one has failed, and what it is a part of."""
    rule = "/h = a:/a + b?:/b + c?:/c" if is_optional else "/h = a:/a + b:/b + c:/c"
    stage = Stage(rule, {"/a": Says(b"1"), "/b": Says(b"2"), "/c": Says(b"3")})
    with pytest.raises(BaseExceptionGroup) as caught:
        stage.run(part_of=PartOf((), Allowance(2), nothing_held()))
    assert caught.group_contains(Refusal, match="more than 3,300 requests would come of one")


def test_the_whole_says_that_more_would_come_of_it_than_may(monkeypatch):
    monkeypatch.setattr("netfront.filters.compose._MOST_ASKED", 2)
    stage = Stage("/h = a:/a + b?:/b + c?:/c", {"/a": Says(b"1"), "/b": Says(b"2"), "/c": Says(b"3")})
    response = stage.run()
    assert response.status == 502
    assert told(response)["detail"] == "more than 2 requests would come of one"


def test_what_is_missing_within_a_part_is_missing_in_the_whole():
    within = Says(b'{"x":null}', (b"Netfront-Missing", b"x, y"), (b"Cache-Control", b"no-store"))
    stage = Stage("/h = a:/a + b?:/b", {"/a": within, "/b": Says(status=500)})
    response = stage.run()
    assert response.fields.get(b"netfront-missing") == b"a.x, a.y, b"
    assert response.fields.get_all(b"cache-control") == [b"no-store"]


@pytest.mark.parametrize(
    ("rule", "value"),
    [
        ("/h = a:/a", b"public, max-age=60"),
        ("/h = a:/a?{claims.sub}", b"private, max-age=60"),
        ("/h = a:/a + b:POST /a < {u: claims.sub}", b"private, max-age=60"),
    ],
)
def test_an_answer_that_depends_on_who_asks_is_for_them_alone(rule, value):
    stage = Stage(rule, lambda asked: Says(b"1", (b"Cache-Control", b"public, max-age=60, s-maxage=9")))
    response = stage.run(identity=Identity("jwt", "bob", {"sub": "bob"}))
    assert response.fields.get(b"cache-control").replace(b", s-maxage=9", b"") == value
    assert (b"s-maxage" in response.fields.get(b"cache-control")) is (b"private" not in value)


def test_what_one_part_lets_be_shared_of_answers_to_credentials_is_not_of_another():
    says = {"/a": b"max-age=60", "/b": b"public, max-age=30, s-maxage=90"}
    stage = Stage(
        "/h = a:/a + b:/b", lambda asked: Says(b"1", (b"Cache-Control", says[asked.target.decode()]))
    )
    authorized = Fields(FieldMemory(REQUEST_KINDS).fields([b"Authorization: Basic eDp5"]))
    assert stage.run().fields.get(b"cache-control") == b"max-age=30, s-maxage=60"
    assert stage.run(fields=authorized).fields.get(b"cache-control") == b"private, max-age=30"


def test_of_the_fields_of_parts_those_that_mean_something_are_kept_and_count():
    much = [(b"X-%d" % at, b"x" * 99) for at in range(99)]
    stage = Stage("/h = a:/a", {"/a": Says(b"1", *much)})
    stage.run()
    assert stage.memory.peak == 1
    stage = Stage("/h = a:/a", {"/a": Says(b"1", *much, (b"Vary", b"x" * 99))})
    stage.run()
    assert 1 + 99 < stage.memory.peak < 400


def test_a_coded_answer_is_not_remembered():
    data = b'{"a":1}'
    answers = iter([Says(gzip.compress(data, mtime=0), (b"Content-Encoding", b"gzip"))])
    stage = Stage("/h = a:http://a.test/a", lambda asked: next(answers))
    assert stage.run().body == b'{"a":{"a":1}}'
    answers = iter([Says(gzip.compress(data, mtime=0))])
    assert stage.run().status == 502


def test_what_is_remembered_counts_for_each_that_has_it():
    stage = Stage("/h = a:/a + b:/b?{a.id}", lambda asked: Says(b'{"id":1}'))
    for _ in range(3):
        stage.memory.peak = 0
        stage.run()
        assert stage.memory.peak == 8 + 8 + 100 + 8
        stage.request.exchange.give_back()


# -- who leaves -----------------------------------------------------------------------------------------------


def test_a_client_that_leaves_ends_all():
    client = Client()
    stage = Stage(HOME, {**SERVICES, "/users/me": Says(after=60)})

    async def main():
        async with trio.open_nursery() as nursery:
            stage.tasks.open(nursery, None)

            async def ask():
                with pytest.raises(ClientGone):
                    await stage.handler(asking(client=client))

            nursery.start_soon(ask)
            await trio.sleep(1)
            client.gone.set()
        return trio.current_time()

    assert trio.run(main, clock=MockClock(autojump_threshold=0)) == pytest.approx(1.0)
    assert (stage.cut, stage.out) == (1, 0)


@pytest.mark.parametrize("after", [0.0, 0.01, 0.06, 0.1, 0.21, 0.25])
def test_cancelled_at_any_time_nothing_stays_out(after):
    of = items(5)

    def answers(asked):
        return Says(b"1" if asked.target == b"/z" else of(asked).body, after=0.2)

    stage = Stage(EACH + " + z:/z", answers)

    async def main():
        async with trio.open_nursery() as nursery:
            stage.tasks.open(nursery, None)
            with trio.move_on_after(after):
                await stage.handler(asking(client=Client()))
        return trio.current_time()

    assert trio.run(main, clock=MockClock(autojump_threshold=0)) == pytest.approx(after)
    assert stage.out == 0


# -- what the answer says -------------------------------------------------------------------------------------


def test_a_spread_gives_its_keys_where_it_stands_and_earlier_ones_win():
    rule = "/h = a:/a + ...:/b + c:/c + ...:/d | {e: x}"
    services = {
        "/a": Says(b"1"),
        "/b": Says(b'{"b": 1.0, "a": 2, "c": {"d": 0.50}}'),
        "/c": Says(b"3"),
        "/d": Says(b'{"x": 1e400}'),
    }
    stage = Stage(rule, services)
    response = stage.run()
    assert response.body == b'{"a":1,"b":1.0,"c":{"d":0.50},"e":1e400}'
    assert response.fields.get(b"netfront-clash") == b"a, c"
    assert "keys of several parts: a, c" in stage.request.exchange.outcome


def test_only_an_object_is_spread():
    response = Stage("/h = ...:/a", {"/a": Says(b"[1]")}).run()
    assert told(response)["detail"] == "part ...: it is no object that could be spread"


def test_an_answer_without_content_is_null():
    services = {"/a": Says(b"", status=204, kind=None), "/b": Says(b"", status=202, kind=None)}
    assert Stage("/h = a:/a + b:/b", services).run().body == b'{"a":null,"b":null}'


@pytest.mark.parametrize(
    "kind", [b"application/json", b"Application/Problem+JSON; charset=UTF-8", b"text/json"]
)
def test_json_goes_by_several_names(kind):
    says = Says(b"\xef\xbb\xbf [1] \n", kind=(b"Content-Type", kind))
    assert Stage("/h = a:/a", {"/a": says}).run().body == b'{"a":[1]}'


def test_what_is_coded_is_decoded_within_the_bound_of_a_part():
    import gzip

    says = Says(gzip.compress(b'"%b"' % (b"x" * 998)), (b"Content-Encoding", b"gzip"))
    assert len(Stage("/h = a:/a", {"/a": says}, most_part=1000).run().body) == 1006
    response = Stage("/h = a:/a", {"/a": says}, most_part=999).run()
    assert told(response)["detail"] == "part a: without its gzip it is over 999 bytes"


def test_cookies_of_parts_are_dropped_unless_named():
    says = Says(b"1", (b"Set-Cookie", b"sid=1; Path=/"), (b"Set-Cookie", b"t=2"))
    assert Stage("/h = a:/a", {"/a": says}).run().fields.get(b"set-cookie") is None
    named = Stage("/h = a:/a", {"/a": says}, cookies=frozenset({b"sid"})).run()
    assert named.fields.get_all(b"set-cookie") == [b"sid=1; Path=/"]


def test_no_field_of_a_part_passes_but_those_that_are_worked_out():
    says = Says(
        b"1", (b"Server", b"x"), (b"X-Secret", b"1"), (b"Cache-Control", b"max-age=5"), (b"Vary", b"Cookie")
    )
    fields = Stage("/h = a:/a", {"/a": says}).run().fields
    assert [row.name for row in fields] == [b"content-type", b"etag", b"cache-control", b"vary"]


def test_times_are_told_where_that_is_wanted():
    fields = Stage(HOME, SERVICES, tells_time=True).run().fields
    assert fields.get(b"server-timing") == b"user;dur=200.0, orders;dur=100.0, ads;dur=50.0"


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
def test_what_the_client_has_already_is_304(method):
    run = partial(Stage(HOME, SERVICES).run, method=method)
    tag = run().fields.get(b"etag")
    for value in (tag, b"*", b'W/"x", W/' + tag):
        response = run((b"If-None-Match", value))
        assert (response.status, response.body, response.fields.get(b"etag")) == (304, b"", tag)
    assert run((b"If-None-Match", b'"x"')).status == 200
    assert run((b"If-Match", tag)).status == 200
    assert run((b"If-Match", b'"x"')).status == 412


def test_conditions_mean_nothing_once_something_was_done():
    stage = Stage("POST /h = a:POST /a", {"/a": Says(b"1")})
    assert stage.run((b"If-None-Match", b"*"), method=b"POST").status == 200


def test_a_name_that_is_there_twice_is_refused_where_a_part_is_read():
    services = {"/a": Says(b'{"x":1,"x":2}'), "/b/1": Says(b"1")}
    assert Stage("/h = a:/a", services).run().body == b'{"a":{"x":1,"x":2}}'
    for rule in ("/h = a:/a | x", "/h = ...:/a", "/h = a:/a + b:/b/{a.x}"):
        response = Stage(rule, services).run()
        assert told(response)["detail"].endswith('it has the name "x" twice in one object')


def test_what_comes_again_is_the_same_and_what_does_not_is_not():
    says = Says(b'{"id":1}')
    stage = Stage("/h = a:/a + b:/b/{a.id} + c:/a | id", {"/a": says, "/b/1": Says(b"1"), "/b/2": Says(b"2")})
    for number in (1, 1, 2, 1):
        says.body = b'{"id":%d}' % number
        assert stage.run().body == b'{"a":{"id":%d},"b":%d,"c":%d}' % (number, number, number)
    says.fields = Fields.of((b"Content-Type", b"text/html"))
    assert stage.run().status == 502


def test_a_body_of_very_many_values_is_not_read():
    """10 MiB of them take 2 s and 800 MB, with nothing else served meanwhile."""
    stage = Stage("POST /h = a:POST /a < {b: body}", {"/a": Says(b"1")})
    assert stage.run(method=b"POST", body=b"[%b0]" % (b"{}," * 60_000)).status == 413
    assert stage.run(method=b"POST", body=b"[%b0]" % (b"{}," * 30_000)).status == 200
