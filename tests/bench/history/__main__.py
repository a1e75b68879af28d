"""`make bench-history`: joins of three views of ten features, beside Feast's stores, Polars and a plain scan."""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from tests.bench.history.contenders import ALL, FEAST
from tests.bench.history.report import Results, markdown, paste
from tests.bench.history.run import HUGE, LARGE, MIDDLE, ROOT, SMALL, Pace, run
from tests.bench.machine import machine, said

RESULTS = ROOT / "tests/bench/results/history.json"
PAGE = ROOT / "infra" / "docs" / "results.md"
_PACKAGES = ("feast", "pyarrow", "numpy", "pandas", "duckdb", "polars")


def main() -> None:
    """A full run is kept and pasted; any other is only shown, unless it is told where to go."""
    asked = _arguments()
    if asked.paste:
        PAGE.write_text(paste(PAGE.read_text(), json.loads(RESULTS.read_text())))
        return
    began = time.monotonic()
    date = datetime.fromisoformat(asked.date) if asked.date else datetime.now(UTC)
    measured = run(
        _pace(asked),
        say=lambda told: print(f"{time.monotonic() - began:6.1f} s  {told}", file=sys.stderr, flush=True),
    )
    results = {"date": date.isoformat(timespec="seconds"), "command": _command(asked), **_place(), **measured}
    print(markdown(results))
    full = not (asked.quick or asked.without_feast)
    kept = asked.output or (RESULTS if full else None)
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(results, indent=1) + "\n")
    if kept == RESULTS:
        PAGE.write_text(paste(PAGE.read_text(), results))


def _pace(asked: argparse.Namespace) -> Pace:
    cases = (SMALL,) if asked.quick else (SMALL, MIDDLE, LARGE, *((HUGE,) if asked.huge else ()))
    contenders = tuple(name for name in ALL if not (asked.without_feast and name in FEAST))
    return Pace(cases, contenders, rounds=asked.rounds or (1 if asked.quick else 3))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.history", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="tables of 1M rows only, one round")
    parser.add_argument("--huge", action="store_true", help="tables of 100M rows too: 22 GB of disk below TMPDIR")
    parser.add_argument("--without-feast", action="store_true", help="leave out Feast's own stores, which take 10 GB")
    parser.add_argument("--rounds", type=int, help="default: 3")
    parser.add_argument("--output", type=Path, help=f"results file; a full run's is {RESULTS.relative_to(ROOT)}")
    parser.add_argument("--date", help="ISO 8601, for the results; default: now")
    parser.add_argument(
        "--paste", action="store_true", help="run nothing; put the kept results into infra/docs/results.md again"
    )
    return parser.parse_args()


def _command(asked: argparse.Namespace) -> str:
    flags = [flag for flag in ("quick", "huge", "without_feast") if getattr(asked, flag)]
    if not flags and not asked.rounds:
        return "make bench-history"
    flags_said = [f"--{flag.replace('_', '-')}" for flag in flags] + (
        [f"--rounds {asked.rounds}"] if asked.rounds else []
    )
    return " ".join(["python -m tests.bench.history", *flags_said])


def _place() -> Results:
    return {
        "commit": said(["git", "-C", str(ROOT), "describe", "--always", "--dirty"]).strip(),
        "machine": machine(),
        "versions": {"python": platform.python_version(), **{package: version(package) for package in _PACKAGES}},
    }


if __name__ == "__main__":
    main()
