"""Partitions keyed rows by entity into files, so that one partition at a time fits into memory."""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

_SCHEMA = pa.schema([("key", pa.binary()), ("row", pa.binary())])
_KEYS_AT_ONCE = 16_384
_MIXED = ((33, 0xFF51AFD7ED558CCD), (33, 0xC4CEB9FE1A85EC53), (33, 1))


class KeyPartitions:
    """`parts` partitions by a hash of the keys, seeded with `seed`; keeps one in `sample` entities."""

    def __init__(self, parts: int, *, sample: int = 1, seed: int = 0) -> None:
        self.parts, self._sample, self._seed = parts, sample, seed
        self._folder = tempfile.TemporaryDirectory(prefix="skewless-verify-")
        self._writers: dict[tuple[str, int], pa.ipc.RecordBatchStreamWriter] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._close()
        self._folder.cleanup()

    def add(self, stream: str, keys: pa.BinaryArray, rows: pa.BinaryArray) -> None:
        """Append rows to a stream, for example that of the offline rows."""
        number = numbers(keys, self._seed)
        sampled = np.flatnonzero(number % np.uint64(self._sample) == 0)
        part = number[sampled] // np.uint64(self._sample) % np.uint64(self.parts)
        order = np.argsort(part, kind="stable")
        batch = pa.record_batch([keys, rows], _SCHEMA).take(pa.array(sampled[order]))
        ends = np.searchsorted(part[order], np.arange(self.parts, dtype=np.uint64), side="right")
        for place, (start, end) in enumerate(zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True)):
            if end > start:
                self._writer(stream, place).write_batch(batch.slice(start, end - start))

    def part(self, stream: str, part: int) -> tuple[pa.BinaryArray, pa.BinaryArray]:
        """The keys and rows of a stream in one partition, in the order in which they were added."""
        self._close()
        file = self._file(stream, part)
        if not file.exists():
            return pa.array([], pa.binary()), pa.array([], pa.binary())
        with pa.ipc.open_stream(str(file)) as reader:
            table = reader.read_all()
        return pa.concat_arrays(table["key"].chunks), pa.concat_arrays(table["row"].chunks)

    def _writer(self, stream: str, part: int) -> pa.ipc.RecordBatchStreamWriter:
        if (stream, part) not in self._writers:
            self._writers[stream, part] = pa.ipc.new_stream(str(self._file(stream, part)), _SCHEMA)
        return self._writers[stream, part]

    def _file(self, stream: str, part: int) -> Path:
        return Path(self._folder.name) / f"{stream}-{part}"

    def _close(self) -> None:
        for writer in self._writers.values():
            writer.close()
        self._writers = {}


def numbers(keys: pa.BinaryArray, seed: int) -> NDArray[np.uint64]:
    """A 64-bit hash of each key under `seed`: the sum of the bytes, each times a random weight of its position, mixed."""
    parts = [_numbers(keys[start : start + _KEYS_AT_ONCE], seed) for start in range(0, len(keys), _KEYS_AT_ONCE)]
    return np.concatenate(parts) if parts else np.zeros(0, np.uint64)


def _numbers(keys: pa.BinaryArray, seed: int) -> NDArray[np.uint64]:
    _, offsets, data = keys.buffers()
    ends = np.frombuffer(offsets, np.int32, len(keys) + 1, keys.offset * 4).astype(np.int64)
    raw = np.frombuffer(data or b"", np.uint8)[ends[0] : ends[-1]]
    ends -= ends[0]
    lengths = np.diff(ends)
    weights = np.random.default_rng(seed).integers(1 << 63, size=int(lengths.max()), dtype=np.uint64)
    place = np.arange(len(raw)) - np.repeat(ends[:-1], lengths)
    summed = np.append(np.uint64(0), np.cumsum((raw.astype(np.uint64) + 1) * weights[place], dtype=np.uint64))
    number: NDArray[np.uint64] = summed[ends[1:]] - summed[ends[:-1]]
    for shift, factor in _MIXED:
        number = (number ^ (number >> np.uint64(shift))) * np.uint64(factor)
    return number
