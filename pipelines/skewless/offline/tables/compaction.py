"""Folds pushed parts of a table into one file per day, since few large files are faster to read than many small ones.

    <table>/pushed-*.parquet, <table>/day=*/pushed-*.parquet   ->   <table>/day=YYYY-MM-DD/parts.parquet

Rows are folded exactly once, also if it is killed: a day's file lists its parts in its metadata and is replaced in one
rename, so a listed part is not folded again. Folded parts stay until readers that listed the files before have had time to
read them (`keep`); later listings leave them out. A reader that reads both a part and its folded rows gets identical rows,
so the newest row of an entity has the same values. `ingest` writes other files of a day and does not change these.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from skewless.contract.storage.part_files import FOLDED, PREFIX, RECORD, part_time
from skewless.contract.timestamp_arrays import date_array
from skewless.contract.timestamps import UtcMicros, duration_micros, nanos_to_micros
from skewless.contract.value_types import ValueType
from skewless.files.durable import remove_unfinished, replace_file, write_file
from skewless.files.folded_parts import folded_parts
from skewless.offline.tables.columns import in_common_type, time_column
from skewless.offline.tables.source import TableSource, parquet_files, parts_folder
from skewless.offline.values.column_types import mixed_maps, text_type
from skewless.runtime.errors import SourceMismatch
from skewless.runtime.progress import Report, quiet
from skewless.state.locks import WAIT, file_lock

KEEP = timedelta(hours=1)
"""How long folded parts stay: longer than any reader takes from listing files to reading them."""

_LOCK = ".table.lock"
_METADATA = b"skewless.folded"
_BYTES_AT_ONCE = 64 << 20
_PARTS_AT_ONCE = 5_000
_ROWS_A_GROUP = 100_000


@dataclass(frozen=True, slots=True)
class CompactionResult:
    """Result of a run: parts and rows folded, day files written, folded parts removed."""

    parts: int
    rows: int
    files: int
    removed: int


def parts_of(source: TableSource) -> Path:
    """The folder of a table's parts."""
    return parts_folder(source.path) if source.path.is_file() else source.path


def waiting_parts(source: TableSource, before: int) -> list[Path]:
    """The parts that were written before `before` (microseconds) and are not folded yet, oldest first."""
    base = parts_of(source)
    folded = _record(base)
    parts = [file for file in parquet_files(base) if file.name.startswith(PREFIX)]
    waiting = [file for file in parts if str(file.relative_to(base)) not in folded and _written(file) < before]
    return sorted(waiting, key=lambda file: file.name)


def run(
    source: TableSource,
    *,
    before: int,
    now: UtcMicros,
    keep: timedelta = KEEP,
    wait: timedelta = WAIT,
    report: Report = quiet,
) -> CompactionResult:
    """Fold the parts written before `before`, and remove those that were folded `keep` ago; times in microseconds.

    Raises: LockBusy, SourceMismatch (parts whose columns cannot be combined; parts folded before stay folded).
    """
    base = parts_of(source)
    if source.foreign is not None or not base.is_dir():
        return CompactionResult(0, 0, 0, 0)
    with locked(base, "compact", wait):
        parts = waiting_parts(source, before)
        rows = files = done = 0
        for chunk in _chunks(parts):
            report(source.view, done, len(parts))
            more_rows, more_files = _fold(source, base, chunk)
            _note(base, _record(base) | {str(part.relative_to(base)): now for part in chunk})
            rows, files, done = rows + more_rows, files + more_files, done + len(chunk)
        removed = _remove(base, now - duration_micros(keep))
    return CompactionResult(len(parts), rows, files, removed)


def locked(base: Path, verb: str, wait: timedelta = WAIT) -> AbstractContextManager[None]:
    """Hold the exclusive lock for rewriting files of a table. Raises: LockBusy."""
    return file_lock(base / _LOCK, str(base), verb, wait)


def _written(part: Path) -> int:
    time = part_time(part.name)
    return nanos_to_micros(part.stat().st_mtime_ns) if time is None else time


def _chunks(parts: Sequence[Path]) -> Iterator[list[Path]]:
    """Lists of parts that fit into memory together."""
    chunk: list[Path] = []
    size = 0
    for part in parts:
        length = part.stat().st_size
        if chunk and (size + length > _BYTES_AT_ONCE or len(chunk) >= _PARTS_AT_ONCE):
            yield chunk
            chunk, size = [], 0
        chunk.append(part)
        size += length
    if chunk:
        yield chunk


