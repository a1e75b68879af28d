"""Errors of the pipelines. The base class and the contract's own errors are in `skewless.contract.errors`.

SkewlessError
├── FeastRegistryUnavailable      the Feast registry is unavailable
├── UnknownFeatureView           a named feature view does not exist or is not online
├── SourceMissing        a feature view's table is missing
├── SourceUnreadable     a file of a feature view's table is no Parquet file
├── SourceMismatch       a table does not have the columns or types that its feature view declares
├── SpineMismatch        a spine lacks a column, or has one of another type
├── SpineMissing         a spine's file is missing
├── SpineUnreadable      a spine's file is broken or of another format
├── WindowOrder          a window of time ends before it begins
├── EmptyWindow          a window of time holds no row
├── Untraceable          a transform cannot be traced to ONNX
├── StepInputMissing           the output of an earlier step is missing
└── AlreadyPublished     a model version exists and is immutable

Held by tests/offline/tables/test_view_rows.py.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path

from skewless.contract.errors import SkewlessError


def did_you_mean(name: str, known: Collection[str], quoted: str = "{!r}") -> str:
    """A question that suggests the most similar of the `known` names, with a trailing blank; empty if none is similar."""
    like = get_close_matches(name, known, n=1)
    return f"did you mean {quoted.format(like[0])}? " if like else ""


def ascending(**instants: datetime) -> None:
    """Raises: WindowOrder where an instant is not after the one before it."""
    for (earlier, begins), (later, ends) in pairwise(instants.items()):
        if begins >= ends:
            raise WindowOrder(earlier, begins, later, ends)


@dataclass(eq=False)
class FeastRegistryUnavailable(SkewlessError):
    """The Feast registry at `url` (its password masked) cannot be opened, or the connection was lost."""

    transient = True

    url: str
    reason: str

    def __str__(self) -> str:
        return f"the Feast registry {self.url} does not open: {self.reason}; mend SKEWLESS_REGISTRY_URL"


@dataclass(eq=False)
class UnknownFeatureView(SkewlessError):
    """A named feature view does not exist or is not online; `known` are the online ones."""

    view: str
    known: tuple[str, ...]

    def __str__(self) -> str:
        if not self.known:
            return f"there is no online feature view {self.view!r}, nor any other; run `skewless apply`"
        return f"there is no online feature view {self.view!r}; {did_you_mean(self.view, self.known)}there are {', '.join(self.known)}"


@dataclass(eq=False)
class SourceMissing(SkewlessError):
    """The table of a feature view is missing."""

    view: str
    path: str

    def __str__(self) -> str:
        table = Path(self.path).name
        return (
            f"feature view {self.view!r} reads {self.path}, which holds no Parquet file; run `skewless ingest {table}` (if nothing "
            f"declares how it is filled, `skewless ingest {table} FILE...`), or set the folder that relative paths start from, "
            "`data` of `offline_store` in feature_store.yaml"
        )


@dataclass(eq=False)
class SourceUnreadable(SkewlessError):
    """A file of a feature view's table is no Parquet file, or a damaged one; another writer may still be writing it."""

    transient = True

    view: str
    path: str
    reason: str

    def __str__(self) -> str:
        return (
            f"feature view {self.view!r} reads {self.path}, which is no whole Parquet file ({self.reason}); write it again, or "
            f"remove it and fill the table by `skewless ingest` (which takes CSV and JSON Lines, too)"
        )


@dataclass(eq=False)
class TableRewritten(SkewlessError):
    """A file of a table was replaced or removed while the table was read."""

    transient = True

    path: str

    def __str__(self) -> str:
        return f"{self.path} was rewritten or removed while it was read; run this again"


@dataclass(eq=False)
class SourceMismatch(SkewlessError):
    """A table does not match the declaration of its feature view; `row` (from 0) is where, among the rows that were read."""

    view: str
    column: str
    reason: str
    row: int | None = None

    def __str__(self) -> str:
        place = "" if self.row is None else f", in row {self.row + 1}"
        return (
            f"feature view {self.view!r}: column {self.column!r} of its source {self.reason}{place}; "
            "mend the definition in feature_repo/ or the table"
        )


@dataclass(eq=False)
class SpineMismatch(SkewlessError):
    """A spine cannot be joined."""

    column: str
    reason: str

    def __str__(self) -> str:
        return f"the spine's column {self.column!r} {self.reason}"


@dataclass(eq=False)
class SpineMissing(SkewlessError):
    """There is no file at the spine's path, or no Parquet file in its folder."""

    path: str

    def __str__(self) -> str:
        return (
            f"there is no spine at {self.path}; fill that table with `skewless ingest`, or name a Parquet file or folder, or "
            "a CSV file, as `spine` here or of the model in feature_repo/models.py"
        )


@dataclass(eq=False)
class SpineUnreadable(SkewlessError):
    """A file of a spine is neither Parquet nor CSV, or is broken."""

    path: str
    reason: str

    def __str__(self) -> str:
        return f"the spine {self.path} cannot be read: {self.reason}; a spine is Parquet, or a file that ends in .csv"


@dataclass(eq=False)
class EmptyWindow(SkewlessError):
    """A window of time [start, end) holds no row of `rows`; the rows that are there begin and end at `first` and `last`."""

    rows: str
    start: datetime
    end: datetime
    first: datetime | None
    last: datetime | None

    def __str__(self) -> str:
        there = (
            f"its rows are from {self.first.isoformat()} to {self.last.isoformat()}"
            if self.first and self.last
            else "it has no rows at all"
        )
        return (
            f"{self.rows} has no row from {self.start.isoformat()} until {self.end.isoformat()}: {there}; choose other "
            "windows, here or in the model's `windows` in feature_repo/models.py; nothing was written"
        )


@dataclass(eq=False)
class Untraceable(SkewlessError):
    """A transform is not a pure array function that ONNX can express."""

    transform: str
    reason: str

    def __str__(self) -> str:
        return f"transform {self.transform!r} of feature_repo/transforms.py cannot be traced: {self.reason}"


@dataclass(eq=False)
class WindowOrder(SkewlessError):
    """Windows of time that do not follow each other: `later` does not begin after `earlier`."""

    earlier: str
    begins: datetime
    later: str
    ends: datetime

    def __str__(self) -> str:
        return (
            f"{self.later} ({self.ends.isoformat()}) is not after {self.earlier} ({self.begins.isoformat()}): the window "
            "between them holds no time; nothing was written"
        )


@dataclass(eq=False)
class StepInputMissing(SkewlessError):
    """The input of a step does not exist yet."""

    what: str
    mend: str

    def __str__(self) -> str:
        return f"{self.what} does not exist yet; run `{self.mend}` first"


@dataclass(eq=False)
class AlreadyPublished(SkewlessError):
    """A model version exists; versions are immutable."""

    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name} {self.version} is published and immutable; publish with a greater `version`"
