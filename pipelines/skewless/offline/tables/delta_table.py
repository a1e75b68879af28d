"""A Delta table in a local folder: the Parquet files of its current version, according to its log.

The folder also contains files of older versions, whose rows were overwritten or deleted: only the log distinguishes them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlparse

from skewless.contract.errors import SkewlessError

if TYPE_CHECKING:
    from deltalake import DeltaTable

LOG = "_delta_log"
_HARMLESS = {"timestampNtz", "vacuumProtocolCheck", "v2Checkpoint", "deletionVectors"}
"""Reader features that do not change the rows of the Parquet files; deletion vectors do if there are any, which is checked."""


@dataclass(eq=False)
class DeltaUnreadable(SkewlessError):
    """A Delta table whose current rows cannot be determined."""

    table: str
    reason: str
    mend: str

    def __str__(self) -> str:
        return f"the Delta table {self.table} cannot be read: {self.reason}; {self.mend}"


def is_delta(folder: Path) -> bool:
    return (folder / LOG).is_dir()


def current_files(folder: Path) -> list[Path]:
    """The files of the current version, by path. Raises: DeltaUnreadable."""
    with _opened(folder) as table:
        _check(folder, table)
        return sorted(Path(unquote(urlparse(uri).path)) if "://" in uri else Path(uri) for uri in table.file_uris())


def current_columns(folder: Path) -> set[str]:
    """The columns of the current version; files that were written before one was added lack it. Raises: DeltaUnreadable."""
    with _opened(folder) as table:
        return {field.name for field in table.schema().fields}


@contextmanager
def _opened(folder: Path) -> Iterator[DeltaTable]:
    try:
        from deltalake import DeltaTable  # noqa: PLC0415 - an extra
        from deltalake.exceptions import DeltaError  # noqa: PLC0415
    except ImportError as error:
        mend = 'install the extra `delta`: pip install "skewless[pipelines,delta]"'
        raise DeltaUnreadable(str(folder), "reading its log needs the package deltalake", mend) from error
    try:
        yield DeltaTable(folder)
    except DeltaError as error:
        raise DeltaUnreadable(str(folder), str(error), "mend its log, or restore the table") from error


def _check(folder: Path, table: DeltaTable) -> None:
    """Refuse features under which the rows of the Parquet files differ from the table. Raises: DeltaUnreadable."""
    features = set(table.protocol().reader_features or ())
    if features - _HARMLESS or table.metadata().configuration.get("delta.columnMapping.mode", "none") != "none":
        names = ", ".join(sorted(features - _HARMLESS)) or "columnMapping"
        raise DeltaUnreadable(str(folder), f"it uses {names}", "rewrite it without, as a table of plain columns")
    if "deletionVectors" in features and table.deletion_vectors().read_all().num_rows:
        mend = "run REORG TABLE ... APPLY (PURGE) on it, or write it with delta.enableDeletionVectors=false"
        raise DeltaUnreadable(str(folder), "rows of its files are deleted by deletion vectors", mend)
