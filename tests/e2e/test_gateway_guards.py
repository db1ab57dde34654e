"""A rule on /admin against every spelling of it and every method: no backend, however it reads, sees its /admin."""

import socket
from contextlib import contextmanager
from itertools import product
from unicodedata import normalize
from urllib.parse import quote, unquote_to_bytes

import pytest

from tests.support.netfront import running
from tests.support.origins import answering, origin
from tests.support.servers import nginx

pytestmark = pytest.mark.usefixtures("modes")

SPELLINGS = [
    b"/admin",
    b"/admin/",
    b"/admin?x=1",
    b"/admin/x",
    b"//admin",
    b"///admin//x",
    b"/./admin",
    b"/x/../admin",
    b"/x/y/../../admin/z",
    b"/x/..//admin",
    b"/..//admin",
    b"/../admin",
    b"/admin/.",
    b"/admin/x/..",
    b"/x/..;/admin",
    b"/x/..;a=b/admin",
    b"/.;/admin",
    b"/;/admin",
    b"/;a=b/admin",
    b"/x;/../admin",
    b"/admin;a",
    b"/admin;a/x",
    b"/admin;/x",
    b"/admin%3ba",
    b"/admin%3Ba/x",
    b"/%3b/admin",
    b"/x/..%3b/admin",
    b"/x%3b/../admin",
    b"/public/..%2fadmin",
    b"/public/..%2Fadmin",
    b"/public%2f..%2fadmin",
    b"/public/%2e%2e/admin",
    b"/public/%2e%2e%2fadmin",
    b"/public/.%2e/admin",
    b"/public/%2E./admin",
    b"/%2e/admin",
    b"/%2e%2e/admin",
    b"/%2fadmin",
    b"/x/%2e%2e;/admin",
    b"/%61dmin",
    b"/%61%64%6d%69%6e",
    b"/adm%69n/x",
    b"/admin%2f",
    b"/admin%2fx",
    b"/admin%2Fx",
    b"/admin%5cx",
    b"/admin%2f..%2fx",
    b"/x/a%2fb/../%2f..%2f..%2fadmin",
    b"/.%2fadmin%5c..",
    b"/x/a;%2fb/..%2f..%2fadmin",
    b"/%2f;%2fa/admin",
    b"/x/..%2f;%2fa/admin",
    b"/%3b%5cb%2f%5cadmin",
    b"/admin\xa0",
    b"/admin\x85",
    b"/ADMIN",
    b"/Admin/x",
    b"/aDm%49n",
    b"/x/..%2fADMIN",
    b"\\admin",
    b"/\\admin",
    b"/admin\\",
    b"/admin\\x",
    b"/x\\..\\admin",
    b"/x/..\\admin",
    b"/x%5c..%5cadmin",
    b"/%5cadmin",
    b"/x/..%5c/admin",
    b"/admin%0a",
    b"/admin%0A?x",
    b"//admin%0a",
    b"/%61dmin%0a",
    b"/$/../admin%0a",
    b"/admin%0d%0a",
    b"/admin%1f",
    b"/admin%7f",
    b"/ad%80min",
    b"/admin%ff",
    b"/%80admin/x",
    b"/adm%c3in",
    b"/admin%ed%a0%80",
    "/adm\u0130n".encode(),
    b"/adm%c4%b0n",
    b"/adm%C4%B1n/x",
    b"/%ef%bd%81dmin",
    "/admi\uff4e".encode(),
    b"/x;/admin/../../admin",
    b"/admin;/x",
    b"/admin;/../public",
    b"/ad\x80min",
    b"/admin%00",
    b"/%00/../admin",
    b"/admin\x00",
    b"/%c0%af/admin",
    b"/public/..%c0%afadmin",
    b"/public/%c0%ae%c0%ae/admin",
    b"/public/..\xc0\xafadmin",
    b"/%e0%80%af../admin",
    b"/%admin",
    b"/admin%",
    b"/admin#x",
    b"/x#/../admin",
    b"http://app.test/admin",
    b"HTTP://APP.TEST/admin",
    b"http://app.test//x/../admin",
    b"http://app.test./admin",
    b"http://app.test:80/%61dmin",
    b"https://app.test/admin",
    b"http://app.test/public/..%2fadmin",
    b"http://app.test\\admin",
    b"http://user@app.test/admin",
    b"*",
    b"/*/../admin",
    b"admin",
    b"",
]
METHODS = [
    b"GET",
    b"HEAD",
    b"POST",
    b"PUT",
    b"PATCH",
    b"DELETE",
    b"OPTIONS",
    b"TRACE",
    b"CONNECT",
    b"PROPFIND",
    b"get",
    b"ADMIN",
]
HOSTS = [
    b"app.test",
    b"APP.Test",
    b"app.test.",
    b"app.test..",
    b"app.test:80",
    b"app.test.:8443",
    b"%61pp.test",
]
CONTROLS = bytes((*range(1, 32), 127))
RULE = ("--ip", "/admin: 192.0.2.0/24")


def send(front, method, target, host=b"app.test", fields=b""):
    """Send one request, whatever it looks like, and give the whole answer."""
    with socket.create_connection(("127.0.0.1", front.port), 10) as sock:
        sock.sendall(
            b"%b %b HTTP/1.1\r\nHost: %b\r\n%bConnection: close\r\n\r\n" % (method, target, host, fields)
        )
        said = bytearray()
        try:
            while data := sock.recv(65536):
                said += data
        except ConnectionResetError:
            pass
        return bytes(said)


def status(answer):
    return int(answer[9:12]) if answer.startswith(b"HTTP/1.1 ") else 0


