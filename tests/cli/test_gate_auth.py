"""Authentication and authorization: which groups and rules hold where, what is refused, and what is told of them."""

import os
from itertools import permutations

import pytest

from netfront.cli.explain import explain_plan, explain_request
from netfront.cli.flags import ServeFlags
from netfront.cli.gate import options
from netfront.cli.gate.auth_url import TIMEOUT
from netfront.cli.gate.credentials import Credentials, read_guarded
from netfront.cli.gate.oidc import SESSION
from netfront.cli.gate.tokens import LEEWAY
from netfront.cli.planning import plan_serving
from netfront.errors import UsageError
from netfront.policy.apikeys import key_line
from netfront.units import render_duration
from tests.support.netfront import run


def planned(*targets, **flags):
    return plan_serving("gateway", ServeFlags(targets=list(targets) or [":3001"], **flags))


def faults(*targets, **flags):
    with pytest.raises(UsageError) as refused:
        planned(*targets, **flags)
    return [str(fault) for fault in refused.value.faults]


def holds(plan, request):
    """Give what --explain tells of who may pass with a request."""
    lines = [line.split(None, 1) for line in explain_request(plan, request).splitlines()]
    return [(name, text) for name, text in lines if name in ("auth", "allow", "public")]


def groups(plan, request):
    return [text for name, text in holds(plan, request) if name == "auth"]


def test_methods_of_one_scope_are_alternatives_and_those_of_others_add_up():
    plan = planned(basic=["@a", "/api: @b"], api_key=["/: @k", "/api/v2: @l,header=X-K"])
    everywhere = "api-key in x-api-key, by k; or basic, by a"
    assert groups(plan, "GET /") == [everywhere]
    assert groups(plan, "GET /api") == [everywhere, "basic, by b (/api)"]
    assert groups(plan, "GET /api/v2/x") == [
        everywhere,
        "basic, by b (/api)",
        "api-key in x-k, by l (/api/v2)",
    ]


def test_the_same_method_twice_counts_once():
    assert groups(planned(basic=["@a", "/: @a"], api_key=["@k", "@k"]), "GET /") == [
        "api-key in x-api-key, by k; or basic, by a"
    ]


ID, OTHER = "https://id.test", "https://other.test"


@pytest.mark.parametrize(
    ("flags", "first", "second"),
    [
        ({"basic": ["@a", "/: @b"]}, "--basic '@a'", "--basic '/: @b'"),
        ({"basic": ["/a: @a", "/a: @a,hide"]}, "--basic '/a: @a'", "--basic '/a: @a,hide'"),
        ({"api_key": ["@k", "@l"]}, "--api-key '@k'", "--api-key '@l'"),
        (
            {"api_key": ["@k,header=X-K", "@l,header=x-k"]},
            "--api-key '@k,header=X-K'",
            "--api-key '@l,header=x-k'",
        ),
        ({"jwt": [f"{ID},aud=a", f"{ID}/,aud=b"]}, f"--jwt '{ID},aud=a'", f"--jwt '{ID}/,aud=b'"),
        ({"jwt": [f"{ID},aud=a", "@j"]}, f"--jwt '{ID},aud=a'", "--jwt '@j'"),
        ({"jwt": ["@j,cookie=a", "@i,iss=x,cookie=b"]}, "--jwt '@j,cookie=a'", "--jwt '@i,iss=x,cookie=b'"),
        ({"jwt": [f"@j,iss={ID}", ID]}, f"--jwt '@j,iss={ID}'", f"--jwt '{ID}'"),
    ],
)
def test_a_method_that_is_never_asked_is_refused(flags, first, second):
    told = faults("/=:3001", "/a=:3001", **flags)
    assert [one.splitlines()[0] for one in told] == [
        f"{second}: {first} is asked first, and decides: both look for the same credential"
    ]


def test_methods_that_look_elsewhere_are_alternatives():
    planned(api_key=["@k", "@l,header=X-L"], jwt=[f"{ID},aud=a", f"{OTHER},aud=a", "@j,iss=x"])
    planned("/a=:1", "/b=:2", basic=["/a: @a", "/b: @b"])


