"""Real clients see through netfront what they see without it: curl and wget, byte for byte."""

import re
import shutil
import subprocess

import pytest

from tests.support.peers import LARGE, NAMES, pairs_of_servers

CURL, WGET = shutil.which("curl"), shutil.which("wget")
SERVERS = pytest.mark.parametrize("server", NAMES)
_NOT_COMPARED = re.compile(
    rb"^(?:HTTP/1\.[01](?= \d{3} )"
    rb"|(?:date|server|x-powered-by|connection|keep-alive|transfer-encoding|content-length):.*\r\n)",
    re.IGNORECASE | re.MULTILINE,
)
_LENGTH = re.compile(rb"^content-length:(.*)\r\n", re.IGNORECASE | re.MULTILINE)
_DRAWN = re.compile(rb"-{20,}[0-9a-f]{16}|[0-9a-f]{20,}|0{8,}\d+")
"""Boundaries of multipart bodies, which a client or a server makes anew each time."""


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    with pairs_of_servers(tmp_path_factory.mktemp("www")) as pairs:
        yield pairs


@pytest.fixture(scope="module")
def upload(tmp_path_factory):
    """A file to send."""
    file = tmp_path_factory.mktemp("upload") / "upload"
    file.write_bytes(LARGE[:1_500_000])
    return file


def seen_by(line, port):
    """How a client ended and what it printed, without what must differ."""
    done = subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False)
    printed = _NOT_COMPARED.sub(b"", done.stdout).replace(b":%d" % port, b":PORT")
    return done.returncode, _LENGTH.findall(done.stdout), _DRAWN.sub(b"DRAWN", printed)


@pytest.mark.skipif(CURL is None, reason="curl is not installed")
@SERVERS
@pytest.mark.parametrize(
    "options",
    [
        "URL/large.bin",
        "-I URL/large.bin",
        "--http1.0 URL/small.txt",
        "--compressed URL/long.txt",
        "--raw --compressed URL/long.txt",
        "-r 5-9,20-29 URL/large.bin",
        "-C 1000 URL/large.bin",
        "-L URL/deep",
        "-L -i URL/old",
        "-d a=1&b=2 URL/echo",
        "--data-binary @FILE URL/echo",
        "-H Expect:100-continue --data-binary @FILE URL/echo",
        "-T FILE URL/echo",
        "-T FILE -H Transfer-Encoding:chunked URL/echo",
        "-F file=@FILE URL/missing",
        "-X PATCH -d x URL/echo",
        "--path-as-is URL/deep/../small.txt",
        "-g URL/small.txt?a[]={1}",
        "-f URL/missing",
        "-z 2100-01-01 URL/small.txt",
        "-H Host:other.localhost URL/small.txt",
        "-H Connection:close URL/small.txt",
        "URL/small.txt URL/large.bin URL/missing URL/deep/ URL/small.txt",
    ],
)
def test_curl_sees_the_same(pairs, server, upload, options):
    told = "\n%{http_code} %{num_redirects} %{size_download} %{content_type}\n"
    seen = []
    for port in pairs[server]:
        words = options.replace("URL", f"http://127.0.0.1:{port}").replace("FILE", str(upload)).split()
        seen.append(seen_by([CURL, "-sS", "-q", "-m", "20", "-D", "-", "-w", told, *words], port))
    assert seen[1] == seen[0]


@pytest.mark.skipif(WGET is None, reason="wget is not installed")
@SERVERS
@pytest.mark.parametrize(
    "options",
    [
        "URL/large.bin",
        "URL/deep",
        "URL/missing",
        "--post-data=a=1 URL/echo",
        "--post-file=FILE URL/echo",
        "--method=PUT --body-data=x URL/echo",
        "--spider URL/large.bin",
        "--no-http-keep-alive URL/small.txt",
        "URL/small.txt URL/large.bin URL/deep/",
    ],
)
def test_wget_sees_the_same(pairs, server, upload, options):
    seen = []
    for port in pairs[server]:
        words = options.replace("URL", f"http://127.0.0.1:{port}").replace("FILE", str(upload)).split()
        seen.append(seen_by([WGET, "-q", "--no-config", "-T", "20", "-t", "3", "-O", "-", *words], port))
    assert seen[1] == seen[0]
