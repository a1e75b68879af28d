"""Loads: wrk asks as fast as answers come (throughput), k6 at a constant rate of arrivals (latency)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import httpx

from tests.bench.online.contenders import JSON, Contender
from tests.bench.online.workload import bodies_file

_HERE = Path(__file__).parent
_SLACK_SECONDS = 30
MISSING_WRK = "wrk is not on the PATH; install it: apt-get install wrk (Debian, Ubuntu), brew install wrk (macOS)"
MISSING_K6 = "k6 is not in this environment; `make sync` installs it on Linux x86_64, elsewhere put a k6 on the PATH"
Result = dict[str, float]


def wrk_path() -> str | None:
    return shutil.which("wrk")


def k6_path() -> str | None:
    return shutil.which("k6", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))


def demand_tools() -> None:
    """End with what to install, if something is missing."""
    missing = [told for found, told in ((wrk_path(), MISSING_WRK), (k6_path(), MISSING_K6)) if not found]
    if missing:
        sys.exit("\n".join(missing))


def saturate(
    contender: Contender, bodies: Path, *, rows: int, connections: int, seconds: int, offset: int = 0
) -> Result:
    """As many requests as `connections` can have answered, each connection one at a time."""
    command = [wrk_path() or "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s"]
    command += ["-s", str(_HERE / "rotate.lua"), contender.url + contender.path]
    given = _given(contender, bodies, rows, offset)
    _settle(contender, given)
    found = _run(command, given, seconds)
    return {"per_second": (found["requests"] - found["refused"]) / found["seconds"], **found}


def arrive(
    contender: Contender, bodies: Path, *, rows: int, connections: int, rate: int, seconds: int, offset: int = 0
) -> Result:
    """`rate` requests a second, on `connections` as long as these are enough."""
    given = {
        "BENCH_URL": contender.url + contender.path,
        "BENCH_RATE": str(rate),
        "BENCH_SECONDS": f"{seconds}",
        "BENCH_CONNECTIONS": str(connections),
        **_given(contender, bodies, rows, offset),
    }
    _settle(contender, given)
    options = ["--quiet", "--no-usage-report", "--no-thresholds", "--address", "127.0.0.1:0", "--log-format", "raw"]
    command = [k6_path() or "k6", "run", *options, str(_HERE / "arrivals.js")]
    return {"rate": rate, **_run(command, given, seconds)}


def _given(contender: Contender, bodies: Path, rows: int, offset: int) -> dict[str, str]:
    return {"BENCH_BODIES": str(bodies_file(bodies, contender.bodies, rows)), "BENCH_OFFSET": str(offset)}


def _settle(contender: Contender, given: dict[str, str]) -> None:
    """Have one request answered, so that nothing of the load before is still in work."""
    with Path(given["BENCH_BODIES"]).open("rb") as bodies:
        httpx.post(contender.url + contender.path, content=bodies.readline().strip(), headers=JSON, timeout=30)


def _run(command: list[str], given: dict[str, str], seconds: int) -> Result:
    done = subprocess.run(
        command,
        env={**os.environ, **given},
        capture_output=True,
        text=True,
        timeout=seconds + _SLACK_SECONDS,
        check=False,
    )
    told = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if done.returncode or not told:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    result: Result = json.loads(told[0].removeprefix("RESULT "))
    return result
