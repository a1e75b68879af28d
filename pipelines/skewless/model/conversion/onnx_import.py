"""Imports a ready ONNX model: matches its inputs with the columns of a plan, and reads the types of its outputs.

Held by tests/model/publishing/test_publish_onnx.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import onnxruntime as ort

from skewless.contract.errors import SkewlessError
from skewless.contract.model.assembler import column_types
from skewless.contract.model.matrix_scorer import ScoreOutput
from skewless.contract.model.onnx_session import open_session
from skewless.contract.model.signature import InputSpec, Kind, NamedTensors, OutputSpec, SignatureSpec, TensorSignature
from skewless.contract.model.tensor_scorer import ONNX_KINDS
from skewless.contract.plan import Plan
from skewless.contract.value_types import value_type

_PROBABILITIES = "probabilities"
Sample = Callable[[TensorSignature], NamedTensors]
"""Gives the model input of some rows (at least two) for a signature."""


@dataclass(eq=False)
class ModelMismatch(SkewlessError):
    """A graph that cannot be published on this feature service."""

    reason: str

    def __str__(self) -> str:
        return f"the ONNX model cannot be published: {self.reason}"


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """`inputs` maps a model input to its columns where their names differ; `outputs` selects outputs, empty means all."""

    inputs: Mapping[str, Sequence[str]] = field(default_factory=dict)
    outputs: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class ImportedModel:
    """The model in a bundle's manifest: the `output` that is its score, and its `signature`, None for a model that takes one
    matrix. `fallback` is the signature for a matrix model whose scores turn out to depend on the other rows of a batch.
    """

    output: ScoreOutput
    signature: SignatureSpec | None
    fallback: SignatureSpec | None = None


def read(graph: bytes, plan: Plan, options: ImportOptions, sample: Sample) -> ImportedModel:
    """Find the signature of a graph in terms of a plan's columns.

    A graph from one float32 matrix of all columns to one float32 per row (or to the `probabilities` of two classes, of
    which the second is the score) becomes a matrix model. Raises: ModelMismatch, InvalidPlan.
    """
    try:
        session = open_session(graph)
    except Exception as error:  # ONNX Runtime raises its own kinds
        raise ModelMismatch(f"ONNX Runtime does not load it ({error})") from error
    inputs, outputs = tuple(_inputs(session, plan, options.inputs)), options.outputs
    selected = _selected_outputs(session, outputs)
    signature = TensorSignature(plan, SignatureSpec(inputs, ()))
    specs = _output_specs(session, selected, sample(signature))
    if _is_matrix(inputs, plan):
        if len(specs) == 1 and specs[0].kind == "float32" and specs[0].width is None:
            return ImportedModel(ScoreOutput(specs[0].name), None, SignatureSpec(inputs, specs))
        matches = [spec for spec in specs if spec.name == _PROBABILITIES and spec.width == 2 and spec.kind == "float32"]
        if matches and (not outputs or len(specs) == 1):
            return ImportedModel(ScoreOutput(matches[0].name, 1), None, SignatureSpec(inputs, specs))
    return ImportedModel(ScoreOutput(specs[0].name), SignatureSpec(inputs, specs))


def _inputs(session: ort.InferenceSession, plan: Plan, mapping: Mapping[str, Sequence[str]]) -> list[InputSpec]:
    named, nodes = _columns_by_name(plan), session.get_inputs()
    unknown = sorted(set(mapping) - {node.name for node in nodes})
    if unknown:
        raise ModelMismatch(f"it has no input {unknown[0]!r}; it has {[node.name for node in nodes]}")
    columns_of: dict[str, tuple[str, ...]] = {
        name: tuple(named.get(column, column) for column in columns) for name, columns in mapping.items()
    }
    for node in nodes:
        if node.name not in columns_of and node.name in named:
            columns_of[node.name] = (named[node.name],)
    rest = [node.name for node in nodes if node.name not in columns_of]
    if len(rest) == 1:
        used = {name for columns in columns_of.values() for name in columns}
        columns_of[rest[0]] = tuple(column.name for column in plan.columns if column.name not in used)
    if len(rest) > 1:
        raise ModelMismatch(f"the columns of its inputs are not known; name them as `inputs`: {_example(rest)}")
    return [_tensor(node, columns_of[node.name]) for node in nodes]


def _columns_by_name(plan: Plan) -> dict[str, str]:
    """Column names by the column's full name, and by the feature's own name where only one column has it."""
    short: dict[str, list[str]] = {}
    for column in plan.columns:
        short.setdefault(column.source.name, []).append(column.name)
    unique = {name: columns[0] for name, columns in short.items() if len(columns) == 1}
    return unique | {column.name: column.name for column in plan.columns}


def _example(names: Sequence[str]) -> str:
    return " ".join(f"{name}=COLUMN,COLUMN" for name in names)


def _tensor(node: Any, columns: tuple[str, ...]) -> InputSpec:  # noqa: ANN401 - ONNX Runtime has no types
    kind, rank = ONNX_KINDS.get(node.type), len(node.shape)
    if kind is None or rank not in (1, 2):
        raise ModelMismatch(f"its input {node.name!r} is {node.type} {node.shape}, which no column fits")
    width = node.shape[1] if rank == 2 else 1
    if not columns or (isinstance(width, int) and width != len(columns)):
        mapped = f"{len(columns)} columns {list(columns)}"
        raise ModelMismatch(f"its input {node.name!r} has {width} columns and was given {mapped}")
    return InputSpec(node.name, cast("Kind", kind), columns, flat=rank == 1)


def _selected_outputs(session: ort.InferenceSession, outputs: Sequence[str]) -> list[Any]:
    nodes = {node.name: node for node in session.get_outputs()}
    for name in outputs or nodes:
        if name not in nodes:
            raise ModelMismatch(f"it has no output {name!r}; it has {list(nodes)}")
        if nodes[name].type not in ONNX_KINDS:
            remedy = "convert with zipmap=False, or name the others as `outputs`"
            raise ModelMismatch(f"its output {name!r} is {nodes[name].type}: {remedy}")
    return [nodes[name] for name in outputs or nodes]


def _output_specs(session: ort.InferenceSession, nodes: Sequence[Any], sample: NamedTensors) -> tuple[OutputSpec, ...]:
    """The types and widths of the outputs, from a run: the shapes that graphs declare are not always right."""
    rows = len(next(iter(sample.values())))
    try:
        results = session.run([node.name for node in nodes], sample)
    except Exception as error:  # ONNX Runtime raises its own kinds
        raise ModelMismatch(f"it does not run on the training set's rows ({error})") from error
    specs = []
    for node, result in zip(nodes, results, strict=True):
        shape = np.shape(result)
        if not shape or shape[0] != rows or len(shape) > 2:
            raise ModelMismatch(f"its output {node.name!r} has shape {shape} for {rows} rows")
        single = len(shape) == 1 or shape[1] == 1
        specs.append(OutputSpec(node.name, cast("Kind", ONNX_KINDS[node.type]), None if single else int(shape[1])))
    return tuple(specs)


def _is_matrix(inputs: Sequence[InputSpec], plan: Plan) -> bool:
    types = column_types(plan)
    numbers = all(not value_type(types[column.source]).text for column in plan.columns)
    names = tuple(column.name for column in plan.columns)
    return numbers and [(spec.kind, spec.columns, spec.flat) for spec in inputs] == [("float32", names, False)]
