"""The traced graphs of several transforms as one ONNX model, in which inputs of one name are one input."""

from __future__ import annotations

from collections.abc import Mapping

import onnx
from onnx import compose, helper

from skewless.contract.errors import InvalidPlan


def merged_graph(graphs: Mapping[str, bytes]) -> bytes | None:
    """One model with all inputs and outputs of the models, each by the name of its transform; None for none.

    Raises: InvalidPlan where they were traced for different versions of ONNX's operators.
    """
    if len(graphs) < 2:
        return next(iter(graphs.values()), None)
    models = {name: onnx.load_from_string(graph) for name, graph in graphs.items()}
    versions = {name: {imported.domain: imported.version for imported in m.opset_import} for name, m in models.items()}
    operators: dict[str, int] = {}
    for name, opset in versions.items():
        if any(operators.setdefault(domain, version) != version for domain, version in opset.items()):
            raise InvalidPlan(name, "it was applied with another version of ONNX than others; run `skewless apply`")
    parts = [
        compose.add_prefix(model, f"{name}/", rename_inputs=False, rename_outputs=False).graph
        for name, model in models.items()
    ]
    inputs = {value.name: value for part in parts for value in part.input}
    graph = helper.make_graph(
        [node for part in parts for node in part.node],
        "transforms",
        list(inputs.values()),
        [value for part in parts for value in part.output],
        [tensor for part in parts for tensor in part.initializer],
    )
    merged = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid(domain, version) for domain, version in operators.items()],
        ir_version=max(model.ir_version for model in models.values()),
    )
    return bytes(merged.SerializeToString())
