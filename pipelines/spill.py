"""Deals keyed rows out to files by entity, so that one part of the entities at a time fits into memory."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self
from zlib import crc32

import pyarrow as pa

from serving.contract.newest import replaces

_SCHEMA = pa.schema([("key", pa.binary()), ("row", pa.binary())])


class Spill:
    """`parts` parts of the entities, by a checksum of their keys; of these only one in `sample` entities."""

    def __init__(self, parts: int, *, sample: int = 1) -> None:
        self.parts, self._sample = parts, sample
        self._folder = tempfile.TemporaryDirectory(prefix="skewless-verify-")
        self._writers: dict[tuple[str, int], pa.ipc.RecordBatchStreamWriter] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._close()
        self._folder.cleanup()

    def add(self, pile: str, keys: Sequence[bytes], rows: Sequence[bytes]) -> None:
        """Put rows on a pile."""
        dealt: dict[int, tuple[list[bytes], list[bytes]]] = {}
        for key, row in zip(keys, rows, strict=True):
            number = crc32(key)
            if number % self._sample == 0:
                some = dealt.setdefault(number // self._sample % self.parts, ([], []))
                some[0].append(key)
                some[1].append(row)
        for part, (some_keys, some_rows) in dealt.items():
            batch = pa.record_batch([pa.array(some_keys, pa.binary()), pa.array(some_rows, pa.binary())], _SCHEMA)
            self._writer(pile, part).write_batch(batch)

    def newest(self, pile: str, part: int) -> dict[bytes, bytes]:
        """The row of a part's pile that wins, by entity."""
        found: dict[bytes, bytes] = {}
        for key, row in self._rows(pile, part):
            if replaces(row, found.get(key)):
                found[key] = row
        return found

    def keys(self, pile: str, part: int) -> Iterable[bytes]:
        """The keys of a part's pile, each once."""
        return {key for key, _ in self._rows(pile, part)}

    def _rows(self, pile: str, part: int) -> Iterator[tuple[bytes, bytes]]:
        self._close()
        file = self._file(pile, part)
        if file.exists():
            with pa.ipc.open_stream(str(file)) as reader:
                for batch in reader:
                    yield from zip(batch.column(0).to_pylist(), batch.column(1).to_pylist(), strict=True)

    def _writer(self, pile: str, part: int) -> pa.ipc.RecordBatchStreamWriter:
        if (pile, part) not in self._writers:
            self._writers[pile, part] = pa.ipc.new_stream(str(self._file(pile, part)), _SCHEMA)
        return self._writers[pile, part]

    def _file(self, pile: str, part: int) -> Path:
        return Path(self._folder.name) / f"{pile}-{part}"

    def _close(self) -> None:
        for writer in self._writers.values():
            writer.close()
        self._writers = {}