def readings(target):
    """Give all that some server may make of a target: decoded or not, in whatever order, cut, resolved, in any case,
    without what is no text, ended at a semicolon, and compared as Unicode."""
    path = target.partition(b"?")[0].partition(b"#")[0]
    if b"://" in path:
        path = b"/" + path.partition(b"://")[2].partition(b"/")[2]
    path = (path.decode("latin-1").split() or [""])[0].encode(
        "latin-1"
    )  # as Python's http.server reads its line
    found = set()
    for decodes, drops, cuts_first, turns, cuts_last, resolves in product((False, True), repeat=6):
        one = path
        if cuts_first:
            one = b"/".join(part.partition(b";")[0] for part in one.split(b"/"))
        if decodes:
            one = unquote_to_bytes(one.replace(b"%c0%ae", b".").replace(b"%c0%af", b"/"))
        if drops:
            one = one.decode(errors="ignore").encode().translate(None, CONTROLS)
        if turns:
            one = one.replace(b"\\", b"/")
        if cuts_last:
            one = b"/".join(part.partition(b";")[0] for part in one.split(b"/"))
        kept = []
        for part in one.partition(b"\x00")[0].split(b"/"):
            if part == b".." and resolves:
                del kept[-1:]
            elif part not in (b"", b"."):
                kept.append(part)
        text = (b"/" + b"/".join(kept)).decode(errors="surrogateescape")
        for like in (text, normalize("NFKC", text), text.upper(), text.replace("\u0130", "i")):
            found.add(like.lower().encode(errors="surrogateescape"))
    if b";" in path:
        found |= readings(path.partition(b";")[0])
    return found


def is_admin(target):
    return any(one == b"/admin" or one.startswith(b"/admin/") for one in readings(target))


@contextmanager
def guarded(*args):
    """Give an origin and a gateway before it, with a rule on /admin and routes on both sides of it."""
    with origin(answering()) as behind:
        targets = [f"/={behind.url}", f"/public={behind.url}"]
        with running("gateway", *targets, *args, "--no-via", "-q") as front:
            yield behind, front


def test_spellings_are_those_that_reach_admin_where_there_is_no_rule():
    with guarded() as (behind, front):
        for target in SPELLINGS:
            send(front, b"GET", target)
        assert sum(is_admin(seen.target) for seen in behind.requests) > 40


@pytest.mark.parametrize("method", METHODS, ids=bytes.decode)
def test_no_spelling_leads_past_a_rule(method):
    with guarded(*RULE) as (behind, front):
        statuses = {target: status(send(front, method, target)) for target in SPELLINGS}
        assert [seen.target for seen in behind.requests if is_admin(seen.target)] == []
        assert {*statuses.values()} <= {200, 400, 403, 405}
        if not method.isupper():  # which some take for the method in capitals
            assert {*statuses.values()} == {400}
        elif method != b"CONNECT":
            assert statuses[b"/admin"] == statuses[b"/%61dmin"] == statuses[b"/ADMIN"] == 403
            assert (
                statuses[b"/public/..%2fadmin"] == statuses[b"/x/..;/admin"] == statuses[b"/admin%00"] == 400
            )


@pytest.mark.parametrize(
    "rule", [RULE, ("--ip", "app.test/admin: 192.0.2.0/24"), ("--ip", "*.test/admin: 192.0.2.0/24")]
)
def test_no_spelling_of_the_host_leads_past_a_rule(rule):
    with guarded(*rule) as (behind, front):
        for host, target in product(HOSTS, [b"/admin", b"//admin", b"/%61dmin", b"/x/../admin", b"/ADMIN"]):
            assert status(send(front, b"GET", target, host)) in (400, 403), (host, target)
        assert behind.requests == []


def test_upgrades_and_queries_are_guarded_alike():
    with guarded(*RULE) as (behind, front):
        upgrade = b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: x\r\n"
        assert status(send(front, b"GET", b"/admin/ws", fields=upgrade)) == 403
        assert status(send(front, b"GET", b"/admin%0a", fields=upgrade)) == 400
        assert status(send(front, b"GET", b"/admin?/../public", fields=b"")) == 403
        assert status(send(front, b"GET", b"/public?/../admin")) == 200
        assert [seen.target for seen in behind.requests] == [b"/public?/../admin"]


def test_fields_that_some_frameworks_heed_in_place_of_the_request_line_lead_past_no_rule():
    with guarded(*RULE, "--allow", "/public: method != 'DELETE'") as (behind, front):
        for line in (
            b"X-Original-URL: /admin",
            b"X-Rewrite-URL: /admin",
            b"X_ORIGINAL_URL: /admin",
            b"X.Original.URL: /admin",
            b"X-Original-Path: /admin",
            b"X-Rewrite-Path: /admin",
            b"X-HTTP-Path-Override: /admin",
        ):
            assert status(send(front, b"GET", b"/", fields=line + b"\r\n")) == 400
        for line in (
            b"X-HTTP-Method-Override: DELETE",
            b"X-HTTP-Method: delete",
            b"X-Method-Override: DELETE",
            b"X-Original-Method: DELETE",
        ):
            assert status(send(front, b"POST", b"/public", fields=line + b"\r\nContent-Length: 0\r\n")) == 400
        assert behind.requests == []
        assert status(send(front, b"GET", b"/x?y", fields=b"X-Original-URL: /x?y\r\n")) == 200
    with guarded() as (behind, front):
        assert status(send(front, b"GET", b"/", fields=b"X-Original-URL: /admin\r\n")) == 200


