"""Opens the reader for a store of Feast's."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from skewless.feast.importing.former_rows import (
    FeastKeyParser,
    FeastOnlineRows,
    FeastViews,
    FormerStoreUnreachable,
    OpenRows,
)
from skewless.feast.importing.redis_layout import FeastRedisRows
from skewless.feast.importing.sqlite_layout import FeastSqliteRows
from skewless.online.store.connection import RedisUnreachable, connect


@contextmanager
def opened_store(place: str, store: str | Path, project: str, own_fields: Collection[bytes]) -> Iterator[OpenRows]:
    """What reads the rows of some views: from the Redis at a URL, or a SQLite file. `place` names it without secrets, and
    `own_fields` are fields of ours in the same hashes. Raises: FormerStoreUnreachable.
    """
    if isinstance(store, Path):
        path = store
        yield lambda _, keys: FeastSqliteRows(path, project, keys)
        return
    try:
        client = connect(store)
    except RedisUnreachable as error:
        raise FormerStoreUnreachable(place, error.reason) from error

    def rows(views: FeastViews, keys: FeastKeyParser) -> FeastOnlineRows:
        return FeastRedisRows(client, project, views, keys, own_fields)

    try:
        yield rows
    finally:
        client.close()
