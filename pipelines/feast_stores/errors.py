"""What the plug-ins refuse.

SkewlessError
├── Unsupported          a part of Feast's interface that these plug-ins do not have
└── EntityQueryRefused   an entity frame in SQL that is not one SELECT over the project's tables
"""

from __future__ import annotations

from dataclasses import dataclass

from serving.contract.errors import SkewlessError


@dataclass(eq=False)
class Unsupported(SkewlessError, NotImplementedError):
    """A part of Feast's interface that is missing here; Feast itself looks for `NotImplementedError`."""

    what: str
    mend: str

    def __str__(self) -> str:
        return f"Skewless does not support {self.what} yet; {self.mend}"


@dataclass(eq=False)
class EntityQueryRefused(SkewlessError, ValueError):
    """An entity frame in SQL that cannot be run."""

    reason: str
    tables: tuple[str, ...]

    def __str__(self) -> str:
        tables = ", ".join(self.tables) or "none"
        return f"the entity query is refused: {self.reason.strip()}; give one SELECT over the tables {tables}"