def test_no_request_writes_where_it_may_not_go():
    with guarded(*RULE, "--ip", "PUT /drop: 192.0.2.0/24") as (behind, front):
        for place in (
            b"/admin/x",
            b"http://app.test/admin/x",
            b"/public/../admin",
            b"/adm%c4%b0n",
            b"/drop",
            b"admin/x",
            b"../admin/x",
            b"/%zz",
        ):
            for method in (b"COPY", b"MOVE"):
                fields = b"Destination: " + place + b"\r\n"
                assert status(send(front, method, b"/public/a", fields=fields)) == 400, place
        assert behind.requests == []
        for place in (b"//app.test/admin", b"/admin%0a", b"/ad%80min"):
            assert (
                status(send(front, b"COPY", b"/public/a", fields=b"Destination: " + place + b"\r\n")) == 400
            ), place
        fields = b"X-HTTP-Method-Override: MOVE\r\nDestination: /admin/x\r\n"
        assert status(send(front, b"POST", b"/public/a", fields=fields)) == 400
        assert behind.requests == []
        fields = b"Destination: http://app.test/public/b\r\n"
        assert status(send(front, b"COPY", b"/public/a", fields=fields)) == 200
        both = b"Destination: /public/a\r\nX-Original-URL: /public/a\r\n"  # the latter alone is dropped
        assert status(send(front, b"MOVE", b"/public/a", fields=both)) == 200
        assert behind.requests[-1].get(b"destination") == b"/public/a"
        assert behind.requests[-1].get(b"x-original-url") is None
        assert status(send(front, b"GET", b"/public/a", fields=b"Destination: /admin\r\n")) == 200
    with guarded() as (behind, front):
        assert status(send(front, b"COPY", b"/public/a", fields=b"Destination: /admin\r\n")) == 200


def test_letters_that_are_like_others_pass_where_no_rule_is_met_so():
    with guarded(*RULE) as (behind, front):
        for path in ("/kad\u0131n", "/stra\u00dfe", "/caf\u00e9", "/\u0661;x/y"):
            assert status(send(front, b"GET", quote(path, safe="/;").encode())) == 200, path
        assert len(behind.requests) == 4


HONEST = [
    "/stra\u00dfe", "/\u0130stanbul", "/\u0131stakoz", "/x\u00b2", "/a\u2026b", "/\u0664\u0662", "/\uff08a\uff09",
    "/caf\u00e9",
    "/cars;v=1", "/x.json;jsessionid=AB", "/@scope%2fpkg", "/projects/a%2Fb/x", "/a%3Bb", "/a+b", "/a%20b", "/b=c",
]  # fmt: skip


@pytest.mark.parametrize("rule", [("--auth-url", "{url}"), ("--allow", '!path.startsWith("/admin")'), RULE])
def test_whoever_means_what_they_say_is_let_in(rule):
    with origin(answering()) as guard, guarded(rule[0], rule[1].format(url=guard.url)) as (behind, front):
        for path in HONEST:
            assert status(send(front, b"GET", quote(path, safe="/;%+=@").encode())) == 200, path
        for method in (b"COPY", b"MOVE"):
            assert status(send(front, method, b"/dav/a", fields=b"Destination: /dav/b\r\n")) == 200
        assert len(behind.requests) == len(HONEST) + 2


def test_an_expression_is_asked_of_all_that_a_path_may_be_taken_for():
    with guarded("--allow", '!path.startsWith("/admin")') as (behind, front):
        for path in (b"/adm%c4%b0n", b"/x/..%2fadmin", b"/admin;/x", b"/admin%2fx"):
            assert status(send(front, b"GET", path)) in (400, 403), path
        for place, refused in ((b"/adm%c4%b0n/x", 403), (b"/public/x\r\nDestination: /admin/x", 400)):
            fields = b"Destination: " + place + b"\r\n"
            assert status(send(front, b"COPY", b"/public", fields=fields)) == refused
            override = b"X-HTTP-Method-Override: MOVE\r\n" + fields
            assert status(send(front, b"POST", b"/public", fields=override)) == refused
        assert behind.requests == []


def test_letters_of_a_scope_are_compared_without_case():
    with guarded("--ip", "/b%C3%BCcher: 192.0.2.0/24") as (behind, front):
        assert status(send(front, b"GET", b"/b%C3%BCcher")) == 403
        for path in (b"/B%C3%9CCHER", b"/b%C3%9Ccher/x", b"/bu%CC%88cher"):
            assert status(send(front, b"GET", path)) == 400, path
        assert behind.requests == []


def test_what_is_rewritten_into_a_path_that_may_be_taken_for_a_guarded_one_is_restricted():
    with guarded(*RULE, "--rewrite", "/pre: /") as (behind, front):
        for path in (b"/pre/adm%c4%b0n", b"/pre/admin;/x", b"/pre/adm%c4%b0n/x?y"):
            assert status(send(front, b"GET", path)) in (400, 403), path
        assert status(send(front, b"GET", b"/pre/stra%c3%9fe")) == 200
        assert [seen.target for seen in behind.requests] == [b"/stra%c3%9fe"]


def test_other_spellings_of_a_field_that_an_expression_reads_do_not_reach_the_backend():
    with guarded("--allow", 'headers["x-tenant"] == "mine"') as (behind, front):
        others = b"".join(b"X%cTenant: victim\r\n" % joint for joint in b"_.~!#$%&'*+^`|")
        fields = b"X-Tenant: mine\r\n" + others + b"X-Other: a\r\n"
        assert status(send(front, b"GET", b"/", fields=fields)) == 200
        (seen,) = behind.requests
        names = {name.lower() for name, value in seen.fields if value in (b"mine", b"victim", b"a")}
        assert names == {b"x-tenant", b"x-other"}


@pytest.mark.parametrize(
    ("expression", "kept"),
    [
        ('headers["x-tenant"] == "mine"', [b"x-checksum"]),
        ('headers.exists(name, name == "x-tenant")', []),
    ],
)
def test_a_field_that_an_expression_reads_does_not_come_behind_a_body(expression, kept):
    with guarded("--allow", expression) as (behind, front):
        trailers = b"X-Tenant: victim\r\nX_Tenant: victim\r\nX-Checksum: 1\r\n"
        with socket.create_connection(("127.0.0.1", front.port), 10) as sock:
            sock.sendall(
                b"POST / HTTP/1.1\r\nHost: a.test\r\nX-Tenant: mine\r\nTransfer-Encoding: chunked\r\n"
                b"Trailer: X-Tenant, X-Checksum\r\n\r\n1\r\na\r\n0\r\n" + trailers + b"\r\n"
            )
            assert sock.recv(12, socket.MSG_WAITALL) == b"HTTP/1.1 200"
        (seen,) = behind.requests
        assert seen.body == b"a"
        assert [name.lower() for name, _ in seen.trailers] == kept