def _fold(source: TableSource, base: Path, parts: Sequence[Path]) -> tuple[int, int]:
    """Fold parts into their days; rows folded and files written."""
    by_day: dict[date, dict[str, pa.Table]] = {}
    for part in parts:
        table = pq.ParquetFile(part).read().replace_schema_metadata(None)
        for day, rows in _days(source, table):
            by_day.setdefault(day, {})[str(part.relative_to(base))] = rows
    rows = files = 0
    for day in sorted(by_day):
        more = _append(source, base / f"day={day.isoformat()}" / FOLDED, base, by_day[day])
        rows, files = rows + more, files + (more > 0)
    return rows, files


def _days(source: TableSource, table: pa.Table) -> Iterator[tuple[date, pa.Table]]:
    days = date_array(time_column(source.view, source.timestamp_field, table.column(source.timestamp_field)))
    for day in days.unique().to_pylist():
        yield day, table.filter(pc.equal(days, pa.scalar(day)))


def _append(source: TableSource, path: Path, base: Path, parts: Mapping[str, pa.Table]) -> int:
    """Rewrite a day's file with the rows of the parts that it does not list yet; how many rows were added."""
    exists = path.is_file()
    folded = _listed(path) if exists else []
    new = {name: rows for name, rows in parts.items() if name not in folded}
    if not new:
        return 0
    former = [pq.read_schema(path).remove_metadata()] if exists else []
    maps = _mixed_maps([*former, *(rows.schema for rows in new.values())])
    try:
        added = pa.concat_tables([_in_texts(source, rows, maps) for rows in new.values()], promote_options="permissive")
        former = [_in_texts(source, schema.empty_table(), maps).schema for schema in former]
        schema = pa.unify_schemas([added.schema, *former], promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise SourceMismatch(
            source.view, "*", f"cannot be combined in the parts of {path.parent.name} ({error})"
        ) from error
    # A removed part cannot be folded again, so its name is dropped from the list.
    names = [name for name in folded if (base / name).exists()] + list(new)
    listed = {_METADATA: json.dumps(names).encode()}
    remove_unfinished(path)
    with (
        replace_file(path) as building,
        pq.ParquetWriter(building, schema.with_metadata(listed), compression="zstd") as writer,
    ):
        for table in (*(_groups(path) if exists else ()), added):
            texts = _in_texts(source, table, maps)
            rows = pa.concat_tables([schema.empty_table(), texts], promote_options="permissive")
            writer.write_table(rows.select(schema.names), row_group_size=_ROWS_A_GROUP)
    return int(added.num_rows)


def _mixed_maps(schemas: Sequence[pa.Schema]) -> dict[str, ValueType]:
    """The maps that these hold in several forms: rows that are pushed over HTTP have them as JSON texts."""
    names = dict.fromkeys(name for schema in schemas for name in schema.names)
    types = {name: {schema.field(name).type for schema in schemas if name in schema.names} for name in names}
    return {name: kind for name, arrow in types.items() if (kind := mixed_maps(arrow)) is not None}


def _in_texts(source: TableSource, table: pa.Table, maps: Mapping[str, ValueType]) -> pa.Table:
    """A table with these columns as JSON texts. Raises: SourceMismatch."""
    for place, name in enumerate(table.column_names):
        if (kind := maps.get(name)) is not None:
            texts = in_common_type(source.view, name, table.column(place), kind, text_type(kind))
            table = table.set_column(place, name, texts)
    return table


def _groups(path: Path) -> Iterator[pa.Table]:
    file = pq.ParquetFile(path)
    for group in range(file.num_row_groups):
        yield file.read_row_group(group).replace_schema_metadata(None)


def _listed(path: Path) -> list[str]:
    """The parts whose rows are in a day's file."""
    metadata = pq.read_metadata(path).metadata or {}
    return list(json.loads(metadata.get(_METADATA, b"[]")))


def _record(base: Path) -> dict[str, int]:
    """The time at which each existing part was folded, by its path."""
    return {name: at for name, at in folded_parts(base).items() if (base / name).exists()}


def _note(base: Path, record: Mapping[str, int]) -> None:
    write_file(base / RECORD, msgspec.json.encode(record, order="sorted"))


def _remove(base: Path, until: UtcMicros) -> int:
    """Remove the parts that were folded at or before `until`; how many were removed."""
    record = _record(base)
    expired = [name for name, at in record.items() if at <= until]
    for name in expired:
        (base / name).unlink()
    if expired:
        _note(base, _record(base))
    return len(expired)
