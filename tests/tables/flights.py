"""The flights as their project declares them, and their tables."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from skewless.offline.tables import ingest
from skewless.offline.tables.ingest import IngestResult
from skewless.project import ingest_function, model_specs
from tests.checkout import FEATURE_REPO

SPECS = model_specs.read(FEATURE_REPO)
MODEL = "flight_delay"
FLIGHTS = SPECS.models[MODEL]


def fill(data: Path, first: date, last: date) -> IngestResult:
    """All tables of first <= UTC day < last."""
    return ingest.run(ingest_function.tables(SPECS), data, first, last)
