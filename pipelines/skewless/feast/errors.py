"""What the plug-ins refuse.

SkewlessError
├── Unsupported          a part of Feast's interface that these plug-ins do not have
├── FutureRows      rows for the online store that become true, or known, only later
└── EntityQueryRefused   an entity frame in SQL that is not one SELECT over the project's tables

Held by tests/feast/test_offline_store.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from skewless.contract.errors import SkewlessError


@dataclass(eq=False)
class FeastUnsupported(SkewlessError, NotImplementedError):
    """A part of Feast's interface that is missing here; Feast itself looks for `NotImplementedError`."""

    what: str
    mend: str

    def __str__(self) -> str:
        return f"Skewless does not support {self.what} yet; {self.mend}"


@dataclass(eq=False)
class FutureRows(SkewlessError, ValueError):
    """Rows that may not be used yet would take the place of those that may: the store has one row an entity."""

    view: str
    rows: int
    entity: str
    due: str
    now: str

    def __str__(self) -> str:
        return (
            f"{self.rows} of the rows for feature view {self.view!r} count only later (that of {self.entity} from "
            f"{self.due} on, and it is {self.now}), so nothing was written; push such rows with `skewless push`, or with "
            "to=PushMode.OFFLINE: they lie in the table, and the first materialization after their time brings them"
        )


@dataclass(eq=False)
class EntityQueryRefused(SkewlessError, ValueError):
    """An entity frame in SQL that cannot be run."""

    reason: str
    tables: tuple[str, ...]

    def __str__(self) -> str:
        tables = ", ".join(self.tables) or "none"
        return f"the entity query is refused: {self.reason.strip()}; give one SELECT over the tables {tables}"
