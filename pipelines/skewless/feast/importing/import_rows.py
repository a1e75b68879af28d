"""Imports what is only in Feast's own online store: into the tables, as pushed rows, and into our online rows.

A row of Feast's counts only where it is newer than all rows of its entity in the table. It was true since its event time, and
is known to us since the import: that is its created time, where the table has one. The rows are partitioned by entity, so that memory does
not grow with the stores. All views are locked meanwhile: a run that erases or materializes waits.

A run may be killed at any instruction and repeated: what was imported before is in the table then, so it is not imported again,
and is written online if it is not there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import pyarrow as pa

from skewless.contract.errors import NotPushable
from skewless.contract.plan import PlanView
from skewless.contract.storage.push_target import PushTarget, check_target
from skewless.contract.storage.stored_name import plain_name
from skewless.feast.importing.former_rows import FeastKeyParser, FeastOnlineRows, FormerRow, OpenRows
from skewless.feast.importing.import_result import ImportResult, ViewImport
from skewless.feast.importing.part_import import PartImport
from skewless.feast.importing.view_codec import FeastViewCodec
from skewless.offline.tables.arrivals import ViewArrivals, arrivals
from skewless.offline.tables.source import TableSource
from skewless.offline.tables.view_rows import newest_schema
from skewless.online.maintenance.key_partitions import KeyPartitions
from skewless.online.materialization.newest_arrivals import NewestArrivals
from skewless.online.store.online_project import OnlineProject
from skewless.runtime.errors import SourceMismatch, SourceMissing
from skewless.runtime.progress import Report, quiet
from skewless.state.locks import WAIT

VERB = "import-feast"
_ROWS_A_PART = 100_000
_MOST_FILES = 256
"""Open at a time while Feast's rows are put aside, at most."""
_EARLIEST, _LATEST = -(1 << 63), 1 << 62


@dataclass(frozen=True, slots=True)
class ImportTarget:
    """A feature view with its table and where rows are pushed to."""

    view: PlanView
    source: TableSource
    target: PushTarget

    @classmethod
    def of(cls, view: PlanView, source: TableSource, targets: Mapping[str, PushTarget]) -> ImportTarget:
        """The target of a view among those of the project. Where other views read its table too, but nothing of it that its
        rows lack, they get the rows that are imported to it.
        """
        target = targets[plain_name(view.stored_as)]
        sharing = [targets[plain_name(name)] for name in target.shared_with if plain_name(name) in targets]
        if len(sharing) == len(target.shared_with) and all(target.fills(other) for other in sharing):
            target = msgspec.structs.replace(target, shared_with=(), also=(*target.also, *sharing))
        return cls(view, source, target)

    def stored(self) -> dict[str, pa.DataType]:
        """The types of the table's columns; none before its first file."""
        try:
            return {field.name: field.type for field in newest_schema(self.source)}
        except SourceMissing:
            return {}

    def written(self) -> Iterator[PlanView]:
        """All definitions that get the imported rows."""
        yield self.view
        yield from (other.view for other in self.target.also)