@pytest.mark.parametrize(
    ("flags", "inner", "outer"),
    [
        ({"jwt": ["/: @j"], "basic": ["/x: @a"]}, "--basic '/x: @a'", "--jwt '/: @j'"),
        ({"jwt": [ID, f"/x: {OTHER}"]}, f"--jwt '/x: {OTHER}'", f"--jwt '{ID}'"),
        ({"jwt": [f"{ID},cookie=a", f"/x: {OTHER}"]}, f"--jwt '/x: {OTHER}'", f"--jwt '{ID},cookie=a'"),
        (
            {"basic": ["@a"], "api_key": ["/x: @k,header=Authorization"]},
            "--api-key '/x: @k,header=Authorization'",
            "--basic '@a'",
        ),
        (
            {"basic": ["/x: @a"], "jwt": ["/x: @j"], "api_key": ["@k,header=Authorization"]},
            "--jwt '/x: @j'",
            "--api-key '@k,header=Authorization'",
        ),
    ],
)
def test_groups_that_no_request_can_pass_together_are_refused(flags, inner, outer):
    told = faults(**flags)
    assert f"{inner}: nobody passes it and {outer}: Authorization holds one credential" in told[0]


@pytest.mark.parametrize(
    "flags",
    [
        {"jwt": ["@j,cookie=t"], "basic": ["/x: @a"]},
        {"jwt": ["@j"], "api_key": ["/x: @a"]},
        {"jwt": ["@j"], "basic": ["@a", "/x: @b"]},
        {"jwt": [f"{ID},aud=a", f"{OTHER},aud=a", f"/x: {ID},aud=b"]},
        {"jwt": ["@j", f"/x: {ID}"]},
        {"jwt": [ID, f"/x: {OTHER}"], "api_key": ["@k"]},
        {"jwt": ["/a: @j"], "basic": ["/x: @a"]},
    ],
)
def test_groups_that_some_request_can_pass_together_are_not(flags):
    planned("/=:1", "/x=:2", "/a=:3", **flags)


def test_a_mapped_network_is_the_ipv4_one():
    assert ("allow", "from 10.0.0.0/8, 192.0.2.1/32; else 403") in holds(
        planned(ip=["::ffff:10.0.0.0/104,::ffff:192.0.2.1"]), "GET /"
    )


def test_rules_add_up():
    plan = planned(basic=["@a"], ip=["10.0.0.0/8", "/x: 10.1.0.0/16,::1"], allow=['/x: user == "ann"'])
    assert holds(plan, "GET /x") == [
        ("allow", "from 10.0.0.0/8; else 403"),
        ("allow", "from 10.1.0.0/16, ::1/128; else 403 (/x)"),
        ("auth", "basic, by a"),
        ("allow", 'CEL user == "ann"; else 403 (/x)'),
    ]


@pytest.mark.parametrize(
    "spelt", ["/admin", "/ADMIN", "//admin", "/./admin", "/a/../admin", "/%61dmin", "/admin;x"]
)
def test_a_rule_holds_for_every_spelling(spelt):
    plan = planned("/=:3001", "/admin=:3002", basic=["/admin: @a"])
    assert groups(plan, f"GET {spelt}") == ["basic, by a (/admin)"]


def test_public_takes_away_what_stands_in_wider_scopes_alone():
    plan = planned(
        basic=["@a"], api_key=["/api: @k"], ip=["/api: 10.0.0.0/8"], public=["/api/health", "/login"]
    )
    told = "by --public /api/health: no authentication or authorization of wider scopes"
    assert holds(plan, "GET /api/health/x") == [("public", told)]
    assert holds(plan, "GET /API/HEALTH") == holds(plan, "GET /api")  # what is public keeps to case
    assert groups(plan, "GET /login") == []
    assert len(groups(plan, "GET /api/healthy")) == 2
    assert "  public " in explain_plan(plan)


def test_public_does_so_in_whatever_order_policies_come_together():
    policies = [("basic", "@a"), ("basic", "/x: @b"), ("public", "/x/y"), ("ip", "/x: ::1")]
    for order in permutations(policies):
        flags = {}
        for name, text in order:
            flags.setdefault(name, []).append(text)
        assert [name for name, _ in holds(planned(**flags), "GET /x/y")] == ["public"]


