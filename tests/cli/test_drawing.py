"""How a view is drawn: what is shown in how many columns and lines, and never a cell more."""

import io
from dataclasses import replace

import pytest
from rich.cells import cell_len
from rich.console import Console

from netfront.cli.drawing import draw
from netfront.cli.figures import BackendRow, ListenerRow, Totals, View

UP = BackendRow(
    1, "/", "http://localhost:3001", weight=3, full_weight=3, in_flight=12, rate=412.4, p50=0.0012, p99=0.0081
)
DOWN = BackendRow(2, "/", "http://localhost:3002", "down", "connection refused", errors=7, next="dial 0.4s")
SLOW = BackendRow(
    3, "/", "http://localhost:3003", weight=0.4, in_flight=4, rate=9.96, p50=0.02, p99=1.43, probe="well"
)
DRAINED = BackendRow(4, "/", "http://10.0.0.5:8080", "drained", "answered 503", in_flight=2)
FULL = BackendRow(5, "/api", "https://api.internal.example.com:8443", "full", in_flight=10, most=10)
BACKUP = BackendRow(6, "/api", "http://h\u00e4user\u4e2d\u6587.test:3009", "backup")
VIEW = View(
    "balance",
    seconds=195,
    backends=(UP, DOWN, SLOW, DRAINED, FULL, BACKUP),
    listeners=(ListenerRow("http://localhost:8080", 42), ListenerRow("tcp://localhost:5432", 3)),
    totals=Totals(549.1, 0.0012, 0.0213, 45, 1, 7, 2),
    notes=tuple(
        f"22:52:{second} http://localhost:3002 is down: connection refused" for second in range(40, 52)
    ),
)


def lines(view, width, height):
    """Draw a view; give its lines without the blanks at their ends."""
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=True, color_system=None)
    console.print(draw(view, width, height))
    return [line.rstrip() for line in console.file.getvalue().split("\n")[:-1]]


def row(view, width, label, height=30):
    return next(line for line in lines(view, width, height) if label in line).split()


def test_everything_is_there_where_there_is_room():
    drawn = lines(VIEW, 140, 30)
    assert drawn[0] == (
        "netfront balance  549 requests/s  p50 1.2 ms  p99 21 ms  1 error  45 connections  7 retries  2 hedges  "
        "up 3m 15s"
    )
    assert drawn[1] == "http://localhost:8080 42 open   tcp://localhost:5432 3 open"
    assert [" ".join(line.split()) for line in drawn[3:11]] == [
        "# backend state weight busy /s p50 p99 errors probe next",
        "/",
        "1 http://localhost:3001 up 3 12 412 1.2 ms 8.1 ms 0",
        "2 http://localhost:3002 down: connection refused 1 0 0 - - 7 dial 0.4s",
        "3 http://localhost:3003 up 0.4/1 4 10.0 20 ms 1.4 s 0 well",
        "4 http://10.0.0.5:8080 drained, down: answered 503 1 2 0 - - 0",
        "/api",
        "5 https://api.internal.example.com:8443 full 1 10/10 0 - - 0",
    ]
    assert drawn[-2:] == ["", "q stops   d N drains backend N   u N brings it back"]
    assert [line for line in drawn if line.startswith("22:52:")] == list(VIEW.notes[-10:])


@pytest.mark.parametrize("typed", ["", "d 2"])
@pytest.mark.parametrize("count", [0, 1, 6, 60])
def test_it_fits_into_any_window(count, typed):
    made = [*VIEW.backends, *(replace(UP, number=n, label=f"b{n}") for n in range(7, 61))][:count]
    view = replace(VIEW, backends=tuple(made), typed=typed)
    for width in (1, 2, 3, 5, 8, 13, 20, 28, 40, 59, 80, 100, 160):
        for height in (1, 2, 3, 4, 5, 6, 8, 10, 13, 14, 16, 20, 24, 40, 70):
            shown = lines(view, width, height)
            assert len(shown) == height, (width, height)
            assert max(map(cell_len, shown)) <= width, (width, height)


