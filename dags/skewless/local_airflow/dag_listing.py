"""What Airflow makes of a folder of DAG files, found out in a process of its own: Airflow takes over logging and more.

Held by tests/local_airflow/test_stack.py.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from skewless.local_airflow import process_guard

_RETRAIN = "retrain"
_ROOM = b"skewless.airflow"


class ListedDag(msgspec.Struct, frozen=True):
    """A DAG: its tags, and the pools of its tasks."""

    tags: list[str]
    pools: list[str]

    @property
    def retrains(self) -> bool:
        """Whether it trains a model: such a DAG is only let run by hand."""
        return _RETRAIN in self.tags


class DagListing(msgspec.Struct, frozen=True):
    """The DAGs of a folder by id, the reasons why files cannot be loaded, and the files that Airflow passes over though they
    import our DAGs.
    """

    dags: dict[str, ListedDag]
    errors: dict[str, str]
    overlooked: list[str]

    @property
    def pools(self) -> list[str]:
        """The pools of all tasks, but for Airflow's own."""
        return sorted({pool for dag in self.dags.values() for pool in dag.pools} - {"default_pool"})

    def warnings(self) -> list[str]:
        """A line for each file that gives no DAG and should."""
        passed = (
            "names neither a DAG nor an asset, so Airflow passes over it: write a line that says DAG, as a docstring"
        )
        failed = [
            f"{file} cannot be loaded: {reason.removeprefix(f'{file}: ')}" for file, reason in self.errors.items()
        ]
        return failed + [f"{file} {passed}" for file in self.overlooked]


def listing(folder: Path, file: Path, environment: Mapping[str, str]) -> DagListing | str:
    """The listing of a folder, by way of a `file`; what the process said where it failed."""
    command = [sys.executable, "-W", "ignore", "-m", __name__, str(folder), str(file)]
    done = process_guard.run(command, dict(environment))
    if done.returncode:
        return f"{done.stdout}{done.stderr}"[-2000:]
    return msgspec.json.decode(file.read_bytes(), type=DagListing)


def _list(folder: Path) -> DagListing:
    from airflow.dag_processing.dagbag import DagBag
    from airflow.utils.file import might_contain_dag

    bag = DagBag(str(folder), bundle_name="dags-folder")
    dags = {name: ListedDag(sorted(dag.tags), sorted({t.pool for t in dag.tasks})) for name, dag in bag.dags.items()}
    errors = {file: _last_line(text) for file, text in bag.import_errors.items()}
    ours = [file for file in sorted(folder.rglob("*.py")) if _ROOM in file.read_bytes()]
    overlooked = [str(file) for file in ours if not might_contain_dag(str(file), safe_mode=True)]
    return DagListing(dags, errors, overlooked)


def _last_line(text: str) -> str:
    """The sentence of a traceback, without the class of the error where it is ours."""
    last = text.strip().rpartition("\n")[2]
    kind, colon, sentence = last.partition(": ")
    return sentence if colon and kind.startswith("skewless.") else last


if __name__ == "__main__":
    Path(sys.argv[2]).write_bytes(msgspec.json.encode(_list(Path(sys.argv[1]))))
