"""Which composed answers are told of because their own parts are more than a limit lets through."""

import pytest

from netfront.cli.flags import ServeFlags
from netfront.cli.gate.limited_parts import limited_parts
from netfront.cli.planning import plan_serving

HOME = "/home = a:/x/a + b:/x/b + c:/y/c + d:/x/{a.id}"


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ({}, ""),
        ({"limit": ["/x: 2/s:ip"]}, "3 under --limit '/x: 2/s:ip', which lets 2 through at once; have it say ,burst=3"),
        ({"limit": ["/x: 2/s:ip,burst=3"]}, ""),
        ({"limit": ["/x/{n}: 9/m:header:A"]}, "3 under --limit '/x/{n}: 9/m:header:A', which lets 1 through at once"),
        ({"limit": ["1/m:ip"]}, ""),
        ({"limit": ["/home: 1/m:ip"]}, ""),
        ({"limit": ["/y: 1/m"]}, ""),
        ({"limit": ["POST /x: 1/m:ip"]}, ""),
        ({"limit": ["/x/a: 1/m:route", "/x/b: 1/m:route"]}, ""),
        ({"concurrency": ["/x: 2"]}, ""),
        ({"concurrency": ["/x: 1:ip"]}, "2 at once under --concurrency '/x: 1:ip', which refuses some of them"),
        ({"concurrency": ["1"]}, ""),
    ],
)  # fmt: skip
def test_it_is_told_of(flags, told):
    plan = plan_serving("gateway", ServeFlags(targets=["/x=:1", "/y=:2"], compose=[HOME], **flags))
    lines = [line.replace("of its parts come ", "") for line in limited_parts(plan)]
    assert [line.startswith(f"/home: {told}") for line in lines] == ([True] if told else [])


@pytest.mark.parametrize(("is_public", "is_told"), [(False, False), (True, True)])
def test_where_nobody_is_asked_who_they_are_for_the_whole_its_parts_are_counted(is_public, is_told):
    more = {"public": ["/home"]} if is_public else {}
    flags = ServeFlags(
        targets=["/x=:1", "/y=:2"], compose=[HOME], basic=["/: @x"], limit=["/: 2/s:user"], **more
    )
    lines = [
        line for line in limited_parts(plan_serving("gateway", flags)) if "--limit '/: 2/s:user'" in line
    ]
    assert bool(lines) is is_told
