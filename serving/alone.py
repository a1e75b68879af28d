"""One request answered by itself: the definition of what each request of a burst is told."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from serving.contract.errors import UnknownSchema
from serving.contract.online import Places, Reply
from serving.contract.record import Used, used
from serving.errors import StoreUnavailable
from serving.predictor import Clock, Prediction, Predictor
from serving.request import Ask, Given
from serving.store import Store


class Found(NamedTuple):
    """What was used, and `full` where the request asks for it. `unread`: the store did not answer, by the defaults."""

    used: Used
    full: Prediction | None
    unread: bool


async def answer_alone(
    predictor: Predictor, store: Store, clock: Clock, request_id: str, ask: Ask, *, defaults: bool
) -> Found:
    """Read, decode, assemble, score. A row schema that the reader meets for the first time is looked up once.

    The clock is asked after the read: a row that came while it ran is known by then, not from the future. With
    `defaults`, an entity that the store does not answer for counts as not found.
    Raises: StoreUnavailable, CorruptRow, UnknownSchema.
    """
    given = predictor.reader.given([ask])
    lookups, places = predictor.lookups(given)
    try:
        replies = await store.read(lookups)
        unread = False
    except StoreUnavailable:
        if not defaults:
            raise
        unread = True
        replies = [[None] * len(lookup.fields) for lookup in lookups]
    at = clock() if ask.as_of is None else ask.as_of
    learned: set[tuple[str, str]] = set()
    while True:
        try:
            if predictor.is_long(given.rows):
                kept, full = await asyncio.to_thread(_predicted, predictor, request_id, ask, given, places, replies, at)
            else:
                kept, full = _predicted(predictor, request_id, ask, given, places, replies, at)
            return Found(kept, full, unread)
        except UnknownSchema as unknown:
            if (unknown.view, unknown.fingerprint) in learned:
                raise
            learned.add((unknown.view, unknown.fingerprint))
            predictor.learn(unknown.view, await store.schema(predictor.plan.project, unknown))


def _predicted(
    predictor: Predictor, request_id: str, ask: Ask, given: Given, places: Places, replies: list[Reply], at: int
) -> tuple[Used, Prediction | None]:
    """Raises: CorruptRow, UnknownSchema."""
    if not ask.explain:
        rows = predictor.online.rows(places, replies, given.rows)
        kept = predictor.predict((request_id,), (given.rows,), given, rows, at)
        if kept is not None:
            return kept, None
    full = predictor.predict_in_full(request_id, given, places, replies, at)
    return used(predictor.views, full.served), full if ask.explain else None
