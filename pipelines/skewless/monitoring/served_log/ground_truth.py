"""Outcomes: the ground-truth labels of served predictions, by request id and row, stored beside the served log.

    <served>/_outcomes/model=NAME/<recorded at>-<random>.parquet

Files are only added, and removed once they are old (`remove_before`). Of several labels of a row, the one recorded last
counts. A label that counts already is not written again, so the same outcomes may be added twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from html import escape
from pathlib import Path
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.json
import pyarrow.parquet as pq
from numpy.typing import NDArray

from skewless.contract.errors import SkewlessError
from skewless.contract.timestamp_arrays import UTC_TIMESTAMP
from skewless.files.durable import write_file
from skewless.offline.tables.source import parquet_files
from skewless.offline.values.csv_input import read_csv
from skewless.runtime.errors import did_you_mean
from skewless.runtime.result_counts import ResultCounts

FOLDER = "_outcomes"
KEYS = ["request_id", "row"]
"""Identify the served row of an outcome: the request's id, and the row's number in the request."""
_SCHEMA = pa.schema(
    [("request_id", pa.string()), ("row", pa.int32()), ("label", pa.float64()), ("recorded_at", UTC_TIMESTAMP)]
)


@dataclass(eq=False)
class BadGroundTruth(SkewlessError):
    """A file of outcomes that is not valid; nothing of it was stored."""

    source: str
    reason: str

    def __str__(self) -> str:
        return f"the outcomes in {self.source} {self.reason}; nothing was stored"


@dataclass(eq=False)
class OutcomesOfNoModel(SkewlessError):
    """Outcomes were given for a model that is neither declared, published, nor was served."""

    model: str
    known: tuple[str, ...]

    def __str__(self) -> str:
        listed = f"; there are {', '.join(self.known)}" if self.known else ""
        return (
            f"there is no model {self.model!r}: it is not in feature_repo/models.py, nor published, nor was it served{listed}; "
            f"{did_you_mean(self.model, self.known)}nothing was stored"
        )


@dataclass(frozen=True, slots=True)
class GroundTruthAdded(ResultCounts):
    """How many outcomes of a batch are new, change an earlier label, or were known already. `unserved` of all these belong to
    rows that the served log does not have: not yet, not sampled, or trimmed.
    """

    new: int
    changed: int
    known: int
    unserved: int

    @property
    def counts(self) -> str:
        """What became of the batch."""
        return f"{self.new:,} new outcomes, {self.changed:,} changed, {self.known:,} known already"

    @property
    def warnings(self) -> list[str]:
        """That the audit will not find the rows of some."""
        if not self.unserved:
            return []
        some = f"{self.unserved:,} of {self.new + self.changed + self.known:,} outcomes are"
        why = "of another request_id or model, not written there yet, not sampled, or trimmed"
        return [f"warning: {some} of rows that the served log does not have ({why}); the audit leaves them out"]

    def __str__(self) -> str:
        return "\n".join([self.counts, *self.warnings])

    def _repr_html_(self) -> str:
        return ResultCounts._repr_html_(self) + "".join(f"<p>{escape(text)}</p>" for text in self.warnings)


@dataclass(frozen=True, slots=True)
class GroundTruth:
    """The outcomes of one model. `folder` is the folder of the served log."""

    folder: Path
    model: str

    @property
    def path(self) -> Path:
        """The folder of the model's outcomes."""
        return self.folder / FOLDER / f"model={self.model}"

    def add(self, batch: pa.Table, recorded_at: datetime) -> GroundTruthAdded:
        """Store outcomes as `read` returns them, atomically in one file."""
        joined = batch.join(self.labels(), keys=KEYS, join_type="left outer", right_suffix="_before")
        known = pc.fill_null(pc.equal(joined.column("label"), joined.column("label_before")), fill_value=False)
        fresh = joined.filter(pc.invert(known))
        changed = pc.sum(pc.is_valid(fresh.column("label_before"))).as_py() or 0
        if len(fresh):
            stamped = fresh.select([*KEYS, "label"]).append_column(
                "recorded_at", pa.array([recorded_at] * len(fresh), UTC_TIMESTAMP)
            )
            self._write(stamped.cast(_SCHEMA).sort_by([(key, "ascending") for key in KEYS]), recorded_at)
        return GroundTruthAdded(len(fresh) - changed, changed, len(batch) - len(fresh), self._unserved(batch))

    def _write(self, table: pa.Table, recorded_at: datetime) -> None:
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd")
        name = f"{recorded_at:%Y%m%dT%H%M%S%f}-{uuid4().hex[:12]}.parquet"
        write_file(self.path / name, sink.getvalue().to_pybytes())

    def _unserved(self, batch: pa.Table) -> int:
        """How many outcomes of a batch belong to no row in the served log; reads only the key columns of these requests."""
        served = self.folder / f"model={self.model}"
        files = [str(file) for file in parquet_files(served)] if served.is_dir() else []
        if not files:
            return len(batch)
        same_request = pc.field("request_id").isin(batch.column("request_id").combine_chunks())
        rows = ds.dataset(files, format="parquet", partitioning=None).to_table(columns=KEYS, filter=same_request)
        return len(batch.join(rows, keys=KEYS, join_type="left anti"))

    def labels(self) -> pa.Table:
        """A table of `request_id`, `row` and the `label` that counts."""
        files = [str(file) for file in parquet_files(self.path)] if self.path.is_dir() else []
        if not files:
            return _SCHEMA.empty_table().select([*KEYS, "label"])
        ordered = ds.dataset(files, format="parquet", partitioning=None).to_table().sort_by("recorded_at")
        last = ordered.group_by(KEYS, use_threads=False).aggregate([("label", "last")])
        return last.rename_columns({"label_last": "label"}).select([*KEYS, "label"])

    def labels_of(self, served: pa.Table) -> NDArray[np.float64]:
        """The label of each row of a served log, in its order; NaN where the outcome is not known."""
        labels = np.full(len(served), np.nan)
        keys = served.select(KEYS).append_column("position", pa.array(np.arange(len(served))))
        joined = keys.join(self.labels(), keys=KEYS, join_type="inner")
        labels[joined.column("position").to_numpy()] = joined.column("label").to_numpy()
        return labels


