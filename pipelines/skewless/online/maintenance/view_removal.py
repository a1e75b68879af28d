"""Removes all rows of feature views from the online store. It scans every key, so it is never part of a request.

The catalog lists a removal from before its first row is deleted until after the last one, with the scan cursor on each
server. Readers treat a listed view as one without rows, writers refuse it, and every call finishes removals that were
interrupted: from the saved cursor if the server is still the same process (a cursor is not valid on another one) and the
cluster's slots have not moved, otherwise from the start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import islice

import msgspec

from skewless.contract.errors import RemovalUnfinished
from skewless.contract.plan import DUMMY_ENTITY, PlanView
from skewless.contract.storage import catalog
from skewless.contract.storage.entity_key import key_head, parse_key
from skewless.contract.storage.push_target import parse_target, target_field
from skewless.contract.storage.stored_name import plain_name
from skewless.online.store.completeness import marks
from skewless.online.store.redis_errors import mapped
from skewless.online.store.redis_protocol import SyncRedis, is_cluster
from skewless.runtime.progress import Report, quiet
from skewless.state.locks import LockBusy

_KEYS_A_SCAN = 1_000
_FIELDS_A_TRIP = 1_000
_SLOTS = 16_384
_WALKS = 10
_WALKED = -1
_PREFIX = catalog.removal_field("")
_GLOB = {ord(char): b"\\" + char.encode() for char in "*?[]^\\"}


class ViewRemoval(msgspec.Struct, frozen=True):
    """A view whose rows are being removed: its sorted join keys, and the progress of the scan.

    `cursors` are by the run id of each server; `layout` is the assignment of the cluster's slots when the scan began.
    """

    view: str
    join_keys: tuple[str, ...]
    layout: str = ""
    cursors: dict[str, int] = {}


def _unlocked(_views: Sequence[str]) -> AbstractContextManager[None]:
    return nullcontext()


def remove(
    client: SyncRedis,
    project: str,
    views: Iterable[PlanView],
    *,
    lock: Callable[[Sequence[str]], AbstractContextManager[None]] = _unlocked,
    report: Report = quiet,
) -> dict[str, int]:
    """Remove the views, and finish interrupted removals; rows removed by view.

    Readers see the views as empty from the start. Calls `report` after each round trip with the keys scanned and an estimate
    of how many there are. `lock` waits for writers that began before the catalog listed the removal.
    If it is killed, run it again: it continues. Raises: RemovalUnfinished, StoreReadOnly, RedisUnreachable.
    """
    views = list(views)
    catalog_key = catalog.catalog_key(project)
    with mapped(client, ", ".join(view.stored_as for view in views)):
        if views:
            removals = {view.stored_as: ViewRemoval(view.stored_as, _join_keys(view)) for view in views}
            own_targets = _own_targets(client, catalog_key, list(removals))
            pipe = client.pipeline(transaction=False)
            # The removal is listed first: a listed view counts as removed, even if its definition is still there.
            for name, removal in removals.items():
                pipe.hsetnx(catalog_key, catalog.removal_field(name), msgspec.json.encode(removal))
            fields = (catalog.view_field, catalog.reached_field)
            pipe.hdel(catalog_key, *[field(name) for name in removals for field in fields], *own_targets)
            pipe.execute()
        unfinished = [
            _parsed(entry) for name, entry in _catalog(client, catalog_key).items() if name.startswith(_PREFIX)
        ]
        if not unfinished:
            return {}
        names = [removal.view for removal in unfinished]
        try:
            with lock(names):
                removed = _KeyWalk(client, project, unfinished, report).run()
        except LockBusy as error:
            raise RemovalUnfinished(", ".join(names)) from error
        pipe = client.pipeline(transaction=False)
        for mark in marks(client, project):
            pipe.hdel(mark, *map(catalog.reached_field, names))
        pipe.hdel(catalog_key, *map(catalog.removal_field, names))
        pipe.execute()
    return removed


def versions(client: SyncRedis, project: str, view: PlanView, name: str) -> list[PlanView]:
    """The view, and all that the catalog lists under its `name`: later versions, and definitions beside one another."""
    with mapped(client, name):
        entries = _catalog(client, catalog.catalog_key(project))
    prefix = catalog.view_field("")
    stored = {field.removeprefix(prefix).decode(): e for field, e in entries.items() if field.startswith(prefix)}
    listed = {
        stored_as: entry for stored_as, entry in stored.items() if stored_as == name or stored_as.startswith(f"{name}@")
    }
    definitions = {stored_as: catalog.parse_view(entry) or view for stored_as, entry in listed.items()}
    views = {view.stored_as: view} | {
        n: msgspec.structs.replace(definition, stored_as=n) for n, definition in definitions.items()
    }
    return [views[stored_as] for stored_as in sorted(views)]


def _own_targets(client: SyncRedis, catalog_key: bytes, names: Sequence[str]) -> list[bytes]:
    """The push targets of these stored names. A target of their plain name may be that of another definition, which stays."""
    fields = [target_field(plain_name(name)) for name in names]
    own = []
    for name, field in zip(names, fields, strict=True):
        entry = client.hget(catalog_key, field)
        target = parse_target(entry) if entry else None
        own += [field] if target is None or target.view.stored_as == name else []
    return own


@dataclass(frozen=True, slots=True)
class _RemovalServer:
    run_id: str
    connection: SyncRedis
    keys: int


class _KeyWalk:
    """One scan over all keys for several views."""

    def __init__(self, client: SyncRedis, project: str, removals: Sequence[ViewRemoval], report: Report) -> None:
        self._client, self._project, self._report = client, project, report
        self._catalog_key = catalog.catalog_key(project)
        self._removals = list(removals)
        self._fields: dict[tuple[str, ...], list[str]] = {}
        for removal in removals:
            self._fields.setdefault(removal.join_keys, []).append(removal.view)
        self.removed = {removal.view: 0 for removal in removals}

    def run(self) -> dict[str, int]:
        """Scan until no slot moved to another server during a scan. Raises: RemovalUnfinished if slots keep moving."""
        for _ in range(_WALKS):
            layout, servers = self._layout()
            cursors = self._saved_cursors(layout)
            total, walked = sum(server.keys for server in servers), 0
            for server in servers:
                for cursor, keys in self._scan(server, cursors.get(server.run_id, 0)):
                    self._delete(keys)
                    cursors[server.run_id] = cursor
                    self._save_cursors(layout, cursors)
                    walked = min(total, walked + _KEYS_A_SCAN)
                    self._report(", ".join(self.removed), walked, total)
            if self._layout()[0] == layout:
                return self.removed
        raise RemovalUnfinished(", ".join(self.removed))

    def _scan(self, server: _RemovalServer, cursor: int) -> Iterator[tuple[int, list[bytes]]]:
        """The keys of a server that match the pattern, with the cursor after them."""
        pattern = self._pattern()
        while cursor != _WALKED:
            next_cursor, keys = server.connection.scan(cursor, match=pattern, count=_KEYS_A_SCAN, _type="HASH")
            cursor = next_cursor or _WALKED
            yield cursor, keys

    def _delete(self, keys: Iterable[bytes]) -> None:
        matches = iter(
            (key, view)
            for key in keys
            if (parsed := parse_key(key)) is not None and parsed.project == self._project
            for view in self._fields.get(parsed.names, ())
        )
        while batch := list(islice(matches, _FIELDS_A_TRIP)):
            pipe = self._client.pipeline(transaction=False)
            for key, view in batch:
                pipe.hdel(key, view.encode())
            for (_, view), count in zip(batch, msgspec.convert(pipe.execute(), list[int]), strict=True):
                self.removed[view] += count

    def _save_cursors(self, layout: str, cursors: Mapping[str, int]) -> None:
        updated = [msgspec.structs.replace(removal, layout=layout, cursors=dict(cursors)) for removal in self._removals]
        entries = {catalog.removal_field(removal.view): msgspec.json.encode(removal) for removal in updated}
        self._client.hset(self._catalog_key, mapping=entries)
        self._removals = updated

    def _saved_cursors(self, layout: str) -> dict[str, int]:
        """The cursors to continue from, if they are the same for all views and the slots have not moved; else none."""
        first = self._removals[0]
        equal = all((removal.layout, removal.cursors) == (layout, first.cursors) for removal in self._removals)
        return dict(first.cursors) if equal else {}

    def _pattern(self) -> bytes:
        heads = {key_head(names) for names in self._fields}
        head = heads.pop() if len(heads) == 1 else b""
        return _escaped(head) + b"*" + _escaped(self._project.encode())

    def _layout(self) -> tuple[str, list[_RemovalServer]]:
        """The assignment of slots as text, and the servers that have them."""
        client = self._client
        if not is_cluster(client):
            return "", [_server(client)]
        client.nodes_manager.initialize()
        primaries = sorted(client.get_primaries(), key=lambda node: node.name)
        slots = client.nodes_manager.slots_cache
        owners = [slots[slot][0].name if slots.get(slot) else "" for slot in range(_SLOTS)]
        spans = [f"{slot}:{owner}" for slot, owner in enumerate(owners) if not slot or owner != owners[slot - 1]]
        return " ".join(spans), [_server(client.get_redis_connection(node)) for node in primaries]


def _server(connection: SyncRedis) -> _RemovalServer:
    return _RemovalServer(str(connection.info("server")["run_id"]), connection, connection.dbsize())


def _catalog(client: SyncRedis, catalog_key: bytes) -> dict[bytes, bytes]:
    return client.hgetall(catalog_key)


def _parsed(entry: bytes) -> ViewRemoval:
    return msgspec.json.decode(entry, type=ViewRemoval)


def _join_keys(view: PlanView) -> tuple[str, ...]:
    return tuple(sorted(key.key for key in view.join_keys)) or (DUMMY_ENTITY[0],)


def _escaped(data: bytes) -> bytes:
    return b"".join(_GLOB.get(byte, bytes((byte,))) for byte in data)
