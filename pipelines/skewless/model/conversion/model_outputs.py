"""The single score per row among a model's outputs, as AUC, logloss and comparisons of models need it.

Held by tests/model/scoring/test_single_output.py.
"""

from __future__ import annotations

from skewless.contract.model.signature import ModelSignature


def single_output(signature: ModelSignature) -> int | None:
    """The number of the only output of floats, if it has one value per row or two (the probabilities of two classes, of
    which the second is the score); else None.
    """
    floats = [index for index, group in enumerate(signature.outputs) if group.kind in ("float32", "float64")]
    return floats[0] if len(floats) == 1 and len(signature.outputs[floats[0]].names) <= 2 else None


def described(signature: ModelSignature) -> str:
    """The outputs in words."""
    return ", ".join(f"{group.column} ({len(group.names)} x {group.kind})" for group in signature.outputs)
