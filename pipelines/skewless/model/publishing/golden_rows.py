"""Golden rows: some training rows with the model input and scores that they gave, after the proof that what a row gets
depends on nothing but the row: not on how many rows are asked about with it, its place among them, or other threads.

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
from skewless.contract.model.bundle import BundleModel, given_values, golden_table
from skewless.contract.model.signature import Array, differing
from skewless.contract.model.transforms import reference
from skewless.contract.plan import ColumnSource

_ROWS = 256
_ODD_BATCHES = (1, 3, 7, 16, 33)
_BATCHES = (1, 2, 5, 8, 15, 17, 31, 32, 64, 100, 333, 1_000)
_MOST_ROWS = 1_000
"""As many rows as a request may have."""
_STRIDE = 7_919
_THREADS = 4


def chosen(table: pa.Table) -> pa.Table:
    """Up to 256 rows spread evenly over a table."""
    return table.take(pa.array(np.linspace(0, len(table) - 1, min(_ROWS, len(table))).astype(np.int64)))


def prove(rows: pa.Table, assembler: Assembler, model: BundleModel) -> bytes:
    """The golden rows as Parquet. Raises: InvalidBundle where a row's input or score depends on what is around it."""
    given = given_values(assembler.plan, assembler.given, rows)
    inputs = model.signature.assemble(assembler, assembler.complete(given))
    scores = model.score(inputs)
    taken, told = model.signature.input_arrays(inputs), model.signature.output_arrays(scores)
    for size in _ODD_BATCHES:
        for start in range(0, len(rows), size):
            part = {source: _slice(values, start, size) for source, values in given.items()}
            again = model.signature.assemble(assembler, assembler.complete(part))
            _demand_equal(_part(taken, start, size), model.signature.input_arrays(again), "model input", start, size)
            _demand_equal(
                _part(told, start, size), model.signature.output_arrays(model.score(again)), "score", start, size
            )
    if assembler.plan.transforms:
        _transforms_independent(assembler, model, given, taken)
    independent(model, taken, told)
    buffer = io.BytesIO()
    bare = rows.select([reference(source) for source in assembler.given])
    pq.write_table(golden_table(bare, model.signature, inputs, scores), buffer, compression="zstd")
    return buffer.getvalue()


def independent(model: BundleModel, taken: Sequence[Array], told: Sequence[Array]) -> None:
    """Demand that inputs (`taken`) get their scores (`told`) in batches of up to 1,000 rows, in other places, and while
    other threads run the model. Raises: InvalidBundle.
    """
    order = _many(len(told[0]))
    many, expected = [array[order] for array in taken], [array[order] for array in told]

    def check(size: int) -> None:
        for start in range(0, _MOST_ROWS, size):
            scores = _scored(model, _part(many, start, size))
            _demand_equal(_part(expected, start, size), scores, "score", start, size)

    _everywhere(check)


def _transforms_independent(
    assembler: Assembler, model: BundleModel, given: Mapping[ColumnSource, ColumnValues], taken: Sequence[Array]
) -> None:
    """The same of the inputs (`taken`) that the `given` values make. Raises: InvalidBundle."""
    order = _many(len(taken[0]))
    many = {source: ColumnValues(values.data[order], values.valid[order]) for source, values in given.items()}
    expected = [array[order] for array in taken]

    def check(size: int) -> None:
        for start in range(0, _MOST_ROWS, size):
            part = {source: _slice(values, start, size) for source, values in many.items()}
            again = model.signature.input_arrays(model.signature.assemble(assembler, assembler.complete(part)))
            _demand_equal(_part(expected, start, size), again, "model input", start, size)

    _everywhere(check)


def _many(rows: int) -> NDArray[np.int64]:
    """As many rows as a request may have, out of so many, in another order."""
    return np.arange(_MOST_ROWS) * _STRIDE % rows


def _everywhere(check: Callable[[int], None]) -> None:
    """Check by batches of each size, then of some while other threads do so too."""
    for size in _BATCHES:
        check(size)
    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(check, _BATCHES[-_THREADS:]))


def _scored(model: BundleModel, arrays: Sequence[Array]) -> list[Array]:
    return model.signature.output_arrays(model.score(model.signature.from_arrays(arrays)))


def _part(arrays: Sequence[Array], start: int, size: int) -> list[Array]:
    return [array[start : start + size] for array in arrays]


def _slice(values: ColumnValues, start: int, size: int) -> ColumnValues:
    return ColumnValues(values.data[start : start + size], values.valid[start : start + size])


def _demand_equal(whole: Sequence[Array], part: Sequence[Array], what: str, start: int, size: int) -> None:
    if any(a.shape != b.shape or differing(a, b).any() for a, b in zip(whole, part, strict=True)):
        raise InvalidBundle("model.onnx", f"the {what} of row {start} and on depends on the batch ({size} rows or all)")
