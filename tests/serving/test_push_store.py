"""Pushed rows reach every kind of Redis, and no view that is being removed."""

from __future__ import annotations

import asyncio
from contextlib import closing

import pytest

from pipelines.redis_connection import connect
from serving.contract.catalog import catalog_key, removal_field
from serving.errors import StoreUnavailable
from serving.push_store import PushStore
from tests.pipelines.test_online import VIEW, key, row
from tests.serving.contract.material import packed


def push(url: str, number: int) -> None:
    (one,) = packed(VIEW.fields, [row(1.0, 1)])

    async def once() -> None:
        store = PushStore(url, "tests", timeout_s=5)
        try:
            await store.write(VIEW, [(key(entity), one) for entity in range(number)])
        finally:
            await store.close()

    asyncio.run(once())


@pytest.mark.parametrize("kind", ["redis_url", "redis_cluster", "redis_sentinel"])
def test_rows_arrive(request, kind):
    found = request.getfixturevalue(kind)
    url = found if isinstance(found, str) else found.url
    push(url, 50)
    with closing(connect(url)) as client:
        assert all(client.hexists(key(entity), "delays") for entity in range(50))


def test_a_view_that_is_being_removed_takes_none(redis_url):
    with closing(connect(redis_url)) as client:
        client.hset(catalog_key("tests"), removal_field("delays"), b"{}")
        with pytest.raises(StoreUnavailable, match="takes no rows of 'delays': that view is being removed"):
            push(redis_url, 5)
        assert client.dbsize() == 1
