"""One request answered by itself: the definition of what each request of a burst is told.

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
from skewless.server.predict import degraded_reads as unread
from skewless.server.predict.predictor import Prediction, Predictor
from skewless.server.predict.request import PredictRequest, RequestColumns


class SinglePrediction(NamedTuple):
    """What was used, and `full` where the request asks for it. `unread`: the store did not answer, by the defaults."""

    used: ServedBatch
    full: Prediction | None
    unread: bool


async def answer_alone(
    predictor: Predictor,
    store: OnlineStoreReader,
    clock: Clock,
    request_id: str,
    ask: PredictRequest,
    *,
    defaults: bool,
) -> SinglePrediction:
    """Read, decode, assemble, score. A row schema that the reader meets for the first time is looked up once.

    The clock is asked after the read: a row that came while it ran is known by then, not from the future. With
    `defaults`, what the store does not give, all of it or an entity's row of a view, is not read.
    Raises: StoreUnavailable, UnreadableRows, NoContributions.
    """
    if ask.explain == "contributions":
        _ = predictor.contributions  # refused before anything is read
    given = predictor.reader.given([ask])
    lookups, places = predictor.lookups(given)
    sound, lost = await _read(store, lookups, defaults=defaults)
    at = clock() if ask.as_of is None else ask.as_of
    learned: set[tuple[str, str]] = set()
    # Each turn learns a schema or loses a row.
    while True:
        try:
            if ask.explain == "contributions" or predictor.is_long(given.rows):
                kept, full = await asyncio.to_thread(_predicted, predictor, request_id, ask, given, places, sound, at)
            else:
                kept, full = _predicted(predictor, request_id, ask, given, places, sound, at)
            break
        except (CorruptRow, UnknownSchema) as error:
            if not await _learned(predictor, store, error, learned):
                lost |= unread.culprits(predictor.online, lookups, places, sound, error)
                sound = unread.without(sound, lookups, lost)
    if not lost:
        return SinglePrediction(kept, full, unread=False)
    if not defaults:
        raise unread.refusal(lost, places)
    where = unread.unread(predictor.online, places, lost, given.rows)
    whole = unread.told_in_full(full, predictor.views, where) if full is not None else None
    return SinglePrediction(unread.told(kept, where), whole, unread=bool(where.any()))


async def _read(
    store: OnlineStoreReader, lookups: Sequence[HashLookup], *, defaults: bool
) -> tuple[list[Reply], unread.Refused]:
    """The replies, and what the store refused. Raises: StoreUnavailable."""
    lost: unread.Refused = {}
    try:
        replies = await store.replies(lookups)
    except StoreUnavailable as error:
        if not defaults:
            raise
        replies, lost = [None] * len(lookups), unread.everything(lookups, error)
    else:
        for place, (lookup, reply) in enumerate(zip(lookups, replies, strict=True)):
            if type(reply) is not list:
                refused = store.refused(lookup, reply)
                lost |= {(place, field): refused for field in range(len(lookup.fields))}
    return unread.without(replies, lookups, lost), lost


async def _learned(
    predictor: Predictor, store: OnlineStoreReader, error: CorruptRow | UnknownSchema, learned: set[tuple[str, str]]
) -> bool:
    """Whether the row's schema is known now; it is looked up once. Raises: StoreUnavailable."""
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
    ask: PredictRequest,
    given: RequestColumns,
    places: Places,
    replies: list[Reply],
    at: UtcMicros,
) -> tuple[ServedBatch, Prediction | None]:
    """Raises: CorruptRow, UnknownSchema."""
    if not ask.explain:
        rows = predictor.online.rows(places, replies, given.rows)
        kept = predictor.predict((request_id,), (given.rows,), given, rows, at)
        if kept is not None:
            return kept, None
    full = predictor.predict_in_full(request_id, given, places, replies, at)
    if ask.explain == "contributions":
        full = predictor.contributed(full)
    return used(predictor.views, full.served), full if ask.explain else None
