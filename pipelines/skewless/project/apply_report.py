"""What the process that applies definitions is given, and what it reports.

Held by tests/project/test_apply_change.py.
"""

from __future__ import annotations

from datetime import datetime

import msgspec


class ApplyRequest(msgspec.Struct, frozen=True):
    """Apply the definitions in `repo`; the report goes to the file `report`. `at` and `by` are recorded.

    `now`: drop the definitions that live models read, instead of keeping them. `force`: go back to older definitions.
    """

    repo: str
    report: str
    at: datetime
    by: str
    now: bool = False
    force: bool = False


class ApplyReport(msgspec.Struct, frozen=True):
    """What became of the definitions that live models read. `refused` is why nothing was applied.

    `retained`: a sentence for each that is kept. `going_down`: the models that will not answer, as `now` wants it;
    `dropped`: the stored names whose rows are to go for it.
    """

    retained: list[str] = []
    going_down: list[str] = []
    dropped: list[str] = []
    refused: str | None = None

    def lines(self) -> list[str]:
        """The report for a terminal."""
        down = f"these models do not answer until they are trained and published anew: {', '.join(self.going_down)}"
        return [*self.retained, *([down] if self.going_down else [])]
