"""The manifest: what a bundle says of itself and of its files, sealed.

Held by tests/contract/model/test_bundle.py.
"""

from __future__ import annotations

import hashlib
from typing import Any, Literal

import msgspec

from skewless.contract.errors import InvalidBundle
from skewless.contract.model.matrix_scorer import ScoreOutput
from skewless.contract.model.optimisation import OptimisationRecord
from skewless.contract.model.signature import SignatureSpec

MANIFEST = "manifest.json"


class Manifest(msgspec.Struct, frozen=True):
    """What a bundle says of itself. Times are ISO 8601, UTC; `digests` are SHA-256 by file name.

    `processor` are the SIMD features of the machine that scored the golden rows: where they match, opening demands
    equal bits; elsewhere a score may be off by `tolerance` at most. A model with a `signature` has named inputs and
    outputs of several types; else it takes one float32 matrix, and its score is the `output`.
    """

    name: str
    version: str
    created_at: str
    contract: str
    output: ScoreOutput
    digests: dict[str, str]
    training_start: str
    training_end: str
    training_rows: int
    metrics: dict[str, float]
    tools: dict[str, str]
    processor: tuple[str, ...]
    tolerance: float
    format: Literal[1] = 1
    signature: SignatureSpec | None = None
    seal: str = ""
    """SHA-256 of the manifest without its seal; none in bundles of older versions."""
    optimised: OptimisationRecord | None = None

    def sealed(self) -> Manifest:
        """The same manifest with its seal."""
        return msgspec.structs.replace(self, seal=_seal(msgspec.json.decode(msgspec.json.encode(self))))


def parse_manifest(content: bytes, where: str) -> Manifest:
    """The manifest of the bundle `where`. Raises: InvalidBundle where it is none, or not the one that was sealed."""
    try:
        manifest = msgspec.json.decode(content, type=Manifest)
        members = msgspec.json.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidBundle(where, f"{MANIFEST} does not fit its format ({error})") from error
    if not (manifest.seal == _seal(members) if manifest.seal else _is_unsealed_version(members)):
        raise InvalidBundle(where, f"{MANIFEST} is not the file that was published")
    return manifest


def _is_unsealed_version(members: dict[str, Any]) -> bool:
    """Whether a version that made no seals can have written it: none knew more members, a seal by another name, say."""
    return set(members) <= set(Manifest.__struct_fields__)


def _seal(members: dict[str, Any]) -> str:
    """Of the members that a manifest was written with, of which older ones have fewer."""
    return hashlib.sha256(msgspec.json.encode(members | {"seal": ""}, order="sorted")).hexdigest()