def test_who_names_no_host_gets_round_no_rule_of_one():
    with origin(answering()) as behind:
        with running("gateway", behind.url, "--ip", "127.0.0.1/admin: 192.0.2.0/24", "-q") as front:
            for host in (b"", b"Host: 127.0.0.1\r\n"):
                with socket.create_connection(("127.0.0.1", front.port), 10) as sock:
                    sock.sendall(b"GET /admin HTTP/1.0\r\n%b\r\n" % host)
                    assert sock.recv(12, socket.MSG_WAITALL) == (b"HTTP/1.1 403" if host else b"HTTP/1.1 400")
        assert behind.requests == []


def test_what_a_service_is_asked_about_is_what_the_backend_gets():
    """--auth-url is asked with method and target: nothing else may be served than it was asked about."""
    with origin(answering()) as behind, origin(answering()) as guard:
        with running("gateway", behind.url, "--auth-url", guard.url, "--no-via", "-q") as front:
            for target in (b"/x/../secret", b"//secret", b"/%73ecret"):
                assert status(send(front, b"GET", target)) == 200
            for target, fields in (
                (b"/a%2f..%2fsecret", b""),
                (b"/x", b"X-Original-URL: /secret\r\n"),
                (b"/x", b"X-HTTP-Method-Override: DELETE\r\n"),
            ):
                assert status(send(front, b"POST", target, fields=fields)) == 400
        assert [seen.target for seen in behind.requests] == [b"/secret"] * 3
        assert [seen.get(b"x-forwarded-uri") for seen in guard.requests] == [b"/secret"] * 3


@pytest.mark.parametrize("rule", [("--limit", "/admin: 1/h,burst=1"), ("--basic", "/admin: @{file}")])
def test_other_rules_guard_as_well(rule, tmp_path):
    file = tmp_path / "htpasswd"
    file.write_text("ann:{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M=\n")
    flag, value = rule
    with guarded(flag, value.format(file=file)) as (behind, front):
        send(front, b"GET", b"/admin")
        behind.requests.clear()
        for target in SPELLINGS:
            send(front, b"GET", target)
        assert [seen.target for seen in behind.requests if is_admin(seen.target)] == []


def test_what_is_public_goes_on_normalised_and_names_no_other_target(tmp_path):
    """Who may come in depends on the path there as much as by a rule on one."""
    (tmp_path / "keys").write_text("ann sha256:" + "0" * 64 + "\n")
    (tmp_path / "keys").chmod(0o600)
    with guarded("--api-key", f"/: @{tmp_path / 'keys'}", "--public", "/public") as (behind, front):
        assert status(send(front, b"GET", b"/admin/../public")) == 200
        assert status(send(front, b"GET", b"/admin/x//../../public/y")) == 200
        assert status(send(front, b"GET", b"/public/..%2fadmin")) == 400
        assert status(send(front, b"GET", b"/public", fields=b"X-Original-URL: /admin\r\n")) == 400
        assert [seen.target for seen in behind.requests] == [b"/public", b"/public/y"]


def test_a_method_in_a_field_is_not_led_round_a_rule_by_a_rewritten_path():
    rules = ("--ip", "DELETE /items: 192.0.2.0/24", "--rewrite", "/old: /items")
    with guarded(*rules) as (behind, front):
        for field in (b"X-HTTP-Method-Override", b"X_HTTP_Method", b"X-Method-Override"):
            for path in (b"/old/1", b"/items/1"):
                fields = field + b": DELETE\r\n"
                assert status(send(front, b"POST", path, fields=fields)) in (400, 403), (field, path)
        assert behind.requests == []
        assert status(send(front, b"POST", b"/old/1", fields=b"X-HTTP-Method-Override: PUT\r\n")) == 200


def test_a_method_in_a_field_is_one_that_a_route_takes():
    with origin(answering()) as behind:
        with running("gateway", f"GET,POST /ro={behind.url}", "--ip", "/ro/x: 192.0.2.0/24", "-q") as front:
            assert status(send(front, b"DELETE", b"/ro/1")) == 405
            for method, wanted in ((b"DELETE", 400), (b"GET", 200)):
                fields = b"X-HTTP-Method-Override: " + method + b"\r\n"
                assert status(send(front, b"POST", b"/ro/1", fields=fields)) == wanted
        assert len(behind.requests) == 1


def test_rules_over_segments_are_asked_again_of_what_is_rewritten():
    with origin(answering()) as behind:
        routes = [f"/u/{{id}}={behind.url}", f"/u/{{id}}/of/{{o}}={behind.url}"]
        rules = ("--allow", '/u: params.id == "ann"', "--rewrite", "/u/{id}/of/{o}: /u/{o}")
        with running("gateway", *routes, *rules, "-q") as front:
            for path, wanted in ((b"/u/ann", 200), (b"/u/bob", 403), (b"/u/bob/of/ann", 403)):
                assert status(send(front, b"GET", path)) == wanted
            for path, wanted in ((b"/u/ann/of/bob", 403), (b"/u/ann/of/ann", 200)):
                assert status(send(front, b"GET", path)) == wanted
        assert [seen.target for seen in behind.requests] == [b"/u/ann", b"/u/ann"]


def test_a_destination_may_be_decoded_before_it_is_taken_apart():
    with guarded(*RULE) as (behind, front):
        for place in (
            b"http://h%2Fadmin/x",
            b"http://h%2fadmin%2fx",
            b"/%2Fh/admin/x",
            b"/admin%3Fx",
            b"/admin%23x",
        ):
            fields = b"Destination: " + place + b"\r\n"
            assert status(send(front, b"COPY", b"/public/a", fields=fields)) == 400, place
        assert behind.requests == []
        for place in (b"/public/what%3F.txt", b"http://app.test/public/a%20b", "/public/\u00fc".encode()):
            fields = b"Destination: " + place + b"\r\n"
            assert status(send(front, b"COPY", b"/public/a", fields=fields)) == 200, place


