"""What a run found, as Markdown: the tables of the results page, made from the results file and nothing else."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from tests.bench.history.contenders import ALL, FEAST_DUCKDB, FEAST_FILE, OURS, POLARS, SCAN
from tests.bench.history.workload import SAMPLE
from tests.bench.online.report import Bar

Results = dict[str, Any]
MARK = re.compile(r"(?<=<!-- bench-history -->\n)(.*?)(?=<!-- /bench-history -->)", re.DOTALL)
TITLES = {
    OURS: "**Skewless** through Feast's SDK",
    FEAST_DUCKDB: "Feast 0.67, `duckdb` store",
    FEAST_FILE: "Feast 0.67, `file` store",
    POLARS: "Polars `join_asof`, streaming",
    SCAN: "floor: Arrow scans the columns",
}
Case = tuple[int, int]
SMALL, MIDDLE, LARGE, HUGE = (10**6, 10**5), (10**7, 10**5), (10**7, 10**6), (10**8, 10**6)


def bars(results: Results) -> list[Bar]:
    """What is promised, as far as this run measured it."""
    found = _found(results)

    def ratio(what: str, mine: tuple[str, Case], other: tuple[str, Case]) -> float | None:
        pair = [found.get((name, case), {}).get(what) for name, case in (mine, other)]
        return pair[0] / pair[1] if pair[0] and pair[1] else None

    asked: list[tuple[str, float, bool, float | None]] = []
    pairs = [
        ("10M x 1M: speed ÷ Feast duckdb", 8, True, "seconds", (FEAST_DUCKDB, LARGE), (OURS, LARGE)),
        ("10M x 1M: memory ÷ Feast duckdb", 0.125, False, "peak_bytes", (OURS, LARGE), (FEAST_DUCKDB, LARGE)),
        ("10M x 100k: speed ÷ Feast file", 20, True, "seconds", (FEAST_FILE, MIDDLE), (OURS, MIDDLE)),
        ("10M x 1M: time ÷ floor", 2, False, "seconds", (OURS, LARGE), (SCAN, LARGE)),
        ("100M x 1M ÷ 10M x 1M: time", 12, False, "seconds", (OURS, HUGE), (OURS, LARGE)),
        ("100M x 1M ÷ 10M x 1M: memory", 1.5, False, "peak_bytes", (OURS, HUGE), (OURS, LARGE)),
    ]
    for title, needed, at_least, what, mine, other in pairs:
        asked.append((title, needed, at_least, ratio(what, mine, other)))
    for case in (SMALL, MIDDLE, LARGE, HUGE):
        asked.append((f"{_case(case)}: time ÷ Polars", 1, False, ratio("seconds", (OURS, case), (POLARS, case))))
        asked.append((f"{_case(case)}: memory ÷ Polars", 0.5, False, ratio("peak_bytes", (OURS, case), (POLARS, case))))
    return [Bar(title, needed, at_least, one) for title, needed, at_least, one in asked if one is not None]


def markdown(results: Results) -> str:
    """Everything between the page's marks."""
    machine = results["machine"]
    told = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    intro = (
        f"`{results['command']}` on {results['date'][:10]}, {machine['cpu']}, {machine['cores']} cores; {told}. Each "
        f"contender in a process of its own, in turns, medians of {results['rounds']} rounds; the query alone is timed, "
        f"memory is the peak of the whole process. {SAMPLE} rows of each result are held against the slow definition."
    )
    lines = [["seconds / GB", *(f"{_case(case)}" for case in _cases(results))]]
    found = _found(results)
    ran = [name for name in ALL if any(one["contender"] == name for one in results["measured"])]
    lines += [[TITLES[name], *(_cell(found.get((name, case))) for case in _cases(results))] for name in ran]
    parts = [intro, "**Rows of each of three tables x rows of the spine**:", _table(lines), "**Bars**"]
    bar_lines = [["bar", "needed", "found", ""]]
    for bar in bars(results):
        needed = f"{'≥' if bar.at_least else '≤'} {bar.needed:g}"
        bar_lines.append([bar.what, needed, f"{bar.found:.2f}", "reached" if bar.reached else "**not reached**"])
    return "\n\n".join([*parts, _table(bar_lines)]) + "\n"


def paste(text: str, results: Results) -> str:
    """The page with this run's tables between its marks."""
    assert MARK.search(text), "the page has no bench-history marks"
    return MARK.sub(lambda _: markdown(results), text)


def _cell(one: Results | None) -> str:
    if one is None:
        return ""
    if "failed" in one:
        return f"failed: {one['failed']}"
    told = f"{one['seconds']:.2f} / {one['peak_bytes'] / 1e9:.2f}"
    if one.get("lost_rows"):
        told += f" **loses {one['lost_rows']:,} rows**"
    return told + (f" **WRONG in {one['wrong']} of {SAMPLE}**" if one.get("wrong") else "")


def _found(results: Results) -> dict[tuple[str, Case], Results]:
    return {(one["contender"], (one["table"], one["spine"])): one for one in results["measured"]}


def _cases(results: Results) -> list[Case]:
    return [(case["table"], case["spine"]) for case in results["cases"]]


def _case(case: Case) -> str:
    return " x ".join(f"{size // 10**6}M" if size >= 10**6 else f"{size // 1000}k" for size in case)


def _table(lines: Sequence[Sequence[str]]) -> str:
    head, *rows = lines
    marks = ["---", *("---:" for _ in head[1:])]
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, marks, *rows))
