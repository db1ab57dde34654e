"""Whether who passed one place has passed another: asked for each rewritten request, worked out once."""

from collections import Counter
from dataclasses import replace

import pytest

from netfront.cli.flags import ServeFlags
from netfront.cli.gate.passing import passes
from netfront.cli.planning import plan_serving
from netfront.errors import BadMessage
from netfront.wire.target import Target
from tests.filters.requests import asking


class Stage:
    """The test of a route behind rules, which counts how often these are asked."""

    def __init__(self, *, at="/", **flags):
        plan = plan_serving("gateway", ServeFlags(targets=[":3001", "a.test/in=:3002"], **flags))
        self.asked = Counter()
        gate = next(route.settings.gate for route in plan.routes if route.scope.path == at)
        self.test = passes(
            [replace(rule, apply=self._counting(rule.apply)) for rule in plan.rules], gate, None
        )

    def _counting(self, apply):
        def counted(settings):
            self.asked[apply] += 1
            return apply(settings)

        return counted

    def passes(self, path, *, method=b"GET", authority=b"a.test"):
        request = asking(method=method)
        request.authority = authority
        return self.test(request, Target(b"/", "origin", path))

    @property
    def times(self):
        return self.asked.total()


RULE = {"basic": ["a.test/in: @a"]}


def test_a_verdict_is_worked_out_once():
    stage = Stage(**RULE)
    assert [stage.passes(path) for path in (b"/in/x", b"/in/x", b"/in/./x?y", b"/x", b"/x")] == [
        False,
        False,
        False,
        True,
        True,
    ]
    assert stage.times == 1


@pytest.mark.parametrize(
    ("rule", "other"),
    [
        ("a.test/in: @a", {"authority": b"b.test"}),
        ("a.test/in: @a", {"path": b"/out"}),
        ("POST /in: @a", {"method": b"GET"}),
    ],
)
def test_what_decides_is_what_it_is_remembered_by(rule, other):
    stage = Stage(basic=[rule])
    met = {"path": b"/in", "method": b"POST", "authority": b"a.test"}
    for _ in range(2):
        assert not stage.passes(**met)
        assert stage.passes(**met | other)


def test_a_port_or_case_of_the_host_changes_nothing():
    stage = Stage(**RULE)
    assert not any(stage.passes(b"/in", authority=one) for one in (b"a.test", b"A.test.", b"a.test:8080"))


def test_each_way_to_read_it_must_pass():
    stage = Stage(**RULE)
    assert not stage.passes(b"/x/..%2fin")
    assert not stage.passes(b"/x/..%2fin")
    for _ in range(2):
        with pytest.raises(BadMessage):
            stage.passes(b"/x/..;/in")


def test_who_has_passed_the_rule_passes_it_elsewhere():
    stage = Stage(at="/in", basic=["@a"])
    assert stage.passes(b"/x")


def test_what_is_long_is_not_kept():
    stage = Stage(**RULE)
    assert not any(stage.passes(b"/in/" + b"x" * 512) for _ in range(3))
    assert stage.times == 3


def test_what_is_kept_is_bounded():
    stage = Stage(**RULE)
    for at in range(3000):
        stage.passes(b"/in/%d" % at)
    assert not stage.passes(b"/in/0")
    assert stage.times == 3001
