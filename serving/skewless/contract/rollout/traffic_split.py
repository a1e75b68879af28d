"""The lot that each entity draws in a canary's trial: a number in [0, 1) that is the same wherever and whenever asked.

A canary with weight w answers the entities whose lot is below w: so that one customer sees one version, and a weight
that grows takes nobody back. Another canary version draws anew, so that not the same customers try everything first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from skewless.contract.errors import InvalidInput, RolloutRefused
from skewless.contract.plan import Plan
from skewless.contract.rollout.rollout import Canary
from skewless.contract.storage.entity_key import EntityKeyEncoder

_WHOLE = float(1 << 53)
Draw = Callable[[str, Mapping[str, Sequence[Any]], int], list[bool]]
"""For a request's id, columns and number of rows: which rows are the canary's."""


def lot(salt: bytes, key: bytes) -> float:
    """The lot of one key; `salt` has at most 64 bytes."""
    drawn = hashlib.blake2b(key, digest_size=8, key=salt).digest()
    return (int.from_bytes(drawn, "big") >> 11) / _WHOLE


def draw(plan: Plan, model: str, canary: Canary) -> Draw:
    """The rows that are the canary's, by their entities. A row whose key is null is the champion's.

    A model without join keys knows no entities: then a request is one or the other's, by its id.
    Raises: RolloutRefused where the rollout tells entities apart by what is no join key.
    """
    salt = hashlib.sha256(f"{model}@{canary.version}".encode()).digest()
    weight, keys = canary.weight, {key.name: key for key in plan.join_keys}
    unknown = [name for name in canary.by if name not in keys]
    if unknown:
        raise RolloutRefused(model, f"its canary is told apart by {unknown[0]!r}, which is no join key of it")
    names = canary.by or tuple(keys)
    encoder = EntityKeyEncoder(plan.project, names, [keys[name].dtype for name in names])

    def by_entity(_: str, columns: Mapping[str, Sequence[Any]], rows: int) -> list[bool]:
        try:
            encoded = encoder.encode_rows([columns[name] for name in names], rows)
        except InvalidInput:
            return [False] * rows  # the champion tells what is wrong
        return [key is not None and lot(salt, key) < weight for key in encoded]

    def by_request(request_id: str, _: Mapping[str, Sequence[Any]], rows: int) -> list[bool]:
        return [lot(salt, request_id.encode()) < weight] * rows

    return by_entity if names else by_request
