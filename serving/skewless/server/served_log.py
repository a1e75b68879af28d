"""The served log: what was used for each prediction, as Parquet, written beside the request path.

    <served>/model=NAME/version=VERSION/day=YYYY-MM-DD/<random>.parquet

A file appears complete or not at all; names of unfinished files begin with a dot. The queue is bounded: when it is full,
whole batches of requests are dropped and their rows counted; a request never waits for the log.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from uuid import uuid4
from zlib import crc32

import pyarrow as pa
import pyarrow.parquet as pq
import structlog

from skewless.contract.model.signature import ModelSignature
from skewless.contract.plan import Plan
from skewless.contract.storage.served_row import ServedBatch, served_schema, used_batch
from skewless.contract.timestamps import DAY_US, day_text
from skewless.files.durable import replace_file
from skewless.server.metrics.counters import ServerMetrics

_HASHES = 1 << 32
_PART = 512
"""Rows that are converted to Arrow at a time, so that no request waits long for the GIL."""
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class LoggedVersion:
    """The model version and role that all its entries share. `views` is the order of their statuses."""

    model: str
    version: str
    plan: Plan
    views: tuple[str, ...]
    signature: ModelSignature
    role: str = "champion"


Entry = tuple[LoggedVersion, ServedBatch]


class ServedLogWriter:
    """A queue of at most `capacity` rows and a thread that writes them every `flush_s`, or as soon as it is half full.

    Before `start` it only fills.
    """

    def __init__(
        self, folder: Path, metrics: ServerMetrics, *, capacity: int, flush_s: float, share: float = 1.0
    ) -> None:
        self._folder, self._metrics, self._share = folder, metrics, share
        self._capacity, self._flush_s = capacity, flush_s
        self._queue: SimpleQueue[Entry] = SimpleQueue()
        self._waiting = 0
        self._count = threading.Lock()
        self._wake = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="served-log", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def offer(self, entry: Entry) -> bool:
        """Queue a batch without blocking; False where it was dropped. Capacity 0: there is no log."""
        if not self._capacity:
            return False
        rows = len(entry[1].scores)
        with self._count:
            fits = self._waiting + rows <= self._capacity
            if fits:
                self._waiting += rows
        if not fits:
            self._metrics.dropped.inc(rows)
            return False
        self._queue.put(entry)
        self._metrics.waiting.inc(rows)
        if self._waiting * 2 > self._capacity:
            self._wake.set()
        return True

    def close(self, timeout_s: float = 30.0) -> None:
        """Write the queued rows and stop the thread."""
        self._closing = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def flush(self) -> None:
        """Write the queued rows, one file for each model version, role and UTC day. A failure loses rows and is counted."""
        groups: dict[tuple[str, str, str, int], tuple[LoggedVersion, list[ServedBatch]]] = {}
        with suppress(Empty):
            while True:
                logged, entry = self._queue.get_nowait()
                by = (logged.model, logged.version, logged.role, entry.served_at // DAY_US)
                groups.setdefault(by, (logged, []))[1].append(entry)
        for (model, version, _, day), (logged, entries) in groups.items():
            folder = self._folder / f"model={model}" / f"version={version}" / f"day={day_text(day)}"
            rows = sum(len(entry.scores) for entry in entries)
            try:
                written = _write(folder, logged, entries, self._share)
                self._metrics.logged.inc(written)
                self._metrics.unsampled.inc(rows - written)
            except Exception as error:  # noqa: BLE001 - whatever the disk or Arrow raise, the log must go on
                self._metrics.lost.inc(rows)
                _log.error("served_log_failed", folder=str(folder), rows=rows, error=repr(error))
            self._metrics.waiting.dec(rows)
            with self._count:
                self._waiting -= rows

    def _run(self) -> None:
        while not self._closing:
            self._wake.wait(self._flush_s)
            self._wake.clear()
            self.flush()
        self.flush()


def sampled(request_ids: pa.Array, share: float) -> pa.Array:
    """Which rows are logged: all of a request or none, decided by its id alone."""
    return pa.array([crc32(name.encode()) < share * _HASHES for name in request_ids.to_pylist()], pa.bool_())


def _write(folder: Path, logged: LoggedVersion, entries: list[ServedBatch], share: float) -> int:
    """Write a share of the requests. Returns the number of rows written."""
    batches = [
        used_batch(logged.plan, logged.model, logged.version, logged.views, part, logged.signature, role=logged.role)
        for part in _parts(entries)
    ]
    if share < 1.0:
        batches = [batch.filter(sampled(batch.column("request_id"), share)) for batch in batches]
    rows = sum(len(batch) for batch in batches)
    if not rows:
        return 0
    table = pa.Table.from_batches(batches, served_schema(logged.plan, logged.signature))
    # Dictionaries of numbers that hardly repeat take eight times as long as all the rest.
    texts = [field.name for field in table.schema if pa.types.is_string(field.type)]
    with replace_file(folder / f"{uuid4().hex}.parquet") as building:
        pq.write_table(table, building, compression="zstd", use_dictionary=texts)
    return rows


def _parts(entries: list[ServedBatch]) -> Iterator[list[ServedBatch]]:
    part, rows = [], 0
    for entry in entries:
        part.append(entry)
        rows += len(entry.scores)
        if rows >= _PART:
            yield part
            part, rows = [], 0
    if part:
        yield part
