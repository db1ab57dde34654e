"""--limit, --concurrency and --redis: what they mean, what is refused, and what is told of them."""

import pytest

from netfront.cli.explain import explain_plan, explain_request
from netfront.cli.flags import ServeFlags
from netfront.cli.gate.limit_plan import LimitKey, LimitPlan, SeatPlan
from netfront.cli.gate.limits import parse_limit, parse_seats
from netfront.cli.gate.redis import parse_redis
from netfront.cli.planning import plan_serving
from netfront.errors import UsageError


def planned(*targets, **flags):
    return plan_serving("gateway", ServeFlags(targets=list(targets) or [":3001"], **flags))


def faults(*targets, **flags):
    with pytest.raises(UsageError) as refused:
        planned(*targets, **flags)
    return [str(fault) for fault in refused.value.faults]


@pytest.mark.parametrize(
    ("text", "plan"),
    [
        ("50/s:ip", LimitPlan(50, 1, 50, LimitKey("ip"))),
        ("50/s:key,burst=100", LimitPlan(50, 1, 100, LimitKey("key"))),
        ("3000/m", LimitPlan(3000, 60, 50)),
        ("10/h:ip/24", LimitPlan(10, 3600, 1, LimitKey("ip", v4=24))),
        ("10/h:ip/48", LimitPlan(10, 3600, 1, LimitKey("ip", v6=48))),
        (
            "1/d:claim:https://id.example/org",
            LimitPlan(1, 86400, 1, LimitKey("claim", "https://id.example/org")),
        ),
        ("2/s:header:X-Tenant", LimitPlan(2, 1, 2, LimitKey("header", "X-Tenant"))),
        ("0.5/s:cookie:s", LimitPlan(0.5, 1, 1, LimitKey("cookie", "s"))),
        ("5/min:route", LimitPlan(5, 60, 1, LimitKey("route"))),
        ("5/s:user", LimitPlan(5, 1, 5, LimitKey("user"))),
    ],
)
def test_limit_is_read(text, plan):
    assert parse_limit(text) == plan


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("50", "not a rate"),
        ("0/s", "too small"),
        ("50/s:adress", "no such key"),
        ("50/s:", "no such key"),
        ("50/s:header", "which header?"),
        ("50/s:header:Host", "requests are not told apart by Host"),
        ("50/s:header:x-request-id", "requests are not told apart by x-request-id"),
        ("50/s:header:Connection", "requests are not told apart by Connection"),
        ("50/s:header:X-Forwarded-For", "requests are not told apart by X-Forwarded-For"),
        ("50/s:header:a b", "which header?"),
        ("50/s:ip:x", "takes no name"),
        ("50/s:user/24", "has no networks"),
        ("50/s:ip/4", "a network of 4 bits"),
        ("50/s,brst=4", "no such option"),
        ("50/s,burst=0", "too small"),
        ("50/s,burst=1,burst=9", "given twice"),
    ],
)
def test_limit_is_refused(text, why):
    with pytest.raises(UsageError, match=why):
        parse_limit(text)


def test_names_read_back_as_the_same_limit():
    for text in ("50/s:ip", "3000/m", "10/h:ip/24", "0.5/s:cookie:s", "7/d:claim:org"):
        assert parse_limit(text).name == text


def test_concurrency_is_read():
    assert parse_seats("5:header:X") == SeatPlan(5, LimitKey("header", "X"))
    with pytest.raises(UsageError, match="too small"):
        parse_seats("0")
    with pytest.raises(UsageError, match="seats have no options"):
        parse_seats("5:ip/24,3")


@pytest.mark.parametrize(
    "url",
    [
        "redis://cache:6379",
        "redis://app@[::1]:7000/3",
        "rediss://cache:6380",
        "redis+sentinel://s1:26379,s2:26380/main/1",
        "rediss+cluster://c1:6379,c2:6379",
        "unix:///run/redis.sock",
    ],
)
def test_url_of_redis_reads_back(url):
    assert parse_redis(url).url == url


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("cache:6379", "not a URL of Redis"),
        ("redis://a,b", "several hosts"),
        ("redis+sentinel://a", "which service"),
        ("redis+cluster://a/1", "a path that means nothing"),
        ("redis://a:99999", "no host and port"),
        ("redis://a,ca=x.pem", "a CA but no TLS"),
    ],
)
def test_url_of_redis_is_refused(url, why):
    with pytest.raises(UsageError, match=why):
        parse_redis(url)


def test_a_password_in_the_url_is_refused_and_not_repeated():
    with pytest.raises(UsageError) as refused:
        parse_redis("redis://:hunter2@cache")
    assert "hunter2" not in str(refused.value)
    assert "--redis-password" in str(refused.value)


def test_limits_of_all_scopes_add_up_and_one_of_a_wider_scope_is_one():
    plan = planned("/a=:1", "/b=:2", limit=["9/s", "/a: 5/s:ip", "/a/x: 1/s:ip"])
    a, b = plan.routes
    assert [one.name for one in a.settings.gate.limits] == ["9/s", "5/s:ip"]
    assert [one.name for one in a.variants[0].settings.gate.limits] == ["9/s", "5/s:ip", "1/s:ip"]
    assert a.settings.gate.limits[0].id == b.settings.gate.limits[0].id


