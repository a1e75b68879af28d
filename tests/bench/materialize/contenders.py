"""Who fills the store, each in a process of its own: `python -m tests.bench.materialize.contenders NAME URL TABLE`.

It prints what it found as one line of JSON: rows and seconds of the work itself (imports and preparation left out), the
processor's seconds of this process, and the greatest memory that it ever took, imports included.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import hiredis
import pyarrow.parquet as pq

from skewless.online.store.online_project import OnlineProject
from tests.bench.materialize.table import DAY, FIELDS, FIRST, KEY, NAME, PROJECT, VIEW, source

OURS, FEAST, FLOOR, PIPE = "skewless", "feast", "floor", "redis-cli"
END = FIRST + 400 * DAY
_CHUNK = 1 << 20
_YAML = """\
project: {project}
provider: local
registry: {folder}/registry.db
online_store:
  type: redis
  connection_string: "{redis}"
offline_store:
  type: file
entity_key_serialization_version: 3
"""


def skewless(url: str, table: Path) -> Callable[[], int]:
    """As the verb does it, watermark and run in a state database included."""
    import pyarrow.dataset  # noqa: F401 - the work imports it where there are rows, and imports are left out

    from skewless.online.materialization import materialize
    from skewless.online.store.connection import connect
    from skewless.online.store.store import SyncOnlineStore
    from skewless.state.database import StateDatabase

    state = StateDatabase(f"sqlite:///{tempfile.mkdtemp()}/state.db")
    store = SyncOnlineStore(connect(url), PROJECT)

    def work() -> int:
        windows = materialize.plan_windows(state, PROJECT, [(VIEW, source(table))], end=END)
        done = materialize.run(windows, OnlineProject(PROJECT, store, state), clock=lambda: datetime.now(UTC))
        return done[NAME].read

    return work


def feast(url: str, table: Path) -> Callable[[], int]:
    """Feast's file and Redis stores, through its SDK."""
    import feast.types
    from feast import Entity, FeatureStore, FeatureView, FileSource, ValueType
    from feast import Field as FeastField

    folder = Path(tempfile.mkdtemp())
    redis = urlsplit(url).netloc
    (folder / "feature_store.yaml").write_text(_YAML.format(project=PROJECT, folder=folder, redis=redis))
    whole = folder / "table.parquet"
    pq.write_table(pq.read_table(table, partitioning=None), whole)
    view = FeatureView(
        name=NAME,
        entities=[Entity(name="entity", join_keys=[KEY], value_type=ValueType.INT64)],
        ttl=timedelta(days=0),
        schema=[FeastField(name=field.name, dtype=getattr(feast.types, field.dtype)) for field in FIELDS]
        + [FeastField(name=KEY, dtype=feast.types.Int64)],
        source=FileSource(
            path=str(whole), timestamp_field="event_timestamp", created_timestamp_column="created_timestamp"
        ),
    )
    store = FeatureStore(str(folder))
    store.apply([Entity(name="entity", join_keys=[KEY], value_type=ValueType.INT64), view])
    rows = pq.read_metadata(whole).num_rows

    def work() -> int:
        store.materialize(FIRST - DAY, END)
        return rows

    return work


def floor(url: str, table: Path) -> Callable[[], int]:
    """Our own commands, made before, through one socket as fast as it goes."""
    commands, rows = _commands(url, table)

    def work() -> int:
        place = urlsplit(url)
        with socket.create_connection((place.hostname, place.port)) as connection:
            sending = threading.Thread(target=_send, args=(connection, commands))
            sending.start()
            reader, missing = hiredis.Reader(), len(commands)
            while missing:
                reader.feed(connection.recv(_CHUNK))
                while (reply := reader.gets()) is not False:
                    assert isinstance(reply, int), reply
                    missing -= 1
            sending.join()
        return rows

    return work


def redis_cli(url: str, table: Path) -> Callable[[], int]:
    """The same commands, in a file, through `redis-cli --pipe`."""
    commands, rows = _commands(url, table)
    kept = table.parent / "commands"
    kept.write_bytes(b"".join(commands))
    place, count = urlsplit(url), len(commands)
    del commands

    def work() -> int:
        with kept.open("rb") as file:
            command = ["redis-cli", "-h", str(place.hostname), "-p", str(place.port), "--pipe"]
            done = subprocess.run(command, stdin=file, capture_output=True, text=True, check=True, timeout=600)
        assert f"errors: 0, replies: {count}" in done.stdout, done.stdout
        return rows

    return work


def _commands(url: str, table: Path) -> tuple[list[bytes], int]:
    """What `materialize` sends, and how many rows that is."""
    from redis import Redis

    from skewless.contract.storage.key_columns import KeyColumnPacker
    from skewless.contract.storage.newest_wins import SCRIPT
    from skewless.offline.tables.arrivals import arrivals
    from skewless.online.materialization.newest_arrivals import packed
    from skewless.online.store.lua_pipeline import LuaPipeline
    from skewless.online.store.store import ROWS_A_CALL

    pipe, keys = LuaPipeline(Redis.from_url(url), SCRIPT), KeyColumnPacker(PROJECT, VIEW)
    commands, rows = [], 0
    for batch in arrivals(VIEW, source(table), 0, 2**62).batches():
        made = pipe._calls(keys.pack(batch.keys, len(batch)), [NAME.encode()], packed(VIEW, batch), ROWS_A_CALL)
        commands += [call for _, call in made]
        rows += len(batch)
    return commands, rows


def _send(connection: socket.socket, commands: list[bytes]) -> None:
    for command in commands:
        connection.sendall(command)


def peak_bytes() -> int:
    """Of this process alone: `getrusage` would begin with its parent's."""
    told = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert told
    return int(told[1]) * 1024


if __name__ == "__main__":
    name, redis_url, folder = sys.argv[1:]
    work = {OURS: skewless, FEAST: feast, FLOOR: floor, PIPE: redis_cli}[name](redis_url, Path(folder))
    began, busy = time.monotonic(), time.process_time()
    rows = work()
    seconds, busy = time.monotonic() - began, time.process_time() - busy
    print(json.dumps({"rows": rows, "seconds": seconds, "cpu_seconds": busy, "peak_bytes": peak_bytes()}))
