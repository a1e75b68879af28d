"""`python -m tests.bench.startup`: processor time of each verb, user and system, in a shop where nothing is to be done.

The best of the runs counts: whoever else uses the machine makes a run slower and never faster. Exit status 1 where a
verb is over its bar.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

from skewless.contract.state_folder import StateFolders
from skewless.online.store import embedded_valkey
from tests.bench.startup.project import StartupProject
from tests.bench.startup.verbs import HEAVY, VERBS, StartupVerb


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.startup", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="runs of each verb")
    rounds = parser.parse_args().rounds
    print(f"{'verb':<28} {'best s':>7} {'median s':>9} {'bar s':>6}  imports", flush=True)
    with (
        tempfile.TemporaryDirectory(prefix="skewless-bench-") as folder,
        embedded_valkey.running(StateFolders(Path(folder) / "redis")) as server,
    ):
        # As where a person works: modules are compiled at their first import, whatever this process was told of that.
        compiled = {"PYTHONPYCACHEPREFIX": f"{folder}/compiled", "PYTHONDONTWRITEBYTECODE": ""}
        project = StartupProject.make(Path(folder) / "shop", server.url, **compiled)
        within = [_measured(project, verb, rounds) for verb in VERBS]
    sys.exit(0 if all(within) else 1)


def _measured(project: StartupProject, verb: StartupVerb, rounds: int) -> bool:
    """Prints the line of a verb; whether it is within its bar. The first run compiles modules, and is not counted."""
    imports = project.imported(*verb.words, given=verb.given) & HEAVY
    seconds = [project.seconds(*verb.words, given=verb.given) for _ in range(rounds)]
    best, bar = min(seconds), "" if verb.bar is None else f"{verb.bar:.1f}"
    within = verb.bar is None or best < verb.bar
    names = ", ".join(sorted(imports)) or "-"
    print(f"{verb!s:<28} {best:>7.2f} {statistics.median(seconds):>9.2f} {bar:>6}  {names}", flush=True)
    if not within:
        print(f"{verb!s} takes {best:.2f} s of processor time, and its bar is {verb.bar} s", file=sys.stderr)
    return within


if __name__ == "__main__":
    main()
