"""The processor's SIMD features: where two machines have the same, ONNX Runtime gives the same bits.

Held by tests/contract/model/test_bundle.py.
"""

from __future__ import annotations

import numpy as np


def processor_features() -> tuple[str, ...]:
    """The SIMD extensions that NumPy found beyond its baseline, sorted. What a manifest records as `processor`."""
    config: dict[str, dict[str, list[str]]] = np.show_config(mode="dicts")  # type: ignore[assignment]
    return tuple(sorted(config["SIMD Extensions"].get("found", [])))