def test_what_is_copied_from_has_rules_too():
    with guarded(*RULE) as (behind, front):
        for field in (b"X-Amz-Copy-Source", b"x_amz_copy_source", b"X-Copy-From", b"X-Ms-Copy-Source"):
            for place in (
                b"/admin/s",
                b"admin/s",
                b"%2fadmin/s",
                b"http://app.test/Admin/s",
                b"admin%2Fs?versionId=1",
            ):
                fields = field + b": " + place + b"\r\n"
                assert status(send(front, b"PUT", b"/public/c", fields=fields)) == 400, (field, place)
        assert behind.requests == []
        for place in (
            b"/public/s",
            b"public/s?versionId=1",
            b"public%2Fs",
            b"public/12:30",
            b"pub/a%3Ab/c:d",
        ):
            fields = b"X-Amz-Copy-Source: " + place + b"\r\n"
            assert status(send(front, b"PUT", b"/public/c", fields=fields)) == 200, place


@pytest.mark.parametrize(("target", "flags"), [("/s3={url}/", ()), ("/s3={url}", ("--rewrite", "/s3: /"))])
def test_what_is_copied_from_has_rules_behind_a_prefix_too(target, flags):
    with origin(answering()) as behind:
        rule = ("--ip", "/s3/private: 192.0.2.0/24")
        with running("gateway", target.format(url=behind.url), *flags, *rule, "-q") as front:
            for place in (b"/private/k", b"private/k", b"/s3/private/k", b"private%2Fk"):
                fields = b"X-Amz-Copy-Source: " + place + b"\r\n"
                assert status(send(front, b"PUT", b"/s3/pub/x", fields=fields)) in (400, 403), place
            assert behind.requests == []
            if not flags:
                fields = b"X-Amz-Copy-Source: /pub/k\r\n"
                assert status(send(front, b"PUT", b"/s3/pub/x", fields=fields)) == 200


def test_without_a_rule_a_prefix_takes_whatever_stores_are_told():
    with origin(answering()) as behind, running("gateway", f"/s3={behind.url}/", "-q") as front:
        for line in (
            b"X-Amz-Copy-Source: b/a k",
            b"X-Amz-Copy-Source: //b/k",
            b"X-Ms-Copy-Source: s3://x/y",
            b"X-HTTP-Method-Override: a b c d e f",
            b"Destination: Paris\r\nDestination: Rome",
        ):
            assert status(send(front, b"PUT", b"/s3/x", fields=line + b"\r\n")) == 200, line
        assert status(send(front, b"COPY", b"/s3/x", fields=b"Destination: container/object\r\n")) == 200
        assert [seen.target for seen in behind.requests] == [b"/x"] * 6


def test_a_request_that_cannot_be_written_costs_no_connection():
    with origin(answering()) as behind, running("proxy", f"/dav={behind.url}/", "-q") as front:
        for _ in range(20):
            fields = b"Destination: /elsewhere\r\n"
            assert status(send(front, b"MOVE", b"/dav/a", fields=fields)) == 502
            assert status(send(front, b"GET", b"/dav/a")) == 200
        assert len(behind.connections) == 1


NOBODY = "192.0.2.0/24"


def test_a_destination_that_is_renamed_is_judged_by_all_that_it_may_be():
    """By each list: the gateway, and where a COPY of /a/x may not write."""
    cases = [
        (
            ["/dav={url}/"],
            ["--ip", f"/dav/admin: {NOBODY}"],
            "/dav/a",
            ["/dav/%2Fh/admin/x", "http://h/dav/%2fh%2fadmin"],
        ),
        (
            ["/a={url}", "/data={url}"],
            ["--rewrite", "/a: /data", "--ip", f"/data/secret: {NOBODY}"],
            "/a/x",
            ["/a/secret%3Fx", "/a/secret/n", "/a/x%3A/data/secret", "/a"],
        ),
        (
            ["/s/{a}={url}", "/={url}"],
            ["--rewrite", "/s/{a}: /{a}", "--ip", f"PUT /pub/x: {NOBODY}"],
            "/s/y",
            ["/s/pub/x"],
        ),
        (
            ["/={url}"],
            ["--rewrite", "/old: /data", "--allow", '!path.startsWith("/data/secret")'],
            "/old/x",
            ["/old/secret/x", "/data/secret/x"],
        ),
    ]
    for targets, flags, path, places in cases:
        with origin(answering()) as behind:
            routes = [target.replace("{url}", behind.url) for target in targets]
            with running("gateway", *routes, *flags, "-q") as front:
                for place in places:
                    fields = f"Destination: {place}\r\n".encode()
                    for method, more in (
                        (b"COPY", b""),
                        (b"MOVE", b""),
                        (b"POST", b"X-HTTP-Method: MOVE\r\n"),
                    ):
                        told = status(send(front, method, path.encode(), fields=more + fields))
                        assert told in (400, 403), (flags, method, place)
                assert behind.requests == []


