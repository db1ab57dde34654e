"""Many requests at once in all framings, over plain connections and TLS: each byte and each end arrives.

Pipelined or one by one, with bodies, trailers, expectations and upgrades, in random pieces, through sockets that hold
little; backends and clients break off at any byte. What a request is follows from its number, which a failure tells.
NETFRONT_SOAK says how many connections each client has; over ten, every pairing is run.
"""

import itertools
import ssl
import sys
import time

import pytest

from tests.e2e.test_relay_soak import EACH, FIRST, SMALL, contexts, files, in_threads
from tests.support.exchanging import ask, http_backend
from tests.support.netfront import running

__all__ = ["files"]

FRONTS = ("http", "https 1.2", "https 1.3")
BEHIND = ("http", "https 1.2", "https 1.3")
BUFFERS = ("4096,4096", "4096,0")
ALL = list(itertools.product(FRONTS, BEHIND, BUFFERS))
SOME = [
    ("http", "https 1.3", "4096,0"),
    ("https 1.2", "https 1.2", "4096,0"),
    ("https 1.3", "http", "4096,4096"),
]


@pytest.mark.usefixtures("modes")
@pytest.mark.parametrize(("front", "behind", "buffers"), ALL if EACH > 10 else SOME)
def test_each_byte_and_each_end_arrives(front, behind, buffers, files):
    pem, key, ca = files
    versions = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
    server = client = None
    line = ["-l", "http://127.0.0.1:0", "-q"]
    if behind != "http":
        server, _ = contexts(files, versions[behind[-3:]])
    if front != "http":
        _, client = contexts(files, versions[front[-3:]])
        line[1] = "https://127.0.0.1:0"
        line += ["--cert", pem, "--key", key]
    began = time.monotonic()
    whole: set[int] = set()
    with http_backend(server, buffer=4096) as (served, connections):
        place = f"http://127.0.0.1:{served.port}"
        if server is not None:
            place = f"https://127.0.0.1:{served.port}"
            line += ["--backend-ca", ca, "--backend-name", "localhost"]
        with running("balance", *line, place, NETFRONT_TEST_BUFFERS=buffers, **SMALL) as netfront:

            def work(number: int) -> tuple[str, int]:
                # the last digit says how many come before the last one
                end, size = ask(10 * number + 5 + number % 5, netfront.port, context=client, buffer=4096)
                if end == "clean":
                    whole.add(10 * number + 9)
                return end, size

            ends, passed = in_threads(work, FIRST)
            assert "netfront's own" not in netfront.stderr
            assert "Traceback" not in netfront.stderr
        connections.join()
        assert not served.cut & whole
    sys.stdout.write(
        f"{dict(ends)}, {served.seen.total()} requests, {passed / 1e6:.1f} MB in {time.monotonic() - began:.0f} s\n"
    )