def test_narrow_window_leaves_out_what_matters_least():
    def heads(width):
        return " ".join(lines(VIEW, width, 30)[3].split())

    assert heads(111) == "# backend state weight busy /s p50 p99 errors next"
    assert heads(104) == "# backend state busy /s p50 p99 errors next"
    assert heads(96) == "# backend state busy /s p99 errors next"
    assert heads(88) == "# backend state busy /s p99 errors"
    assert heads(77) == "# backend state busy /s errors"
    assert heads(44) == "# backend state busy /s"
    assert heads(36) == "# backend state /s"
    assert heads(29) == "# backend state"
    assert heads(12) == "# backend"


def test_long_label_keeps_its_end_and_what_it_is_the_middle():
    assert row(VIEW, 80, "8443")[1] == "https://api.internal.example.com:8443"[8:]
    assert row(VIEW, 40, "8443")[1].endswith("com:8443")
    assert row(VIEW, 40, "8443")[1].startswith("api.")


def test_columns_that_say_nothing_are_not_there():
    plain = replace(VIEW, backends=(replace(UP, weight=1, full_weight=1),))
    assert lines(plain, 140, 30)[3].split() == ["#", "backend", "state", "busy", "/s", "p50", "p99", "errors"]


def test_pool_is_not_named_where_there_is_one():
    assert not any(line.strip() == "/" for line in lines(replace(VIEW, backends=(UP, DOWN)), 140, 30))


def test_low_window_shows_those_that_need_a_look_and_counts_the_others():
    many = tuple(replace(UP, number=n, label=f"http://10.0.0.{n}") for n in range(1, 101))
    many = (*many[:76], replace(many[76], state="down", why="no answer"), *many[77:])
    shown = lines(replace(VIEW, backends=many, notes=()), 100, 12)
    assert any("10.0.0.77 " in line and "down: no answer" in line for line in shown)
    assert f"{100 - sum(' http://10.' in line for line in shown)} more, all well" in shown
    all_down = tuple(replace(one, state="down") for one in many)
    shown = lines(replace(VIEW, backends=all_down, notes=()), 100, 12)
    hidden = 100 - sum(" http://10." in line for line in shown)
    assert f"{hidden} more, {hidden} of them not well" in shown


def test_lowest_window_shows_what_is_typed_while_it_is():
    assert lines(VIEW, 60, 1)[0].startswith("549 requests/s")
    assert lines(replace(VIEW, typed="d 2"), 60, 1)[0].startswith("> d 2")


def test_typed_command_and_hint_are_at_the_bottom():
    assert lines(replace(VIEW, typed="d 2"), 80, 10)[-1] == "> d 2   return does it, escape does not"
    assert lines(replace(VIEW, hint="there is no backend 9"), 80, 10)[-1] == ">    there is no backend 9"
    assert lines(replace(VIEW, is_stopping=True), 100, 10)[-1].startswith("q again cuts what is under way")


def test_nobody_to_forward_to_is_said():
    assert "there is nobody to forward to yet" in lines(replace(VIEW, backends=()), 80, 20)


def test_what_comes_from_outside_is_no_markup_and_steers_nothing():
    hostile = replace(DOWN, label="http://[red]x", why="\x1b[2J[bold]gone\r\n\x9b")
    shown = "\n".join(lines(replace(VIEW, backends=(hostile,), notes=("1 \x1b[2J[b]",)), 140, 20))
    assert "[red]x" in shown
    assert "[bold]gone" in shown
    assert shown.replace("\n", "").isprintable()


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.0, "-"),
        (0.00003, "<0.1 ms"),
        (0.0012, "1.2 ms"),
        (0.0213, "21 ms"),
        (1.43, "1.4 s"),
        (123.4, "123 s"),
    ],
)
def test_times_are_short(seconds, shown):
    assert f"p50 {shown}  " in lines(replace(VIEW, totals=Totals(p50=seconds)), 140, 10)[0]
