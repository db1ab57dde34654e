"""What fields name beside the request line, and how a Destination is renamed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netfront.errors import BadMessage
from netfront.wire.fields import OVERRIDE, REQUEST_KINDS, FieldMemory, Fields
from netfront.wire.named import read_named, with_destination


def section(*lines):
    return Fields(FieldMemory(REQUEST_KINDS).fields(list(lines)))


def test_where_no_field_names_anything_nothing_is_named():
    named = read_named(b"COPY", section(b"X-Destination: /a", b"Method: DELETE"))
    assert (dict(named.methods), list(named.targets), named.second) == ({}, [], None)


def test_methods_are_those_of_all_fields_but_the_requests_own():
    fields = section(b"X-HTTP-Method-Override: put, DELETE", b"x_http_method: Post", b"X-Method-Override: ")
    assert dict(read_named(b"POST", fields).methods) == {
        b"PUT": "x-http-method-override",
        b"DELETE": "x-http-method-override",
    }


@pytest.mark.parametrize(
    ("method", "lines", "paths", "hosts"),
    [
        (b"MOVE", [b"Destination: /a%20b?x"], [b"/a%20b"], set()),
        (b"POST", [b"X-HTTP-Method: move", b"Destination: /a"], [b"/a"], set()),
        (b"COPY", [b"Destination: https://B.test:8443/a"], [b"/a"], {b"b.test"}),
        (b"COPY", [b"Destination: http://h%2Fadmin/x"], [b"/x", b"/admin/x"], {b"h", b"h/admin"}),
        (b"COPY", [b"Destination: /%2Fh/admin/x"], [b"/%2Fh/admin/x", b"/admin/x"], {b"h"}),
        (b"COPY", [b"Destination: /admin%3Fx"], [b"/admin%3Fx", b"/admin"], set()),
        (b"COPY", [b"Destination: /a%23b"], [b"/a%23b", b"/a"], set()),
        (b"COPY", [b"Destination: /pub/a:b/admin/x"], [b"/pub/a:b/admin/x", b"/admin/x"], set()),
        (b"COPY", [b"Destination: /pub/a%3A//h/admin"], [b"/pub/a%3A//h/admin", b"/admin"], set()),
        (b"COPY", [b"Destination: /at/12:30.txt"], [b"/at/12:30.txt"], set()),
        (b"PUT", [b"X-Tos-Copy-Source: /b/k"], [b"/b/k"], set()),
        (b"PUT", [b"X-Ms-Rename-Source: /b/k"], [b"/b/k"], set()),
        (b"PUT", [b"X-Amz-Copy-Source: bucket/key?versionId=1"], [b"/bucket/key"], set()),
        (b"PUT", [b"x_amz_copy_source: /bucket/key"], [b"/bucket/key"], set()),
        (b"PUT", [b"X-Ms-Copy-Source: https://a.test/c/b"], [b"/c/b"], {b"a.test"}),
    ],
)
def test_a_second_target_is_all_that_it_may_be_read_as(method, lines, paths, hosts):
    second = read_named(method, section(*lines)).second
    assert [target.path for target in second.targets] == paths
    assert second.hosts == hosts
    assert second.is_written == (method != b"PUT")


def test_a_destination_is_one_where_a_method_has_it():
    assert read_named(b"GET", section(b"Destination: Paris", b"Destination: Rome")).second is None


@pytest.mark.parametrize(
    ("method", "lines"),
    [
        (b"POST", [b"X-HTTP-Method: A B C D E"]),
        (b"COPY", [b"Destination: /a", b"Destination: /a"]),
        (b"COPY", [b"Destination: /a", b"X-Copy-From: /a"]),
        (b"COPY", [b"Destination: //h/a"]),
        (b"COPY", [b"Destination: /a b"]),
        (b"COPY", [b"Destination: ftp://h/a"]),
        (b"COPY", [b"Destination: new"]),
        (b"COPY", [b"Destination: http:admin/x"]),
        (b"COPY", [b"Destination: http%3aadmin/x"]),
        (b"COPY", [b"Destination: http:/admin/x"]),
        (b"PUT", [b"X-Amz-Copy-Source: http:admin/x"]),
        (b"PUT", [b"X-Amz-Copy-Source: arn%3Aaws:s3:eu:1:accesspoint/a/object/b"]),
        (b"COPY", [b"Destination: http://[::1/a"]),
        (b"COPY", [b"Destination: /%zz"]),
        (b"COPY", [b"Destination: /" + b"a" * 2048]),
        (b"PUT", [b"X-Amz-Copy-Source: //h/a"]),
    ],
)
def test_what_cannot_be_told_is_refused(method, lines):
    with pytest.raises(BadMessage) as caught:
        read_named(method, section(*lines))
    assert caught.value.status == 400


NAMES = (b"destination", b"x-amz-copy-source", b"x-copy-from", b"x_http_method", b"x-original-url")
VALUES = st.one_of(
    st.binary(max_size=30),
    st.lists(
        st.sampled_from(
            [b"/", b"//", b"http://", b"h", b"%2f", b"%3f", b"..", b"[", b"@", b":", b";", b"\xfc"]
        )
    ).map(b"".join),
)


@given(st.sampled_from([b"COPY", b"PUT"]), st.lists(st.tuples(st.sampled_from(NAMES), VALUES), max_size=3))
def test_whatever_comes_is_read_or_refused(method, pairs):
    try:
        fields = section(*[name + b": " + value for name, value in pairs])
        named = read_named(method, fields)
    except BadMessage:
        return
    if named.second is not None:
        assert all(target.path.startswith(b"/") for target in named.second.targets)


def renamed(method, lines, moved=lambda target: b"/new" + target.path):
    return with_destination(method, section(*lines), [b"internal:1", b"a.test:8080"], moved)


@pytest.mark.parametrize("place", [b"/x", b"http://a.test/x", b"https://A.test:8080/x"])
def test_a_destination_is_renamed_and_names_no_host(place):
    fields = renamed(b"MOVE", [b"X-A: 1", b"Destination: " + place])
    assert [(row.name, row.value) for row in fields] == [(b"x-a", b"1"), (b"destination", b"/new/x")]
    assert fields.rows[-1].kind == OVERRIDE  # and who comes behind sees it for what it is
    assert fields.rendered.endswith(b"Destination: /new/x\r\n")


@pytest.mark.parametrize(
    ("method", "line"),
    [
        (b"GET", b"Destination: /x"),
        (b"COPY", b"Destination: container/object"),
        (b"COPY", b"X-Copy-From: //h/a b"),
        (b"POST", b"X-HTTP-Method-Override: a b c d e f"),
    ],
)
def test_what_is_no_destination_stays(method, line):
    fields = section(line)
    assert with_destination(method, fields, [b"a.test"], lambda _: b"/never") is fields


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"Destination: http://b.test/x", 502),
        (b"Destination: /elsewhere", 502),
        (b"Destination: //a.test/x", 400),
        (b"Destination: /a b", 400),
    ],
)
def test_a_destination_that_has_no_other_name_is_refused(line, status):
    with pytest.raises(BadMessage) as caught:
        renamed(b"COPY", [line], lambda target: None if target.path == b"/elsewhere" else b"/x")
    assert caught.value.status == status