@pytest.mark.parametrize(
    "rule", [{"basic": ["/x/y: @b"]}, {"ip": ["/x/y/z: ::1"]}, {"basic": ["GET /: @b"]}, {"ip": ["a.test/: ::1"]},
             {"basic": ["/X/Y: @b"]}],
)  # fmt: skip
def test_a_rule_inside_public_is_refused(rule):
    flags = {
        "basic": ["@a"],
        **{name: [*(["@a"] if name == "basic" else []), *texts] for name, texts in rule.items()},
    }
    told = faults("/=:3001", "a.test/=:3002", public=["/x/y"], **flags)
    assert any("--public '/x/y'" in one and "stands inside it" in one for one in told)


def test_public_that_excepts_from_nothing_is_refused():
    assert faults(public=["/x"])[0].startswith("--public '/x': it has no effect")
    assert faults(basic=["/a: @a"], public=["/x"])[0].startswith("--public '/x': it has no effect")
    assert any("meets no route" in one for one in faults("/a=:1", basic=["@a"], public=["/x"]))


def test_without_flags_nothing_stands_there():
    assert holds(planned(), "GET /") == []


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"basic": ["htpasswd"]}, "--basic …: credentials are not given inline"),
        ({"basic": ["ann:secret"]}, "--basic …: credentials are not given inline"),
        ({"basic": ["@"]}, "--basic …: credentials are not given inline"),
        ({"basic": ["@,hide"]}, "--basic …: credentials are not given inline"),
        ({"api_key": ["top,secret"]}, "--api-key …: credentials are not given inline"),
        ({"basic": ["@a,header=x"]}, "--basic ,header: no such option"),
        ({"basic": ["@a,hide=1"]}, "--basic ,hide: not how it is written"),
        ({"api_key": ["@a,header="]}, "--api-key ,header: not how it is written"),
        ({"api_key": ["@a,header=a b"]}, "--api-key header=a b: not a field name"),
        ({"api_key": ["@a,header=Cookie"]}, "--api-key header=cookie: it is no place"),
        ({"api_key": ["@a,hide,hide"]}, "--api-key ,hide: given twice"),
        ({"mtls": ["/"]}, "--mtls: there is no --client-ca"),
        ({"mtls": ["x"]}, "--mtls x"),
        ({"basic": ["/nowhere: @a"]}, "--basic '/nowhere: @a': its scope meets no route"),
        ({"token_scope": ["admin"]}, "--token-scope '/: …': no authentication gives scopes at /a"),
        ({"token_scope": ["admin"], "basic": ["@a"]}, "--token-scope '/: …': no authentication gives scopes"),
        (
            {"claim": ["region=eu"], "basic": ["@a"]},
            "--claim '/: …': no authentication gives the claim region",
        ),
        ({"claim": ["sub=a"]}, "--claim '/: …': no authentication gives the claim sub"),
        ({"claim": ["a/: sub"], "basic": ["@a"]}, "--claim"),
        ({"claim": ["=x"], "basic": ["@a"]}, "--claim =x: not NAME=VALUE"),
        ({"allow": ['user == "a"']}, "--allow '/: …': no authentication gives user"),
        ({"allow": ['"x" in scopes'], "basic": ["@a"]}, "--allow '/: …': no authentication gives scopes"),
        ({"allow": ["claims.x =="], "basic": ["@a"]}, "--allow claims.x ==: column 12: "),
        ({"ip": ["10.0.0.1/8"]}, "--ip 10.0.0.1/8: not a network\n  did you mean 10.0.0.0/8?"),
        ({"ip": ["10.0.0.0/8,"]}, "--ip"),
        (
            {"ip": ["10.0.0.0/8", "192.168.0.0/16"]},
            "--ip '/: 192.168.0.0/16': nobody passes it and --ip '/: 10.0.0.0/8': each of them has to be passed\n"
            "  of one scope name all networks in one: 10.0.0.0/8,192.168.0.0/16",
        ),
        (
            {"ip": ["10.0.0.0/8", "/a/x: ::1"]},
            "--ip '/a/x: ::1/128': nobody passes it and --ip '/: 10.0.0.0/8'",
        ),
        (
            {"auth_url": ["http://:1", "http://:2"]},
            "--auth-url 'http://:2': --auth-url 'http://:1' is asked first",
        ),
        (
            {"oidc": [f"https://{name}.test,client-id=a" for name in "xy"]},
            "--oidc 'https://y.test,client-id=a': --oidc 'https://x.test,client-id=a' is asked first",
        ),
        ({"pass_identity": ["X-User=sub"]}, "--pass-identity X-User=sub: no authentication there"),
        ({"pass_identity": ["X-User=region"], "basic": ["@a"]}, "--pass-identity X-User=region: no auth"),
        (
            {"pass_identity": ["X-User"], "basic": ["@a"]},
            "--pass-identity X-User: 'X-User' is not FIELD=CLAIM",
        ),
        ({"pass_identity": ["Authorization=sub"], "basic": ["@a"]}, "--pass-identity Authorization=sub"),
        (
            {"pass_identity": ["X_User=sub"], "api_key": ["@a,header=X-User"]},
            "--pass-identity X_User=sub: clients bring their API key in that field",
        ),
        ({"pass_identity": ["X User=sub"], "basic": ["@a"]}, "--pass-identity X User=sub"),
        (
            {"pass_identity": ["A=sub,a=sub"], "basic": ["@a"]},
            "--pass-identity A=sub,a=sub: a is there twice",
        ),
    ],
)
def test_what_is_refused(flags, said):
    told = faults("/a=:3001", **flags)
    assert told[0].startswith(said), told
    assert "secret" not in " ".join(told)


