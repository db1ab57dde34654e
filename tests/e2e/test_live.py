"""`--live` in a terminal: the table comes, its keys work while requests flow, and afterwards all is as before."""

import signal
import threading
import time
import urllib.request
from contextlib import contextmanager

from tests.support.netfront import PATIENCE, command, running
from tests.support.origins import answering, closed_port, origin, silent
from tests.support.servers import free_port
from tests.support.terminal import ports_of, terminal


@contextmanager
def table(tmp_path, *args, columns=100, lines=24, **environment):
    """A terminal in which netfront shows its table, and the URL it serves."""
    ports = tmp_path / "ports"
    line = command("balance", *args, "-l", "http://127.0.0.1:0", "--port-file", str(ports), "--live")
    with terminal(columns, lines) as screen:
        before = screen.mode
        screen.start(*line, **environment)
        screen.wait_until(lambda: ports_of(ports) and screen.is_table and screen.frame, "table")
        yield screen, f"http://127.0.0.1:{ports_of(ports)[0]}"
        if screen.process is not None and screen.process.poll() is not None:
            assert not screen.is_table
            assert screen.text.rfind("\x1b[?25h") > screen.text.rfind("\x1b[?25l")
            assert screen.mode == before


def ask(url):
    with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
        return answer.read()


class Asking:
    """Requests one after the other until told to stop."""

    def __init__(self, url):
        self.answered, self.failed = 0, []
        self._url, self._stop = url, threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)

    def _ask(self):
        while not self._stop.is_set():
            try:
                ask(self._url)
                self.answered += 1
            except OSError as error:
                self.failed.append(error)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join(PATIENCE)


def row(screen, label):
    return next((line for line in screen.frame if f"  {label} " in line), "")


def test_backend_is_drained_and_brought_back_while_requests_flow(tmp_path, modes):
    with origin(answering()) as one, origin(answering()) as two:
        with table(tmp_path, one.url, two.url) as (screen, url), Asking(url) as asking:
            screen.wait_until(lambda: " up " in row(screen, one.url) and " up " in row(screen, two.url))
            screen.press(b"d 1\r")
            screen.wait_until(lambda: " drained " in row(screen, one.url), "drained")
            screen.wait_for(f"{one.url} is drained")
            seen, answered = len(one.requests), asking.answered
            screen.wait_until(lambda: asking.answered > answered + 10)
            assert len(one.requests) <= seen + 1  # one may have been on its way
            screen.press(b"u1\r")
            screen.wait_until(lambda: " up " in row(screen, one.url), "up")
            screen.wait_until(lambda: len(one.requests) > seen + 5)
            assert asking.failed == []
            screen.wait_until(lambda: "requests/s" in screen.frame[0] and "0 errors" in screen.frame[0])
        with table(tmp_path, one.url) as (screen, _):
            screen.press(b"q")
            assert screen.process.wait(PATIENCE) == 0
            screen.wait_until(lambda: not screen.is_table)


def test_backend_that_refuses_is_shown_with_the_reason_and_what_comes_next(tmp_path):
    with closed_port() as gone, origin(answering()) as good:
        label = f"http://127.0.0.1:{gone}"
        with table(tmp_path, label, good.url) as (screen, url), Asking(url):
            screen.wait_until(lambda: " down: connection refused " in row(screen, label), "down")
            screen.wait_until(lambda: " dial 0." in row(screen, label), "dial")
            screen.wait_for(f" {label} is down: connection refused")


def test_what_was_said_meanwhile_is_said_at_the_end(tmp_path):
    with (
        origin(answering()) as one,
        origin(answering()) as two,
        table(tmp_path, one.url, two.url) as (screen, _),
    ):
        screen.press(b"d 2\r")
        screen.wait_for(f"{two.url} is drained")
        screen.press(b"q")
        assert screen.process.wait(PATIENCE) == 0
        after = screen.wait_until(lambda: f"{two.url} is drained" in screen.text.rpartition("\x1b[?1049l")[2])
        assert after


def test_unknown_number_is_told(tmp_path):
    with table(tmp_path, "demo:") as (screen, _):
        screen.press(b"d 9\r")
        screen.wait_for("there is no backend 9")
        screen.press(b"d")
        screen.wait_for("> d")


def test_interrupt_stops_it_and_a_second_one_cuts(tmp_path):
    with origin(silent) as one, table(tmp_path, one.url) as (screen, url), Asking(url):
        screen.wait_until(lambda: any(connection.received for connection in one.connections), "a request")
        screen.press(b"\x03")
        screen.wait_for("q again cuts")
        screen.press(b"\x03")
        assert screen.process.wait(PATIENCE) == 130
        screen.wait_until(lambda: not screen.is_table)


