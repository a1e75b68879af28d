"""`make own-from-feast`: Feast's template runs on Feast's file and Redis stores, is moved to ours in place, and runs again.

Every printed value is equal, or `skewless doctor --from-feast` named the difference before. Fails otherwise.
"""

from __future__ import annotations

import argparse
import ast
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from skewless.contract.state_folder import STORE_FILE, StateFolders
from skewless.online.store import embedded_valkey
from skewless.online.store.embedded_valkey import FREE_PORT
from tests.own.terminal import Terminal, stop_well

FRAME = "frame: "
WORKFLOW = (
    "import json, runpy, pandas; "
    f"pandas.DataFrame.__repr__ = lambda frame: {FRAME!r} + json.dumps(frame.to_dict('list'), default=str); "
    "runpy.run_path('test_workflow.py', run_name='__main__')"
)
"""The template's own script, which prints frames whole."""
SQLITE = "    type: sqlite\n    path: data/online_store.db\n"
OF_THE_RUN = ("event_timestamp", "created")
"""Columns of frames that the script fills with the time of its run."""
MORE_COLUMNS = "columns of on-demand views"
"""As the doctor names that Feast's training frames have columns that nobody asked for."""


@dataclass(frozen=True)
class PrintedValue:
    """What the script printed under a heading: a feature's values by its name, or a frame's columns."""

    heading: str
    name: str
    value: object


def printed_values(output: str) -> Iterator[PrintedValue]:
    """In the order of printing."""
    heading = ""
    for line in output.splitlines():
        name, colon, value = line.partition("  :  ")
        if line.startswith("---"):
            heading = line.strip("- ")
        elif line.startswith(FRAME):
            yield PrintedValue(heading, FRAME, json.loads(line.removeprefix(FRAME)))
        elif colon:
            yield PrintedValue(heading, name, ast.literal_eval(value))


def differences(feast: Sequence[PrintedValue], ours: Sequence[PrintedValue], doctor: str) -> Iterator[str]:
    """What neither is equal nor was named by the doctor."""
    if [(value.heading, value.name) for value in feast] != [(value.heading, value.name) for value in ours]:
        yield f"other values were printed: {feast}\n{ours}"
        return
    for theirs, mine in zip(feast, ours, strict=True):
        if isinstance(theirs.value, dict) and isinstance(mine.value, dict) and theirs.name == FRAME:
            for difference in _of_frames(theirs.value, mine.value, doctor):
                yield f"{theirs.heading}: {difference}"
        elif theirs.value != mine.value:
            yield f"{theirs.heading}: {theirs.name} was {theirs.value}, is {mine.value}"


def _of_frames(theirs: Mapping[str, object], mine: Mapping[str, object], doctor: str) -> Iterator[str]:
    missing = [name for name in theirs if name not in mine]
    if missing and MORE_COLUMNS not in doctor:
        yield f"columns {missing} are gone, and the doctor did not say so"
    if more := [name for name in mine if name not in theirs]:
        yield f"columns {more} are new"
    for name, values in mine.items():
        if name not in OF_THE_RUN and theirs.get(name) != values:
            yield f"column {name} was {theirs.get(name)}, is {values}"


def on_feasts_redis(file: Path, address: str) -> None:
    """The template's online store is Feast's Redis. Raises: SystemExit where the template has another text."""
    text = file.read_text()
    if SQLITE not in text:
        raise SystemExit(f"{file} has no\n{SQLITE}")
    file.write_text(text.replace(SQLITE, f"    type: redis\n    connection_string: {address}\n"))


def main() -> None:
    parser = argparse.ArgumentParser(prog="make own-from-feast", description=__doc__)
    parser.add_argument("--uv", default="uv")
    uv = str(parser.parse_args().uv)
    stop_well()
    with (
        tempfile.TemporaryDirectory(prefix="skewless-own-") as folder,
        embedded_valkey.running(StateFolders(Path(folder) / "redis"), port=FREE_PORT) as redis,
    ):
        terminal = Terminal.open(Path(folder), uv, "pipelines")
        terminal.run("feast init team")
        terminal.folder /= "team/feature_repo"
        on_feasts_redis(terminal.folder / STORE_FILE, urlsplit(redis.url).netloc)
        workflow = f'python -W ignore -c "{WORKFLOW}"'
        tables = {file: file.read_bytes() for file in (terminal.folder / "data").glob("*.parquet")}
        feast = [*printed_values(terminal.run(workflow))]
        for file, content in tables.items():
            file.write_bytes(content)  # without the row that the script pushes
        doctor = terminal.run("skewless doctor --from-feast .")
        terminal.run("skewless init --from-feast .")
        terminal.variables["SKEWLESS_REDIS_URL"] = redis.url
        ours = [*printed_values(terminal.run(workflow))]
    print(f"\n{doctor.strip()}")
    found = [*differences(feast, ours, doctor)]
    print(f"\n{len(feast)} values and frames were printed on both; {len(found)} differ and were not named before")
    if found or not feast:
        sys.exit("\n".join(found) or "nothing was printed")


if __name__ == "__main__":
    main()
