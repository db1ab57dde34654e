"""The README is true: every command in it runs."""

import json
import os
import re
import shlex
import subprocess
import time

import pytest

from tests.support.certificates import make_ca, make_leaf, write_pem
from tests.support.netfront import ROOT, run, running
from tests.support.servers import free_port

TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
LINES = re.findall(r"^\$ (netfront .*)$", TEXT, re.MULTILINE)
FREE = {
    "http://:8080": "http://:0",
    "https://*:443": "https://*:0",
    "tcp://:5432": "tcp://:0",
    "tcp://:8443": "tcp://:0",
    "udp://:5353": "udp://:0",
}
"""Listeners of the README, and the same on a port that is free."""


os.environ.setdefault("SECRET", "of nobody")  # which a command names


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The files that the README's commands name."""
    place = tmp_path_factory.mktemp("readme")
    ca = make_ca()
    (place / "ca.pem").write_bytes(ca.pem)
    write_pem(place, "site", make_leaf(ca, "site.test", "localhost"))
    (place / "htpasswd").write_text("ann:{SHA}I7dElEdfX4dJgLdnbVEeI9iG2mQ=\n")
    (place / "keys").write_text(f"shop sha256:{'a' * 64} orders\n")
    (place / "pool.nf").write_text("# three servers\n3001-3003\n:3009+backup  # a spare\n")
    return {
        **{name: str(place / name) for name in ("ca.pem", "site.pem", "site.key", "ports")},
        "@pool.nf": f"@{place / 'pool.nf'}",
        "/admin: @htpasswd": f"/admin: @{place / 'htpasswd'}",
        "@keys": f"@{place / 'keys'}",
    }


def words_of(line, files):
    words = shlex.split(line)[1:]
    free = (
        {} if any(re.match(r":\d+=", word) for word in words) else FREE
    )  # or routes would name another port
    return [files.get(free.get(word, word), free.get(word, word)) for word in words]


def test_there_are_commands_to_run():
    assert len(LINES) >= 7


@pytest.mark.parametrize("line", LINES)
def test_command_is_explained(line, files):
    words = words_of(line, files)
    told = run(*words, *(() if "--explain" in words else ("--explain",)))
    assert told.returncode == 0, told.stderr
    assert "dial" in told.stdout


@pytest.mark.parametrize("line", [line for line in LINES if "--explain" not in line])
def test_command_serves(line, files):
    words = words_of(line, files)
    if "--port-file" in words:
        at = words.index("--port-file")
        del words[at : at + 2]  # the test gives its own
    if "-l" not in words:
        words += ["-l", "https://localhost:0" if words[0] in ("proxy", "gateway") else "http://localhost:0"]
    for number, word in enumerate(
        words
    ):  # a port of its own for each listener, and for the routes that name it
        if word.startswith("tcp://:") and not word.endswith(":0"):
            port = str(free_port())
            words = [
                one.replace(word[6:], f":{port}", 1) if number <= at else one for at, one in enumerate(words)
            ]
    with running(*words, *([] if "--live" in words else ["--json"])) as served:
        assert served.ports[0] > 0


def test_first_command_shows_what_the_readme_says():
    assert "    pip install . && netfront proxy demo:\n" in TEXT
    with running("proxy", "demo:", "-l", "https://localhost:0", "-v") as served:
        environment = run("trust", "env", XDG_DATA_HOME=str(served.told.parent)).stdout
        shown = subprocess.run(
            ["sh", "-c", f'{environment}\nexec curl -sS --max-time 10 "$1"', "sh", f"https://localhost:{served.ports[0]}/headers"],
            capture_output=True,
            text=True,
            check=False,
        )  # fmt: skip
        assert shown.returncode == 0, shown.stderr
        assert json.loads(shown.stdout)["headers"]["x-forwarded-proto"] == "https"
        until = time.monotonic() + 10
        while "Ctrl-C" not in served.stderr and time.monotonic() < until:
            time.sleep(0.01)
        banner = served.stderr.splitlines()
    assert banner[0].startswith("https://localhost:")
    assert banner[1] == "  -> demo: (answers)"
    assert len(banner) <= 7
