"""The online store as the offline steps use it: a synchronous shell around the contract's rows, keys and script."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, TypeVar

from redis import Redis, RedisCluster
from redis.exceptions import RedisClusterException, RedisError

from pipelines.redis_connection import RedisUnreachable, address
from serving.contract import catalog
from serving.contract.newest import SCRIPT
from serving.contract.online import Lookup, Reply
from serving.contract.plan import View
from serving.contract.row import Schema
from serving.contract.target import Target, target_entry

Item = TypeVar("Item")
_ROWS_A_CALL = 500
_CALLS_A_TRIP = 16
_LOOKUPS_A_TRIP = 2_000


class OnlineWriter:
    """Writes packed rows of one project under newest-wins, and reads them back. `client` is a connected Redis."""

    def __init__(self, client: Redis | RedisCluster, project: str) -> None:
        self._client: Any = client
        self._project = project
        self._script: Any = None if isinstance(client, RedisCluster) else client.register_script(SCRIPT)

    def prepare(self, view: View) -> None:
        """Make rows of the view's schema readable; call it before writing them."""
        with _mapped(self._client):
            self._client.hset(catalog.catalog_key(self._project), mapping=catalog.schema_entry(view))

    def register(self, view: View) -> None:
        """Put the view's definition into the catalog: all of its rows are now those that it means."""
        with _mapped(self._client):
            self._client.hset(catalog.catalog_key(self._project), mapping=catalog.view_entry(view))

    def introduce(self, view: View) -> None:
        """Put the view's definition into the catalog if that knows none: some of its rows are there."""
        with _mapped(self._client):
            for field, entry in catalog.view_entry(view).items():
                self._client.hsetnx(catalog.catalog_key(self._project), field, entry)

    def accept(self, targets: Sequence[Target]) -> None:
        """Tell servers where pushed rows of these views go."""
        entries = {name: entry for target in targets for name, entry in target_entry(target).items()}
        if entries:
            with _mapped(self._client):
                self._client.hset(catalog.catalog_key(self._project), mapping=entries)

    def definitions(self, views: Sequence[View]) -> dict[str, View | None]:
        """What the catalog says of each view, by its stored name; None where it says nothing."""
        names = [view.stored_as for view in views]
        if not names:
            return {}
        with _mapped(self._client):
            found = self._client.hmget(catalog.catalog_key(self._project), [catalog.view_field(name) for name in names])
        return {name: catalog.parse_view(entry) if entry else None for name, entry in zip(names, found, strict=True)}

    def write(self, view: View, keys: Sequence[bytes], rows: Sequence[bytes]) -> int:
        """Write a row for each key where it wins; how many did. Returns after Redis acknowledged all of them.

        Raises: RedisUnreachable; any part may then have been written, and writing all again is harmless.
        """
        written = 0
        field = view.stored_as.encode()
        with _mapped(self._client):
            for calls in _batches(self._calls(keys, rows), _CALLS_A_TRIP):
                written += sum(self._run(field, calls))
        return written

    def read(self, lookups: Sequence[Lookup]) -> list[Reply]:
        """The replies to a batch of lookups, in order. Raises: RedisUnreachable."""
        replies: list[Reply] = []
        with _mapped(self._client):
            for some in _batches(lookups, _LOOKUPS_A_TRIP):
                pipe = self._client.pipeline(transaction=False)
                for lookup in some:
                    pipe.hmget(lookup.key, list(lookup.fields))
                replies += pipe.execute()
        return replies

    def schema(self, fingerprint: bytes) -> Schema | None:
        """The row schema with this fingerprint, if the catalog lists it."""
        with _mapped(self._client):
            found = self._client.hget(catalog.catalog_key(self._project), catalog.schema_field(fingerprint))
        return catalog.parse_schema(found) if found else None

    def _calls(self, keys: Sequence[bytes], rows: Sequence[bytes]) -> Iterator[tuple[Sequence[bytes], Sequence[bytes]]]:
        """Keys and rows of one script call each: of one hash slot where the server is a cluster."""
        pairs = zip(keys, rows, strict=True)
        if self._script is None:
            by_slot: dict[int, list[tuple[bytes, bytes]]] = {}
            for key, row in pairs:
                by_slot.setdefault(self._client.keyslot(key), []).append((key, row))
            groups: list[Any] = list(by_slot.values())
        else:
            groups = [pairs]
        for group in groups:
            for some in _batches(group, _ROWS_A_CALL):
                some_keys, some_rows = zip(*some, strict=True)
                yield some_keys, some_rows

    def _run(self, field: bytes, calls: Sequence[tuple[Sequence[bytes], Sequence[bytes]]]) -> list[int]:
        if self._script is None:
            return [int(self._client.eval(SCRIPT, len(keys), *keys, field, *rows)) for keys, rows in calls]
        pipe = self._client.pipeline(transaction=False)
        for keys, rows in calls:
            self._script(keys=keys, args=[field, *rows], client=pipe)
        return [int(won) for won in pipe.execute()]


def _batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


@contextmanager
def _mapped(client: Redis | RedisCluster) -> Iterator[None]:
    """Maps the client's errors to ours: this file is where the two meet."""
    try:
        yield
    except (RedisError, RedisClusterException, OSError) as error:
        raise RedisUnreachable(address(client), str(error)) from error