def test_window_that_becomes_small_gets_less_and_nothing_is_wrapped(tmp_path):
    with table(tmp_path, "demo:", "127.0.0.1:1", columns=120, lines=30) as (screen, _):
        screen.wait_for("d N drains backend N")
        assert len(screen.frame) == 30
        screen.resize(30, 6)
        frame = screen.wait_until(lambda: len(screen.frame) == 6, "six lines")
        assert max(map(len, frame)) <= 30
        screen.resize(9, 1)
        screen.press(b"\x0c")
        screen.wait_until(lambda: screen.text.endswith("\x1b[0m") or screen.text.rstrip().endswith("…"))


def test_colour_is_left_out_where_it_is_not_wanted(tmp_path):
    with table(tmp_path, "demo:", NO_COLOR="1") as (screen, _):
        screen.wait_for(" up ")
        assert not screen.has_color
    with table(tmp_path, "demo:") as (screen, _):
        screen.wait_for(" up ")
        assert screen.has_color


def test_terminal_that_takes_nothing_holds_up_no_request(tmp_path, modes):
    with table(tmp_path, "demo:", columns=250, lines=60) as (screen, url):
        screen.held.set()
        with Asking(f"{url}/json") as asking:
            for columns in range(200, 210):  # each is a whole picture of 10 KB, more than a terminal holds
                screen.resize(columns, 60)
                answered = asking.answered
                screen.wait_until(lambda answered=answered: asking.answered > answered + 20)
        assert asking.failed == []
        screen.held.clear()
        screen.press(b"q")
        assert screen.process.wait(PATIENCE) == 0
        screen.wait_until(lambda: not screen.is_table)


def test_serving_goes_on_when_nobody_sits_at_the_terminal_any_more(tmp_path):
    with table(tmp_path, "demo:") as (screen, url):
        process = screen.process
        screen.hang_up()
        with Asking(f"{url}/json") as asking:
            screen.wait_until(lambda: asking.answered > 50)
            assert asking.failed == []
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
        screen.process = None


def test_it_is_stopped_by_the_terminal_and_goes_on_in_the_foreground(tmp_path):
    ports = tmp_path / "ports"
    line = " ".join(
        command("balance", "demo:", "-l", "http://127.0.0.1:0", "--port-file", str(ports), "--live")
    )
    with terminal() as screen:
        screen.start("bash", "--norc", "-i", PS1="$ ")
        screen.press(b"stty -g >%b; set -b\n" % str(tmp_path / "before").encode())
        screen.press(line.encode() + b"\n")
        screen.wait_until(lambda: screen.is_table and ports_of(ports) and screen.frame, "table")
        for _ in range(2):
            screen.press(b"\x1a")
            screen.wait_until(lambda: not screen.is_table and "Stopped" in screen.text.rpartition("1049l")[2])
            screen.press(b"fg\n")
            screen.wait_until(lambda: screen.is_table, "table again")
        screen.press(b"\x1a")
        screen.wait_until(lambda: not screen.is_table)
        screen.press(b"bg\n")  # it serves behind the shell's back and leaves the terminal alone
        screen.wait_until(lambda: ask(f"http://127.0.0.1:{ports_of(ports)[0]}/json"))
        assert not screen.is_table
        screen.press(b"fg\n")
        screen.wait_until(lambda: screen.is_table, "table again")
        screen.press(b"q")
        screen.wait_until(lambda: not screen.is_table)
        screen.press(b"stty -g >%b; exit\n" % str(tmp_path / "after").encode())
        assert screen.process.wait(PATIENCE) == 0
        assert (tmp_path / "before").read_text() == (tmp_path / "after").read_text()


def test_in_a_pipe_it_says_a_line_per_change():
    refused = f"127.0.0.1:{free_port()}"
    with running("balance", refused, "demo:", "--live", "-l", "http://127.0.0.1:0") as front:
        for _ in range(8):
            urllib.request.urlopen(f"http://127.0.0.1:{front.port}/", timeout=PATIENCE).close()
        until = time.monotonic() + PATIENCE
        while "is down: connection refused" not in front.stderr and time.monotonic() < until:
            time.sleep(0.01)
        assert "is down: connection refused" in front.stderr
        assert "\x1b" not in front.stderr


def test_a_terminal_that_cannot_move_its_cursor_is_refused():
    with terminal() as screen:
        screen.start(*command("balance", "3000", "--live"), TERM="dumb")
        assert screen.process.wait(PATIENCE) == 2
        screen.wait_until(lambda: "--live: the terminal cannot move its cursor" in screen.text)


def test_log_on_the_terminal_of_the_table_is_refused():
    with terminal() as screen:
        screen.start(*command("balance", "3000", "--live", "--access-log", "-"))
        assert screen.process.wait(PATIENCE) == 2
        screen.wait_until(lambda: "--access-log -: the table of --live is shown there" in screen.text)
