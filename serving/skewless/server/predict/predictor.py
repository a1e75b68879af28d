"""From the rows of requests to scores: what decides, synchronous."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np

from skewless.contract.columns import ColumnValues, Schema
from skewless.contract.model.bundle import Bundle
from skewless.contract.model.shapley import ShapleyExplainer, ShapleyValues
from skewless.contract.model.signature import ModelInput, Scores, TensorSignature
from skewless.contract.plan import ColumnSource
from skewless.contract.storage.lookup import HashLookup, LookupBatch, OnlineRead, Places, Reply
from skewless.contract.storage.served_row import ServedBatch, ServedRequest
from skewless.contract.timestamps import UtcMicros
from skewless.server.decode.decoder import RowDecoder
from skewless.server.errors import NoContributions
from skewless.server.predict.request import RequestColumns, RequestReader
from skewless.server.served_log import LoggedVersion

_LONGEST_INLINE_S = 0.005
_MEASURED_ROWS, _MEASURED_RUNS = 32, 3
"""Microseconds since 1970-01-01 UTC, now."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """An answered request in full: what was used, and every value that the plan names; `contributed` where asked."""

    served: ServedRequest
    values: Mapping[ColumnSource, ColumnValues]
    contributed: ShapleyValues | None = None


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
        self.logged = LoggedVersion(self.name, self.version, self.plan, self.views, bundle.signature)
        self.typed = isinstance(bundle.signature, TensorSignature)
        """Whether the model has named inputs, which only `predict_in_full` gives it."""
        self._run_s = _measured(bundle)
        self._decoder = None if self.typed else RowDecoder(bundle.assembler, self.views)
        self.score: Callable[[ModelInput], Scores] = bundle.model.score

    def scoring(self, score: Callable[[ModelInput], Scores]) -> Predictor:
        """This predictor, which scores by another function that is equal to the scorer's."""
        other = copy(self)
        other.score = score
        return other

    def lookups(self, given: RequestColumns) -> tuple[list[HashLookup], Places]:
        """What to ask of the store, and where each row's answers will be."""
        return self.online.ask(given.entities, given.rows)

    def is_long(self, rows: int) -> bool:
        """Whether scoring would keep other requests waiting for longer than a thread of its own costs."""
        base, row = self._run_s
        return base + row * rows > _LONGEST_INLINE_S

    @property
    def contributions(self) -> ShapleyExplainer:
        """What tells the contributions to its scores. Raises: NoContributions."""
        found = self.bundle.contributions
        if found is None:
            raise NoContributions(self.name, self.version, of_trees=self.bundle.of_trees)
        return found

    def contributed(self, full: Prediction) -> Prediction:
        """A prediction with what each column of the model's input contributed to it. Raises: NoContributions."""
        (matrix,) = self.bundle.signature.input_arrays(full.served.matrix)
        return replace(full, contributed=self.contributions.of(matrix))

    def learn(self, view: str, schema: Schema) -> None:
        """Make rows of `view` that were written with `schema` readable."""
        self.online.readers[view].learn(schema)
        if self._decoder is not None:
            self._decoder.learn(view, schema)

    def predict(
        self,
        request_ids: Sequence[str],
        counts: Sequence[int],
        given: RequestColumns,
        rows: Sequence[Reply],
        at: UtcMicros,
    ) -> ServedBatch | None:
        """Scores of requests of `counts` rows at `at` (microseconds), or None where `predict_in_full` must decide.

        `rows` is what the store holds, row by row.
        """
        taken = self._decoder.take(rows, at, given.request) if self._decoder is not None else None
        if taken is None:
            return None
        scores = self.score(taken.matrix)
        entities, request = given.entities, given.request
        return ServedBatch(
            request_ids, counts, at, entities, request, taken.statuses, taken.orders, taken.matrix, scores
        )

    def predict_in_full(
        self, request_id: str, given: RequestColumns, places: Places, replies: Sequence[Reply], at: UtcMicros
    ) -> Prediction:
        """`predict` with a name for every value: the definition that the compiled path is held equal to.

        Raises: CorruptRow, UnknownSchema.
        """
        # The lookups are asked already, and decoding does not look at them.
        batch = LookupBatch((), tuple(np.array(place, np.intp) for place in places))
        views = self.online.decode(batch, replies, at)
        values = self.bundle.assembler.values(views, given.request)
        inputs = self.bundle.inputs(values)
        scores = self.score(inputs)
        return Prediction(ServedRequest(request_id, at, given.entities, given.request, views, inputs, scores), values)


def _measured(bundle: Bundle) -> tuple[float, float]:
    """Seconds that a run of the model takes, and those of each row: the shortest of some runs, which also warm it."""
    took = []
    for rows in (1, _MEASURED_ROWS):
        inputs = bundle.signature.zeros(rows)
        times = []
        for _ in range(_MEASURED_RUNS):
            started = perf_counter()
            bundle.score(inputs)
            times.append(perf_counter() - started)
        took.append(min(times))
    row = max(0.0, (took[1] - took[0]) / (_MEASURED_ROWS - 1))
    return max(0.0, took[0] - row), row