def test_what_is_no_path_from_the_root_is_judged_from_wherever_it_may_begin():
    with origin(answering()) as behind:
        with running("gateway", f"/dav={behind.url}/", "--ip", f"/dav/admin: {NOBODY}", "-q") as front:
            places = ("admin/x", "./admin/x", "%61dmin/x", "admin?", "/dav/a:b/admin/x", "../admin", "new")
            for place in (*places, "http:admin/x", "HTTP:admin", "http%3aadmin/x", "http:%61dmin/x"):
                fields = f"Destination: {place}\r\n".encode()
                assert status(send(front, b"COPY", b"/dav/pub/e", fields=fields)) == 400, place
        assert behind.requests == []
    with guarded("--ip", f"/v1/acct/vault: {NOBODY}") as (behind, front):
        for field in (
            b"X-Copy-From: vault/s",
            b"X-Copy-From: /vault/s",
            b"X-Object-Manifest: vault/s",
            b"X-Copy-From-Account: b",
        ):
            assert status(send(front, b"PUT", b"/v1/acct/pub/o", fields=field + b"\r\n")) == 400, field
        for path in (b"/v1/acct%2Fpub%2Fo", b"/v1%2Facct%2Fpub%2Fo", b"/v1/acct%5cpub/o"):
            assert status(send(front, b"PUT", path, fields=b"X-Copy-From: vault/s\r\n")) == 400, path
        for place in (b"vault/n", b"/vault/n", b"/%76ault/n", b"/pub/../vault/n"):
            fields = b"Destination: " + place + b"\r\n"
            assert status(send(front, b"COPY", b"/v1/acct/pub/o", fields=fields)) == 400, place
        assert status(send(front, b"COPY", b"/v1/acct/pub/o", fields=b"Destination: /pub/n\r\n")) == 200
        for field in (
            b"X-Symlink-Target-Account: b",
            b"X_Symlink_Target: vault/s",
            b"X-Versions-Location: vault",
        ):
            assert status(send(front, b"PUT", b"/v1/acct/pub/o", fields=field + b"\r\n")) == 400, field
    with origin(answering()) as behind:
        for target, flags in (("/swift={}/", ()), ("/={}", ("--rewrite", "/swift: /"))):
            rule = ("--ip", f"{'' if flags else '/swift'}/v1/acct/vault: {NOBODY}")
            with running("gateway", target.format(behind.url), *flags, *rule, "-q") as front:
                for place in (b"/swift/vault/n", b"/swift//vault/n", b"http://app.test/swift/x/../vault/n"):
                    fields = b"Destination: " + place + b"\r\n"
                    assert status(send(front, b"COPY", b"/swift/v1/acct/pub/o", fields=fields)) in (
                        400,
                        403,
                    ), place
        assert behind.requests == []
    with guarded("--ip", f"/a/b/c/d/e/vault: {NOBODY}") as (behind, front):
        assert status(send(front, b"PUT", b"/a/b/c/d/e/x", fields=b"X-Copy-From: vault/s\r\n")) == 400
        deep = b"/a" * 99
        assert (
            status(send(front, b"PUT", deep, fields=b"X-Copy-From: vault/s\r\n")) == 400
        )  # in very many places


def test_a_relative_destination_does_not_lead_out_of_a_base():
    with origin(answering()) as behind, running("gateway", f"/u={behind.url}/tenant", "-q") as front:
        assert status(send(front, b"COPY", b"/u/a", fields=b"Destination: files/x\r\n")) == 400
        assert status(send(front, b"COPY", b"/u/a", fields=b"Destination: /u/b\r\n")) == 200
        assert [seen.get(b"destination") for seen in behind.requests] == [b"/tenant/b"]


def test_limits_and_colons_refuse_no_destination():
    limits = ("--limit", "PUT /: 100/s", "--concurrency", "DELETE /: 10", "--limit", "MOVE /: 100/s")
    for flags in (limits, ("--ip", f"/admin: {NOBODY}", *limits)):
        with guarded("--rewrite", "/old: /", *flags) as (behind, front):
            for place in (
                b"/old/pub/12:30/n",
                b"/old/pub/12%3A30/n",
                b"/old/pub/12:30/",
                b"/old/pub/a%3Bb",
                b"/old/x",
            ):
                for method in (b"COPY", b"MOVE"):
                    fields = b"Destination: " + place + b"\r\n"
                    assert status(send(front, method, b"/old/pub/e", fields=fields)) == 200, (flags, place)
            assert len(behind.requests) == 10


@pytest.mark.parametrize(
    "host",
    [
        b"x.example,admin.example",
        b"admin.example,",
        b"x,admin.example:80",
        b"%ef%bd%81dmin.example",
        b"ad%c2%admin.example",
    ],
)
def test_a_host_that_may_be_another_is_refused_where_rules_are_by_host(host):
    with (
        origin(answering()) as behind,
        running("gateway", behind.url, "--ip", f"admin.example/: {NOBODY}", "-q") as front,
    ):
        with socket.create_connection(("127.0.0.1", front.port), 10) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: %b\r\n\r\n" % host)
            assert sock.recv(12, socket.MSG_WAITALL) == b"HTTP/1.1 400"
        assert behind.requests == []


def test_a_tree_is_judged_by_what_it_is_rewritten_to():
    rules = ("--rewrite", "/old: /data", "--ip", f"/data/a/admin: {NOBODY}")
    with guarded(*rules) as (behind, front):
        for path, place in ((b"/old/a", b"/old/b"), (b"/old/pub", b"/old/a"), (b"/old", b"/old2")):
            assert status(send(front, b"COPY", path, fields=b"Destination: " + place + b"\r\n")) in (400, 403)
        assert behind.requests == []
        for _ in range(150):  # until the head's shape is known, which is read by another way
            assert status(send(front, b"COPY", b"/old/b", fields=b"Destination: /old/c\r\n")) == 200
            assert status(send(front, b"COPY", b"/old/b", fields=b"Destination: /old/a\r\n")) == 403
        assert {seen.get(b"destination") for seen in behind.requests} == {b"/data/c"}


def test_what_is_rewritten_keeps_its_destination_below_the_base():
    with origin(answering()) as behind:
        routes = [f"/u={behind.url}/tenant"]
        with running("gateway", *routes, "--rewrite", "/u: /files", "--ip", "/u: 127.0.0.0/8", "-q") as front:
            assert (
                status(send(front, b"COPY", b"/u/t", fields=b"Destination: http://app.test/u/f\r\n")) == 200
            )
            assert status(send(front, b"PUT", b"/u/t", fields=b"X-Amz-Copy-Source: /files/x\r\n")) == 403
        (seen,) = behind.requests
        assert (seen.target, seen.get(b"destination")) == (b"/tenant/files/t", b"/tenant/files/f")


