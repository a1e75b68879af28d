"""What an import from Feast's online store did, or would do, in numbers.

Held by tests/feast/importing/test_import_rows.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

EXAMPLES = 3


@dataclass(slots=True)
class ViewImport:
    """Rows of a feature view in Feast's store, each entity counted once.

    `imported` were only there (in a dry run: would be imported), `waiting` of these have times to come. `known` are the newest
    rows of the table, `older` are older than those, and `corrected` have the time of the table's newest row and other values.
    Not imported: `undated` (without an event time), `empty` (without any feature that the view has now), `undecodable` (their
    keys), `unfit` (values that the declared type of a feature does not hold, by feature), and all where `refusal` is set: the
    table takes no pushes, or (`unread`) was not compared, since it cannot be read.
    `compared` read back equal, `differing` do not. `removed` left Feast's store.
    """

    view: str
    refusal: str | None = None
    unread: bool = False
    imported: int = 0
    waiting: int = 0
    known: int = 0
    older: int = 0
    corrected: int = 0
    undated: int = 0
    empty: int = 0
    undecodable: int = 0
    unfit: Counter[str] = field(default_factory=Counter)
    compared: int = 0
    differing: list[str] = field(default_factory=list)
    differences: int = 0
    removed: int = 0

    @property
    def rows(self) -> int:
        """The rows that Feast's store has and that could be dated and decoded."""
        return self.imported + self.known + self.older + self.corrected + sum(self.unfit.values())

    @property
    def clean(self) -> bool:
        """Whether nothing that should have been imported was refused, and all reads back equal."""
        return not (self.differences or self.unread or (self.refusal and self.imported))

    def lines(self, *, dry_run: bool = False) -> Iterator[str]:
        """The counts, and what was not imported and why: a sentence each."""
        wait = f", of which {self.waiting:,} wait for their time" if self.waiting else ""
        outcome = "would be imported" if dry_run else "imported"
        if self.unread:
            yield f"{self.view}: not imported, since its table cannot be read: {self.refusal}"
            return
        if self.refusal is not None:
            outcome = "not imported"
        yield (
            f"{self.view}: {self.rows:,} rows, {self.imported:,} only there and {outcome}{wait}; {self.known:,} as the table has "
            f"them, {self.older:,} older than the table's"
        )
        yield from (f"  {line}" for line in self._details())

    def _details(self) -> Iterator[str]:
        if self.refusal is not None and self.imported:
            yield f"not imported: {self.refusal}"
        if self.corrected:
            yield f"corrected: {self.corrected:,} have the time of the table's row and other values; the table counts"
        if self.undated:
            yield f"not dated: {self.undated:,} have no event time (`_ts:{self.view}`), so they were not imported"
        if self.empty:
            yield f"no values: {self.empty:,} have none of the features that the view has now"
        if self.undecodable:
            yield f"not decoded: {self.undecodable:,} have keys that are not those of the view's entities"
        for name, rows in sorted(self.unfit.items()):
            yield f"not held: {rows:,} have values that {name} does not hold, by its declared type or that of the table"
        if self.differences:
            yield f"DIFFERS: {self.differences:,} rows do not read back as Feast's store has them: {'; '.join(self.differing)}"
        if self.removed:
            yield f"removed: {self.removed:,} rows from Feast's store"


@dataclass(slots=True)
class ImportResult:
    """By feature view. `unknown` are the rows of views that the registry does not have; `computed` those of on-demand views,
    which `materialize` computes.
    """

    views: list[ViewImport]
    unknown: Counter[str] = field(default_factory=Counter)
    computed: Counter[str] = field(default_factory=Counter)
    dry_run: bool = False

    @property
    def clean(self) -> bool:
        """Whether nothing that should have been imported was refused, and all reads back as Feast's store has it."""
        return all(view.clean for view in self.views)

    @property
    def imported(self) -> int:
        """The imported rows of all views."""
        return sum(view.imported for view in self.views if view.refusal is None)

    def lines(self) -> Iterator[str]:
        """The result as text, line by line."""
        compared, removed = (sum(getattr(view, name) for view in self.views) for name in ("compared", "removed"))
        outcome = "would be imported" if self.dry_run else f"imported, {compared:,} read back equal"
        yield f"{self.imported:,} rows {outcome}{f', {removed:,} removed from there' if removed else ''}"
        for view in self.views:
            yield from view.lines(dry_run=self.dry_run)
        for name, rows in sorted(self.unknown.items()):
            yield f"{name}: {rows:,} rows, not imported: the registry has no such online feature view"
        for name, rows in sorted(self.computed.items()):
            yield f"{name}: {rows:,} rows, not imported: `skewless materialize` computes this on-demand view"
