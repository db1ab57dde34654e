"""--oidc with strangers: a provider built on authlib, and a browser that judges cookies by itself."""

import re
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from urllib.parse import urlencode

import pytest

from tests.e2e.test_gateway_login import OK, PAGE, Browser
from tests.support.chromium import CHROMIUM, dom_of
from tests.support.issuer import issuer
from tests.support.netfront import running
from tests.support.origins import answering, origin
from tests.support.servers import free_port


@contextmanager
def provider():
    """Run the provider; give its URL."""
    port = free_port()
    line = [sys.executable, "-W", "ignore", "-m", "oidc_provider_mock", "--port", str(port), "--user", "ada"]
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert time.monotonic() < until
                assert process.poll() is None
                time.sleep(0.05)
        yield f"http://localhost:{port}"
    finally:
        process.terminate()
        process.wait(10)


@pytest.mark.slow
def test_a_provider_that_somebody_else_wrote_logs_people_in():
    pytest.importorskip("oidc_provider_mock")
    with provider() as ident, origin(answering(OK)) as behind:
        line = (
            "--oidc",
            f"/: {ident},client-id=web,client-secret=env:SECRET",
            "--pass-identity",
            "X-User=sub",
        )
        with running("gateway", f"/={behind.url}", *line, SECRET="any") as front:
            url = front.url.replace("127.0.0.1", "localhost")
            browser = Browser()
            status, fields, _ = browser.get(f"{url}/page?x=1")
            assert status == 302
            form = {**PAGE, "Content-Type": "application/x-www-form-urlencoded"}
            status, fields, _ = browser.get(
                fields["Location"], method="POST", fields=form, body=urlencode({"sub": "ada"})
            )
            assert status == 302, fields
            assert browser.go(fields["Location"]) == (f"{url}/page?x=1", 200)
        assert behind.requests[-1].get(b"x-user") == b"ada"


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")
def test_chromium_logs_in_over_https(tmp_path):
    page = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 16\r\n\r\n<p>you are in</p"
    with issuer() as ident, origin(answering(page)) as behind:
        login = f"/: {ident.url},client-id=web,client-secret=env:SECRET"
        line = (f"/={behind.url}", "--oidc", login, "-l", "https://localhost:0")
        with running("gateway", *line, SECRET="s:cret") as front:
            url = f"https://localhost:{front.port}/a/page"
            assert "you are in" in dom_of(url, tmp_path, "--ignore-certificate-errors")
        pages = [seen for seen in behind.requests if seen.target == b"/a/page"]
        assert len(pages) == 1
        assert re.fullmatch(rb"https?", pages[0].get(b"x-forwarded-proto") or b"")
        assert len([form for form in ident.grants if form["grant_type"] == "authorization_code"]) >= 1
