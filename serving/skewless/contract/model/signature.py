"""What a model takes and returns: one float32 matrix and one score a row, or named inputs and outputs of several types.

Logs, golden rows, batch scores and the audit see both kinds alike: as groups of values, each group a column of a table
and an array of n rows by its names.

Held by tests/model/publishing/test_publish_onnx.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skewless.contract.columns import ColumnValues
from skewless.contract.errors import InvalidPlan
from skewless.contract.model.assembler import Assembler, Matrix, column_input, column_types
from skewless.contract.model.transforms import as_input
from skewless.contract.plan import ColumnSource, ModelColumn, Plan
from skewless.contract.value_types import value_type

Kind = Literal["float32", "float64", "int32", "int64", "bool", "string"]
MODEL_INPUT, SCORE = "model_input", "score"
_ARROW = {
    "float32": pa.float32(),
    "float64": pa.float64(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "bool": pa.bool_(),
    "string": pa.string(),
}
_WHOLE = ("Int32", "Int64", "Bool", "UnixTimestamp")
Array = NDArray[Any]
NamedTensors = dict[str, Array]
"""The inputs of a graph by name: n values, or n x columns."""


class NullInTensor(Exception):
    """A column that holds a value for each row holds a null."""


class InputSpec(msgspec.Struct, frozen=True):
    """An input of a graph: `columns` of the plan side by side; `flat`: n values, where a single column is n x 1 else."""

    name: str
    kind: Kind
    columns: tuple[str, ...]
    flat: bool = False


class OutputSpec(msgspec.Struct, frozen=True):
    """An output of a graph that is told: `width` values a row, None where it is one by itself."""

    name: str
    kind: Kind
    width: int | None = None


class SignatureSpec(msgspec.Struct, frozen=True):
    """The named inputs and outputs of a model. `rows_a_run`: how many rows each run of the graph is given, filled up by
    the last one, where a score would depend on it else; 0: as many as there are.
    """

    inputs: tuple[InputSpec, ...]
    outputs: tuple[OutputSpec, ...]
    rows_a_run: int = 0


class ModelOutputs:
    """What a model tells of n rows, by output: n values, or n x width."""

    def __init__(self, arrays: Mapping[str, Array]) -> None:
        self.arrays = dict(arrays)

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    def tolist(self) -> list[Any]:
        """A row each: the value or values of the only output, or an object of all outputs."""
        columns = {name: array.tolist() for name, array in self.arrays.items()}
        if len(columns) == 1:
            return next(iter(columns.values()))
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


ModelInput = Matrix | NamedTensors
Scores = NDArray[np.float32] | ModelOutputs


class ColumnGroup(NamedTuple):
    """Values of one kind that stand side by side, as a column of tables; a plain one where there is one name."""

    column: str
    kind: Kind
    names: tuple[str, ...]
    alone: bool = False

    @property
    def field(self) -> pa.Field:
        kind = _ARROW[self.kind]
        return pa.field(self.column, kind if self.alone else pa.list_(kind, len(self.names)))


class ModelSignature(Protocol):
    """What one model takes and returns: `inputs` and `outputs` are the groups of its values in tables.

    Each signature is given what belongs to its own model. Raises: TypeError where that belongs to the other kind.
    """

    inputs: tuple[ColumnGroup, ...]
    outputs: tuple[ColumnGroup, ...]

    def assemble(self, assembler: Assembler, values: Mapping[ColumnSource, ColumnValues]) -> ModelInput: ...
    def zeros(self, rows: int) -> ModelInput: ...
    def input_arrays(self, inputs: ModelInput) -> list[Array]: ...
    def output_arrays(self, scores: Scores) -> list[Array]: ...
    def from_arrays(self, arrays: Sequence[Array]) -> ModelInput: ...


class MatrixSignature:
    """One float32 matrix of the plan's columns, one float32 score a row. Raises: InvalidPlan where a column is a text."""

    def __init__(self, plan: Plan) -> None:
        types = column_types(plan)
        for column in plan.columns:
            if value_type(types[column.source]).text:
                raise InvalidPlan(
                    plan.name, f"column {column.name!r} is a {types[column.source]}; models of one matrix take numbers"
                )
        self.inputs: tuple[ColumnGroup, ...] = (
            ColumnGroup(MODEL_INPUT, "float32", tuple(column.name for column in plan.columns)),
        )
        self.outputs: tuple[ColumnGroup, ...] = (ColumnGroup(SCORE, "float32", (SCORE,), alone=True),)

    def assemble(self, assembler: Assembler, values: Mapping[ColumnSource, ColumnValues]) -> Matrix:
        return assembler.matrix(values)

    def zeros(self, rows: int) -> Matrix:
        """An input of zeros, to warm a model with."""
        return np.zeros((rows, len(self.inputs[0].names)), np.float32)

    def input_arrays(self, inputs: ModelInput) -> list[Array]:
        return [as_matrix(inputs)]

    def output_arrays(self, scores: Scores) -> list[Array]:
        if isinstance(scores, ModelOutputs):
            raise TypeError("these are outputs of a model with named tensors; this one returns one score a row")
        return [scores.reshape(-1, 1)]

    def from_arrays(self, arrays: Sequence[Array]) -> Matrix:
        return arrays[0]