@pytest.mark.parametrize(
    "text", ['params.id == "1"', 'method == "PUT" || params["id"] == "1"', "params['id'] != ''"]
)
def test_an_expression_reads_no_parameter_that_no_route_has(text):
    column = text.index("params")
    told = f"--allow {text}: column {column + 1}: no route at /a has {{id}}\n  {text}\n  {' ' * column}^"
    assert faults("/a=:1", "/b/{id}=:2", allow=[f"/a: {text}"]) == [told]
    planned("/a=:1", "/a/{id}=:2", allow=[f"/a: {text}"])


@pytest.mark.parametrize(
    "text",
    [
        '!has(params.id) || params.id == "1"',
        '!("id" in params) || params["id"] == "1"',
        "params.size() == 0",
        '"params.id" != path',
        "size(params) == 0",
        'params.exists(key, key == "x") || path != ""',
    ],
)
def test_an_expression_may_ask_whether_a_parameter_is_there(text):
    planned("/a=:1", allow=[text])


OWN = ["Host", "Via", "Forwarded", "X-Forwarded-For", "x-forwarded-proto", "X-Forwarded-Host", "X-Forwarded-Port",
       "X-Real-IP", "Connection", "Keep-Alive", "TE", "Expect", "Content-Length", "Client-Cert", "Cookie"]  # fmt: skip


@pytest.mark.parametrize("name", OWN)
def test_fields_of_our_own_carry_nothing_else(name):
    assert "no place for a key" in faults(api_key=[f"@k,header={name}"])[0]
    assert "says something else already" in faults(basic=["@a"], pass_identity=[f"{name}=sub"])[0]
    assert "no field that can be handed on" in faults(auth_url=[f"http://:9,fields=X-A|{name}"])[0]


def test_fields_of_our_own_are_so_in_every_spelling():
    assert "says something else already" in faults(basic=["@a"], pass_identity=["X_Real_IP=sub"])[0]
    assert "no place for a key" in faults(api_key=["@k,header=X-Forwarded-Key"])[0]
    assert "--api-key with header=x-request-id" in faults(api_key=["@k,header=X-Request-Id"])[0]
    planned(api_key=["@k,header=X-Request-Id"], request_id=False)
    planned(auth_url=["http://:9,fields=Authorization|X-Forwarded-User"])


@pytest.mark.parametrize("edit", ["X-User: root", "-X-User", "x_user: root", "/x/y: X-User: root"])
def test_a_header_that_overrides_who_asks_is_refused(edit):
    [told] = faults("/x=:1", basic=["/x: @a"], pass_identity=["X-User=sub"], header=[edit])
    assert ": --pass-identity X-User=sub tells the backend who asks in that field" in told
    [told] = faults("/x=:1", auth_url=["/x: http://:9,fields=X-User"], header=[edit])
    assert ": --auth-url with fields=X-User tells the backend who asks in that field" in told


