"""Many conversations at once through tcp:// and tls://, to plain and TLS backends: each byte and each end arrives.

The sockets hold little, both sides send and receive in random pieces, half-close, reset, and break off TLS. What a
conversation is follows from its number, which a failure tells. NETFRONT_SOAK says how many each client has; over ten,
every pairing of fronts and backends is run, otherwise those that differ most.
"""

import itertools
import os
import ssl
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable

import pytest

from tests.support.certificates import make_ca, make_leaf, write_pem
from tests.support.netfront import ROOT, running
from tests.support.relaying import backend, converse

CLIENTS = 6
EACH = int(os.environ.get("NETFRONT_SOAK", "3"))
FIRST = int(os.environ.get("NETFRONT_SOAK_SEED", "1"))
SMALL = {"PYTHONPATH": f"{ROOT}/tests/support/small_buffers"}
CA = make_ca()
FRONTS = ("tcp", "tls 1.2", "tls 1.3", "proxy", "sni")
BEHIND = ("tcp", "tls 1.2", "tls 1.3")
BUFFERS = ("4096,4096", "4096,0", "4096,0 large", "0,0 large")
ALL = list(itertools.product(FRONTS, BEHIND, BUFFERS))
SOME = [
    ("tcp", "tcp", "4096,0"),
    ("tcp", "tcp", "0,0 large"),
    ("tls 1.2", "tcp", "4096,0"),
    ("tls 1.3", "tls 1.2", "4096,4096"),
    ("proxy", "tls 1.2", "4096,0"),
    ("sni", "tls 1.3", "4096,4096"),
]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A certificate for localhost and its key, and the authority's."""
    place = tmp_path_factory.mktemp("soak")
    (place / "ca.pem").write_bytes(CA.pem)
    return *write_pem(place, "leaf", make_leaf(CA, "localhost", "a.test")), str(place / "ca.pem")


def contexts(files, version):
    """Give one for a server and one for a client."""
    pem, key, ca = files
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pem, key)
    client = ssl.create_default_context(cafile=ca)
    for context in (server, client):
        context.maximum_version = version
    return server, client


def in_threads(work: Callable[[int], tuple[str, int]], seed: int) -> tuple[Counter[str], int]:
    """Do it for all numbers, several at a time; give what came of them, and the bytes that passed."""
    faults: list[BaseException] = []
    ends: Counter[str] = Counter()
    passed = [0]

    def go(index: int) -> None:
        for count in range(EACH):
            if faults:
                return
            number = seed * 1_000_000 + index * 100_000 + count
            try:
                end, size = work(number)
            except BaseException as fault:
                fault.add_note(f"number {number}")
                faults.append(fault)
                return
            ends[end] += 1
            passed[0] += size

    threads = [threading.Thread(target=go, args=(index,)) for index in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if faults:
        raise faults[0]
    return ends, passed[0]


@pytest.mark.usefixtures("modes")
@pytest.mark.parametrize(("front", "behind", "buffers"), ALL if EACH > 10 else SOME)
def test_each_byte_and_each_end_arrives(front, behind, buffers, files):
    pem, key, ca = files
    versions = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
    server = client = None
    if behind != "tcp":
        server, _ = contexts(files, versions[behind[-3:]])
    if front.startswith("tls"):
        _, client = contexts(files, versions[front[-3:]])
    began = time.monotonic()
    sizes, _, is_large = buffers.partition(" ")
    buffer = 0 if is_large else 4096
    backend_tls = server is not None
    line = ["-l", "tcp://127.0.0.1:0", "-q", "--stream-timeout", "1m"]
    preamble = b""
    if front == "sni":
        server, client = contexts(files, versions.get(behind[-3:], ssl.TLSVersion.TLSv1_3))
        backend_tls = True
    elif front.startswith("tls"):
        line[1] = "tls://127.0.0.1:0"
        line += ["--cert", pem, "--key", key]
    elif front == "proxy":
        line += ["--accept-proxy", "--trust-proxy", "127.0.0.1"]
        preamble = b"PROXY TCP4 192.0.2.1 192.0.2.2 1234 80\r\n"
    with backend(server, client_tls=client is not None, buffer=buffer) as (served, connections):
        place = f"127.0.0.1:{served.port}"
        if front == "sni":
            place = f"a.test={place}"
        elif backend_tls:
            place = f"tls://{place}"
            line += ["--backend-ca", ca, "--backend-name", "localhost"]
        with running("balance", *line, place, NETFRONT_TEST_BUFFERS=sizes, **SMALL) as netfront:

            def work(number: int) -> tuple[str, int]:
                return converse(
                    number,
                    netfront.port,
                    context=client,
                    backend_tls=backend_tls,
                    name="a.test" if front == "sni" else "localhost",
                    preamble=preamble,
                    fragments=front == "sni",
                    buffer=buffer,
                )

            ends, passed = in_threads(work, FIRST)
            connections.join()
            assert "Traceback" not in netfront.stderr
    assert sum(ends.values()) == CLIENTS * EACH
    assert ends["clean"] > 0
    sys.stdout.write(f"{dict(ends)}, {passed / 1e6:.1f} MB in {time.monotonic() - began:.0f} s\n")
