"""Consumers of a stream, in this process and in others."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from skewless.online.push.stop_signal import StopSignal
from skewless.online.push.stream import StreamConsumer, StreamLimits
from skewless.online.push.stream_entries import StreamEntries
from skewless.online.store.connection import connect
from skewless.online.store.store import SyncOnlineStore
from tests.tables.pushed_view import PROJECT, TARGET

QUICK = StreamLimits(batch=50, idle=timedelta(milliseconds=300), block=timedelta(milliseconds=50), deliveries=5)

PATIENT = replace(QUICK, idle=timedelta(seconds=3), deliveries=50)
"""For processes that are killed: on a busy machine a living one may take longer than QUICK's idle time for a batch, and its
entries, claimed by the other, would count as deliveries that killed somebody."""


def consumer(
    data: Path, redis_url: str, *, name: str = "one", limits: StreamLimits = QUICK, targets=None
) -> StreamConsumer:
    client = connect(redis_url)
    found = {"cards": TARGET} if targets is None else targets
    entries = StreamEntries(client, PROJECT, name)
    return StreamConsumer(
        PROJECT, data, SyncOnlineStore(client, PROJECT), entries, lambda: found, lambda: datetime.now(UTC), limits
    )


def serve(data: str, redis_url: str) -> None:
    """What a consumer's process runs."""
    with StopSignal() as stopping:
        one = consumer(Path(data), redis_url, name=f"process-{os.getpid()}", limits=PATIENT)
        one.run(stopping)
        one.entries.leave()


def add(consumer: StreamConsumer, *rows: object, view: str = "cards") -> bytes:
    return consumer.entries.add(view, json.dumps(list(rows)).encode())


def once(consumer: StreamConsumer):
    return consumer.run(lambda: False, once=True)
