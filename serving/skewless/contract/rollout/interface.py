"""Whether two versions of a model take the same requests and give answers of the same form.

Held by tests/model/publishing/test_typed_rollout.py.
"""

from __future__ import annotations

from skewless.contract.model.signature import ModelSignature
from skewless.contract.plan import Plan


def same_request(first: Plan, second: Plan) -> bool:
    """Whether a request that fits one plan fits the other: the same join keys and request inputs, of the same types."""
    (keys, inputs), (other_keys, other_inputs) = (
        ({(key.name, key.dtype) for key in plan.join_keys}, {(field.name, field.dtype) for field in plan.request})
        for plan in (first, second)
    )
    return keys == other_keys and inputs == other_inputs


def same_answer(first: ModelSignature, second: ModelSignature) -> bool:
    """Whether who reads one model's answers can read the other's: the same outputs, as wide, texts where texts were."""
    one, other = (
        [(changes.column, changes.names, changes.kind == "string") for changes in signature.outputs]
        for signature in (first, second)
    )
    return one == other
