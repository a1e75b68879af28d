"""The rows of a part file."""

from __future__ import annotations

import pyarrow as pa

TABLE = pa.table({"k": [1, 2], "at": pa.array([5, 6], pa.timestamp("us", tz="UTC")), "s": ["a", None]})
NOW = 1_380_628_800_000_000
