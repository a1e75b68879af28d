"""The bytes of a converted graph: equal for equal models.

Held by tests/model/training/test_learned_model.py.
"""

from __future__ import annotations

import onnx


def graph_bytes(model: onnx.ModelProto) -> bytes:
    """Serialize, with the operator sets by domain: converters list them in the order of a set of texts, which is another in
    each process.
    """
    pairs = sorted((operators.domain, operators.version) for operators in model.opset_import)
    del model.opset_import[:]
    model.opset_import.extend(onnx.helper.make_opsetid(*pair) for pair in pairs)
    content: bytes = model.SerializeToString(deterministic=True)
    return content
