"""How every ONNX graph is run, offline and online: one thread, in order, no spinning.

Held by tests/contract/model/test_matrix_scorer.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnxruntime as ort


def open_session(graph: bytes) -> ort.InferenceSession:
    """A session whose results depend on its inputs alone: one intra-op and one inter-op thread on the CPU."""
    import onnxruntime as ort  # noqa: PLC0415 - 16 MB that a join without a model goes without

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
