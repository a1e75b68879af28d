"""Golden rows: some training rows with their model input and scores, after the proof that a row's input and score depend
on the row alone: not on the size of the batch, its position in the batch, or other threads.

Held by tests/model/publishing/test_publish.py.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from skewless.contract.columns import ColumnValues
from skewless.contract.errors import InvalidBundle
from skewless.contract.model.assembler import Assembler
from skewless.contract.model.bundle import BundleModel, golden_table, untransformed_values
from skewless.contract.model.signature import Array, differing
from skewless.contract.model.transforms import reference
from skewless.contract.plan import ColumnSource

_ROWS = 256
_ODD_BATCHES = (1, 3, 7, 16, 33)
_BATCHES = (1, 2, 5, 8, 15, 17, 31, 32, 64, 100, 333, 1_000)
_MOST_ROWS = 1_000
"""The most rows that a request may have."""
_STRIDE = 7_919
_THREADS = 4


def sample_rows(table: pa.Table) -> pa.Table:
    """Up to 256 rows, evenly spaced over a table."""
    return table.take(pa.array(np.linspace(0, len(table) - 1, min(_ROWS, len(table))).astype(np.int64)))


def prove(rows: pa.Table, assembler: Assembler, model: BundleModel) -> bytes:
    """The golden rows as Parquet. Raises: InvalidBundle where a row's input or score depends on its batch."""
    sources = untransformed_values(assembler.plan, assembler.untransformed, rows)
    inputs = model.signature.assemble(assembler, assembler.complete(sources))
    scores = model.score(inputs)
    input_arrays, score_arrays = model.signature.input_arrays(inputs), model.signature.output_arrays(scores)
    for size in _ODD_BATCHES:
        for start in range(0, len(rows), size):
            part = {source: _slice(values, start, size) for source, values in sources.items()}
            again = model.signature.assemble(assembler, assembler.complete(part))
            rescored = model.signature.output_arrays(model.score(again))
            _require_equal(
                _part(input_arrays, start, size), model.signature.input_arrays(again), "model input", start, size
            )
            _require_equal(_part(score_arrays, start, size), rescored, "score", start, size)
    if assembler.plan.transforms:
        _check_transforms(assembler, model, sources, input_arrays)
    check_scores(model, input_arrays, score_arrays)
    buffer = io.BytesIO()
    untransformed = rows.select([reference(source) for source in assembler.untransformed])
    pq.write_table(golden_table(untransformed, model.signature, inputs, scores), buffer, compression="zstd")
    return buffer.getvalue()


def check_scores(model: BundleModel, inputs: Sequence[Array], scores: Sequence[Array]) -> None:
    """Check that the model gives these inputs the same scores in batches of up to 1,000 rows, at other positions, and while
    other threads run it. Raises: InvalidBundle.
    """
    order = _request_rows(len(scores[0]))
    requested, expected = [array[order] for array in inputs], [array[order] for array in scores]

    def check(size: int) -> None:
        for start in range(0, _MOST_ROWS, size):
            rescored = _score(model, _part(requested, start, size))
            _require_equal(_part(expected, start, size), rescored, "score", start, size)

    _check_batches(check)


def _check_transforms(
    assembler: Assembler, model: BundleModel, sources: Mapping[ColumnSource, ColumnValues], inputs: Sequence[Array]
) -> None:
    """The same check for the model inputs that the transforms make of the `sources`. Raises: InvalidBundle."""
    order = _request_rows(len(inputs[0]))
    requested = {source: ColumnValues(values.data[order], values.valid[order]) for source, values in sources.items()}
    expected = [array[order] for array in inputs]

    def check(size: int) -> None:
        for start in range(0, _MOST_ROWS, size):
            part = {source: _slice(values, start, size) for source, values in requested.items()}
            again = model.signature.input_arrays(model.signature.assemble(assembler, assembler.complete(part)))
            _require_equal(_part(expected, start, size), again, "model input", start, size)

    _check_batches(check)


def _request_rows(rows: int) -> NDArray[np.int64]:
    """The numbers of 1,000 rows out of so many, in another order."""
    return np.arange(_MOST_ROWS) * _STRIDE % rows


def _check_batches(check: Callable[[int], None]) -> None:
    """Check with batches of each size, then with the four largest sizes in concurrent threads."""
    for size in _BATCHES:
        check(size)
    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(check, _BATCHES[-_THREADS:]))


def _score(model: BundleModel, arrays: Sequence[Array]) -> list[Array]:
    inputs = model.signature.from_arrays(arrays)
    return model.signature.output_arrays(model.score(inputs))


def _part(arrays: Sequence[Array], start: int, size: int) -> list[Array]:
    return [array[start : start + size] for array in arrays]


def _slice(values: ColumnValues, start: int, size: int) -> ColumnValues:
    return ColumnValues(values.data[start : start + size], values.valid[start : start + size])


def _require_equal(expected: Sequence[Array], part: Sequence[Array], what: str, start: int, size: int) -> None:
    if any(a.shape != b.shape or differing(a, b).any() for a, b in zip(expected, part, strict=True)):
        raise InvalidBundle("model.onnx", f"the {what} of row {start} and on depends on the batch ({size} rows or all)")
