"""Client certificates as identities."""

import pytest

from netfront.cli.gate.guarding import makers_of
from netfront.cli.gate.restrictions import MtlsPlan
from netfront.errors import Refusal
from netfront.net.stream import Facts
from tests.filters.requests import asking
from tests.support.certificates import CLIENT, make_ca, make_leaf

CERTIFICATE = make_leaf(make_ca(), "ann.test", usage=CLIENT)


class Somebody:
    def __init__(self, certificate):
        self.facts = Facts(("192.0.2.1", 5), ("192.0.2.2", 443))
        self.facts.client_cert = certificate


def check(certificate):
    return makers_of(None, lambda _: None)[MtlsPlan](MtlsPlan(), "/").check(
        asking(client=Somebody(certificate))
    )


def test_the_identity_is_subject_and_alternative_names():
    identity = check(CERTIFICATE.der)
    assert (identity.kind, identity.user) == ("mtls", "CN=ann.test")
    assert identity.claims["sub"] == "CN=ann.test"
    assert identity.claims["cn"] == "ann.test"
    assert identity.claims["san"] == ["DNS:ann.test"]
    assert len(identity.claims["fingerprint"]) == 64


def test_without_one_there_is_no_credential():
    assert check(None) is None


@pytest.mark.parametrize("length", [0, 1, 40, 200])
def test_one_that_cannot_be_read_is_403(length):
    with pytest.raises(Refusal) as raised:
        check(CERTIFICATE.der[:length])
    assert raised.value.status == 403