def test_the_same_limit_in_two_scopes_is_two():
    plan = planned("/a=:1", "/b=:2", limit=["/a: 5/s", "/b: 5/s"])
    a, b = (route.settings.gate.limits[0] for route in plan.routes)
    assert a.id != b.id


def test_of_two_numbers_at_once_the_smaller_holds():
    plan = planned(concurrency=["5:ip", "3:ip", "9"])
    assert [one.name for one in plan.routes[0].settings.gate.seats] == ["3:ip", "9"]


@pytest.mark.parametrize("key", ["key", "user", "claim:org"])
def test_a_key_that_nobody_gives_is_refused(key):
    (told,) = faults(limit=[f"5/s:{key}"])
    assert f"no authentication there gives a {key.partition(':')[0]}" in told
    assert "count by ip" in told


def test_a_key_given_elsewhere_is_refused_and_one_given_there_is_not():
    (told,) = faults("/a=:1", "/b=:2", limit=["/a: 5/s:user"], jwt=["/b: https://id.example"])
    assert told.startswith("--limit '/a: 5/s:user': no authentication there gives a user")
    (told,) = faults(concurrency=["5:key"], jwt=["https://id.example"])
    assert "give one of --api-key there" in told


def test_a_key_where_public_takes_the_authentication_away_is_refused():
    (told,) = faults("/=:1", api_key=["@keys"], public=["/pub"], limit=["/pub: 3/s:key"])
    assert told.startswith("--limit '/pub: 3/s:key': no authentication there gives a key")
    (told,) = faults("/=:1", "/pub=:2", api_key=["@keys"], public=["/pub"], limit=["/pub: 3/s:key"])
    assert told.startswith("--limit '/pub: 3/s:key': no authentication there gives a key")
    other_case = {"public": ["/pub", "/PUB"], "timeout": ["/PUB: 5s"]}
    (told,) = faults("/=:1", api_key=["@keys"], limit=["/pub: 3/s:key"], **other_case)
    assert told.startswith("--limit '/pub: 3/s:key': no authentication there gives a key")
    assert planned("/=:1", api_key=["@keys"], public=["/pub"], limit=["3/s:key"])
    assert planned("/=:1", api_key=["@keys"], public=["/pub/open"], limit=["/pub: 3/s:key"])


@pytest.mark.parametrize(
    ("key", "authentication", "is_given"),
    [
        ("user", {"basic": ["@a"]}, True),
        ("claim:sub", {"basic": ["@a"]}, True),
        ("claim:org", {"basic": ["@a"]}, False),
        ("claim:org", {"jwt": ["https://id.example"]}, True),
        ("claim:cn", {"mtls": ["/"], "client_ca": "ca"}, True),
        ("claim:org", {"mtls": ["/"], "client_ca": "ca"}, False),
        ("user", {"auth_url": ["http://:9"]}, False),
        ("user", {"auth_url": ["http://:9,user=X-User"]}, True),
        ("claim:x-org", {"auth_url": ["http://:9,fields=X-Org"]}, True),
    ],
)
def test_who_gives_what_is_counted_by(key, authentication, is_given):
    for flag, value in (("limit", "5/s"), ("concurrency", "5")):
        given = {flag: [f"{value}:{key}"], **authentication}
        if is_given:
            assert planned("/=http://localhost:1", **given)
        else:
            assert "no authentication there gives" in faults("/=http://localhost:1", **given)[0]


def test_a_key_given_by_a_narrower_scope_is_counted_there():
    assert planned("/a=:1", "/b=:2", limit=["5/s:user"], jwt=["/b: https://id.example"])


def test_a_number_at_once_that_is_not_the_smallest_is_held_to_the_same():
    told = faults(concurrency=["5:key", "3:key"])
    assert [one.splitlines()[0] for one in told] == [
        "--concurrency '5:key': no authentication there gives a key",
        "--concurrency '3:key': no authentication there gives a key",
    ]


def test_flags_without_effect_are_refused():
    (told,) = faults(redis="redis://x")
    assert told.startswith("--redis: it has no effect")
    assert [told.splitlines()[0] for told in faults(redis_down="local", redis_password="env:X")] == [
        "--redis-password: it has no effect",
        "--redis-down: it has no effect",
    ]


def test_it_is_explained_in_the_order_of_the_stack():
    plan = planned(
        "/a=:1",
        limit=["5/s:ip,burst=20", "/a: 3000/m"],
        concurrency=["/a: 7:ip"],
        redis="redis://cache",
        redis_password="env:SECRET",
    )
    told = explain_plan(plan)
    assert "redis         redis://cache:6379 counts for all that share it, opened by env:SECRET; " in told
    at = [
        told.index(text)
        for text in (
            "limit       7 at once for each ip in all of /a; else 429",
            "limit       5/s, 20 at once for each ip; else 429",
            "limit       3000/m, 50 at once for all together in all of /a; else 429",
            "timeout     1m",
        )
    ]
    assert at == sorted(at)
    assert "limit         5/s, 20 at once for each ip" in explain_request(plan, "GET /a")