def test_a_header_where_nobody_is_asked_who_they_are_is_not():
    planned(
        "/=:1",
        "/y=:2",
        basic=["/: @a"],
        public=["/y"],
        pass_identity=["X-User=sub"],
        header=["/y: X-User: guest"],
    )
    planned("/=:1", "/y=:2", basic=["@a"], pass_identity=["/: X-User=sub"], header=["X-Users: all"])


def test_mtls_beside_bytes_is_refused():
    told = faults(
        "http://localhost:3001",
        ":9000=b.test:99",
        listen=["https://:8443", "tls://:9000"],
        mtls=["/"],
        client_ca="ca",
    )
    assert told[0].startswith("--mtls: with it a certificate is asked for by scope")


def test_claims_that_one_alternative_gives_may_be_asked_for():
    planned(basic=["@a"], api_key=["@k"], token_scope=["admin"], allow=['"x" in scopes || user == "ann"'])
    planned(client_ca="ca", mtls=["/"], claim=["cn=ann"], pass_identity=["X-San=san"])


def test_the_most_specific_scope_decides_what_a_field_tells():
    plan = planned(api_key=["@k"], pass_identity=["X-User=sub,X-S=scope", "/a: x-user=scope"])
    assert "tell          X-User is sub, X-S is scope; clients cannot send them" in explain_request(
        plan, "GET /b"
    )
    assert "tell          x-user is scope, X-S is scope" in explain_request(plan, "GET /a")


def test_a_new_key_is_printed_with_its_line(tmp_path):
    made = run("gateway", "--new-key", "shop")
    key, line = made.stdout.splitlines()
    assert (made.returncode, made.stderr) == (0, "")
    assert line == key_line("shop", key)
    assert run("gateway", "--new-key", "a b").returncode == 2
    refused = run("gateway", "--new-key", "shop", "/a=:1", "--api-key", "@keys", "--no-via")
    assert (refused.returncode, refused.stdout) == (2, "")
    for what in ("a target", "--api-key", "--no-via"):
        assert f"{what}: it has no effect\n" in refused.stderr
    file = tmp_path / "keys"
    file.write_text(line)
    assert Credentials([str(file)], [], print).keys[str(file)].owner(key.encode()).user == "shop"


def test_a_file_that_others_can_write_is_refused_and_one_they_can_read_told_of(tmp_path):
    file, told = tmp_path / "keys", []
    file.write_text("x")
    for mode, is_refused, is_told in (
        (0o600, False, False),
        (0o644, False, True),
        (0o666, True, False),
        (0o660, True, False),
        (0o640, False, False),
        (0o602, True, False),
    ):
        told.clear()
        file.chmod(mode)
        try:
            read_guarded(str(file), "--api-key @keys", told.append)
            refused = ""
        except UsageError as error:
            refused = str(error)
        assert ("others can write" in refused) is is_refused
        assert bool(told) is is_told


@pytest.mark.parametrize("text", ["", "# nobody", "\n"])
@pytest.mark.parametrize(("kind", "hint"), [("keys", "--new-key"), ("passwords", "htpasswd")])
def test_a_file_of_nobody_is_refused_at_the_start(tmp_path, text, kind, hint):
    file = tmp_path / "file"
    file.write_text(text)
    file.chmod(0o600)
    with pytest.raises(UsageError) as raised:
        Credentials(**{"keys": [], "passwords": [], kind: [str(file)]}, tell=print)
    assert f"@{file}: nobody is in it\n" in str(raised.value)
    assert hint in str(raised.value)


def test_the_last_user_can_be_shut_out(tmp_path):
    users = tmp_path / "users"
    users.write_text("ann:{SHA}I7dElEdfX4dJgLdnbVEeI9iG2mQ=\n")
    users.chmod(0o600)
    held = Credentials([], [str(users)], print)
    remembered = held.passwords[str(users)].remembered
    write(users, "")
    assert held.look() == [f"--basic @{users}: read again, and nobody is in it: by it nobody comes in"]
    assert held.passwords[str(users)].remembered is not remembered
    assert not held.passwords[str(users)].file.held.are_right("ann", b"")


