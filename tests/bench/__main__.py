"""`python -m tests.bench ROW...`: measure, and print the table. See README.md beside this file."""

import argparse
import json
import pstats
import resource
import shutil
import sys
import tempfile
from pathlib import Path

from tests.bench.peers import PEERS, bench
from tests.bench.rows import ROWS, Invalid, Measured, Options, Row


def main() -> int:
    """Measure the rows named, all of them if none is; exit 1 if one misses what it must."""
    args = _arguments()
    wanted = [ROWS[name] for name in args.rows or ROWS]
    options = Options(tuple(args.peers.split(",")), args.seconds, args.rounds)
    unknown = set(options.peers) - set(PEERS)
    if unknown:
        return _say(f"no such peer: {', '.join(sorted(unknown))}; there are {', '.join(PEERS)}") or 2
    missing = [tool for tool in ("wrk", "ab", "curl", "taskset") if shutil.which(tool) is None]
    if missing:
        return _say(f"needed on PATH, and not there: {', '.join(missing)}") or 2
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if args.profile:
        return _profile(wanted, args.profile, options)
    missed = 0
    with bench() as behind:
        for row in wanted:
            try:
                measured = row.measure(behind, options)
            except (Invalid, RuntimeError, AssertionError) as error:
                missed += 1
                _say(f"{row.name:13} INVALID: {error}")
                continue
            missed += measured.verdict is not None and measured.verdict > row.must
            _say(_line(row, measured))
            if args.json:
                _append(args.json, row, measured)
    return int(missed > 0)


def _arguments() -> argparse.Namespace:
    rows = "\n".join(f"  {row.name:13} {row.text}" for row in ROWS.values())
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description="CPU per request of netfront beside others.\n\nrows:\n" + rows,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("rows", nargs="*", metavar="ROW", choices=[*ROWS, []], help="default: all")
    parser.add_argument("--peers", default="netfront,nginx,haproxy", help=f"of {','.join(PEERS)}")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement (default 5)")
    parser.add_argument("--rounds", type=int, default=3, help="of A B C (default 3)")
    parser.add_argument("--json", metavar="FILE", help="also append one object a row")
    parser.add_argument(
        "--profile", metavar="FILE", help="run netfront alone under cProfile, write its data here"
    )
    return parser.parse_args()


def _line(row: Row, measured: Measured) -> str:
    parts = []
    for name, figure in measured.figures.items():
        spread = measured.spread.get(name)
        parts.append(f"{name} {figure:.4g} {measured.unit}" + (f" ±{spread / 2:.0%}" if spread else ""))
    verdict = ""
    if measured.verdict is not None:
        word = "MISSED" if measured.verdict > row.must else "met"
        verdict = f"  → {measured.verdict:.3g} (must {row.must:g} {word}, aim {row.aim:g})"
    return f"{row.name:13} {row.text}\n{'':13} {' · '.join(parts)}{verdict}"


def _append(path: str, row: Row, measured: Measured) -> None:
    found = {
        "row": row.name,
        "unit": measured.unit,
        "figures": measured.figures,
        "verdict": measured.verdict,
        "must": row.must,
        "aim": row.aim,
    }
    with Path(path).open("a") as file:
        file.write(json.dumps(found) + "\n")


def _profile(rows: list[Row], path: str, options: Options) -> int:
    """Run each row's load against a profiled netfront alone; print where the time goes."""
    alone = Options(("netfront",), options.seconds, 1)
    for row in rows:
        with tempfile.TemporaryDirectory() as place:
            target = str(Path(path).resolve()) if len(rows) == 1 else f"{place}/{row.name}"
            with bench(target) as behind:
                row.measure(behind, alone)
            _say(f"-- {row.name}")
            pstats.Stats(target).sort_stats("tottime").print_stats(35)
    return 0


def _say(line: str) -> int:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
