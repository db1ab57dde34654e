"""Facts out of certificates, against two other readers: `cryptography` and openssl."""

import shutil
import subprocess

import pytest
from cryptography import x509
from cryptography.x509.name import _ASN1Type  # the kinds of strings have no public name there
from cryptography.x509.oid import NameOID
from hypothesis import example, given
from hypothesis import strategies as st

from netfront.wire.certificate import client_names, parse_certificate, pem_certificates, render_name
from tests.support.certificates import CLIENT, make_ca, make_leaf

CA = make_ca()
LEAF = make_leaf(CA, "App.Test", "*.app.test", "127.0.0.1", "::1")


def attribute(value, kind=_ASN1Type.UTF8String, oid=NameOID.COMMON_NAME):
    return x509.NameAttribute(oid, value, kind, _validate=False)


def name(*values):
    return x509.Name([attribute(value) for value in values])


def test_names_and_times_are_read():
    read = parse_certificate(LEAF.der)
    assert read.names == ("app.test", "*.app.test", "127.0.0.1", "::1")
    assert read.has_names
    assert read.not_before == LEAF.certificate.not_valid_before_utc.timestamp()
    assert read.not_after == LEAF.certificate.not_valid_after_utc.timestamp()
    assert read.subject == LEAF.certificate.subject.public_bytes()
    assert read.issuer == CA.certificate.subject.public_bytes()


def test_a_client_is_told_by_subject_and_alternative_names():
    names = client_names(make_leaf(CA, "ann.test", "192.0.2.1", "::1", usage=CLIENT).der)
    assert (names.subject, names.common) == ("CN=ann.test", "ann.test")
    assert names.alternative == ("DNS:ann.test", "IP:192.0.2.1", "IP:::1")
    several = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name) for name in ("a", "b")])
    assert client_names(make_leaf(CA, subject=several).der).common is None
    nobody = client_names(make_leaf(CA, "spiffe.test", subject=x509.Name([])).der)
    assert (nobody.subject, nobody.common, nobody.alternative) == ("", None, ("DNS:spiffe.test",))


def test_common_name_stands_in_where_there_are_no_names():
    read = parse_certificate(make_leaf(CA, subject=name("Old.Test")).der)
    assert (read.names, read.has_names) == (("old.test",), False)


@pytest.mark.parametrize(
    ("leaf", "serves"),
    [
        (make_leaf(CA, "a"), True),
        (make_leaf(CA, "a", usage=None), True),
        (make_leaf(CA, "a", usage=CLIENT), False),
    ],
)
def test_usage_says_whether_a_server_may_show_it(leaf, serves):
    assert parse_certificate(leaf.der).serves is serves


def test_year_after_2049_is_read():
    far = make_leaf(CA, "a", days=365 * 100)
    assert parse_certificate(far.der).not_after == far.certificate.not_valid_after_utc.timestamp()


def test_pem_gives_certificates_in_order_and_nothing_else():
    text = b"a note\n" + LEAF.key_pem() + LEAF.pem + b"\r\nanother\r\n" + CA.pem
    assert pem_certificates(text) == [LEAF.der, CA.der]
    assert pem_certificates(LEAF.key_pem()) == []


@pytest.mark.parametrize(
    ("values", "rendered"),
    [
        ([], b""),
        (["a", "b"], b"CN=b,CN=a"),
        ([" a "], rb"CN=\ a\ "),
        ([" "], rb"CN=\ "),
        (["#a#"], rb"CN=\#a#"),
        (['a,b+c"d\\e<f>g;h=i'], rb"CN=a\,b\+c\"d\\e\<f\>g\;h=i"),
        (["Zoë"], rb"CN=Zo\C3\AB"),
        (["a\r\nX-Evil: 1\0"], rb"CN=a\0D\0AX-Evil: 1\00"),
        (["\U0001f512"], rb"CN=\F0\9F\94\92"),
    ],
)
def test_names_are_rendered_safely(values, rendered):
    assert render_name(name(*values).public_bytes()) == rendered


def test_unknown_types_are_told_by_number():
    odd = x509.Name([attribute("x", oid=x509.ObjectIdentifier("1.2.3.4"))])
    assert render_name(odd.public_bytes()) == b"1.2.3.4=#0C0178"


def test_parts_of_several_values_stay_together():
    both = x509.RelativeDistinguishedName([attribute("a"), attribute("7", oid=NameOID.SERIAL_NUMBER)])
    rendered = render_name(x509.Name([both, x509.RelativeDistinguishedName([attribute("z")])]).public_bytes())
    assert rendered in (b"CN=z,CN=a+serialNumber=7", b"CN=z,serialNumber=7+CN=a")


KINDS = {
    _ASN1Type.UTF8String: ' Zoë\t\x7f"Ω ',
    _ASN1Type.PrintableString: " a+b,c=d ",
    _ASN1Type.IA5String: '#a #,+"\\<>;=b ',
    _ASN1Type.BMPString: "Zoë, Ω",
    _ASN1Type.T61String: "a, b",
}
TYPES = [
    NameOID.COMMON_NAME,
    NameOID.ORGANIZATION_NAME,
    NameOID.STREET_ADDRESS,
    NameOID.EMAIL_ADDRESS,
    NameOID.DOMAIN_COMPONENT,
    NameOID.USER_ID,
    NameOID.GIVEN_NAME,
    NameOID.SURNAME,
    NameOID.TITLE,
    NameOID.SERIAL_NUMBER,
    NameOID.ORGANIZATION_IDENTIFIER,
    NameOID.POSTAL_CODE,
    NameOID.BUSINESS_CATEGORY,
    NameOID.DN_QUALIFIER,
]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
@pytest.mark.parametrize(("kind", "text"), KINDS.items(), ids=lambda kind: getattr(kind, "name", ""))
def test_subject_is_rendered_as_openssl_does(kind, text):
    # nginx prints $ssl_client_s_dn by the same function
    country = attribute("NZ", _ASN1Type.PrintableString, NameOID.COUNTRY_NAME)
    subject = x509.Name([country, *(attribute(text, kind, oid) for oid in TYPES)])
    leaf = make_leaf(CA, subject=subject)
    told = subprocess.run(
        ["openssl", "x509", "-noout", "-subject", "-nameopt", "RFC2253"],
        input=leaf.pem,
        capture_output=True,
        check=True,
    )
    assert b"subject=" + render_name(parse_certificate(leaf.der).subject) == told.stdout.rstrip(b"\n")


@given(st.text(max_size=16))
def test_rendered_name_is_printable_ascii(text):
    rendered = render_name(name(text or "x").public_bytes())
    assert rendered.isascii()
    assert rendered.decode().isprintable()


@given(st.integers(0, len(LEAF.der) - 1))
def test_certificate_cut_short_is_none(length):
    with pytest.raises(ValueError):
        parse_certificate(LEAF.der[:length])


@given(st.lists(st.tuples(st.integers(0, len(LEAF.der) - 1), st.integers(0, 255)), max_size=5))
def test_damage_raises_nothing_but_value_error(changes):
    damaged = bytearray(LEAF.der)
    for place, byte in changes:
        damaged[place] = byte
    try:
        read = parse_certificate(bytes(damaged))
        render_name(read.subject)
        client_names(bytes(damaged))
    except ValueError:
        pass


@given(st.binary(max_size=200))
@example(b"\x30\x80")
@example(b"\x30\x84\xff\xff\xff\xff")
def test_garbage_raises_nothing_but_value_error(data):
    for read in (parse_certificate, render_name, client_names):
        try:
            read(data)
        except ValueError:
            pass
