"""Fills an online store: in our layout, and in that of Feast's Redis store, byte for byte, without its 3 ms a push."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from urllib.parse import urlsplit

import hiredis
import numpy as np
from feast.infra.online_stores.helpers import _mmh3
from feast.protos.feast.types.Value_pb2 import Value
from google.protobuf.timestamp_pb2 import Timestamp
from redis import Redis

from skewless.contract.plan import Field, PlanView
from skewless.contract.storage.entity_key import EntityKeyEncoder
from skewless.contract.storage.packed_row import RowLayout
from skewless.online.store.store import SyncOnlineStore
from tests.bench.online.workload import KEY, PROJECT, VIEWS, Workload

FEAST_DEFAULT_LISTPACK = 64
_VALUES = {"Float32": "float_val", "Float64": "double_val", "Int64": "int64_val", "Int32": "int32_val"}
_COMMANDS_A_TRIP = 500


def entity_keys(entities: int) -> list[bytes]:
    found = EntityKeyEncoder(PROJECT, [KEY], ["Int64"]).encode_rows([range(entities)], entities)
    return [key for key in found if key is not None]


def write_ours(url: str, work: Workload) -> None:
    """As `skewless materialize` does: rows of the contract's layout, newest wins, and the catalog."""
    keys = entity_keys(len(work.event))
    alive = np.zeros(len(keys), bool)
    with Redis.from_url(url) as client:
        writer = SyncOnlineStore(client, PROJECT)
        for view in VIEWS:
            columns = [work.columns[view.name][field.name] for field in view.fields]
            writer.prepare(view)
            writer.write(view, keys, RowLayout(view.fields).encode(work.event, work.created, alive, columns))
            writer.introduce(view)


def write_feast(urls: Sequence[str], work: Workload) -> None:
    """As `RedisOnlineStore.online_write_batch` of Feast 0.67 does: a field a feature and one for the event time."""
    keys = entity_keys(len(work.event))
    stamps = [
        Timestamp(seconds=time // 1_000_000, nanos=time % 1_000_000 * 1_000).SerializeToString()
        for time in work.event.tolist()
    ]
    with ExitStack() as open_ones:
        connections = [open_ones.enter_context(_connection(url)) for url in urls]
        for view in VIEWS:
            for batch in _batches(_feast_commands(view, keys, stamps, work), _COMMANDS_A_TRIP):
                for connection in connections:
                    _send(connection, batch)


def used_memory(url: str) -> int:
    """Bytes, as the server counts them."""
    with Redis.from_url(url) as client:
        return int(client.info("memory")["used_memory"])


def _feast_commands(view: PlanView, keys: list[bytes], stamps: list[bytes], work: Workload) -> Iterator[bytes]:
    names = [_mmh3(f"{view.name}:{field.name}") for field in view.fields]
    values = [_protobufs(field, work.columns[view.name][field.name].to_pylist()) for field in view.fields]
    time = f"_ts:{view.name}".encode()
    for key, stamp, *row in zip(keys, stamps, *values, strict=True):
        pairs = [part for pair in zip(names, row, strict=True) for part in pair]
        yield hiredis.pack_command((b"HSET", key, time, stamp, *pairs))


def _protobufs(field: Field, values: list[float | int | str | None]) -> list[bytes]:
    """A null is Feast's empty `Value`."""
    kind = _VALUES.get(field.dtype, "string_val")
    return [b"" if value is None else Value(**{kind: value}).SerializeToString() for value in values]


def _connection(url: str) -> socket.socket:
    address = urlsplit(url)
    return socket.create_connection((address.hostname, address.port))


def _send(connection: socket.socket, commands: list[bytes]) -> None:
    """Send commands and await the reply to each."""
    reader = hiredis.Reader()
    connection.sendall(b"".join(commands))
    missing = len(commands)
    while missing:
        reader.feed(connection.recv(1 << 16))
        while (reply := reader.gets()) is not False:
            if isinstance(reply, hiredis.HiredisError):
                raise reply
            missing -= 1


def _batches(commands: Iterator[bytes], size: int) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    for command in commands:
        batch.append(command)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
