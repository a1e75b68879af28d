"""`python -m tests.bench.sdk`: reads and pushes through Feast's SDK, and the table of them in infra/docs/results.md."""

from __future__ import annotations

import argparse
import json
import platform
import random
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from feast import FeatureStore
from feast.data_source import PushMode

from tests.bench.online.contenders import ROOT
from tests.bench.sdk import stores as s

RESULTS, PAGE = ROOT / "tests" / "bench" / "results" / "sdk.json", ROOT / "infra" / "docs" / "results.md"
MARK = re.compile(r"(<!-- bench-sdk -->\n).*?(\n<!-- /bench-sdk -->)", re.DOTALL)
BARS = {"1": 1.5, "10": 1.5, "100": 3.0, "1000": 3.0, "push": 2.0}
"""How many times Feast's speed is wanted, by entities of a read."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.sdk", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round; nothing is kept")
    asked = parser.parse_args()
    now = datetime.now(UTC)
    with tempfile.TemporaryDirectory(prefix="skewless-bench-") as folder, s.stores(Path(folder), now) as stores:
        medians = run(stores, now, rounds=1 if asked.quick else 20)
    results = {
        "date": now.isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "feast": version("feast"),
        "milliseconds": medians,
    }
    print(markdown(results))
    if not asked.quick:
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
        PAGE.write_text(paste(PAGE.read_text(), results))


def run(stores: Mapping[str, FeatureStore], now: datetime, *, rounds: int) -> dict[str, dict[str, float]]:
    """Milliseconds of a call, the median, by kind of call and store. The stores take turns."""
    chance, medians = random.Random(7), {}
    for entities in (1, 10, 100, 1000):
        rows = [{s.KEY: chance.randrange(s.ENTITIES)} for _ in range(entities)]
        answers = [store.get_online_features(s.REFERENCES, rows).to_dict() for store in stores.values()]
        if any(answer != answers[0] for answer in answers):
            raise RuntimeError(f"the stores answer differently: {answers}")

        def read(store: FeatureStore, rows: list[dict[str, int]] = rows) -> object:
            return store.get_online_features(s.REFERENCES, rows).to_dict()

        medians[str(entities)] = _timed(stores, read, calls=max(10, 100 // entities), rounds=rounds)
    frame = s.frame(now)

    def push(store: FeatureStore) -> object:
        return store.push(s.SOURCE, frame, to=PushMode.ONLINE)

    return medians | {"push": _timed(stores, push, calls=10, rounds=rounds)}


def _timed(
    stores: Mapping[str, FeatureStore], call: Callable[[FeatureStore], object], *, calls: int, rounds: int
) -> dict[str, float]:
    seconds: dict[str, list[float]] = {name: [] for name in stores}
    for _ in range(rounds):
        for name, store in stores.items():
            # Feast keeps what it resolved for one registry of a process at a time.
            call(store)
            for _ in range(calls):
                begin = time.perf_counter()
                call(store)
                seconds[name].append(time.perf_counter() - begin)
    medians = {name: 1e3 * statistics.median(times) for name, times in seconds.items()}
    print(medians, file=sys.stderr, flush=True)
    return medians


def markdown(results: dict[str, Any]) -> str:
    """The table of the results page."""
    by: dict[str, dict[str, float]] = results["milliseconds"]
    ratios = {kind: times[s.FEAST] / times[s.OURS] for kind, times in by.items()}
    lines = [
        (
            f"`make bench-sdk` on {results['date'][:10]}, python {results['python']}, feast {results['feast']}; 10 features of one "
            "view, `get_online_features(...).to_dict()` by number of entities, `push` of one row to the online store; medians, "
            "in turns, in one process."
        ),
        "",
        "| milliseconds a call | 1 | 10 | 100 | 1,000 | push |",
        "| --- |" + " ---: |" * len(by),
        *(
            f"| {title} | " + " | ".join(f"{times[name]:.2f}" for times in by.values()) + " |"
            for name, title in ((s.OURS, "**Skewless** stores"), (s.FEAST, "Feast's Redis store"))
        ),
        "| Feast ÷ Skewless | " + " | ".join(f"{ratio:.1f}" for ratio in ratios.values()) + " |",
        "| wanted | " + " | ".join(f"≥ {bar:g}" for bar in BARS.values()) + " |",
    ]
    missed = [kind for kind, ratio in ratios.items() if ratio < BARS[kind]]
    lines += ["", f"Not reached: {', '.join(missed)}." if missed else "All are reached."]
    return "\n".join(lines)


def paste(page: str, results: dict[str, Any]) -> str:
    return MARK.sub(lambda found: found[1] + markdown(results) + found[2], page)


if __name__ == "__main__":
    main()