class TensorSignature:
    """Named inputs and outputs. Raises: InvalidPlan where a column does not fit the input that takes it."""

    def __init__(self, plan: Plan, spec: SignatureSpec) -> None:
        types, columns = column_types(plan), {column.name: column for column in plan.columns}
        self._spec = spec
        self._columns = {
            tensor.name: tuple(_column_of(plan, tensor, columns.get(name), name, types) for name in tensor.columns)
            for tensor in spec.inputs
        }
        self.inputs = tuple(
            ColumnGroup(f"{MODEL_INPUT}:{output.name}", output.kind, output.columns, alone=len(output.columns) == 1)
            for output in spec.inputs
        )
        only = len(spec.outputs) == 1
        self.outputs = tuple(
            _output_group(SCORE if only else f"{SCORE}:{output.name}", output) for output in spec.outputs
        )

    def assemble(self, _: Assembler, values: Mapping[ColumnSource, ColumnValues]) -> NamedTensors:
        made = {}
        for tensor in self._spec.inputs:
            columns = [
                tensor_column(values[column.source], tensor.kind, column.default)
                for column in self._columns[tensor.name]
            ]
            made[tensor.name] = columns[0] if tensor.flat else np.ascontiguousarray(np.stack(columns, axis=1))
        return made

    def zeros(self, rows: int) -> NamedTensors:
        """An input of zeros and empty texts, to warm a model with."""
        made = {}
        for tensor in self._spec.inputs:
            shape = (rows,) if tensor.flat else (rows, len(tensor.columns))
            made[tensor.name] = np.full(shape, "", object) if tensor.kind == "string" else np.zeros(shape, tensor.kind)
        return made

    def input_arrays(self, inputs: ModelInput) -> list[Array]:
        tensors = as_tensors(inputs)
        return [
            tensors[output.name].reshape(len(tensors[output.name]), len(output.columns)) for output in self._spec.inputs
        ]

    def output_arrays(self, scores: Scores) -> list[Array]:
        if not isinstance(scores, ModelOutputs):
            raise TypeError("this is one score a row; this model returns named outputs")
        return [scores.arrays[output.name].reshape(len(scores), output.width or 1) for output in self._spec.outputs]

    def from_arrays(self, arrays: Sequence[Array]) -> NamedTensors:
        pairs = zip(self._spec.inputs, arrays, strict=True)
        return {output.name: array[:, 0] if output.flat else array for output, array in pairs}


def as_matrix(inputs: ModelInput) -> Matrix:
    """The input of a model of one matrix. Raises: TypeError."""
    if isinstance(inputs, dict):
        raise TypeError(f"these are named inputs ({', '.join(inputs)}); this model takes one matrix")
    return inputs


