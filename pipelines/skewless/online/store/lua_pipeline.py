"""Runs a server-side script over many keys on one connection: commands as bytes, several calls in flight at a time.

redis-py packs each argument by itself in Python, which takes longer than the server needs for it. Here the arguments
are framed as whole Arrow columns, and a call is a few slices of those. At most `_UNDER_WAY` calls are in flight: enough
to keep the server busy, with bounded memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skewless.online.store.redis_protocol import RedisConnection, SyncRedis

_UNDER_WAY = 16
_CALL_BYTES = 1 << 17
_CALLS_FRAMED = 64
_LINE = b"\r\n"


class LuaPipeline:
    """One script on one server. The script is sent with each call, so it need not be loaded on the server."""

    def __init__(self, client: SyncRedis, script: str) -> None:
        self._pool = client.connection_pool
        self._script = frame(b"EVAL") + frame(script.encode())

    def run(
        self, keys: pa.BinaryArray, first: Sequence[bytes], arguments: pa.BinaryArray | None, most: int
    ) -> Iterator[tuple[int, object]]:
        """The script's replies over all `keys`, at most `most` keys a call, in order. Its ARGV are `first` and then, if
        there are `arguments`, one for each key. Each reply comes with the index of its call's first key.

        Raises: RedisError, OSError; any of the calls may then have run.
        """
        connection = self._pool.get_connection()
        try:
            yield from self._exchange(connection, keys, first, arguments, most)
        except BaseException:
            connection.disconnect()
            raise
        finally:
            self._pool.release(connection)

    def _exchange(
        self,
        connection: RedisConnection,
        keys: pa.BinaryArray,
        first: Sequence[bytes],
        arguments: pa.BinaryArray | None,
        most: int,
    ) -> Iterator[tuple[int, object]]:
        waiting: list[int] = []
        for place, call in self._calls(keys, first, arguments, most):
            connection.send_packed_command([call], check_health=False)
            waiting.append(place)
            if len(waiting) > _UNDER_WAY:
                yield waiting.pop(0), connection.read_response()
        for place in waiting:
            yield place, connection.read_response()

    def _calls(
        self, keys: pa.BinaryArray, first: Sequence[bytes], arguments: pa.BinaryArray | None, most: int
    ) -> Iterator[tuple[int, bytes]]:
        inputs = [keys] if arguments is None else [keys, arguments]
        mean = max(1, sum(column.nbytes for column in inputs) // max(len(keys), 1))
        size, middle = max(1, min(most, _CALL_BYTES // mean)), b"".join(map(frame, first))
        for begin in range(0, len(keys), size * _CALLS_FRAMED):
            span = slice(begin, begin + size * _CALLS_FRAMED)
            columns = [framed(column[span]) for column in inputs]
            rows = len(columns[0][1]) - 1
            for start in range(0, rows, size):
                stop = min(start + size, rows)
                parts = 3 + len(first) + len(inputs) * (stop - start)
                head = b"*%d\r\n" % parts + self._script + frame(b"%d" % (stop - start))
                slices = [data[ends[start] : ends[stop]] for data, ends in columns]
                yield begin + start, b"".join((head, slices[0], middle, *slices[1:]))


def framed(values: pa.BinaryArray) -> tuple[memoryview, list[int]]:
    """The values as RESP bulk strings, concatenated, with the offset of each and the end of the last one."""
    if not len(values):
        return memoryview(b""), [0]
    lengths = pc.binary_length(values).to_numpy(zero_copy_only=False)
    sizes, index_of_size = np.unique(lengths, return_inverse=True)
    heads = pa.array([b"$%d\r\n" % size for size in sizes.tolist()], pa.binary())
    head = heads[0] if len(sizes) == 1 else heads.take(pa.array(index_of_size))
    frames = pc.binary_join_element_wise(head, values, _LINE, b"")
    _, offsets, data = frames.buffers()
    ends = np.frombuffer(offsets, np.int32, len(values) + 1, frames.offset * 4)
    return memoryview(data), ends.tolist()


def frame(value: bytes) -> bytes:
    """A RESP bulk string."""
    return b"$%d\r\n%s\r\n" % (len(value), value)
