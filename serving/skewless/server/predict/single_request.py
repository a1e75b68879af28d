"""One request answered by itself: the slow definition of the response to each request of a batch.

Held by tests/server/predict/test_micro_batcher.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from skewless.contract.errors import CorruptRow, UnknownSchema
from skewless.contract.storage.lookup import HashLookup, Places, Reply
from skewless.contract.storage.served_row import ServedBatch, used
from skewless.contract.timestamps import Clock, UtcMicros
from skewless.server.errors import StoreUnavailable
from skewless.server.online_store.reader import OnlineStoreReader
from skewless.server.predict import degraded_reads
from skewless.server.predict.predictor import Prediction, Predictor
from skewless.server.predict.request import PredictRequest, RequestColumns


class SinglePrediction(NamedTuple):
    """What was used, and `full` where the request needs an explanation. `degraded`: defaults replace rows not read."""

    used: ServedBatch
    full: Prediction | None
    degraded: bool


async def answer_single(
    predictor: Predictor,
    store: OnlineStoreReader,
    clock: Clock,
    request_id: str,
    request: PredictRequest,
    *,
    defaults: bool,
) -> SinglePrediction:
    """Read, decode, assemble, score. An unknown row schema is looked up once.

    The clock is read after the store: a row that was written meanwhile is not from the future then. With `defaults`,
    rows that the store cannot deliver get the status NOT_READ and the defaults.

    Raises: StoreUnavailable, UnreadableRows, NoContributions.
    """
    if request.explain == "contributions":
        _ = predictor.shapley  # refused before anything is read
    columns = predictor.reader.columns([request])
    lookups, places = predictor.lookups(columns)
    sound, failed = await _read(store, lookups, defaults=defaults)
    at = clock() if request.as_of is None else request.as_of
    learned: set[tuple[str, str]] = set()
    # Each turn learns a schema or marks a row as failed.
    while True:
        try:
            if request.explain == "contributions" or predictor.is_long(columns.rows):
                batch, full = await asyncio.to_thread(
                    _predicted, predictor, request_id, request, columns, places, sound, at
                )
            else:
                batch, full = _predicted(predictor, request_id, request, columns, places, sound, at)
            break
        except (CorruptRow, UnknownSchema) as error:
            if not await _learned(predictor, store, error, learned):
                failed |= degraded_reads.unreadable_rows(predictor.online, lookups, places, sound, error)
                sound = degraded_reads.without_failed(sound, lookups, failed)
    if not failed:
        return SinglePrediction(batch, full, degraded=False)
    if not defaults:
        raise degraded_reads.request_error(failed, places)
    mask = degraded_reads.unread_mask(predictor.online, places, failed, columns.rows)
    marked = degraded_reads.mark_unread_in_full(full, predictor.views, mask) if full is not None else None
    return SinglePrediction(degraded_reads.mark_unread(batch, mask), marked, degraded=bool(mask.any()))


async def _read(
    store: OnlineStoreReader, lookups: Sequence[HashLookup], *, defaults: bool
) -> tuple[list[Reply], degraded_reads.FailedReads]:
    """The replies, None in place of those that failed, and the failures. Raises: StoreUnavailable."""
    failed: degraded_reads.FailedReads = {}
    try:
        replies = await store.replies(lookups)
    except StoreUnavailable as error:
        if not defaults:
            raise
        replies, failed = [None] * len(lookups), degraded_reads.all_failed(lookups, error)
    else:
        for place, (lookup, reply) in enumerate(zip(lookups, replies, strict=True)):
            if type(reply) is not list:
                failure = store.reply_error(lookup, reply)
                failed |= {(place, field): failure for field in range(len(lookup.fields))}
    return degraded_reads.without_failed(replies, lookups, failed), failed


async def _learned(
    predictor: Predictor, store: OnlineStoreReader, error: CorruptRow | UnknownSchema, learned: set[tuple[str, str]]
) -> bool:
    """Look an unknown row schema up, once; whether the predictor knows it now. Raises: StoreUnavailable."""
    if isinstance(error, CorruptRow) or (error.view, error.fingerprint) in learned:
        return False
    learned.add((error.view, error.fingerprint))
    try:
        predictor.learn(error.view, await store.schema(predictor.plan.project, error))
    except UnknownSchema:
        return False
    return True


def _predicted(
    predictor: Predictor,
    request_id: str,
    request: PredictRequest,
    columns: RequestColumns,
    places: Places,
    replies: list[Reply],
    at: UtcMicros,
) -> tuple[ServedBatch, Prediction | None]:
    """Raises: CorruptRow, UnknownSchema."""
    if not request.explain:
        rows = predictor.online.rows(places, replies, columns.rows)
        batch = predictor.predict((request_id,), (columns.rows,), columns, rows, at)
        if batch is not None:
            return batch, None
    full = predictor.predict_in_full(request_id, columns, places, replies, at)
    if request.explain == "contributions":
        full = predictor.with_contributions(full)
    return used(predictor.views, full.served), full if request.explain else None
