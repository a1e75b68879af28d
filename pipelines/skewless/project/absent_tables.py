"""Tables that applied feature views read and that are not there, with what fills them in this project.

Held by tests/cli/test_ingest.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skewless.project.project import ProjectContext


def absent_tables(work: ProjectContext) -> list[str]:
    """A line for each path outside the data folder that does not exist or has no Parquet file, and for the tables of the data folder that are not
    filled yet. Raises: FeastRegistryUnavailable, RepoModuleFailed, BadTable.
    """
    lines: list[str] = []
    unfilled: dict[str, None] = {}
    for view in work.compiled():
        path = view.source.path
        if view.source.remote is not None or (path.exists() and not _without_parquet(path)):
            continue
        if path.parent == work.folders.data:
            unfilled[path.name] = None
        else:
            what = "holds no Parquet file" if path.exists() else "does not exist"
            lines.append(f"warning: feature view {view.plan.stored_as!r} reads {path}, which {what}")
    by_name = work.tables.by_name
    declared = [name for name in unfilled if name in by_name and by_name[name].extent != "files"]
    if declared:
        lines.append(f"not filled yet: {', '.join(declared)}; run `skewless ingest`")
    lines += [
        f"table {name!r} is not filled yet; run `skewless ingest {name} FILE...`"
        for name in unfilled
        if name not in declared
    ]
    return lines


def _without_parquet(path: Path) -> bool:
    """Whether a folder has no Parquet file in it, as one of CSV files."""
    return path.is_dir() and next(path.rglob("*.parquet"), None) is None
