"""A ready ONNX model read against a plan: which columns its inputs take, what its outputs tell, and in which form.

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
"""The input of some rows (two at least) in a form."""


@dataclass(eq=False)
class ModelMismatch(SkewlessError):
    """A graph that cannot be published on this feature service."""

    reason: str

    def __str__(self) -> str:
        return f"the ONNX model cannot be published: {self.reason}"


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """`inputs` names the columns of inputs whose own names do not; `outputs` are those to tell, all where it is empty."""

    inputs: Mapping[str, Sequence[str]] = field(default_factory=dict)
    outputs: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class ImportedModel:
    """What a bundle's manifest says of the model: its score's `output`, and the `signature` unless it takes a matrix;
    `otherwise` is that of a matrix whose scores turn out to depend on the rows around them.
    """

    output: ScoreOutput
    signature: SignatureSpec | None
    otherwise: SignatureSpec | None = None


def read(graph: bytes, plan: Plan, asked: ImportOptions, sample: Sample) -> ImportedModel:
    """Find a form for a graph, in the words of a plan.

    A float32 matrix of all columns that gives one float32 (or the `probabilities` of two classes, of which the second
    is told) is taken as a matrix. Raises: ModelMismatch, InvalidPlan.
    """
    try:
        session = open_session(graph)
    except Exception as error:  # ONNX Runtime raises its own kinds
        raise ModelMismatch(f"ONNX Runtime does not load it ({error})") from error
    inputs, outputs = tuple(_inputs(session, plan, asked.inputs)), asked.outputs
    chosen = _chosen(session, outputs)
    signature = TensorSignature(plan, SignatureSpec(inputs, ()))
    told = _shapes(session, chosen, sample(signature))
    if _is_matrix(inputs, plan):
        if len(told) == 1 and told[0].kind == "float32" and told[0].width is None:
            return ImportedModel(ScoreOutput(told[0].name), None, SignatureSpec(inputs, told))
        found = [one for one in told if one.name == _PROBABILITIES and one.width == 2 and one.kind == "float32"]
        if found and (not outputs or len(told) == 1):
            return ImportedModel(ScoreOutput(found[0].name, 1), None, SignatureSpec(inputs, told))
    return ImportedModel(ScoreOutput(told[0].name), SignatureSpec(inputs, told))


def _inputs(session: ort.InferenceSession, plan: Plan, given: Mapping[str, Sequence[str]]) -> list[InputSpec]:
    named, nodes = _columns_by_name(plan), session.get_inputs()
    unknown = sorted(set(given) - {node.name for node in nodes})
    if unknown:
        raise ModelMismatch(f"it has no input {unknown[0]!r}; it has {[node.name for node in nodes]}")
    taken: dict[str, tuple[str, ...]] = {
        name: tuple(named.get(one, one) for one in columns) for name, columns in given.items()
    }
    for node in nodes:
        if node.name not in taken and node.name in named:
            taken[node.name] = (named[node.name],)
    rest = [node.name for node in nodes if node.name not in taken]
    if len(rest) == 1:
        used = {name for columns in taken.values() for name in columns}
        taken[rest[0]] = tuple(column.name for column in plan.columns if column.name not in used)
    if len(rest) > 1:
        raise ModelMismatch(f"which columns do its inputs take? Say it: {_example(rest)}")
    return [_tensor(node, taken[node.name]) for node in nodes]


def _columns_by_name(plan: Plan) -> dict[str, str]:
    """Columns by their full names, and by the feature's own where only one column has it."""
    short: dict[str, list[str]] = {}
    for column in plan.columns:
        short.setdefault(column.source.name, []).append(column.name)
    alone = {name: columns[0] for name, columns in short.items() if len(columns) == 1}
    return alone | {column.name: column.name for column in plan.columns}


def _example(names: Sequence[str]) -> str:
    return " ".join(f"--input {name}=COLUMN,COLUMN" for name in names)


def _tensor(node: Any, columns: tuple[str, ...]) -> InputSpec:  # noqa: ANN401 - ONNX Runtime has no types
    kind, rank = ONNX_KINDS.get(node.type), len(node.shape)
    if kind is None or rank not in (1, 2):
        raise ModelMismatch(f"its input {node.name!r} is {node.type} {node.shape}, which no column fits")
    width = node.shape[1] if rank == 2 else 1
    if not columns or (isinstance(width, int) and width != len(columns)):
        has = f"{len(columns)} columns {list(columns)}"
        raise ModelMismatch(f"its input {node.name!r} has {width} columns and was given {has}")
    return InputSpec(node.name, cast("Kind", kind), columns, flat=rank == 1)


def _chosen(session: ort.InferenceSession, outputs: Sequence[str]) -> list[Any]:
    nodes = {node.name: node for node in session.get_outputs()}
    for name in outputs or nodes:
        if name not in nodes:
            raise ModelMismatch(f"it has no output {name!r}; it has {list(nodes)}")
        if nodes[name].type not in ONNX_KINDS:
            mend = "convert with zipmap=False, or name the others by --output"
            raise ModelMismatch(f"its output {name!r} is {nodes[name].type}: {mend}")
    return [nodes[name] for name in outputs or nodes]


def _shapes(session: ort.InferenceSession, nodes: Sequence[Any], sample: NamedTensors) -> tuple[OutputSpec, ...]:
    """What the outputs are in truth: what graphs say of their shapes is not always so."""
    rows = len(next(iter(sample.values())))
    try:
        results = session.run([node.name for node in nodes], sample)
    except Exception as error:  # ONNX Runtime raises its own kinds
        raise ModelMismatch(f"it does not run on the training set's rows ({error})") from error
    told = []
    for node, result in zip(nodes, results, strict=True):
        shape = np.shape(result)
        if not shape or shape[0] != rows or len(shape) > 2:
            raise ModelMismatch(f"its output {node.name!r} has shape {shape} for {rows} rows")
        alone = len(shape) == 1 or shape[1] == 1
        told.append(OutputSpec(node.name, cast("Kind", ONNX_KINDS[node.type]), None if alone else int(shape[1])))
    return tuple(told)


def _is_matrix(inputs: Sequence[InputSpec], plan: Plan) -> bool:
    types = column_types(plan)
    numbers = all(not value_type(types[column.source]).text for column in plan.columns)
    whole = tuple(column.name for column in plan.columns)
    return numbers and [(one.kind, one.columns, one.flat) for one in inputs] == [("float32", whole, False)]
