"""A training set made by a process that may not have more memory than it is told: `LIMIT BUDGET DATA FOLDER SPINE`."""

from __future__ import annotations

import resource
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from skewless.model.training import training_set
from skewless.offline.join.spine import SpineFiles
from tests.tables.large_view import definitions, write_spine, write_table


def address_space() -> int:
    """Bytes of address space that this process has taken."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()


def limit_address_space(room: int) -> None:
    """From now on this process may take no more than so many bytes beside what it has."""
    limit = address_space() + room
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def main() -> None:
    room, budget = int(sys.argv[1]), int(sys.argv[2])
    data, folder, spine = (Path(name) for name in sys.argv[3:])
    pa.set_memory_pool(pa.system_memory_pool())  # the others reserve address space that they never use
    always = datetime(1970, 1, 2, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
    with tempfile.TemporaryDirectory() as warm:  # libraries and threads come with the first join, whatever its size
        write_table(Path(warm), 10, files=2)
        write_spine(Path(warm) / "spine.parquet", 10, 10)
        training_set.run(definitions(Path(warm)), SpineFiles(Path(warm) / "spine.parquet", *always), Path(warm) / "set")
    limit_address_space(room)
    made = training_set.run(definitions(data), SpineFiles(spine, *always), folder, memory=budget)
    print(made.rows)


if __name__ == "__main__":
    main()
