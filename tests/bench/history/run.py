"""One run of the benchmark: make tables and spines, run the contenders in turn, hold each result against the oracle."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from tests.bench.history import contenders as c
from tests.bench.history.workload import right_answers, sample_of, write_spine, write_tables, wrong_rows
from tests.checkout import ROOT

Say = Callable[[str], None]
Measured = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Case:
    """Rows of each of the three tables, and of the spine."""

    table: int
    spine: int


@dataclass(frozen=True, slots=True)
class Pace:
    """What is run: the cases, the contenders, the rounds of each, and how long one may take."""

    cases: tuple[Case, ...]
    contenders: tuple[str, ...]
    rounds: int
    longest_s: float = 1_800.0


SMALL, MIDDLE, LARGE = Case(10**6, 10**5), Case(10**7, 10**5), Case(10**7, 10**6)
HUGE = Case(10**8, 10**6)
_UNABLE = {(c.FEAST_FILE, LARGE), *((name, HUGE) for name in c.FEAST)}
"""Who cannot take what: these need more memory than a machine of 24 GB has."""


def run(pace: Pace, *, say: Say) -> Measured:
    """Measure."""
    began = time.monotonic()
    measured: list[Measured] = []
    for size in dict.fromkeys(case.table for case in pace.cases):
        with tempfile.TemporaryDirectory(prefix="skewless-bench-") as folder:
            say(f"write three tables of {size:,} rows")
            tables = Path(folder) / "tables"
            write_tables(tables, size)
            for case in (one for one in pace.cases if one.table == size):
                measured += _case(Path(folder), tables, case, pace, say)
    return {
        "rounds": pace.rounds,
        "cases": [asdict(case) for case in pace.cases],
        "measured": measured,
        "seconds": round(time.monotonic() - began, 1),
    }


def _case(folder: Path, tables: Path, case: Case, pace: Pace, say: Say) -> list[Measured]:
    spine = folder / f"spine-{case.spine}.parquet"
    write_spine(spine, case.spine)
    right = right_answers(tables, sample_of(pq.read_table(spine)))
    able = [name for name in pace.contenders if (name, case) not in _UNABLE]
    found: dict[str, list[Measured]] = {name: [] for name in able}
    for turn in range(pace.rounds):
        for name in able[turn % len(able) :] + able[: turn % len(able)]:
            say(f"{case.table:,} x {case.spine:,}, round {turn + 1}: {name}")
            found[name].append(_one(name, tables, spine, pace.longest_s))
            if "sample" in found[name][-1]:
                found[name][-1]["wrong"] = wrong_rows(right, found[name][-1].pop("sample"))
    return [_median(name, case, ones) for name, ones in found.items()]


def _one(name: str, tables: Path, spine: Path, longest: float) -> Measured:
    """One contender in a process of its own; what went wrong instead, where it did not end well."""
    with tempfile.TemporaryDirectory(prefix="skewless-bench-") as folder:
        command = [sys.executable, "-m", "tests.bench.history.contenders", name, str(tables), str(spine), folder]
        environment = os.environ | {"SKEWLESS_STATE": folder, "FEAST_USAGE": "False"}
        try:
            done = subprocess.run(
                command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=longest, check=False
            )
        except subprocess.TimeoutExpired:
            return {"failed": f"took more than {longest:,.0f} s"}
        if done.returncode:
            said = done.stderr.strip().splitlines()
            return {"failed": said[-1][:200] if said else f"ended with status {done.returncode}"}
        told: Measured = json.loads((Path(folder) / "told.json").read_text())
        sample = Path(folder) / "sample.parquet"
        return told | ({"sample": pq.read_table(sample)} if sample.exists() else {})


def _median(name: str, case: Case, ones: Sequence[Measured]) -> Measured:
    measured: Measured = {"contender": name, **asdict(case)}
    failed = [one["failed"] for one in ones if "failed" in one]
    if failed:
        return measured | {"failed": failed[0]}
    for what in ("seconds", "cpu_seconds", "peak_bytes"):
        measured[what] = statistics.median(one[what] for one in ones)
    if "rows" in ones[0]:
        measured["lost_rows"] = max(case.spine - one["rows"] for one in ones)
        measured["wrong"] = max(one["wrong"] for one in ones)
    return measured
