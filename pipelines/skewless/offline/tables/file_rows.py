"""Rows of files that somebody has: CSV, JSON Lines and Parquet, as Arrow record batches."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import islice
from pathlib import Path

import fsspec
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from skewless.contract.value_types import ValueType
from skewless.offline.tables.row_batches import of_dicts
from skewless.offline.tables.row_shape import IngestMismatch
from skewless.offline.values.csv_input import numbers, read_csv
from skewless.offline.values.exact_values import InexactValue

_LINES = 10_000


def batches(table: str, file: Path, types: Mapping[str, ValueType], times: Collection[str]) -> Iterator[pa.RecordBatch]:
    """The rows of a file. `types` are the declared types, by the file's names, and `times` its columns of times: of a CSV,
    which has only texts, these columns are read as what they are declared, the others as they look. Raises: IngestMismatch.
    """
    kinds = file.suffixes[-2:] if file.suffix in (".gz", ".bz2", ".zst") else file.suffixes[-1:]
    reader = _READERS.get(kinds[0] if kinds else "")
    if reader is None:
        known = ", ".join(_READERS)
        raise IngestMismatch(table, str(file), f"its name does not say what it holds; it may end in {known}")
    try:
        yield from reader(file, types, times)
    except FileNotFoundError:
        raise IngestMismatch(table, str(file), "there is no such file") from None
    except _BadLine as error:
        raise IngestMismatch(table, str(file), str(error)) from None
    except (pa.ArrowInvalid, pa.ArrowTypeError, OSError) as error:
        raise IngestMismatch(table, str(file), f"it cannot be read as {kinds[0][1:]}: {error}") from error


class _BadLine(Exception):
    """A line or a value of a text file is not what it must be."""


def _parquet(file: Path, types: Mapping[str, ValueType], times: Collection[str]) -> Iterator[pa.RecordBatch]:
    del types, times
    with pq.ParquetFile(file) as opened:
        yield from opened.iter_batches()


def _csv(file: Path, types: Mapping[str, ValueType], times: Collection[str]) -> Iterator[pa.RecordBatch]:
    texts = dict.fromkeys([*types, *times], pa.string())
    rows = read_csv(file, texts)
    row = 0
    for batch in rows.to_batches():
        columns = {
            name: _typed(name, column, types[name], row) if name in types and name not in times else column
            for name, column in zip(batch.schema.names, batch.columns, strict=True)
        }
        yield pa.RecordBatch.from_pydict(columns) if len(columns) == batch.num_columns else batch
        row += batch.num_rows


def _typed(name: str, column: pa.Array, kind: ValueType, row: int) -> pa.Array:
    """Texts as numbers or booleans, where they are declared. "1.0" may be a whole number. Raises: _BadLine."""
    if kind.encoding != "fixed" or kind.name == "UnixTimestamp":
        return column
    try:
        return numbers(column, kind.arrow)
    except InexactValue as error:
        raise _BadLine(
            f"column {name!r} has {error.value!r} in row {row + error.row + 1}, which is no {kind.name}"
        ) from None


def _json_lines(file: Path, types: Mapping[str, ValueType], times: Collection[str]) -> Iterator[pa.RecordBatch]:
    with fsspec.open(str(file), "rb", compression="infer") as stream:
        lines = enumerate(stream, 1)
        while part := list(islice(lines, _LINES)):
            rows = [_object(number, line) for number, line in part if line.strip()]
            if rows:
                # JSON leaves out what is missing.
                yield of_dicts([dict.fromkeys([*types, *times]) | rows[0], *rows[1:]])


def _object(number: int, line: bytes) -> dict[str, object]:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise _BadLine(f"line {number} is not JSON: {error}") from None
    if not isinstance(row, dict):
        raise _BadLine(f'line {number} is not an object, as {{"customer": 7}}')
    return row


_Reader = Callable[[Path, Mapping[str, ValueType], Collection[str]], Iterator[pa.RecordBatch]]
_READERS: dict[str, _Reader] = {".csv": _csv, ".jsonl": _json_lines, ".ndjson": _json_lines, ".parquet": _parquet}
