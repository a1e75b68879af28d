"""The flights as their project declares them, and their tables."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path

from skewless.offline.tables import ingest
from skewless.offline.tables.ingest import IngestResult
from skewless.project import Table, declared_models, declared_tables
from skewless.project.table_rows import ingest_table
from skewless.runtime.progress import Report, quiet
from tests.checkout import FEATURE_REPO

MODEL = "flight_delay"
FLIGHTS = declared_models.read(FEATURE_REPO).models[MODEL]


def fill(data: Path, first: date, last: date, tables: Sequence[Table] = (), report: Report = quiet) -> IngestResult:
    """The tables, or all of them, of first <= UTC day < last."""
    declared = tables or declared_tables.read(FEATURE_REPO).filled()
    return ingest.run([ingest_table(table, FEATURE_REPO) for table in declared], data, first, last, report)
