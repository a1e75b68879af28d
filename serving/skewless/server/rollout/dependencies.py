"""What a model version needs beside its bundle to answer: the parts that all versions of a process share."""

from __future__ import annotations

from typing import NamedTuple

from skewless.contract.timestamps import Clock
from skewless.server.metrics.counters import ServerMetrics
from skewless.server.online_store.reader import OnlineStoreReader
from skewless.server.served_log import ServedLogWriter


class VersionDependencies(NamedTuple):
    """What a served version needs beside its bundle. `threads`: how many long runs may be under way at once."""

    store: OnlineStoreReader
    clock: Clock
    metrics: ServerMetrics
    served_log: ServedLogWriter
    processor: tuple[str, ...]
    threads: int
