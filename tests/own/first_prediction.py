"""`make own`: from a built wheel and a file of events to a proven prediction over HTTP, in the lines that a person types.

Fails where a line fails, where the proof does not hold, and beyond five lines or three minutes; the install is not counted.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from tests.own.shop_orders import made_up_orders, write_orders
from tests.own.terminal import Terminal, stop_well

MOST_LINES, LONGEST_S = 5, 180.0
BEGIN, END = datetime(2025, 1, 1), datetime(2025, 9, 1)
CUSTOMERS = 1_500


@contextmanager
def own_project(folder: Path, uv: str, extra: str, **variables: str) -> Iterator[tuple[Terminal, str]]:
    """A project over made-up orders, made and served; the terminal stands in it. What `build` printed."""
    terminal = Terminal.open(folder, uv, extra)
    terminal.variables |= variables
    (terminal.folder / "orders").mkdir()
    write_orders(terminal.folder / "orders" / "until-2025-09.csv", made_up_orders(CUSTOMERS, BEGIN, END))
    terminal.run("skewless init mine --from orders --label bought_again")
    terminal.folder /= "mine"
    try:
        yield terminal, terminal.run("skewless build")
    finally:
        terminal.run("skewless down")


def request_of(built: str, port: int) -> str:
    """The line that `build` printed for a second terminal, to the server's port."""
    (line,) = [line.strip() for line in built.splitlines() if line.strip().startswith("curl ")]
    return line.replace(":8080/", f":{port}/").replace("curl ", "curl --fail-with-body ", 1)


def main() -> None:
    parser = argparse.ArgumentParser(prog="make own", description=__doc__)
    parser.add_argument("--uv", default="uv")
    uv = str(parser.parse_args().uv)
    stop_well()
    with (
        tempfile.TemporaryDirectory(prefix="skewless-own-") as folder,
        own_project(Path(folder), uv, "pipelines") as made,
    ):
        terminal, built = made
        with terminal.serving():
            answer = json.loads(terminal.run(request_of(built, terminal.port)))
        audit = terminal.run("skewless audit")
        lines, took = len(terminal.lines), sum(seconds for _, seconds in terminal.lines)
    (score,) = answer["scores"]
    if not 0 < score < 1 or "0 of 1 scores differ" not in audit:
        sys.exit(f"the prediction {answer} is not proven:\n{audit}")
    print(f"\ncustomer orders again with {score:.3f}; {audit.strip().splitlines()[0]}")
    print(f"{lines} lines in {took:.0f} s; allowed are {MOST_LINES} in {LONGEST_S:.0f} s")
    if lines > MOST_LINES or took > LONGEST_S:
        sys.exit("that is more than it may take")


if __name__ == "__main__":
    main()
