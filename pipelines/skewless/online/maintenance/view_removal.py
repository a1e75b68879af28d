"""Removes all rows of feature views from the online store. It walks every key, so it is never on a request's path.

A removal is noted in the catalog before its first row goes and until its last one is gone, with the place that the
walk has reached on each server. Readers take a view that is noted for one without rows, writers refuse it, and whoever
asks for a removal finishes those that were cut short: from the noted place, where the server is still the same
process (a cursor means nothing to another one) and the cluster's slots lie where they lay, else from the start.
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
from skewless.contract.storage.push_target import target_field
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
    """A view whose rows are being removed: its sorted join keys, and how far the walk is.

    `cursors` are by the run id of each server; `layout` says where the cluster's slots lay when the walk began.
    """

    view: str
    join_keys: tuple[str, ...]
    layout: str = ""
    cursors: dict[str, int] = {}


def _at_once(_views: Sequence[str]) -> AbstractContextManager[None]:
    return nullcontext()


def remove(
    client: SyncRedis,
    project: str,
    views: Iterable[PlanView],
    *,
    turn: Callable[[Sequence[str]], AbstractContextManager[None]] = _at_once,
    report: Report = quiet,
) -> dict[str, int]:
    """Remove the views, and finish what was cut short before; rows removed by view.

    From the first instant on no reader sees the views. Calls `report` after each trip with the keys walked and an
    estimate of how many there are. `turn` waits until nobody writes rows of the views any more, who could not see the note.
    Run it again after a kill: it goes on. Raises: RemovalUnfinished, StoreReadOnly, RedisUnreachable.
    """
    views = list(views)
    place = catalog.catalog_key(project)
    with mapped(client, ", ".join(view.stored_as for view in views)):
        if views:
            noted = {view.stored_as: ViewRemoval(view.stored_as, _join_keys(view)) for view in views}
            pipe = client.pipeline(transaction=False)
            # First the note: between the two, a view that is noted counts as gone.
            for name, removal in noted.items():
                pipe.hsetnx(place, catalog.removal_field(name), msgspec.json.encode(removal))
            fields = (catalog.view_field, catalog.reached_field, target_field)
            pipe.hdel(place, *[field(name) for name in noted for field in fields])
            pipe.execute()
        begun = [_parsed(entry) for name, entry in _catalog(client, place).items() if name.startswith(_PREFIX)]
        if not begun:
            return {}
        names = [removal.view for removal in begun]
        try:
            with turn(names):
                removed = _KeyWalk(client, project, begun, report).run()
        except LockBusy as error:
            raise RemovalUnfinished(", ".join(names)) from error
        pipe = client.pipeline(transaction=False)
        for mark in marks(client, project):
            pipe.hdel(mark, *map(catalog.reached_field, names))
        pipe.hdel(place, *map(catalog.removal_field, names))
        pipe.execute()
    return removed


def versions(client: SyncRedis, project: str, view: PlanView, name: str) -> list[PlanView]:
    """The view, and whatever the catalog lists under its plain `name` and as later versions of it."""
    with mapped(client, name):
        found = _catalog(client, catalog.catalog_key(project))
    prefix = catalog.view_field("")
    stored = {field.removeprefix(prefix).decode(): e for field, e in found.items() if field.startswith(prefix)}
    listed = {one: entry for one, entry in stored.items() if one == name or one.startswith(f"{name}@v")}
    held = {one: catalog.parse_view(entry) or view for one, entry in listed.items()}
    views = {view.stored_as: view} | {n: msgspec.structs.replace(one, stored_as=n) for n, one in held.items()}
    return [views[one] for one in sorted(views)]


@dataclass(frozen=True, slots=True)
class _RemovalServer:
    run_id: str
    connection: SyncRedis
    keys: int


class _KeyWalk:
    """One walk over all keys for several views."""

    def __init__(self, client: SyncRedis, project: str, removals: Sequence[ViewRemoval], report: Report) -> None:
        self._client, self._project, self._report = client, project, report
        self._place = catalog.catalog_key(project)
        self._removals = list(removals)
        self._fields: dict[tuple[str, ...], list[str]] = {}
        for removal in removals:
            self._fields.setdefault(removal.join_keys, []).append(removal.view)
        self.removed = {removal.view: 0 for removal in removals}

    def run(self) -> dict[str, int]:
        """Until no slot changed its server during a walk. Raises: RemovalUnfinished where they never rest."""
        for _ in range(_WALKS):
            layout, servers = self._layout()
            cursors = self._common(layout)
            total, walked = sum(server.keys for server in servers), 0
            for server in servers:
                for cursor, keys in self._scan(server, cursors.get(server.run_id, 0)):
                    self._delete(keys)
                    cursors[server.run_id] = cursor
                    self._note(layout, cursors)
                    walked = min(total, walked + _KEYS_A_SCAN)
                    self._report(", ".join(self.removed), walked, total)
            if self._layout()[0] == layout:
                return self.removed
        raise RemovalUnfinished(", ".join(self.removed))

    def _scan(self, server: _RemovalServer, cursor: int) -> Iterator[tuple[int, list[bytes]]]:
        """The keys of a server that may be meant, with the cursor behind them."""
        pattern = self._pattern()
        while cursor != _WALKED:
            found, keys = server.connection.scan(cursor, match=pattern, count=_KEYS_A_SCAN, _type="HASH")
            cursor = found or _WALKED
            yield cursor, keys

    def _delete(self, keys: Iterable[bytes]) -> None:
        meant = iter(
            (key, view)
            for key in keys
            if (parsed := parse_key(key)) is not None and parsed.project == self._project
            for view in self._fields.get(parsed.names, ())
        )
        while batch := list(islice(meant, _FIELDS_A_TRIP)):
            pipe = self._client.pipeline(transaction=False)
            for key, view in batch:
                pipe.hdel(key, view.encode())
            for (_, view), gone in zip(batch, msgspec.convert(pipe.execute(), list[int]), strict=True):
                self.removed[view] += gone

    def _note(self, layout: str, cursors: Mapping[str, int]) -> None:
        noted = [msgspec.structs.replace(one, layout=layout, cursors=dict(cursors)) for one in self._removals]
        entries = {catalog.removal_field(one.view): msgspec.json.encode(one) for one in noted}
        self._client.hset(self._place, mapping=entries)
        self._removals = noted

    def _common(self, layout: str) -> dict[str, int]:
        """How far all of the views are, if they are equally far and the slots lie as they lay."""
        first = self._removals[0]
        alike = all((one.layout, one.cursors) == (layout, first.cursors) for one in self._removals)
        return dict(first.cursors) if alike else {}

    def _pattern(self) -> bytes:
        heads = {key_head(names) for names in self._fields}
        head = heads.pop() if len(heads) == 1 else b""
        return _escaped(head) + b"*" + _escaped(self._project.encode())

    def _layout(self) -> tuple[str, list[_RemovalServer]]:
        """Where the slots lie, and the servers that hold them."""
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


def _catalog(client: SyncRedis, place: bytes) -> dict[bytes, bytes]:
    return client.hgetall(place)


def _parsed(entry: bytes) -> ViewRemoval:
    return msgspec.json.decode(entry, type=ViewRemoval)


def _join_keys(view: PlanView) -> tuple[str, ...]:
    return tuple(sorted(key.key for key in view.join_keys)) or (DUMMY_ENTITY[0],)


def _escaped(data: bytes) -> bytes:
    return b"".join(_GLOB.get(byte, bytes((byte,))) for byte in data)