def test_copying_reads_and_moving_reads_and_deletes():
    rules = ("--ip", f"PUT,DELETE /docs: {NOBODY}", "--ip", f"GET /secret: {NOBODY}")
    limits = ("--limit", "GET /: 100/s", "--limit", "PUT /public: 100/s", "--concurrency", "DELETE /: 9")
    with guarded(*rules, *limits) as (behind, front):
        for method, path, wanted in (
            (b"MOVE", b"/docs/d", 400),
            (b"COPY", b"/docs/d", 200),
            (b"COPY", b"/secret/s", 400),
            (b"MOVE", b"/secret/s", 400),
            (b"MOVE", b"/public/s", 200),
        ):
            assert status(send(front, method, path, fields=b"Destination: /public/z\r\n")) == wanted, path
        assert len(behind.requests) == 2


def test_a_method_in_small_letters_is_none_where_there_are_rules():
    """Django has it in capitals."""
    with guarded("--allow", 'method != "DELETE"') as (behind, front):
        assert [status(send(front, one, b"/x")) for one in (b"delete", b"Delete", b"GET")] == [400, 400, 200]
        assert len(behind.requests) == 1


def test_who_a_trusted_proxy_speaks_for_names_its_own_host_in_a_destination():
    with origin(answering()) as behind:
        rule = ("--ip", f"/dav/admin: {NOBODY}", "--trust-proxy", "127.0.0.1")
        with running("gateway", f"/dav={behind.url}/", *rule, "-q") as front:
            told = (
                b"X-Forwarded-Host: dav.example\r\nX-Forwarded-Proto: https\r\nX-Forwarded-For: 192.0.2.7\r\n"
            )
            for place, wanted in ((b"https://dav.example/dav/c", 200), (b"https://other.example/dav/c", 502)):
                fields = told + b"Destination: " + place + b"\r\n"
                assert status(send(front, b"COPY", b"/dav/a", fields=fields)) == wanted
        assert [seen.get(b"destination") for seen in behind.requests] == [b"/c"]


def test_a_query_does_not_outdo_what_a_path_is_rewritten_to():
    with origin(answering()) as behind:
        flags = ("--rewrite", "/acct/{id}: /v2/acct?id={id}", "--allow", '/acct/{id}: params.id == "1"')
        with running("gateway", f"/acct/{{id}}={behind.url}", *flags, "-q") as front:
            for target in (
                b"/acct/1?id=2",
                b"/acct/1?x=1&ID=2",
                b"/acct/1?x=1;id=2",
                b"/acct/1?id[]=2",
                b"/acct/1?%69d=2",
            ):
                assert status(send(front, b"GET", target)) == 400, target
            for target in (b"/acct/1?x=2", b"/acct/1;x"):
                assert status(send(front, b"GET", target)) == 200, target
        assert [seen.target for seen in behind.requests] == [b"/v2/acct?id=1&x=2", b"/v2/acct?id=1"]


def test_rules_over_segments_compare_those_that_they_read():
    with origin(answering()) as behind:
        flags = ("--allow", '/files/{owner}/{file}: params.owner == "u"')
        with running("gateway", f"/files/{{owner}}/{{file}}={behind.url}", *flags, "-q") as front:
            for path in (
                "/files/u/\u00dcbersicht.pdf",
                "/files/u/a;b",
                "/files/u/r\u00e9sum\u00e9.pdf",
                "/files/u/a%3Bb",
            ):
                assert status(send(front, b"GET", quote(path, safe="/;%").encode())) == 200, path
            for place, wanted in ((b"/files/u/b", 200), (b"/files/v/b", 400)):
                fields = b"Destination: " + place + b"\r\n"
                assert status(send(front, b"MOVE", b"/files/u/a", fields=fields)) == wanted


def test_a_path_that_can_be_read_in_very_many_ways_is_refused():
    """Rules that look at paths are asked of each: one of 90 bytes took 0.4 s."""
    with guarded("--allow", '!path.matches("^/secret.*")') as (behind, front):
        path = "/i/a/b;d/b/c/%3b;%5c77\u00fc/c/;d/;b%5c%2f/ca%5c%3b;d/%2f\u00fc%3b;/c;%2f\u00fc%3b/c/\\\u00fc;/;%5cb%3b"
        assert status(send(front, b"GET", path.encode())) == 400
        assert status(send(front, b"GET", "/i/\u0130%2f\u00fc;a".encode())) == 200
        assert len(behind.requests) == 1


def test_a_tree_is_not_taken_with_what_is_guarded_in_it():
    with guarded("--ip", "/top/admin: 192.0.2.0/24") as (behind, front):
        for method, path, place in (
            (b"COPY", b"/top", b"/public/x"),
            (b"MOVE", b"/", b"/public/x"),
            (b"COPY", b"/TOP/", b"http://app.test/public/x"),
            (b"COPY", b"/public/x", b"/top"),
            (b"MOVE", b"/public/x", b"/top/../top"),
        ):
            fields = b"Destination: " + place + b"\r\n"
            assert status(send(front, method, path, fields=fields)) == 400, (path, place)
        assert behind.requests == []
        for path, place in ((b"/top/x", b"/top/y"), (b"/public", b"/other")):
            assert status(send(front, b"MOVE", path, fields=b"Destination: " + place + b"\r\n")) == 200


