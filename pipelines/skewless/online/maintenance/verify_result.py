"""What a comparison of the online store with the offline store found: see `skewless.online.maintenance.verify`.

Held by tests/online/maintenance/test_verify.py.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from skewless.contract.storage.entity_key import key_text
from skewless.contract.storage.row_header import times
from skewless.contract.timestamps import from_micros

_UNCERTAINTY = 0.05


class StoreDifference(StrEnum):
    MISSING = "missing"
    """The offline store has a row for the entity, Redis has none."""
    STALE = "stale"
    """Redis has an older row."""
    DIFFERENT = "different"
    """Redis has a row with the same times and other bytes, or a newer row that the offline store does not have."""
    EXTRA = "extra"
    """Redis has a row for an entity that the offline store does not have."""


@dataclass(frozen=True, slots=True)
class DifferingRow:
    """One difference: the entity's key, and its row in each store."""

    kind: StoreDifference
    key: bytes
    offline: bytes | None
    online: bytes | None

    def __str__(self) -> str:
        return f"{self.kind} {key_text(self.key)}: offline {_describe(self.offline)}, online {_describe(self.online)}"


@dataclass(frozen=True, slots=True)
class EntitySample:
    """One in `of` entities, sampled with `seed`: the same seed selects the same entities."""

    of: int = 1
    seed: int = 0

    def summary(self, compared: int, differences: int) -> str:
        """How the entities were sampled, and the bound on all entities that follows; empty if all were compared."""
        if self.of == 1:
            return ""
        sampling = f" (one entity in {self.of:,}, seed {self.seed}"
        if differences or not compared:
            return f"{sampling})"
        return f"{sampling}: fewer than {1 - _UNCERTAINTY ** (1 / compared):.2%} of all differ, with 95% confidence)"


EVERY_ENTITY = EntitySample()


@dataclass(slots=True)
class VerifyResult:
    """The result for one view as of `watermark`; None if it was never materialized, and nothing was compared. `unreadable`: why
    the table of a superseded definition cannot be compared any more.
    """

    view: str
    watermark: datetime | None
    sample: EntitySample = EVERY_ENTITY
    compared: int = 0
    ahead: int = 0
    counts: Counter[StoreDifference] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    repaired: int = 0
    unreadable: str | None = None

    @property
    def differences(self) -> int:
        return self.counts.total()

    def __str__(self) -> str:
        if self.watermark is None:
            return f"{self.view}: never materialized"
        if self.unreadable is not None:
            return f"{self.view}: an old definition that is not compared: {self.unreadable}"
        kinds = ", ".join(f"{number:,} {kind}" for kind, number in self.counts.items()) or "no differences"
        repaired = f", {self.repaired:,} mended" if self.repaired else ""
        sampled = self.sample.summary(self.compared, self.differences)
        lines = [
            f"{self.view} as of {self.watermark.isoformat()}: {self.compared:,} compared{sampled}, {kinds}{repaired}"
        ]
        return "\n".join([*lines, *(f"  {example}" for example in self.examples)])

    def as_json(self) -> dict[str, object]:
        return {
            "view": self.view,
            "watermark": self.watermark.isoformat() if self.watermark else None,
            "sample": {"of": self.sample.of, "seed": self.sample.seed},
            "compared": self.compared,
            "ahead": self.ahead,
            **{kind.value: self.counts[kind] for kind in StoreDifference},
            "repaired": self.repaired,
            "unreadable": self.unreadable,
            "examples": self.examples,
        }


def _describe(row: bytes | None) -> str:
    if row is None:
        return "none"
    row_times = times(row)
    if row_times is None:
        return f"{len(row)} bytes that are no row"
    event, created = row_times
    try:
        return f"event {from_micros(event).isoformat()}, created {from_micros(created).isoformat()}"
    except (OverflowError, ValueError):
        return f"event {event} us, created {created} us"
