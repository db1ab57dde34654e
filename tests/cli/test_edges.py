"""--cors, --max-body, --request-id and --secure-headers: what they mean and what is refused."""

import pytest

from netfront.cli.explain import explain_plan
from netfront.cli.flags import ServeFlags
from netfront.cli.gate.edge_plan import CorsPlan
from netfront.cli.gate.edges import parse_cors
from netfront.cli.planning import plan_serving
from netfront.errors import UsageError


def planned(*targets, command="gateway", **flags):
    return plan_serving(command, ServeFlags(targets=list(targets) or [":3001"], **flags))


@pytest.mark.parametrize(
    ("text", "plan"),
    [
        ("*", CorsPlan(("*",))),
        ("https://App.example:443,max-age=10m", CorsPlan(("https://app.example",))),
        (
            "http://localhost:5173,https://*.b.example,credentials,max-age=1h",
            CorsPlan(("http://localhost:5173", "https://*.b.example"), True, 3600),
        ),
    ],
)
def test_origins_are_read(text, plan):
    assert parse_cors(text) == plan


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("*,credentials", "every page could act as whoever is logged in"),
        ("credentials", "no origin"),
        ("null", "sandboxed"),
        ("app.example", "did you mean https://app.example"),
        ("https://app.example/", "did you mean https://app.example"),
        ("https://*", "is no origin"),
        ("https://a.example,max-age=2d", "too large"),
    ],
)
def test_origins_are_refused(text, told):
    with pytest.raises(UsageError) as refused:
        parse_cors(text)
    assert told in str(refused.value)


def test_the_most_specific_scope_says_who_may_read():
    plan = planned("/a=:1", "/b=:2", cors=["*", "/b: https://b.example"])
    a, b = plan.routes
    assert a.settings.gate.cors == CorsPlan(("*",))
    assert b.settings.gate.cors == CorsPlan(("https://b.example",))
    assert not a.settings.gate.is_guarded
    with pytest.raises(UsageError) as refused:
        planned("/a=:1", cors=["/: https://a.example", "/: https://b.example"])
    assert "--cors '/: https://a.example' holds there already\n  name all origins in one" in str(
        refused.value
    )


def most(**flags):
    return planned(**flags).routes[0].settings.most_body


def test_a_body_is_bounded_in_a_gateway_unless_said_otherwise():
    assert most() == 10 * 2**20
    assert most(max_body=["2G"]) == 2 * 2**30
    assert most(max_body=["none"]) is None
    assert most(max_body=["1k", "2k"]) == 1024
    assert planned(command="proxy").routes[0].settings.most_body is None


def test_edges_are_explained():
    told = explain_plan(planned(cors=["https://a.example,credentials"], secure_headers=True))
    assert "cors        https://a.example with credentials; preflights are answered here, for 10m" in told
    assert "X-Request-Id, also to the client" in told
    assert "browsers protect users" in told
    assert "body        at most 10MiB; else 413" in told
    assert "X-Request-Id" not in explain_plan(planned(request_id=False))
    assert "X-Request-Id" not in explain_plan(planned(command="proxy"))


@pytest.mark.parametrize(
    ("told", "flags"),
    [
        ("--header X-Request-Id", {"header": ["X-Request-Id: 7"]}),
        ("--response-header X_Request_Id", {"response_header": ["/a: -X_Request_Id"]}),
        ("--pass-identity X-Request-Id", {"jwt": ["@/keys"], "pass_identity": ["X-Request-Id=sub"]}),
        ("--auth-url with fields=X-Request-Id", {"auth_url": ["http://:9/c,fields=X-Request-Id"]}),
    ],
)
def test_an_id_of_ones_own_is_instead_of_ours(told, flags):
    with pytest.raises(UsageError, match=f"{told}: a gateway gives each request an id of its own") as refused:
        planned("/=:1", "/a=:2", **flags)
    assert "--no-request-id" in str(refused.value)
    planned("/=:1", "/a=:2", request_id=False, **flags)


def test_a_proxy_names_no_requests():
    planned("/=:1", command="proxy", header=["X-Request-Id: 7"])


@pytest.mark.parametrize(
    ("flags", "refused"),
    [
        ({"cors": ["*"], "response_header": ["Access-Control-Allow-Origin: *"]}, ["access-control-allow-origin"]),
        ({"cors": ["/a: *"], "response_header": ["/a: Access-Control-Max-Age: 5"]}, ["access-control-max-age"]),
        ({"cors": ["/a: *"], "response_header": ["Access-Control-Max-Age: 5"]}, []),
        ({"cors": ["*"], "response_header": ["Access-Control-Expose-Headers: X"]}, []),
        ({"cors": ["*"], "response_header": ["-Access-Control-Allow-Origin"]}, []),
        ({"response_header": ["Access-Control-Allow-Origin: *"]}, []),
    ],
)  # fmt: skip
def test_what_cors_says_no_other_flag_says(flags, refused):
    if not refused:
        planned("/=:1", "/a=:2", **flags)
        return
    with pytest.raises(UsageError) as caught:
        planned("/=:1", "/a=:2", **flags)
    assert [fault.what for fault in caught.value.faults] == [f"--response-header {name}" for name in refused]