@pytest.mark.parametrize(
    ("targets", "flags"),
    [(["/dav={url}/"], ()), (["/dav={url}", "/={url}"], ("--rewrite", "/dav: /"))],
)
def test_a_destination_is_named_as_the_backend_names_it(targets, flags):
    with origin(answering()) as behind:
        routes = [target.format(url=behind.url) for target in targets]
        with running("gateway", *routes, *flags, "--ip", "/dav/top/admin: 192.0.2.0/24", "-q") as front:
            for place, wanted in (
                (b"/dav/b/c", 200),
                (b"http://APP.test/dav/b/c", 200),
                (b"/top/admin/y", 502 if flags else 400),  # no route leads there
                (b"http://other.test/dav/b", 502),
                (b"/davy/b", 502 if flags else 400),
                (b"/dav/top/admin/y", 400),
            ):
                fields = b"Destination: " + place + b"\r\n"
                assert status(send(front, b"COPY", b"/dav/a", fields=fields)) == wanted, place
            override = b"X-HTTP-Method-Override: MOVE\r\nDestination: /dav/b/c\r\n"
            assert status(send(front, b"POST", b"/dav/a", fields=override)) == 200
            assert status(send(front, b"POST", b"/dav/a", fields=b"Destination: Paris\r\n")) == 200
        assert [seen.get(b"destination") for seen in behind.requests] == [b"/b/c"] * 3 + [b"Paris"]
        assert {seen.target for seen in behind.requests} == {b"/a"}


def test_names_that_are_not_ascii_pass_below_what_is_public_and_where_paths_are_asked_for():
    names = ("\u00fc.png", "\u65e5.png", "\U0001f600.png", "\u2013", "\u0430.txt")
    paths = [quote(f"/public/{name}").encode() for name in names]
    for rules in (
        ("--ip", "192.0.2.0/24", "--public", "/public"),
        ("--allow", 'path.startsWith("/public/")'),
    ):
        with guarded(*rules) as (behind, front):
            assert [status(send(front, b"GET", path)) for path in paths] == [200] * 5
            assert len(behind.requests) == 5


def test_a_rule_that_asks_for_the_path_is_asked_again_of_what_is_rewritten():
    rules = ("--allow", '!path.startsWith("/admin")', "--allow", '/pub: path.startsWith("/pub/")')
    with guarded(*rules, "--rewrite", "/pub/{x}: /{x}") as (behind, front):
        assert status(send(front, b"GET", b"/pub/x")) == 200  # of /x the rule for /pub is not asked
        assert status(send(front, b"GET", b"/pub/admin")) == 403
        assert [seen.target for seen in behind.requests] == [b"/x"]


def test_what_is_rewritten_leads_to_no_other_route():
    with origin(answering()) as behind:
        routes = [f"{place}={behind.url}" for place in ("/old", "/new/a", "/new")]
        rules = ("--rewrite", "/old/{x}: /new/{x}", "--allow", '!path.startsWith("/admin")')
        with running("gateway", *routes, *rules, "-q") as front:
            assert status(send(front, b"GET", b"/old/a%2fb")) == 200
        assert [seen.target for seen in behind.requests] == [b"/new/a%2fb"]


def test_what_a_rule_does_not_meet_goes_on_normalised():
    with guarded(*RULE) as (behind, front):
        targets = [
            b"//x/./y/../z?q=//a/../b",
            b"/@scope%2fpkg",
            b"/%7Eme;v=1/%2A",
            b"/public//x",
            b"/administrator",
        ]
        assert [status(send(front, b"GET", target)) for target in targets] == [200] * 5
        sent = [seen.target for seen in behind.requests]
        assert sent == [
            b"/x/z?q=//a/../b",
            b"/@scope%2fpkg",
            b"/~me;v=1/%2A",
            b"/public/x",
            b"/administrator",
        ]


def test_other_hosts_and_gateways_without_such_a_rule_send_on_what_came():
    for args in (
        (),
        ("--ip", "127.0.0.0/8"),
        ("--ip", "b.test/admin: 192.0.2.0/24"),
        ("--timeout", "/admin: 5s"),
    ):
        with guarded(*args) as (behind, front):
            for target in (b"//x/./y", b"/public//x/../%7e", b"/x/..%2fadmin"):
                assert status(send(front, b"GET", target)) == 200
            assert [seen.target for seen in behind.requests] == [
                b"//x/./y",
                b"/public//x/../%7e",
                b"/x/..%2fadmin",
            ]


def test_nginx_behind_never_serves_its_admin():
    places = 'location ~* ^/admin(/|$) { return 200 "ADMIN"; } location / { return 200 "open"; }'
    with nginx(places) as behind:
        with running("gateway", f"/={behind.url}", "-q") as front:
            reached = [
                target
                for target in SPELLINGS
                if b"ADMIN" in send(front, b"GET", target).partition(b"\r\n\r\n")[2]
            ]
            assert len(reached) > 20
        with running("gateway", f"/={behind.url}", *RULE, "-q") as front:
            for target in SPELLINGS:
                assert not send(front, b"GET", target).endswith(b"ADMIN"), target


def test_expression_over_the_path_is_a_rule_on_paths():
    with guarded("--allow", '!path.startsWith("/secret")') as (behind, front):
        statuses = [
            status(send(front, b"GET", target)) for target in (b"/secret", b"//secret", b"/x/../%73ecret")
        ]
        assert statuses == [403, 403, 403]
        assert status(send(front, b"GET", b"/x/..%2fsecret")) == 400
        assert behind.requests == []
        assert status(send(front, b"GET", b"//public")) == 200
        assert [seen.target for seen in behind.requests] == [b"/public"]


def test_rewrite_does_not_lead_round_a_rule():
    rewrites = (
        "--rewrite",
        "/to/{x}: /{x}/y",
        "--rewrite",
        "/fixed: /admin/page",
        "--rewrite",
        "/fine/{x}: /public/{x}",
    )
    with guarded(*RULE, *rewrites) as (behind, front):
        for target in (b"/to/admin", b"/to/ADMIN", b"/to/%61dmin", b"/to/admin;x", b"/fixed", b"/fixed/x"):
            assert status(send(front, b"GET", target)) == 403, target
        for target in (b"/to/..%2fadmin", b"/to/%5cadmin", b"/to/admin%2fx", b"/fine/..%2f..%2fadmin"):
            assert status(send(front, b"GET", target)) in (400, 403), target
        assert behind.requests == []
        assert status(send(front, b"GET", b"/to/other")) == 200
        assert status(send(front, b"GET", b"/fine/x?y")) == 200
        assert [seen.target for seen in behind.requests] == [b"/other/y", b"/public/x?y"]