@dataclass(frozen=True, slots=True)
class FeastImport:
    """An import into a project whose data folder is `data`. With `remove` the imported rows leave Feast's store, and those that
    are older than the table's; with `dry_run` nothing is written or removed.
    """

    project: OnlineProject
    data: Path
    clock: Callable[[], datetime]
    remove: bool = False
    dry_run: bool = False
    report: Report = quiet
    wait: timedelta = WAIT

    def run(self, targets: Sequence[ImportTarget], open_rows: OpenRows, computed: Sequence[str] = ()) -> ImportResult:
        """Import the rows of these views. `computed` are on-demand views whose outputs are stored.

        Raises: FormerStoreUnreachable, RedisUnreachable, StoreFull, StoreReadOnly, TableRefused, LockBusy. Running it again
        completes what was left.
        """
        codecs = [FeastViewCodec(self.project.name, target.target, target.stored()) for target in targets]
        result = ImportResult([ViewImport(codec.feast_name) for codec in codecs], dry_run=self.dry_run)
        features = {codec.feast_name: [field.name for field in codec.view.fields] for codec in codecs}
        parser = FeastKeyParser([tuple(key.key for key in codec.view.join_keys) for codec in codecs])
        rows = open_rows(features, parser)
        views = [] if self.dry_run else [view for target in targets for view in target.written()]
        with self.project.lock(views, VERB, self.wait):
            parts = max(1, min(_MOST_FILES // max(1, len(codecs)), rows.size() // _ROWS_A_PART + 1))
            with KeyPartitions(parts) as former:
                self._put_aside(rows, former, codecs, result, computed)
                for number, (target, codec, counts) in enumerate(zip(targets, codecs, result.views, strict=True)):
                    self.report(counts.view, number, len(targets))
                    self._import(target, codec, rows, former, counts)
        return result

    def _put_aside(
        self,
        rows: FeastOnlineRows,
        former: KeyPartitions,
        codecs: Sequence[FeastViewCodec],
        result: ImportResult,
        computed: Sequence[str],
    ) -> None:
        """Read Feast's store; a stream for each view gets the rows that can be dated and decoded."""
        by_name = {codec.feast_name: (codec, counts) for codec, counts in zip(codecs, result.views, strict=True)}
        done, size = 0, rows.size()
        for batch in rows.batches():
            streams: dict[str, tuple[list[bytes], list[bytes]]] = {}
            for row in batch:
                if row.view not in by_name:
                    (result.computed if row.view in computed else result.unknown)[row.view] += 1
                    continue
                codec, counts = by_name[row.view]
                pair = _dated(codec, row, counts)
                if pair is not None:
                    keys, packed = streams.setdefault(row.view, ([], []))
                    keys.append(pair[0])
                    packed.append(pair[1])
            for view, (keys, packed) in streams.items():
                former.add(view, pa.array(keys, pa.binary()), pa.array(packed, pa.binary()))
            done += len({row.place for row in batch})
            self.report("reading", done, max(done, size))

    def _import(
        self,
        target: ImportTarget,
        codec: FeastViewCodec,
        rows: FeastOnlineRows,
        former: KeyPartitions,
        counts: ViewImport,
    ) -> None:
        try:
            check_target(target.target)
        except NotPushable as error:
            counts.refusal = error.reason
        with KeyPartitions(former.parts) as table:
            try:
                for keys, packed in _table_rows(target, self.project.name):
                    table.add("table", keys, packed)
            except SourceMismatch as error:
                counts.refusal, counts.unread = str(error), True
                return
            for part in range(former.parts):
                run = PartImport(self.project, target.target, codec, self.data, self.clock, counts)
                of_feast = former.part(codec.feast_name, part)
                done = run.run(of_feast, table.part("table", part), dry_run=self.dry_run)
                if self.remove and done and not self.dry_run:
                    counts.removed += rows.remove(codec.feast_name, run.marks(of_feast, done))


def _dated(codec: FeastViewCodec, row: FormerRow, counts: ViewImport) -> tuple[bytes, bytes] | None:
    """Our key of a row and its bytes to put aside; None, counted, where it has no time, no values or no such key."""
    key = codec.key(row.key)
    if row.event is None:
        counts.undated += 1
    elif key is None:
        counts.undecodable += 1
    elif not row.values:
        counts.empty += 1
    else:
        return key, codec.pack(row, row.event)
    return None


def _table_rows(target: ImportTarget, project: str) -> Iterator[tuple[pa.BinaryArray, pa.BinaryArray]]:
    """Keys and newest rows of the table, rows of the future too; an entity may appear again. Raises: SourceMismatch."""
    try:
        everything: ViewArrivals = arrivals(target.view, target.source, _EARLIEST, _LATEST)
    except SourceMissing:
        return
    yield from NewestArrivals(everything, project, lambda _: None).rows(everything.batches())
