"""Changes of a model's graph that make it smaller or faster before it is published: ONNX Runtime's own graph optimisation,
done once and saved, and int8 weights.

How far they move scores, and what they gain, is measured by `skewless.model.publishing.optimisation_report`.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import onnx
import onnxruntime as ort
from onnx import TensorProto

from skewless.contract.errors import SkewlessError
from skewless.model.conversion.onnx_import import ModelMismatch

_OPTIMISED, _QUANTISED = "graph optimisation", "int8 quantisation"
_BOUNDS = {_OPTIMISED: 1e-6, _QUANTISED: 1e-2}
_BYTE_TYPES = (TensorProto.INT8, TensorProto.UINT8)
_BATCH_SCALED = {"DynamicQuantizeLinear", "DynamicQuantizeMatMul", "DynamicQuantizeLSTM"}
"""Operators that scale all rows of a batch by the batch's extreme values."""


@dataclass(eq=False)
class NothingToQuantise(SkewlessError):
    """A graph that has no operator whose weights could be int8."""

    operators: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"nothing of the model can be quantised: its operators are {', '.join(self.operators)}, and only the weights "
            "of matrix products, convolutions, embeddings and recurrent layers can be int8; publish it without `quantise`"
        )


@dataclass(frozen=True, slots=True)
class GraphChanges:
    """The changes to make to a graph, and how far they may move a score: 0 demands equal bits. The default is 1e-6, and 0.01
    for int8.
    """

    optimise: bool = False
    quantise: bool = False
    most_difference: float | None = None

    @property
    def steps(self) -> tuple[str, ...]:
        """The names of the changes; empty where there are none."""
        return (_QUANTISED,) * self.quantise + (_OPTIMISED,) * self.optimise

    @property
    def bound(self) -> float:
        """The greatest difference of a score that is allowed."""
        if self.most_difference is not None:
            return self.most_difference
        return max((_BOUNDS[step] for step in self.steps), default=0.0)


NO_CHANGES = GraphChanges()


class OriginalGraph(NamedTuple):
    """A graph before its changes."""

    graph: bytes
    changes: GraphChanges


class ChangedGraph(NamedTuple):
    """A graph after its changes; `origin` is None where nothing was changed."""

    graph: bytes
    origin: OriginalGraph | None


def change_graph(graph: bytes, changes: GraphChanges) -> ChangedGraph:
    """Make the changes. Equal graphs give equal bytes, and a graph that cannot be optimised further stays as it is.

    Raises: ModelMismatch, NothingToQuantise.
    """
    small = _quantised(graph) if changes.quantise else graph
    optimised = _optimised(small) if changes.optimise else small
    effective = replace(changes, optimise=optimised != small)
    return ChangedGraph(optimised, OriginalGraph(graph, effective) if effective.steps else None)


def scales_by_batch(graph: bytes) -> bool:
    """Whether the graph scales the rows of a batch by the batch's extremes, so that a score depends on the other rows."""
    return any(node.op_type in _BATCH_SCALED for node in nodes(onnx.load_from_string(graph)))


def nodes(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    """All operators of a model, including those in branches, loops and functions."""
    stack = [*model.graph.node, *(node for function in model.functions for node in function.node)]
    while stack:
        node = stack.pop()
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                stack.extend(inner.node)


def _optimised(graph: bytes) -> bytes:
    """The graph optimised to level "extended". "All" would lay data out for this processor, which a session does anyway."""
    with TemporaryDirectory(prefix="skewless-") as folder:
        file = Path(folder) / "model.onnx"
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        options.optimized_model_filepath = str(file)
        options.log_severity_level = 3
        try:
            ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime raises its own kinds
            raise ModelMismatch(f"ONNX Runtime does not optimise it ({error})") from error
        model = onnx.load_from_string(file.read_bytes())
    if _shape(model) == _shape(onnx.load_from_string(graph)):
        return graph
    # ONNX Runtime imports all domains that it knows; keep those in use, as another version may not know the rest.
    used = {node.domain for node in nodes(model)}
    imports = [opset for opset in model.opset_import if opset.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(imports)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def _shape(model: onnx.ModelProto) -> tuple[Counter[tuple[str, str]], int]:
    """What an optimisation changes in a graph: its operators, and the bytes of its weights."""
    return Counter((node.domain, node.op_type) for node in nodes(model)), sum(
        weight.ByteSize() for weight in model.graph.initializer
    )


def _quantised(graph: bytes) -> bytes:
    """The graph with unsigned int8 weights: products of signed ones overflow 16 bits on processors without VNNI, so that a
    score would depend on the machine. Raises: ModelMismatch, NothingToQuantise.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic  # noqa: PLC0415 - its import takes a second

    model = onnx.load_from_string(graph)
    before, operators = _byte_weights(model), tuple(sorted({node.op_type for node in nodes(model)}))
    if not any(opset.domain in ("", "ai.onnx") for opset in model.opset_import):
        raise NothingToQuantise(operators)
    with TemporaryDirectory(prefix="skewless-") as folder:
        file, root = Path(folder) / "model.onnx", logging.getLogger()
        root.addFilter(_is_not_advice)
        try:
            quantize_dynamic(model, file, weight_type=QuantType.QUInt8)
        except Exception as error:  # it raises exceptions of any kind
            raise ModelMismatch(f"ONNX Runtime does not quantise it ({type(error).__name__}: {error})") from error
        finally:
            root.removeFilter(_is_not_advice)
        quantised = file.read_bytes()
    if _byte_weights(onnx.load_from_string(quantised)) <= before:
        raise NothingToQuantise(operators)
    return quantised


def _is_not_advice(record: logging.LogRecord) -> bool:
    """A log filter that drops ONNX Runtime's advice to preprocess models for static quantisation."""
    return "pre-processing before quantization" not in record.getMessage()


def _byte_weights(model: onnx.ModelProto) -> int:
    return sum(weight.data_type in _BYTE_TYPES for weight in model.graph.initializer)