def as_tensors(inputs: ModelInput) -> NamedTensors:
    """The inputs of a model that names them. Raises: TypeError."""
    if not isinstance(inputs, dict):
        raise TypeError("this is one matrix; this model takes named inputs")
    return inputs


def tensor_column(values: ColumnValues, kind: Kind, default: float | None) -> Array:
    """Values as a column of an input of some kind; where null the default, else NaN or the empty text."""
    if kind == "string":
        return np.where(values.valid, values.data, "").astype(object)
    if kind == "float32":
        return column_input(values, default)
    if kind == "float64":
        wide = as_input(values, np.dtype("<f8"))
        return wide if default is None else np.where(values.valid, wide, default)
    return np.where(values.valid, values.data, np.array(default).astype(values.data.dtype)).astype(kind)


def _column_of(
    plan: Plan, tensor: InputSpec, column: ModelColumn | None, name: str, types: Mapping[ColumnSource, str]
) -> ModelColumn:
    if column is None:
        raise InvalidPlan(plan.name, f"its model's input {tensor.name!r} takes {name!r}, which is no column of it")
    dtype = types[column.source]
    text, whole = value_type(dtype).text, tensor.kind in ("int32", "int64", "bool")
    fits = text == (tensor.kind == "string") and (not whole or dtype in _WHOLE)
    if not fits or (tensor.flat and len(tensor.columns) > 1):
        raise InvalidPlan(plan.name, f"column {name!r} is a {dtype}; input {tensor.name!r} takes {tensor.kind}")
    if whole and (column.default is None or not column.default.is_integer()):
        mend = "a null is no whole number: give the feature a whole `default` tag, or let the model take floats"
        raise InvalidPlan(plan.name, f"input {tensor.name!r} takes {name!r} as {tensor.kind}, and {mend}")
    return column


def _output_group(column: str, output: OutputSpec) -> ColumnGroup:
    if output.width is None:
        return ColumnGroup(column, output.kind, (column,), alone=True)
    return ColumnGroup(column, output.kind, tuple(f"{column}[{place}]" for place in range(output.width)))


def to_columns(groups: Sequence[ColumnGroup], arrays: Sequence[Array]) -> list[pa.Array]:
    """Arrays of n rows as the groups' columns; every bit is kept."""
    columns = []
    for group, array in zip(groups, arrays, strict=True):
        flat = pa.array(array.reshape(-1), _ARROW[group.kind])
        columns.append(flat if group.alone else pa.FixedSizeListArray.from_arrays(flat, len(group.names)))
    return columns


def from_columns(groups: Sequence[ColumnGroup], table: pa.Table) -> list[Array]:
    """The arrays that were written as columns. Raises: KeyError, pa.ArrowException, NullInTensor."""
    arrays = []
    for group in groups:
        column = table.column(group.column).cast(group.field.type).combine_chunks()
        whole = column.chunk(0) if isinstance(column, pa.ChunkedArray) else column
        flat = whole if group.alone else whole.flatten()
        if flat.null_count or len(flat) != len(group.names) * table.num_rows:
            raise NullInTensor(group.column)
        array = flat.to_numpy(zero_copy_only=False)
        arrays.append(array.reshape(table.num_rows, len(group.names)))
    return arrays


def differing(then: Array, now: Array) -> NDArray[np.bool_]:
    """Where two arrays of one kind differ, numbers in any bit."""
    if then.dtype.kind == "f":
        bits = np.dtype(f"<u{then.dtype.itemsize}")
        differs: NDArray[np.bool_] = np.ascontiguousarray(then).view(bits) != np.ascontiguousarray(now).view(bits)
        return differs
    return np.asarray(then != now, np.bool_)


def cells(groups: Sequence[ColumnGroup], arrays: Sequence[Array]) -> list[tuple[str, Array]]:
    """The values of groups one by one: a name and an array of n each."""
    pairs = zip(groups, arrays, strict=True)
    return [(name, array[:, place]) for group, array in pairs for place, name in enumerate(group.names)]
