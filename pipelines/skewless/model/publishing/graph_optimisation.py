"""Changes of a model's graph that make it smaller or faster, before it is published: ONNX Runtime's own graph
optimisation, done once and saved, and weights kept as int8.

Which scores they move, and what they win, is measured afterwards: see `skewless.model.publishing.optimisation_report`.
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
from skewless.model.publishing.onnx_import import ModelMismatch

_OPTIMISED, _QUANTISED = "graph optimisation", "int8 quantisation"
_BOUNDS = {_OPTIMISED: 1e-6, _QUANTISED: 1e-2}
_BYTES = (TensorProto.INT8, TensorProto.UINT8)
_SCALED_BY_ALL = {"DynamicQuantizeLinear", "DynamicQuantizeMatMul", "DynamicQuantizeLSTM"}
"""Operators that scale all rows of a run by the extremes among them."""


@dataclass(eq=False)
class NothingToQuantise(SkewlessError):
    """A graph without an operator whose weights could be int8."""

    operators: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"nothing of the model can be quantised: its operators are {', '.join(self.operators)}, and int8 is for the "
            "weights of matrix products, convolutions, embeddings and recurrent layers; publish it without --quantise"
        )


@dataclass(frozen=True, slots=True)
class GraphChanges:
    """What is to be done to a graph, and how far that may move a score: 0 means not by a bit. Where nothing is said it is
    1e-6, and 0.01 for int8.
    """

    optimise: bool = False
    quantise: bool = False
    most_difference: float | None = None

    @property
    def steps(self) -> tuple[str, ...]:
        """What is done, as it is told; empty where nothing is."""
        return (_QUANTISED,) * self.quantise + (_OPTIMISED,) * self.optimise

    @property
    def bound(self) -> float:
        """The greatest difference that a score may have."""
        if self.most_difference is not None:
            return self.most_difference
        return max((_BOUNDS[step] for step in self.steps), default=0.0)


NONE = GraphChanges()


class OriginalGraph(NamedTuple):
    """A graph as it was before the changes."""

    graph: bytes
    changes: GraphChanges


class ChangedGraph(NamedTuple):
    """A graph after its changes; `origin` is None where nothing was changed."""

    graph: bytes
    origin: OriginalGraph | None


def changed(graph: bytes, changes: GraphChanges) -> ChangedGraph:
    """Equal graphs give equal bytes, and a graph in which nothing is to be optimised stays as it is.

    Raises: ModelMismatch, NothingToQuantise.
    """
    small = _quantised(graph) if changes.quantise else graph
    made = _optimised(small) if changes.optimise else small
    done = replace(changes, optimise=made != small)
    return ChangedGraph(made, OriginalGraph(graph, done) if done.steps else None)


def scaled_by_all(graph: bytes) -> bool:
    """Whether a run's rows are scaled by the extremes among them, so that a score depends on the rows around it."""
    return any(node.op_type in _SCALED_BY_ALL for node in nodes(onnx.load_from_string(graph)))


def nodes(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    """All operators of a model, those of branches, loops and functions among them."""
    waiting = [*model.graph.node, *(node for function in model.functions for node in function.node)]
    while waiting:
        node = waiting.pop()
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                waiting.extend(inner.node)


def _optimised(graph: bytes) -> bytes:
    """Extended, not all: what comes above it lays data out for the processor at hand, and a session does that anyway."""
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
    # The domains of all that ONNX Runtime knows are imported: another version need not know them.
    used = {node.domain for node in nodes(model)}
    kept = [one for one in model.opset_import if one.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def _shape(model: onnx.ModelProto) -> tuple[Counter[tuple[str, str]], int]:
    """What of a graph an optimisation changes: its operators, and the bytes of its weights."""
    return Counter((node.domain, node.op_type) for node in nodes(model)), sum(
        weight.ByteSize() for weight in model.graph.initializer
    )


def _quantised(graph: bytes) -> bytes:
    """With unsigned weights: products with signed ones overflow 16 bits on processors without VNNI, so that a score would
    depend on the machine. Raises: ModelMismatch, NothingToQuantise.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic  # noqa: PLC0415 - a second that others go without

    model = onnx.load_from_string(graph)
    before, operators = _byte_weights(model), tuple(sorted({node.op_type for node in nodes(model)}))
    if not any(one.domain in ("", "ai.onnx") for one in model.opset_import):
        raise NothingToQuantise(operators)
    with TemporaryDirectory(prefix="skewless-") as folder:
        file, root = Path(folder) / "model.onnx", logging.getLogger()
        root.addFilter(_is_no_advice)
        try:
            quantize_dynamic(model, file, weight_type=QuantType.QUInt8)
        except Exception as error:  # it raises whatever it meets
            raise ModelMismatch(f"ONNX Runtime does not quantise it ({type(error).__name__}: {error})") from error
        finally:
            root.removeFilter(_is_no_advice)
        made = file.read_bytes()
    if _byte_weights(onnx.load_from_string(made)) <= before:
        raise NothingToQuantise(operators)
    return made


def _is_no_advice(record: logging.LogRecord) -> bool:
    """Whether a log record is other than ONNX Runtime's advice to prepare every model for static quantisation."""
    return "pre-processing before quantization" not in record.getMessage()


def _byte_weights(model: onnx.ModelProto) -> int:
    return sum(weight.data_type in _BYTES for weight in model.graph.initializer)
