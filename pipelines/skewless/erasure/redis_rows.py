"""A subject in Redis: the hashes of its entities, whatever other keys they have, and the events that name it.

Held by tests/erasure/test_erase.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice

import msgspec
import orjson

from skewless.contract.storage.entity_key import parse_key
from skewless.erasure.subject import ErasureSubject
from skewless.online.push.stream_entries import GROUP, StreamEntries
from skewless.online.store.redis_errors import mapped
from skewless.online.store.redis_protocol import SyncRedis
from skewless.runtime.progress import Report, quiet

_KEYS_A_SCAN = 1_000
_ENTRIES_A_TRIP = 500
_ERASED = b"the reason named an erased subject"


def entities(
    client: SyncRedis, project: str, subject: ErasureSubject, *, delete: bool = False, report: Report = quiet
) -> int:
    """How many entities with the subject's keys the store has; `delete` removes them, with all their views.

    Every key is looked at, a thousand at a time. Raises: RedisUnreachable, StoreReadOnly.
    """
    count = seen = 0
    with mapped(client, "of an erased subject"):
        keys = client.scan_iter(match=b"*" + _plain(project), count=_KEYS_A_SCAN, _type="HASH")
        while some := list(islice(keys, _KEYS_A_SCAN)):
            meant = {key for key in some if _is_of(key, project, subject)}
            if delete and meant:
                pipe = client.pipeline(transaction=False)
                for key in meant:
                    pipe.unlink(key)
                count += sum(msgspec.convert(pipe.execute(), list[int]))
            else:
                count += len(meant)
            seen += len(some)
            report("online store", seen, seen)
    return count


def events(entries: StreamEntries, client: SyncRedis, subject: ErasureSubject, *, delete: bool = False) -> int:
    """How many rows of the stream and of its dead letters are about the subject; `delete` removes them.

    An entry with rows of others too is replaced by one with those, at the end of its stream.
    """
    count = 0
    with mapped(client, entries.key):
        for key in (entries.key, entries.dead):
            for entry, fields in _entries(client, key):
                rest, gone = _without(subject, fields)
                if gone and delete:
                    _replace(client, key, entry, rest, grouped=key == entries.key)
                count += gone
    return count


def _plain(project: str) -> bytes:
    """A project's name as a pattern that means just that."""
    return b"".join(b"\\" + bytes([one]) if one in b"*?[]^\\" else bytes([one]) for one in project.encode())


def _is_of(key: bytes, project: str, subject: ErasureSubject) -> bool:
    parsed = parse_key(key)
    return (
        parsed is not None
        and parsed.project == project
        and subject.is_row(dict(zip(parsed.names, parsed.values, strict=True)))
    )


def _entries(client: SyncRedis, key: str) -> Iterator[tuple[bytes, Mapping[bytes, bytes]]]:
    """The entries that are there now; what is added meanwhile (the rest of replaced ones, too) is not read."""
    newest = client.xrevrange(key, count=1)
    start = b"-"
    while newest and (some := client.xrange(key, start, newest[0][0], count=_ENTRIES_A_TRIP)):
        yield from some
        start = b"(" + some[-1][0]


def _without(subject: ErasureSubject, fields: Mapping[bytes, bytes]) -> tuple[dict[bytes, bytes] | None, int]:
    """An entry's fields without the subject (None: nothing is left), and how many rows were about it."""
    try:
        parsed = orjson.loads(fields.get(b"rows", b""))
    except orjson.JSONDecodeError:
        named = all(value.encode() in content for _, value in subject.keys for content in [b"\n".join(fields.values())])
        return None, int(named)
    rows = parsed if isinstance(parsed, list) else [parsed]
    kept = [row for row in rows if not (isinstance(row, dict) and subject.is_row(row))]
    if not kept:
        return None, len(rows) - len(kept)
    rest = dict(fields) | {b"rows": orjson.dumps(kept)}
    if b"reason" in rest and any(value.encode() in rest[b"reason"] for _, value in subject.keys):
        rest[b"reason"] = _ERASED
    return rest, len(rows) - len(kept)


def _replace(client: SyncRedis, key: str, entry: bytes, rest: Mapping[bytes, bytes] | None, *, grouped: bool) -> None:
    pipe = client.pipeline()
    if rest is not None:
        pipe.xadd(key, rest)
    if grouped:
        pipe.xack(key, GROUP, entry)
    pipe.xdel(key, entry)
    pipe.execute()
