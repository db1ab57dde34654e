"""`netfront trust`: the file, and lines that make curl, node, Python and git believe the local CA beside all others."""

import os
import shutil
import ssl
import subprocess
import sys
import time

import pytest

from netfront.net.devcert import leaf_for
from netfront.net.tls import ServerTls
from tests.support.certificates import make_ca
from tests.support.handshake import answering
from tests.support.netfront import command, run

VARIABLES = ("SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "GIT_SSL_CAINFO", "NODE_EXTRA_CA_CERTS")
SYSTEM = next(
    (path for path in ("/etc/ssl/certs/ca-certificates.crt", "/etc/ssl/cert.pem") if os.path.isfile(path)),
    None,
)
BEGIN = "-----BEGIN CERTIFICATE-----"
needs_system = pytest.mark.skipif(SYSTEM is None, reason="a list of CAs is not installed")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A data directory whose name needs quoting, and none of the variables set."""
    for name in (*VARIABLES, "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    directory = tmp_path / "it's a $HOME" / "netfront"
    monkeypatch.setenv("NETFRONT_DATA", str(directory))
    return directory


def lines():
    """What `netfront trust env` prints, as a mapping."""
    told = run("trust", "env")
    assert (told.returncode, told.stderr) == (0, "")
    done = subprocess.run(["sh", "-c", f"{told.stdout}\nenv -0"], capture_output=True, text=True, check=True)
    found = dict(entry.split("=", 1) for entry in done.stdout.split("\0") if "=" in entry)
    return {name: found.get(name) for name in VARIABLES}


def shell(script, name="sh"):
    """Run a script behind the line that the README gives."""
    eval_line = f'eval "$({" ".join(command("trust", "env"))})"'
    return subprocess.run(
        [name, "-c", f"{eval_line}\n{script}"], capture_output=True, text=True, timeout=30, check=False
    )


def test_path_prints_the_file_and_makes_it_once(place):
    first = run("trust", "path")
    assert (first.returncode, first.stderr) == (0, "")
    assert first.stdout == f"{place / 'ca.pem'}\n"
    made = (place / "ca.pem").read_text()
    assert made.startswith(BEGIN)
    assert "PRIVATE" not in made
    assert run("trust", "path").stdout == first.stdout
    assert (place / "ca.pem").read_text() == made


def test_path_tells_what_is_wrong(place):
    place.parent.mkdir()
    place.write_text("")
    done = run("trust", "path")
    assert done.returncode == 2
    assert done.stderr.startswith(f"netfront trust path: {place}: file exists\n")


@needs_system
def test_variables_that_replace_a_list_get_the_system_s_too(place):
    env = lines()
    bundle = (place / "bundle.pem").read_text()
    assert {env[name] for name in VARIABLES[:4]} == {str(place / "bundle.pem")}
    assert env["NODE_EXTRA_CA_CERTS"] == str(place / "ca.pem")
    with open(SYSTEM) as file:
        assert bundle.count(BEGIN) == file.read().count(BEGIN) + 1
    assert (place / "ca.pem").read_text() in bundle


@needs_system
def test_lines_evaluated_twice_change_nothing(place, monkeypatch):
    first = lines()
    before = (place / "bundle.pem").read_text(), (place / "bundle.pem").stat().st_ino
    for name, value in first.items():
        monkeypatch.setenv(name, value)
    assert lines() == first
    assert ((place / "bundle.pem").read_text(), (place / "bundle.pem").stat().st_ino) == before


def test_list_that_a_variable_names_already_is_kept(place, monkeypatch, tmp_path):
    company = make_ca("a company")
    file = tmp_path / "company.pem"
    file.write_bytes(company.pem.rstrip(b"\n"))  # no line end: ours must not stick to it
    monkeypatch.setenv("CURL_CA_BUNDLE", str(file))
    monkeypatch.setenv("NODE_EXTRA_CA_CERTS", str(file))
    for _ in range(2):
        env = lines()
        assert env["CURL_CA_BUNDLE"] == env["NODE_EXTRA_CA_CERTS"]
        with open(env["CURL_CA_BUNDLE"]) as bundle:
            text = bundle.read()
        assert text.count(BEGIN) == 2
        assert company.pem.decode().strip() in text
        assert ssl.create_default_context(cafile=env["CURL_CA_BUNDLE"]).cert_store_stats()["x509_ca"] == 2
        monkeypatch.setenv("CURL_CA_BUNDLE", env["CURL_CA_BUNDLE"])
        monkeypatch.setenv("NODE_EXTRA_CA_CERTS", env["NODE_EXTRA_CA_CERTS"])


def test_variable_that_names_no_file_is_as_good_as_unset(place, monkeypatch):
    monkeypatch.setenv("NODE_EXTRA_CA_CERTS", "/nowhere/ca.pem")
    assert lines()["NODE_EXTRA_CA_CERTS"] == str(place / "ca.pem")


@pytest.mark.parametrize("name", ["sh", "bash", "zsh", "fish"])
def test_shells_evaluate_the_lines(place, name):
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    done = shell('printf "%s" "$NODE_EXTRA_CA_CERTS"', name)
    assert (done.stdout, done.stderr) == (str(place / "ca.pem"), "")


PROGRAMS = {
    "git": ("git", "git -c http.proxy= ls-remote https://localhost:{port}/x && echo hello"),
    "curl": ("curl", "curl -sS --noproxy '*' https://localhost:{port}/"),
    "python": (
        sys.executable,
        f'{sys.executable} -c "import urllib.request as u; '
        "print(u.build_opener(u.ProxyHandler({{}})).open('https://localhost:{port}/').read().decode())\"",
    ),
    "node": (
        "node",
        "node -e \"require('https').get('https://127.0.0.1:{port}/', r => r.pipe(process.stdout))\"",
    ),
}


@pytest.fixture
def port(place):
    tls = ServerTls([leaf_for(["localhost", "127.0.0.1", "::1"], time.time())])
    with answering(lambda: tls.context) as port:
        yield port


@pytest.mark.parametrize("program", PROGRAMS)
def test_programs_believe_it_only_with_the_lines(port, program):
    binary, script = PROGRAMS[program]
    if shutil.which(binary) is None:
        pytest.skip(f"{program} is not installed")
    script = script.format(port=port)
    assert shell(script).stdout.strip() == "hello"
    without = subprocess.run(["sh", "-c", script], capture_output=True, text=True, timeout=30, check=False)
    assert without.returncode != 0
    assert "certificate" in without.stderr


@needs_system
def test_a_list_that_cannot_be_looked_at_is_as_if_not_there(place, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", "/" + "a" * 5000)
    done = run("trust", "env")
    assert (done.returncode, done.stderr) == (0, "")
    assert "SSL_CERT_FILE=" in done.stdout
