"""Errors of the Feast plug-ins.

SkewlessError
├── FeastUnsupported     a part of Feast's interface that these plug-ins do not implement
├── FutureRows           rows for the online store that become true, or known, only later
└── EntityQueryRefused   an entity frame in SQL that is not one SELECT over the project's tables

Held by tests/feast/test_offline_store.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

from feast.errors import FeastError
from skewless.contract.errors import SkewlessError

PRECOMPUTED_VECTORS = (
    "precomputed feature vectors",
    "leave precompute_online out: one round trip reads all views of a service anyway",
)
"""Of FeastUnsupported."""


@dataclass(eq=False)
class FeastUnsupported(SkewlessError, NotImplementedError):
    """A part of Feast's interface that is not implemented; Feast itself catches `NotImplementedError`."""

    feature: str
    remedy: str

    def __str__(self) -> str:
        return f"Skewless does not support {self.feature} yet; {self.remedy}"


@dataclass(eq=False)
class FutureRows(SkewlessError, FeastError, ValueError):
    """Rows that may not be used yet would replace rows in use: the online store has one row per entity. As an error of Feast's,
    whose servers answer it with a status of its own, and whose clients make it of its text alone.
    """

    view: str
    rows: int
    entity: str
    due: str
    now: str

    def http_status_code(self) -> int:
        """Of Feast's feature server: the caller's rows are at fault."""
        return HTTPStatus.UNPROCESSABLE_ENTITY

    def __str__(self) -> str:
        if (received := vars(self).get("__overridden_message__")) is not None:
            return str(received)
        return (
            f"{self.rows} of the rows for feature view {self.view!r} are not valid yet (the row of {self.entity} is from "
            f"{self.due}, and now is {self.now}), so nothing was written; times without a zone are UTC: push "
            "datetime.now(UTC) for now. Rows of the future go to `skewless push`, or to=PushMode.OFFLINE: they are added to "
            "the table, and the first materialization after their time writes them to the online store"
        )


@dataclass(eq=False)
class EntityQueryRefused(SkewlessError, ValueError):
    """An entity query that is not one SELECT, or that DuckDB cannot run."""

    reason: str
    tables: tuple[str, ...]

    def __str__(self) -> str:
        tables = ", ".join(self.tables) or "none"
        return f"the entity query is refused: {self.reason.strip()}; give one SELECT over the tables {tables}"
