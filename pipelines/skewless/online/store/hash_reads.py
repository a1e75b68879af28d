"""Reads fields of many hashes of one server in one round trip, as commands in bytes on one connection.

redis-py's pipeline packs and unpacks each command by itself in Python, which takes longer than the server needs for it.

Held by tests/online/store/test_hash_reads.py.
"""

from __future__ import annotations

from collections.abc import Sequence

from redis.exceptions import ResponseError

from skewless.contract.storage.lookup import HashLookup
from skewless.online.store.lua_pipeline import frame
from skewless.online.store.redis_protocol import RedisConnection, SyncRedis

_HMGET = frame(b"HMGET")


def read_hashes(client: SyncRedis, lookups: Sequence[HashLookup]) -> list[object]:
    """The reply to each lookup; an error in the place of a reply, where a key is no hash. Tried again as the client does it.

    Raises: RedisError, OSError.
    """
    pool = client.connection_pool
    connection = pool.get_connection()
    try:
        commands = _packed(lookups)
        return connection.retry.call_with_retry(
            lambda: _exchange(connection, commands, len(lookups)), lambda _: connection.disconnect()
        )
    except BaseException:
        # Replies may be under way: nobody else shall read them.
        connection.disconnect()
        raise
    finally:
        pool.release(connection)


def _exchange(connection: RedisConnection, commands: bytes, count: int) -> list[object]:
    connection.send_packed_command([commands])
    replies: list[object] = []
    for _ in range(count):
        try:
            replies.append(connection.read_response())
        except ResponseError as error:
            replies.append(error)
    return replies


def _packed(lookups: Sequence[HashLookup]) -> bytes:
    """One HMGET for each lookup, as RESP arrays of bulk strings."""
    parts: list[bytes] = []
    for key, fields in lookups:
        parts += [b"*%d\r\n" % (2 + len(fields)), _HMGET, frame(key), *map(frame, fields)]
    return b"".join(parts)
