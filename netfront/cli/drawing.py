"""How `--live` looks: a view drawn into so many columns and lines, and never a cell more.

What does not fit is left out, the least important first: columns of the table, parts of the first line, notes,
listeners, backends that are well. Nothing is wrapped.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from netfront.cli.figures import BackendRow, ListenerRow, View
from netfront.cli.render import shown

__all__ = ["draw"]

_GAP = 2
_LEAST = {False: (12, 7), True: (30, 14)}
"""Columns that a label and a state have in any case, if they need them; the second before what can be done without."""
_DISPENSABLE = 6
_LABEL, _STATE = 20, 14
"""A state is given so many, where a label has so many still."""
_MOST_NOTES = 10
_FEW_NOTES = 3
"""Lines that notes have in any case, where there is room for them and a few backends."""
_ROOMY = 14
"""Lines from which on parts are set apart by empty ones."""
_STYLES = {
    "up": "green",
    "backup": "cyan",
    "full": "yellow",
    "drained": "yellow",
    "down": "bold red",
    "leaving": "dim",
}
_NEEDS_A_LOOK = frozenset({"down", "drained", "full", "leaving"})


def draw(view: View, width: int, height: int) -> RenderableType:
    """Draw a view: exactly `height` lines of at most `width` columns."""
    top = [_cut(_title(view, width), width)]
    bottom = [_cut(_keys(view, width), width)]
    if height <= 1:
        return bottom[0] if view.typed or view.hint else top[0]
    room = height - 2
    blank = [Text()] if height >= _ROOMY else []
    listeners = [_cut(line, width) for line in _listeners(view.listeners, width)] if room >= 4 else []
    room -= len(listeners) + 3 * len(blank)
    notes_room = min(
        len(view.notes), _MOST_NOTES if room > 2 * _MOST_NOTES else _FEW_NOTES if room >= 8 else 0
    )
    rows, rest = _rows(view.backends, max(0, room - notes_room - 1))
    table: list[RenderableType] = [_table(view, rows, width)] if rows else []
    lines = len(rows) + 1 if rows else 0
    if rest or (not view.backends and room):
        table.append(_cut(Text(rest or "there is nobody to forward to yet", "dim"), width))
        lines += 1
    notes = view.notes[-max(0, room - lines) :] if room > lines else ()
    notes = notes[-_MOST_NOTES:]
    drawn: list[RenderableType] = [
        *top,
        *listeners,
        *blank,
        *table,
        *blank,
        *(_cut(_note(note), width) for note in notes),
    ]
    used = len(top) + len(listeners) + 2 * len(blank) + lines + len(notes)
    return Group(*drawn, *[Text()] * (height - used - 1), *bottom)


# -- the first and the last lines -----------------------------------------------------------------------------


def _title(view: View, width: int) -> Text:
    """Write what it is and everything together, as far as there is room."""
    totals = view.totals
    parts = [  # in their order; the number says how dispensable each is
        (6, Text(f"netfront {view.command}", "bold")),
        (0, Text(f"{_rate(totals.rate)} {view.unit}/s", "bold")),
        (4, Text(f"p50 {_time(totals.p50)}")),
        (3, Text(f"p99 {_time(totals.p99)}")),
        (1, Text(_count(totals.errors, "error"), "bold red" if totals.errors else "")),
        (2, Text(_count(totals.connections, "connection"))),
        (5, Text(_count(totals.retries, "retry", "retries"))),
        (7, Text(_count(totals.hedges, "hedge"))),
        (8, Text(f"up {_span(view.seconds)}", "dim")),
    ]
    while len(parts) > 1 and sum(text.cell_len + _GAP for _, text in parts) - _GAP > width:
        parts.remove(max(parts, key=lambda part: part[0]))
    return Text("  ").join(text for _, text in parts)


def _keys(view: View, width: int) -> Text:
    """Write what can be typed, and what has been."""
    if view.typed or view.hint:
        line = Text.assemble((f"> {view.typed}", "bold"), (" ", "reverse"))
        if view.hint:
            line.append(f"  {view.hint}", "yellow")
        elif view.typed:
            line.append("  return does it, escape does not", "dim")
        return line
    quits = "q again cuts what is under way" if view.is_stopping else "q stops"
    whole = f"{quits}   d N drains backend N   u N brings it back"
    return Text(whole if len(whole) <= width else "q  d N  u N", "dim")


def _listeners(listeners: Sequence[ListenerRow], width: int) -> Iterable[Text]:
    """Write them in one line, and count those for which it is too short."""
    words = [f"{one.url} {one.open} open" for one in listeners]
    for count in range(len(words), 0, -1):
        rest = len(words) - count
        line = "   ".join(words[:count]) + (f"   and {rest} more" if rest else "")
        if cell_len(line) <= width or count == 1:
            return [Text(line)]
    return []


def _note(note: str) -> Text:
    clock, _, text = shown(note).partition(" ")
    return Text.assemble((clock, "dim"), " ", text)


# -- the table ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Column:
    """A column of the table.

    Args:
        dispensable: the higher, the sooner it is left out; 0 stays.
        style: of a cell; None for none.
    """

    head: str
    cell: Callable[[BackendRow], str]
    dispensable: int
    is_right: bool = True
    style: Callable[[BackendRow], str] | None = None


_Row = BackendRow | str
"""A backend, or the name of the pool that those below belong to."""


def _rows(backends: Sequence[BackendRow], room: int) -> tuple[list[_Row], str]:
    """Choose what is shown in so many lines: if not all, then those that need a look before the others.

    Returns:
        the rows, and what is to be said of the rest in a line that is among those.
    """
    names = dict.fromkeys(row.pool for row in backends)
    heads = len(names) if len(names) > 1 else 0
    if len(backends) + heads <= room:
        rows: list[_Row] = []
        for name in names:
            rows += [name] if heads else []
            rows += [row for row in backends if row.pool == name]
        return rows, ""
    if room < 1:
        return [], ""
    first = sorted(backends, key=lambda row: row.state not in _NEEDS_A_LOOK)[: max(room - 1, 1)]
    numbers = {row.number for row in first}
    rest = [row for row in backends if row.number not in numbers]
    chosen: list[_Row] = [row for row in backends if row.number in numbers]
    if room < 2:
        return chosen, ""
    well = sum(row.state not in _NEEDS_A_LOOK for row in rest)
    what = "all well" if well == len(rest) else f"{len(rest) - well} of them not well"
    return chosen, f"{len(rest)} more, {what}"


def _table(view: View, rows: Sequence[_Row], width: int) -> Table:
    backends = [row for row in rows if isinstance(row, BackendRow)]
    columns, widths = _fitted(view, backends, width)
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="dim", show_edge=False)
    for index, (column, wide) in enumerate(zip(columns, widths, strict=True)):
        last = index == len(columns) - 1
        table.add_column(
            Text(column.head),
            width=wide if not last else min(wide, width),
            no_wrap=True,
            overflow="ellipsis",
            justify="right" if column.is_right else "left",
        )
    for row in rows:
        if isinstance(row, BackendRow):
            table.add_row(*(_cell(row, column, wide) for column, wide in zip(columns, widths, strict=True)))
        else:
            table.add_row(*(Text(row, "bold") if column.head == "backend" else Text() for column in columns))
    return table


def _cell(row: BackendRow, column: _Column, width: int) -> Text:
    text = shown(column.cell(row))
    if column.head == "backend":
        text = _shortened(text, width)
    return Text(text, column.style(row) if column.style is not None else "")


def _shortened(label: str, width: int) -> str:
    """Shorten a label that is too long: its scheme goes first, then its middle; it differs from others at its end."""
    if cell_len(label) > width:
        label = label.rpartition("://")[2]
    if cell_len(label) > width:
        tail = (width - 1) * 2 // 3
        label = f"{label[: width - 1 - tail]}…{label[-tail:] if tail else ''}"
    return label


def _fitted(view: View, rows: Sequence[BackendRow], width: int) -> tuple[list[_Column], list[int]]:
    """Choose the columns there is room for, and how wide each is."""
    columns = [column for column in _COLUMNS if column.head not in _OPTIONAL or _OPTIONAL[column.head](view)]
    natural = {
        column.head: max([cell_len(column.head), *(cell_len(shown(column.cell(row))) for row in rows)])
        for column in columns
    }
    labels, states = natural["backend"], natural["state"]
    while True:
        heads = [column.head for column in columns]
        fixed = sum(natural[head] for head in heads if head not in ("backend", "state"))
        rest = width - fixed - _GAP * (len(columns) - 1)
        out = max(columns, key=lambda column: column.dispensable)
        least_label, least_state = _LEAST[out.dispensable >= _DISPENSABLE]
        least = min(labels, least_label) + (min(states, least_state) if "state" in heads else 0)
        if rest >= least or not out.dispensable:
            break
        columns.remove(out)
    state = 0
    if "state" in heads:
        state = min(states, max(min(states, least_state), rest - labels, min(_STATE, rest - _LABEL)))
    label = max(1, min(labels, rest - state))
    flexible = {"backend": label, "state": state}
    return columns, [flexible.get(column.head, natural[column.head]) for column in columns]


def _state(row: BackendRow) -> str:
    text = row.state
    if row.state == "drained" and row.why:
        text += ", down"
    return f"{text}: {row.why}" if row.why else text


def _style(row: BackendRow) -> str:
    return _STYLES.get(row.state, "")


def _weight(row: BackendRow) -> str:
    full = f"{row.full_weight}"
    return full if row.weight == row.full_weight else f"{row.weight:.1f}/{full}"


_COLUMNS = (
    _Column("#", lambda row: str(row.number), 0),
    _Column("backend", lambda row: row.label, 0, is_right=False),
    _Column("state", _state, 2, is_right=False, style=_style),
    _Column("weight", _weight, 9),
    _Column("busy", lambda row: f"{row.in_flight}/{row.most}" if row.most else str(row.in_flight), 4),
    _Column("/s", lambda row: _rate(row.rate), 3),
    _Column("p50", lambda row: _time(row.p50), 8),
    _Column("p99", lambda row: _time(row.p99), 6),
    _Column("errors", lambda row: str(row.errors), 5, style=lambda row: "red" if row.errors else ""),
    _Column("probe", lambda row: row.probe[:24], 10, is_right=False),
    _Column("next", lambda row: row.next, 7, is_right=False),
)
_OPTIONAL: dict[str, Callable[[View], bool]] = {
    "weight": lambda view: any(row.full_weight != 1 or row.weight != 1 for row in view.backends),
    "probe": lambda view: any(row.probe for row in view.backends),
    "next": lambda view: any(row.next for row in view.backends),
}
"""Columns that are there only where they say something."""


# -- figures --------------------------------------------------------------------------------------------------


def _cut(line: Text, width: int) -> Text:
    line.truncate(width, overflow="ellipsis")
    line.no_wrap = True
    return line


def _count(count: int, one: str, many: str = "") -> str:
    return f"{count} {one if count == 1 else many or one + 's'}"


def _rate(rate: float) -> str:
    if rate >= 10_000:
        return f"{rate / 1000:.1f}k"
    return f"{rate:.0f}" if rate >= 10 or not rate else f"{rate:.1f}"


def _time(seconds: float) -> str:
    if not seconds:
        return "-"
    if seconds >= 100:
        return f"{seconds:.0f} s"
    if seconds >= 1:
        return f"{seconds:.1f} s"
    if seconds < 0.0001:
        return "<0.1 ms"
    return f"{seconds * 1000:.0f} ms" if seconds >= 0.01 else f"{seconds * 1000:.1f} ms"


def _span(seconds: int) -> str:
    days, hours, minutes = seconds // 86400, seconds // 3600 % 24, seconds // 60 % 60
    if days:
        return f"{days}d {hours}h"
    if hours:
        return f"{hours}h {minutes}m"
    return f"{minutes}m {seconds % 60}s" if minutes else f"{seconds}s"
