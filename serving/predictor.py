"""From a parsed request to scores. What decides is synchronous; the one await is the store's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import NamedTuple

import numpy as np

from serving.contract.bundle import Bundle
from serving.contract.decoder import Decoder
from serving.contract.errors import UnknownSchema
from serving.contract.online import Batch, Lookup, OnlineRead, Places, Reply
from serving.contract.plan import Source
from serving.contract.record import Served, Used, used
from serving.contract.row import Schema, Values
from serving.errors import StoreUnavailable
from serving.request import Ask, RequestReader
from serving.served_log import Logged
from serving.store import Store

_LONGEST_INLINE_S = 0.005
_MEASURED_ROWS, _MEASURED_RUNS = 32, 3
Clock = Callable[[], int]
"""Microseconds since 1970-01-01 UTC, now."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """An answered request in full: what was used, and every value that the plan names."""

    served: Served
    values: Mapping[Source, Values]


class Answer(NamedTuple):
    """An answered request as the log wants it, and in full where the request asks for an explanation.

    `unread`: the store did not answer, and the defaults were used.
    """

    used: Used
    full: Prediction | None
    unread: bool = False


class Predictor:
    """A proven bundle with everything that its requests need, compiled when it is loaded.

    Raises: InvalidInput where a join key has a type that cannot be one.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.plan = bundle.plan
        self.name = bundle.manifest.name
        self.version = bundle.manifest.version
        self.reader = RequestReader(bundle.plan)
        self.online = OnlineRead(bundle.plan, bundle.assembler.wanted)
        self.views = self.online.views
        self.logged = Logged(self.name, self.version, self.plan, self.views)
        self._run_s = _measured(bundle)
        self._decoder = None if bundle.plan.transforms else Decoder(bundle.assembler, self.views)

    def lookups(self, ask: Ask) -> tuple[list[Lookup], Places]:
        """What to ask of the store, and where each row's answers will be."""
        return self.online.ask(ask.entities, ask.rows)

    def is_long(self, ask: Ask) -> bool:
        """Whether scoring would keep other requests waiting for longer than a thread of its own costs."""
        base, row = self._run_s
        return base + row * ask.rows > _LONGEST_INLINE_S

    def learn(self, view: str, schema: Schema) -> None:
        """Make rows of `view` that were written with `schema` readable."""
        self.online.readers[view].learn(schema)
        if self._decoder is not None:
            self._decoder.learn(view, schema)

    def predict(self, request_id: str, ask: Ask, places: Places, replies: Sequence[Reply], at: int) -> Answer:
        """Scores of the rows at `at` (microseconds). Raises: CorruptRow, UnknownSchema."""
        if self._decoder is not None and not ask.explain:
            taken = self._decoder.take(self.online.rows(places, replies), at, ask.request)
            if taken is not None:
                scores = self.bundle.scorer.score(taken.matrix)
                statuses, orders = taken.statuses, taken.orders
                return Answer(
                    Used(request_id, at, ask.entities, ask.request, statuses, orders, taken.matrix, scores), None
                )
        full = self.predict_in_full(request_id, ask, places, replies, at)
        return Answer(used(self.views, full.served), full if ask.explain else None)

    def predict_in_full(
        self, request_id: str, ask: Ask, places: Places, replies: Sequence[Reply], at: int
    ) -> Prediction:
        """`predict` with a name for every value: the definition that the compiled path is held equal to."""
        # The lookups are asked already, and decoding does not look at them.
        batch = Batch((), tuple(np.array(place, np.intp) for place in places))
        views = self.online.decode(batch, replies, at)
        values = self.bundle.assembler.values(views, ask.request)
        matrix = self.bundle.assembler.matrix(values)
        scores = self.bundle.scorer.score(matrix)
        return Prediction(Served(request_id, at, ask.entities, ask.request, views, matrix, scores), values)


def _measured(bundle: Bundle) -> tuple[float, float]:
    """Seconds that a run of the model takes, and those of each row: the shortest of some runs, which also warm it."""
    took = []
    for rows in (1, _MEASURED_ROWS):
        matrix = np.zeros((rows, len(bundle.plan.columns)), np.float32)
        times = []
        for _ in range(_MEASURED_RUNS):
            started = perf_counter()
            bundle.scorer.score(matrix)
            times.append(perf_counter() - started)
        took.append(min(times))
    row = max(0.0, (took[1] - took[0]) / (_MEASURED_ROWS - 1))
    return max(0.0, took[0] - row), row


async def answer(
    predictor: Predictor, store: Store, clock: Clock, request_id: str, ask: Ask, *, defaults: bool = False
) -> Answer:
    """Read, decode, assemble, score. A row schema that the reader meets for the first time is looked up once.

    The clock is asked after the read: a row that came while it ran is known by then, not from the future. With
    `defaults`, an entity that the store does not answer for counts as not found.
    Raises: StoreUnavailable, CorruptRow, UnknownSchema.
    """
    lookups, places = predictor.lookups(ask)
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
            if predictor.is_long(ask):
                found = await asyncio.to_thread(predictor.predict, request_id, ask, places, replies, at)
            else:
                found = predictor.predict(request_id, ask, places, replies, at)
            return found._replace(unread=True) if unread else found
        except UnknownSchema as unknown:
            if (unknown.view, unknown.fingerprint) in learned:
                raise
            learned.add((unknown.view, unknown.fingerprint))
            predictor.learn(unknown.view, await store.schema(predictor.plan.project, unknown))
