"""The online store as the offline steps use it: a synchronous shell around the contract's rows, keys and script."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

from redis import Redis, RedisCluster
from redis.exceptions import ResponseError

from pipelines.cluster_script import ClusterScript
from pipelines.store_refusals import RemovalUnfinished, UnwritableKeys, mapped
from serving.contract import catalog
from serving.contract.errors import CorruptRow
from serving.contract.keys import told_key
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
        self._cluster = ClusterScript(client, SCRIPT) if isinstance(client, RedisCluster) else None
        self._script: Any = None if isinstance(client, RedisCluster) else client.register_script(SCRIPT)

    def prepare(self, view: View) -> None:
        """Make rows of the view's schema readable; call it before writing them.

        Raises: RemovalUnfinished, StoreFull, StoreReadOnly, RedisUnreachable.
        """
        place = catalog.catalog_key(self._project)
        with mapped(self._client, view.stored_as):
            pipe = self._client.pipeline(transaction=False)
            pipe.hexists(place, catalog.removal_field(view.stored_as))
            pipe.hset(place, mapping=catalog.schema_entry(view))
            removing, _ = pipe.execute()
        if removing:
            raise RemovalUnfinished(view.stored_as)

    def register(self, view: View) -> None:
        """Put the view's definition into the catalog: all of its rows are now those that it means."""
        with mapped(self._client, view.stored_as):
            self._client.hset(catalog.catalog_key(self._project), mapping=catalog.view_entry(view))

    def introduce(self, view: View) -> None:
        """Put the view's definition into the catalog if that knows none: some of its rows are there."""
        with mapped(self._client, view.stored_as):
            for field, entry in catalog.view_entry(view).items():
                self._client.hsetnx(catalog.catalog_key(self._project), field, entry)

    def accept(self, targets: Sequence[Target]) -> None:
        """Tell servers where pushed rows of these views go."""
        entries = {name: entry for target in targets for name, entry in target_entry(target).items()}
        if entries:
            with mapped(self._client):
                self._client.hset(catalog.catalog_key(self._project), mapping=entries)

    def definitions(self, views: Sequence[View]) -> dict[str, View | None]:
        """What the catalog says of each view, by its stored name; None where it says nothing."""
        names = [view.stored_as for view in views]
        if not names:
            return {}
        with mapped(self._client):
            found = self._client.hmget(catalog.catalog_key(self._project), [catalog.view_field(name) for name in names])
        return {name: catalog.parse_view(entry) if entry else None for name, entry in zip(names, found, strict=True)}

    def write(self, view: View, keys: Sequence[bytes], rows: Sequence[bytes]) -> int:
        """Write a row for each key where it wins; how many did. Returns after Redis acknowledged all of them.

        Raises: StoreFull, StoreReadOnly, RedisUnreachable; any part may then have been written, and writing all again
            is harmless. UnwritableKeys: all other rows were written.
        """
        written = 0
        others: list[bytes] = []
        field = view.stored_as.encode()
        with mapped(self._client, view.stored_as):
            for calls in _batches(self._calls(keys, rows), _CALLS_A_TRIP):
                for won, (some, _) in zip(self._run(field, calls), calls, strict=True):
                    written += won[0] if isinstance(won, list) else won
                    others += [some[place - 1] for place in won[1:]] if isinstance(won, list) else ()
        if others:
            raise UnwritableKeys(view.stored_as, tuple(map(told_key, others)))
        return written

    def read(self, lookups: Sequence[Lookup]) -> list[Reply]:
        """The replies to a batch of lookups, in order. Raises: CorruptRow, RedisUnreachable."""
        replies = []
        for reply in self.read_each(lookups):
            if isinstance(reply, CorruptRow):
                raise reply
            replies.append(reply)
        return replies

    def read_each(self, lookups: Sequence[Lookup]) -> list[Reply | CorruptRow]:
        """`read` that gives the error of an entity whose key is no hash in its place. Raises: RedisUnreachable."""
        replies: list[Reply | CorruptRow] = []
        with mapped(self._client):
            for some in _batches(lookups, _LOOKUPS_A_TRIP):
                pipe = self._client.pipeline(transaction=False)
                for lookup in some:
                    pipe.hmget(lookup.key, list(lookup.fields))
                answers = pipe.execute(raise_on_error=False)
                replies += [_reply(lookup, answer) for lookup, answer in zip(some, answers, strict=True)]
        return replies

    def schema(self, fingerprint: bytes) -> Schema | None:
        """The row schema with this fingerprint, if the catalog lists it."""
        with mapped(self._client):
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

    def _run(self, field: bytes, calls: Sequence[tuple[Sequence[bytes], Sequence[bytes]]]) -> list[Any]:
        """What the script answers to each call."""
        if self._cluster is not None:
            return self._cluster.run([(keys, [field, *rows]) for keys, rows in calls])
        pipe = self._client.pipeline(transaction=False)
        for keys, rows in calls:
            self._script(keys=keys, args=[field, *rows], client=pipe)
        answers: list[Any] = pipe.execute()
        return answers


def _reply(lookup: Lookup, answer: Any) -> Reply | CorruptRow:  # noqa: ANN401 - what Redis says
    """Raises: RedisError for what is not the entity's fault."""
    if isinstance(answer, ResponseError) and "WRONGTYPE" in str(answer):
        views = ", ".join(field.decode() for field in lookup.fields)
        return CorruptRow(views, "its key holds something else than a hash", told_key(lookup.key))
    if isinstance(answer, Exception):
        raise answer
    found: Reply = answer
    return found


def _batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
