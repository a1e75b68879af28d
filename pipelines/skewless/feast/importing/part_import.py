"""One part of Feast's rows of a view beside the same entities of the table: what is only there is pushed, read back, compared.

Held by tests/feast/importing/test_import_rows.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from feast.protos.feast.types.Value_pb2 import Value
from skewless.contract.admission import FeatureStatus
from skewless.contract.storage.entity_key import key_text
from skewless.contract.storage.newest_wins import replaces
from skewless.contract.storage.push_batch import online_rows
from skewless.contract.storage.push_target import PushTarget
from skewless.contract.storage.row_header import biased_times, times
from skewless.contract.timestamps import UtcMicros, to_micros
from skewless.feast.importing.former_rows import RowMark
from skewless.feast.importing.import_result import EXAMPLES, ViewImport
from skewless.feast.importing.view_codec import FeastViewCodec
from skewless.feast.online.view_decoder import ViewDecoder
from skewless.offline.values.packing import packable
from skewless.online.maintenance.newest_of_columns import winners
from skewless.online.push import push
from skewless.online.store.online_project import OnlineProject

Rows = tuple[pa.BinaryArray, pa.BinaryArray]
"""Keys and packed rows."""
_ROWS_A_PUSH = 20_000
_EVER = 1 << 62


@dataclass(frozen=True, slots=True)
class PartImport:
    """Imports into one target; what happens is added to `counts`."""

    project: OnlineProject
    target: PushTarget
    codec: FeastViewCodec
    data: Path
    clock: Callable[[], datetime]
    counts: ViewImport

    def run(self, former: Rows, table: Rows, *, dry_run: bool) -> set[bytes]:
        """Import a part; the keys of those of Feast's rows that are imported, or older than the table's.

        Raises: RedisUnreachable, StoreFull, StoreReadOnly, UnwritableKeys, RemovalUnfinished, TableRefused.
        """
        if not len(former[0]):
            return set()
        keys, rows = winners(*former)
        known_keys, known_rows = winners(*table)
        places = pc.index_in(keys, value_set=known_keys)
        event = biased_times(rows)[0]
        known = np.zeros(len(keys), event.dtype)
        matched = places.is_valid().to_numpy(zero_copy_only=False)
        if matched.any():
            known[matched] = biased_times(known_rows)[0][places.drop_null().to_numpy()]
        only_there, same = ~matched | (event > known), matched & (event == known)
        self.counts.older += int((matched & (event < known)).sum())
        done = set(keys.filter(pa.array(matched & (event < known))).to_pylist())
        for some in _slices(np.flatnonzero(only_there)):
            done |= self._new(keys.take(some).to_pylist(), rows.take(some).to_pylist(), dry_run=dry_run)
        for some in _slices(np.flatnonzero(same)):
            expected = known_rows.take(places.take(some)).to_pylist()
            done |= self._known(keys.take(some).to_pylist(), rows.take(some).to_pylist(), expected, dry_run=dry_run)
        return done

    def marks(self, former: Rows, done: set[bytes]) -> list[RowMark]:
        """All rows of these keys, those of older serialization versions too, to remove them."""
        rows = former[1].filter(pc.is_in(former[0], value_set=pa.array(done, pa.binary())))
        return [self.codec.unpack(row).mark for row in rows.to_pylist()]

    def _new(self, keys: list[bytes], rows: list[bytes], *, dry_run: bool) -> set[bytes]:
        """Push rows that are only in Feast's store; the keys of those that read back equal, or wait for their time."""
        now = to_micros(self.clock())
        batch = self.codec.batch(keys, rows, now)
        self.counts.unfit.update(batch.unfit)
        self.counts.imported += len(batch.keys)
        self.counts.waiting += int((~batch.rows.due(now)).sum())
        if dry_run or self.counts.refusal is not None or not batch.keys:
            return set()
        done = push.run(self.project.name, self.target, batch.rows, self.data, self.project.store, now)
        if done.refusal is not None:
            raise done.refusal
        return self._compared(batch.keys, online_rows(batch.rows, packable), batch.values, now)

    def _known(self, keys: list[bytes], rows: list[bytes], expected: list[bytes], *, dry_run: bool) -> set[bytes]:
        """Compare rows with those of the table that have their time; the keys of those that are equal, and online or waiting."""
        now = to_micros(self.clock())
        values = self.codec.values(rows)
        read = [place for place, of_row in enumerate(values) if of_row is not None]
        equal = self._equal([expected[place] for place in read], [values[place] or [] for place in read])
        same = [place for place, is_equal in zip(read, equal, strict=True) if is_equal]
        self.counts.known += len(same)
        self.counts.corrected += len(keys) - len(same)
        if dry_run:
            return set()
        return self._compared(
            [keys[place] for place in same],
            [expected[place] for place in same],
            None,
            now,
        )

    def _compared(
        self, keys: list[bytes], rows: list[bytes], values: list[list[Value]] | None, now: UtcMicros
    ) -> set[bytes]:
        """Read rows back from the online store, where they are written first if they are due and not there. The keys of those
        that have the `values` of Feast's store (None: these rows have them), wait for their time, or were replaced or may be
        gone by now.
        """
        store, view = self.project.store, self.target.view
        key_column = pa.array(keys, pa.binary())
        stored = store.stored_rows(view, key_column).to_pylist()
        lost = [place for place, row in enumerate(rows) if self._due(row, now) and replaces(row, stored[place])]
        if lost:
            store.push(view, [keys[place] for place in lost], [rows[place] for place in lost], now)
            stored = store.stored_rows(view, key_column).to_pylist()
        there = [place for place, row in enumerate(rows) if stored[place] == row]
        equal = [True] * len(there)
        if values is not None:
            equal = self._equal([rows[place] for place in there], [values[place] for place in there])
        compared = dict(zip(there, equal, strict=True))
        good = set()
        for place, (key, row) in enumerate(zip(keys, rows, strict=True)):
            if compared.get(place, False) or (place not in compared and self._absent(row, stored[place], now)):
                good.add(key)
                self.counts.compared += place in compared
            else:
                self.counts.differences += 1
                if len(self.counts.differing) < EXAMPLES:
                    self.counts.differing.append(key_text(key))
        return good

    def _due(self, row: bytes, now: UtcMicros) -> bool:
        of_row = times(row)
        return of_row is not None and bool(self.target.view.rule.admits(*of_row, now))

    def _absent(self, row: bytes, stored: bytes | None, now: UtcMicros) -> bool:
        """Whether it is right that the store has another row than this one, or none."""
        if not self._due(row, now) or (stored is not None and replaces(stored, row)):
            return True
        of_row = times(row)
        return of_row is not None and bool(self.target.view.rule.removable(of_row[0], now))

    def _equal(self, rows: list[bytes], values: list[list[Value]]) -> list[bool]:
        """Whether packed rows, read as Feast's SDK would, have these values; a tombstone equals any."""
        view = self.target.view
        names = [field.name for field in view.fields]
        ageless = msgspec.structs.replace(view, ttl_us=0)
        decoder = ViewDecoder(self.project.name, ageless, names)
        decoded = decoder.decode(rows, _EVER)
        columns = decoded.messages(decoder.types)
        return [
            status == FeatureStatus.NOT_FOUND
            or all(self.codec.equal(place, columns[place][row], value) for place, value in enumerate(of_row))
            for row, (status, of_row) in enumerate(zip(decoded.view_status, values, strict=True))
        ]


def _slices(places: NDArray[np.int64]) -> Iterator[pa.Array]:
    for start in range(0, len(places), _ROWS_A_PUSH):
        yield pa.array(places[start : start + _ROWS_A_PUSH])