def test_files_are_read_again_and_what_is_wrong_is_never_used(tmp_path):
    keys, users = tmp_path / "keys", tmp_path / "users"
    keys.write_text(key_line("shop", "one"))
    users.write_text("ann:{SHA}I7dElEdfX4dJgLdnbVEeI9iG2mQ=\n")
    for file in (keys, users):
        file.chmod(0o600)
    held = Credentials([str(keys)], [str(users)], print)
    assert held.look() == []
    remembered = held.passwords[str(users)].remembered

    write(keys, key_line("shop", "two"))
    assert held.look() == [f"--api-key @{keys}: read again"]
    assert held.keys[str(keys)].owner(b"one") is None
    assert held.keys[str(keys)].owner(b"two").user == "shop"

    write(keys, "# shop has gone")
    assert held.look() == [f"--api-key @{keys}: read again, and nobody is in it: by it nobody comes in"]
    assert held.keys[str(keys)].owner(b"two") is None
    assert Credentials([str(keys)], [], print, held).keys[str(keys)].owner(b"two") is None

    write(keys, key_line("shop", "two"))
    assert held.look() == [f"--api-key @{keys}: read again"]
    write(keys, "nonsense")
    assert held.look()[0].startswith("what was read before stays in use: ")
    assert held.keys[str(keys)].owner(b"two").user == "shop"

    users.unlink()
    told = [line for _ in range(5) for line in held.look()]
    assert len(told) == 1
    assert "what was read of it stays in use" in told[0]

    write(users, "bob:{SHA}I7dElEdfX4dJgLdnbVEeI9iG2mQ=\n")
    assert f"--basic @{users}: read again" in held.reload()
    assert held.passwords[str(users)].remembered is not remembered
    assert list(held.passwords[str(users)].file.held.hashes) == ["bob"]

    again = Credentials([str(keys)], [str(users)], print, held)
    assert again.passwords[str(users)] is held.passwords[str(users)]


def write(file, text):
    new = file.with_suffix(".new")
    new.write_text(text)
    new.chmod(0o600)
    os.replace(new, file)


@pytest.mark.parametrize(
    ("option", "default"), [(options.Jwt, LEEWAY), (options.Oidc, SESSION), (options.AuthUrl, TIMEOUT)]
)
def test_help_tells_the_defaults_that_hold(option, default):
    (flag,) = option.__metadata__
    assert f"(default {render_duration(default)})" in flag.help


@pytest.mark.parametrize(
    ("flag", "value", "option"),
    [
        ("limit", "5/s:ip,burst=0", "burst=0"),
        ("auth_url", "http://:9100,timeout=1h", "timeout=1h"),
        ("jwt", "https://id.example.com,leeway=x", "leeway=x"),
        ("oidc", "https://id.example.com,client-id=web,session=1s", "session=1s"),
        ("oidc", "https://id.example.com,client-id=web,leeway=-1s", "leeway=-1s"),
        ("cors", "https://a.example,max-age=1w", "max-age=1w"),
    ],
)
def test_a_fault_of_an_option_names_it(flag, value, option):
    (fault,) = faults(**{flag: [value]})
    assert fault.startswith(f"--{flag.replace('_', '-')} {option}: ")


ISSUER = "https://id.example.com,client-id=web"


@pytest.mark.parametrize(
    ("route", "scope", "is_refused"),
    [
        ("/-/oidc/callback=:2", "/", True),
        ("GET /-/oidc/logout=:2", "/", True),
        ("app.test/-/oidc/logout=:2", "app.test/", True),
        ("app.test/-/oidc/logout=:2", "other.test/", False),
        ("/-/oidc/logout=:2", "app.test/", False),
        ("/-/oidc/callback/x=:2", "/", False),
        ("/-=:2", "/", False),
    ],
)
def test_a_route_where_logins_end_is_refused(route, scope, is_refused):
    targets = ["/=:1", "app.test=:1", "other.test=:1", route]
    if not is_refused:
        planned(*targets, oidc=[f"{scope}: {ISSUER}"])
        return
    (fault,) = faults(*targets, oidc=[f"{scope}: {ISSUER}"])
    assert "logins of --oidc are answered at this path" in fault


def test_where_logins_end_is_explained():
    plan = planned("/=:1", "app.test=:1", oidc=[f"app.test/: {ISSUER}"])
    for path, is_login in (("callback", True), ("logout", True), ("other", False)):
        told = explain_request(plan, f"GET https://app.test/-/oidc/{path}")
        assert ("there a login of --oidc ends" in told) is is_login
    assert "login of --oidc ends" not in explain_request(plan, "GET /-/oidc/callback")
