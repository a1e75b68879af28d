"""Finds and deletes a subject in Redis: the hashes of its entities, whatever other keys they have, and its stream rows.

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

_KEYS_PER_SCAN = 1_000
_ENTRIES_PER_READ = 500
_ERASED = b"the reason named an erased subject"


def entities(
    client: SyncRedis, project: str, subject: ErasureSubject, *, delete: bool = False, report: Report = quiet
) -> int:
    """How many entities with the subject's keys the store has; `delete` removes them, with all their views.

    Every key is scanned, a thousand at a time. Raises: RedisUnreachable, StoreReadOnly.
    """
    count = scanned = 0
    with mapped(client, "of an erased subject"):
        keys = client.scan_iter(match=b"*" + _escaped(project), count=_KEYS_PER_SCAN, _type="HASH")
        while some := list(islice(keys, _KEYS_PER_SCAN)):
            matches = {key for key in some if _is_about(key, project, subject)}
            if delete and matches:
                pipe = client.pipeline(transaction=False)
                for key in matches:
                    pipe.unlink(key)
                count += sum(msgspec.convert(pipe.execute(), list[int]))
            else:
                count += len(matches)
            scanned += len(some)
            report("online store", scanned, scanned)
    return count


def events(entries: StreamEntries, client: SyncRedis, subject: ErasureSubject, *, delete: bool = False) -> int:
    """How many rows of the stream and of its dead letters are about the subject; `delete` removes them.

    An entry that also has rows of other subjects is replaced by an entry with those, at the end of its stream.
    """
    count = 0
    with mapped(client, entries.key):
        for key in (entries.key, entries.dead):
            for entry, fields in _entries(client, key):
                rest, removed = _without(subject, fields)
                if removed and delete:
                    _replace(client, key, entry, rest, grouped=key == entries.key)
                count += removed
    return count


def _escaped(project: str) -> bytes:
    """A project's name as a glob pattern that matches only itself."""
    return b"".join(b"\\" + bytes([char]) if char in b"*?[]^\\" else bytes([char]) for char in project.encode())


def _is_about(key: bytes, project: str, subject: ErasureSubject) -> bool:
    parsed = parse_key(key)
    return (
        parsed is not None
        and parsed.project == project
        and subject.is_row(dict(zip(parsed.names, parsed.values, strict=True)))
    )


def _entries(client: SyncRedis, key: str) -> Iterator[tuple[bytes, Mapping[bytes, bytes]]]:
    """The entries up to the newest one at the start; entries added meanwhile (replacements included) are not read."""
    newest = client.xrevrange(key, count=1)
    start = b"-"
    while newest and (some := client.xrange(key, start, newest[0][0], count=_ENTRIES_PER_READ)):
        yield from some
        start = b"(" + some[-1][0]


def _without(subject: ErasureSubject, fields: Mapping[bytes, bytes]) -> tuple[dict[bytes, bytes] | None, int]:
    """An entry's fields without the subject's rows (None: no row is left), and how many rows were about the subject."""
    try:
        parsed = orjson.loads(fields.get(b"rows", b""))
    except orjson.JSONDecodeError:
        named = all(value.encode() in content for _, value in subject.keys for content in [b"\n".join(fields.values())])
        return None, int(named)
    rows = parsed if isinstance(parsed, list) else [parsed]
    others = [row for row in rows if not (isinstance(row, dict) and subject.is_row(row))]
    if not others:
        return None, len(rows) - len(others)
    rest = dict(fields) | {b"rows": orjson.dumps(others)}
    if b"reason" in rest and any(value.encode() in rest[b"reason"] for _, value in subject.keys):
        rest[b"reason"] = _ERASED
    return rest, len(rows) - len(others)


def _replace(client: SyncRedis, key: str, entry: bytes, rest: Mapping[bytes, bytes] | None, *, grouped: bool) -> None:
    pipe = client.pipeline()
    if rest is not None:
        pipe.xadd(key, rest)
    if grouped:
        pipe.xack(key, GROUP, entry)
    pipe.xdel(key, entry)
    pipe.execute()
