"""Whatever routes, rules and settings there are: a request meets every rule that it lies in, wherever it goes."""

from dataclasses import replace

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from netfront.cli.flags import ServeFlags
from netfront.cli.planning import plan_serving
from netfront.cli.tables import table_of
from netfront.errors import UsageError
from netfront.policy.route import Match, parse_scope

SCOPES = st.builds(
    lambda methods, host, segments, end: f"{methods}{host}/{'/'.join(segments)}{end}",
    st.sampled_from(["", "", "", "POST ", "GET,POST "]),
    st.sampled_from(["", "", "", "a.test", "*.test"]),
    st.lists(st.sampled_from(["a", "b", "7", "{x}", "*"]), max_size=2).filter(
        lambda segments: segments.count("{x}") < 2
    ),
    st.sampled_from(["", "", "$", "/**"]),
).map(lambda text: text.replace("//", "/"))
REQUESTS = st.tuples(
    st.sampled_from(["GET", "POST", "post", "Post", "PUT"]),
    st.sampled_from(["a.test", "b.test", "c.example"]),
    st.lists(st.sampled_from(["a", "A", "b", "7", "c"]), max_size=3).map(lambda path: "/" + "/".join(path)),
)


@example(["/**", "GET /"], ["GET /"], [], [("GET", "c.example", "/")])
@example(["a.test/**", "GET a.test/"], ["GET a.test/"], [], [("GET", "a.test", "/a")])
@example(["/{x}", "GET /*"], ["GET /*"], [], [("GET", "c.example", "/a")])
@example(["/{x}", "/*/{x}"], ["/*/{x}"], [], [("GET", "c.example", "/a/b")])
@example(["/", "POST /{x}"], ["POST /{x}"], [], [("post", "c.example", "/a")])
@settings(max_examples=300)
@given(
    st.lists(SCOPES, min_size=1, max_size=3, unique=True),
    st.lists(SCOPES, min_size=1, max_size=2, unique=True),
    st.lists(SCOPES, max_size=2, unique=True),
    st.lists(REQUESTS, min_size=1, max_size=8),
)
def test_a_request_meets_every_rule_that_it_lies_in(routes, rules, parts, requests):
    marks = {f"10.0.0.{number}": scope for number, scope in enumerate(rules)}
    flags = ServeFlags(
        targets=[f"{scope}=:{3001 + number}" for number, scope in enumerate(routes)],
        listen=["http://:80"],
        ip=[f"{scope}: {mark}" for mark, scope in marks.items()],
        timeout=[f"{scope}: 5s" for scope in parts],
    )
    try:
        plan = plan_serving("gateway", flags)
    except UsageError:
        assume(False)
    table = table_of(plan.routes, lambda route, settings: settings)
    for method, host, path in requests:
        request = method.encode(), host.encode(), path.encode()
        found = table.find(*request)
        if isinstance(found, Match):
            held = {
                str(network)
                for rule in found.value.at(*request[:2], [request[2]], ()).gate.rules
                for network in rule.networks
            }
            for mark, scope in marks.items():
                if replace(parse_scope(scope), ignores_case=True).matches(*request):
                    assert f"{mark}/32" in held
