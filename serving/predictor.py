"""From a parsed request to scores. What decides is synchronous; the one await is the store's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from serving.contract.bundle import Bundle
from serving.contract.errors import UnknownSchema
from serving.contract.online import Batch, OnlineRead, Reply
from serving.contract.plan import Source
from serving.contract.record import Served
from serving.contract.row import Values
from serving.request import Ask, RequestReader
from serving.store import Store

Clock = Callable[[], int]
"""Microseconds since 1970-01-01 UTC, now."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """An answered request: what was used, and every value that the plan names."""

    served: Served
    values: Mapping[Source, Values]


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

    def batch(self, ask: Ask) -> Batch:
        """What to ask of the store."""
        return self.online.batch(ask.entities, ask.rows)

    def predict(self, request_id: str, ask: Ask, batch: Batch, replies: Sequence[Reply], at: int) -> Prediction:
        """Scores of the rows at `at` (microseconds). Raises: CorruptRow, UnknownSchema."""
        views = self.online.decode(batch, replies, at)
        values = self.bundle.assembler.values(views, ask.request)
        matrix = self.bundle.assembler.matrix(values)
        scores = self.bundle.scorer.score(matrix)
        return Prediction(Served(request_id, at, ask.entities, ask.request, views, matrix, scores), values)


async def answer(predictor: Predictor, store: Store, clock: Clock, request_id: str, ask: Ask) -> Prediction:
    """Read, decode, assemble, score. A row schema that the reader meets for the first time is looked up once.

    The clock is asked after the read: a row that came while it ran is known by then, not from the future.
    Raises: StoreUnavailable, CorruptRow, UnknownSchema.
    """
    batch = predictor.batch(ask)
    replies = await store.read(batch.lookups)
    at = clock() if ask.as_of is None else ask.as_of
    learned: set[tuple[str, str]] = set()
    while True:
        try:
            return predictor.predict(request_id, ask, batch, replies, at)
        except UnknownSchema as unknown:
            if (unknown.view, unknown.fingerprint) in learned:
                raise
            learned.add((unknown.view, unknown.fingerprint))
            schema = await store.schema(predictor.plan.project, unknown)
            predictor.online.readers[unknown.view].learn(schema)
