"""`python -m tests.bench.push`: events a second into both stores, and the table of it in infra/docs/results.md."""

from __future__ import annotations

import argparse
import json
import platform
import re
import statistics
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
from redis import Redis

from skewless.contract.state_folder import StateFolders
from skewless.contract.timestamps import to_micros
from skewless.online.store import embedded_valkey
from skewless.online.store.embedded_valkey import FREE_PORT
from tests.bench.online.contenders import ROOT, Contender
from tests.bench.online.load import MISSING_WRK, saturate, wrk_path
from tests.bench.push import servers as s

RESULTS, PAGE = ROOT / "tests" / "bench" / "results" / "push.json", ROOT / "infra" / "docs" / "results.md"
MARK = re.compile(r"(<!-- bench-push -->\n).*?(\n<!-- /bench-push -->)", re.DOTALL)
TITLES = {
    s.OURS: "**Skewless**, table (fsync) and online store",
    s.FEAST: "`feast serve`, online store only",
    s.FEAST_BOTH: "`feast serve`, both (it rewrites the whole file)",
}
WRITERS, BAR = (1, 32, 64), 20


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.push", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round of a second each; nothing is kept")
    asked = parser.parse_args()
    if wrk_path() is None:
        sys.exit(MISSING_WRK)
    with tempfile.TemporaryDirectory(prefix="skewless-bench-") as folder:
        measured = run(Path(folder), rounds=1 if asked.quick else 3, seconds=1 if asked.quick else 4)
    results = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "feast": version("feast"),
        **measured,
    }
    print(markdown(results))
    if not asked.quick:
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
        PAGE.write_text(paste(PAGE.read_text(), results))


def run(folder: Path, *, rounds: int, seconds: int) -> dict[str, Any]:
    """Both servers run all the time and are loaded in turn; each figure is the median of the rounds."""
    s.write_bodies(folder, to_micros(datetime.now(UTC)))
    found: dict[str, dict[str, list[float]]] = {}
    with ExitStack() as running:
        stores = [
            running.enter_context(embedded_valkey.running(StateFolders(folder / name), port=FREE_PORT))
            for name in ("one", "two")
        ]
        mine = running.enter_context(s.ours(folder, stores[0].url))
        theirs = running.enter_context(s.feast_serve(folder, stores[1].url))
        contenders = [mine, theirs, replace(theirs, name=s.FEAST_BOTH, bodies=s.FEAST_BOTH)]
        for turn in range(rounds):
            for writers in WRITERS:
                for one in contenders:
                    per_second = _load(one, folder, writers, seconds, turn)
                    found.setdefault(one.name, {}).setdefault(str(writers), []).append(per_second)
        held = _held(folder, stores[0].url)
    medians = {name: {w: statistics.median(some) for w, some in by.items()} for name, by in found.items()}
    return {"events_per_second": medians, "rounds": found, **held}


def _load(one: Contender, folder: Path, writers: int, seconds: int, turn: int) -> float:
    done = saturate(one, folder, rows=1, connections=writers, seconds=seconds, offset=turn * 7_919)
    print(f"{one.name:14} {writers:3} writers {done}", file=sys.stderr, flush=True)
    if one.name != s.FEAST_BOTH and done["refused"] + done["broken"] > 0:
        raise RuntimeError(f"{one.name} refused events: {done}")
    return done["per_second"]


def _held(folder: Path, redis_url: str) -> dict[str, int]:
    """What Skewless has on its disk and in its store afterwards."""
    parts = [str(path) for path in (folder / "state" / "data" / "events").glob("pushed-*.parquet")]
    with Redis.from_url(redis_url) as client:
        online = client.dbsize() - 1
    table = ds.dataset(parts).to_table(columns=[s.KEY])
    entities = len(table.column(s.KEY).unique())
    if online != entities:
        raise RuntimeError(f"{online} entities online, {entities} in the table")
    return {"rows": len(table), "parts": len(parts), "entities": entities}


def markdown(results: dict[str, Any]) -> str:
    """The table of the results page."""
    by = results["events_per_second"]
    lines = [
        (
            f"`make bench-push` on {results['date'][:10]}, python {results['python']}, feast {results['feast']}; one row of "
            "10 features a request, one worker each, in turns, medians of 3 rounds, on 2 cores shared with the load generator."
        ),
        "",
        "| events a second, by concurrent writers | " + " | ".join(map(str, WRITERS)) + " |",
        "| --- |" + " ---: |" * len(WRITERS),
    ]
    lines += [f"| {t} | " + " | ".join(f"{by[n][str(w)]:,.0f}" for w in WRITERS) + " |" for n, t in TITLES.items()]
    for name, told in ((s.FEAST, "online only"), (s.FEAST_BOTH, "both")):
        ratios = [by[s.OURS][str(w)] / by[name][str(w)] if by[name][str(w)] else None for w in WRITERS]
        shown = ["none succeeded" if ratio is None else f"{ratio:,.1f}" for ratio in ratios]
        lines.append(f"| Skewless ÷ Feast, {told} | " + " | ".join(shown) + " |")
    ratios = {writers: by[s.OURS][str(writers)] / by[s.FEAST][str(writers)] for writers in WRITERS}
    verdicts = [f"{w}: {ratio:.1f}, {'reached' if ratio >= BAR else 'not reached'}" for w, ratio in ratios.items()]
    failed = [str(w) for w in WRITERS if not by[s.FEAST_BOTH][str(w)]]
    lines += [
        "",
        f"The bar, {BAR} times Feast's online-only pushes at the same number of writers: {'; '.join(verdicts)}.",
    ]
    if failed:
        lines.append("After the first concurrent round Feast's pushes to both stores were mostly answered with errors.")
    lines += [
        (
            f"Afterwards {results['rows']:,} rows lay in {results['parts']:,} parts, and the online store held exactly "
            f"their {results['entities']:,} entities."
        ),
    ]
    return "\n".join(lines)


def paste(readme: str, results: dict[str, Any]) -> str:
    return MARK.sub(lambda found: found[1] + markdown(results) + found[2], readme)


if __name__ == "__main__":
    main()