def remove_before(served: Path, before: date, models: Sequence[str] = ()) -> int:
    """Remove outcomes recorded before a day (UTC), of all models or of those in `models`; returns how many files.

    Their rows were served before that day, and are removed with the days of the served log.
    """
    old = [
        file
        for folder in sorted((served / FOLDER).glob("model=*"))
        if not models or folder.name.removeprefix("model=") in models
        for file in parquet_files(folder)
        if file.name < f"{before:%Y%m%d}"
    ]
    for file in old:
        file.unlink(missing_ok=True)
    return len(old)


def read(path: Path) -> pa.Table:
    """Read outcomes from a JSON Lines, CSV or Parquet file: `request_id`, `label` (0 or 1, or a boolean), and `row` for
    requests of several rows (default: 0). Raises: BadGroundTruth, before anything is stored.
    """
    try:
        table = _READERS[path.suffix](path)
    except KeyError:
        raise BadGroundTruth(str(path), f"must end in {', '.join(_READERS)}") from None
    except (OSError, pa.ArrowException) as error:
        raise BadGroundTruth(str(path), f"cannot be read ({error})") from error
    return checked(table, str(path))


def checked(table: pa.Table, source: str) -> pa.Table:
    """Outcomes in the columns that `read` describes. Raises: BadGroundTruth, which names the `source`."""
    missing = {"request_id", "label"} - set(table.column_names)
    if missing:
        raise BadGroundTruth(source, f"lack the column {min(missing)!r}; they have {table.column_names}")
    if "row" not in table.column_names:
        table = table.append_column("row", pa.array(np.zeros(len(table), np.int32)))
    try:
        typed = pa.table(
            {name: _as_number(table.column(name)).cast(_SCHEMA.field(name).type) for name in (*KEYS, "label")}
        )
    except pa.ArrowException as error:
        raise BadGroundTruth(source, f"have another type ({error})") from error
    return _distinct(typed, source)


def _as_number(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(pa.int8()) if pa.types.is_boolean(column.type) else column


def _distinct(table: pa.Table, source: str) -> pa.Table:
    for name in table.column_names:
        if table.column(name).null_count:
            raise BadGroundTruth(source, f"have no {name} in {table.column(name).null_count} rows")
    if not pc.all(pc.is_in(table.column("label"), pa.array([0.0, 1.0])), min_count=0).as_py():
        raise BadGroundTruth(source, "have labels other than 0 and 1")
    distinct = table.group_by([*KEYS, "label"], use_threads=False).aggregate([])
    if len(distinct.group_by(KEYS).aggregate([])) < len(distinct):
        raise BadGroundTruth(source, "give one row of one request both labels")
    return distinct


_READERS = {
    ".parquet": lambda path: pq.read_table(path, partitioning=None),
    ".csv": lambda path: read_csv(path, {"request_id": pa.string()}),
    ".jsonl": pyarrow.json.read_json,
}
