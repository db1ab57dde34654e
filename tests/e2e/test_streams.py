"""stdin, stdout and stderr that are closed, or whose reader has left: it serves all the same."""

import signal
import subprocess
import time
import urllib.request

from tests.support.netfront import ROOT, command

PATIENCE = 20.0


def test_closed_standard_streams_are_not_taken_for_sockets(tmp_path):
    ports = tmp_path / "ports"
    line = command("proxy", "demo:", "-l", "http://127.0.0.1:0", "-v", "--json", "--port-file", str(ports))
    process = subprocess.Popen(["sh", "-c", 'exec "$@" <&- >&- 2>&-', "-", *line], cwd=ROOT)
    try:
        deadline = time.monotonic() + PATIENCE
        while not ports.exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        url = f"http://127.0.0.1:{int(ports.read_text())}/json"
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
            assert answer.status == 200
    finally:
        process.terminate()
        assert process.wait(PATIENCE) == 0


def test_reader_of_events_that_leaves_ends_nothing(tmp_path):
    line = command("proxy", "demo:", "-l", "http://127.0.0.1:0", "-v", "--json")
    with subprocess.Popen(
        line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1
    ) as process:
        try:
            url = process.stderr.readline().strip()
            process.stdout.close()
            for _ in range(2):
                with urllib.request.urlopen(f"{url}/json", timeout=PATIENCE) as answer:
                    assert answer.status == 200
            process.send_signal(signal.SIGINT)
            said = process.stderr.read()
        finally:
            process.kill()
    assert (process.returncode, said.count("200 GET /json")) == (0, 2)
    assert "Traceback" not in said
    assert "ignored" not in said
