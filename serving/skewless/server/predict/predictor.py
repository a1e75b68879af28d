"""From the rows of requests to scores: the synchronous core, without I/O."""

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


@dataclass(frozen=True, slots=True)
class Prediction:
    """A full prediction: what was used, every value that the plan names, and contributions where they are requested."""

    served: ServedRequest
    values: Mapping[ColumnSource, ColumnValues]
    contributions: ShapleyValues | None = None


class Predictor:
    """A proven bundle with everything that its requests need, compiled when it is loaded.

    Raises: InvalidInput where a join key has a type that keys cannot have.
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
        self.named_inputs = isinstance(bundle.signature, TensorSignature)
        """Whether the model has named inputs, which only `predict_in_full` supports."""
        self._run_s = _measured(bundle)
        self._decoder = None if self.named_inputs else RowDecoder(bundle.assembler, self.views)
        self.score: Callable[[ModelInput], Scores] = bundle.model.score

    def with_score(self, score: Callable[[ModelInput], Scores]) -> Predictor:
        """A copy of this predictor that scores with `score`, whose results must equal the scorer's."""
        other = copy(self)
        other.score = score
        return other

    def lookups(self, columns: RequestColumns) -> tuple[list[HashLookup], Places]:
        """The lookups to send to the store, and for each row the places of its replies."""
        return self.online.lookups(columns.entities, columns.rows)

    def is_long(self, rows: int) -> bool:
        """Whether scoring would block the event loop for longer than moving it to a thread costs."""
        base, row = self._run_s
        return base + row * rows > _LONGEST_INLINE_S

    @property
    def shapley(self) -> ShapleyExplainer:
        """Explains the model's scores by contributions. Raises: NoContributions."""
        explainer = self.bundle.contributions
        if explainer is None:
            raise NoContributions(self.name, self.version, of_trees=self.bundle.of_trees)
        return explainer

    def with_contributions(self, full: Prediction) -> Prediction:
        """The prediction with the contribution of each column of the model's input. Raises: NoContributions."""
        (matrix,) = self.bundle.signature.input_arrays(full.served.matrix)
        return replace(full, contributions=self.shapley.of(matrix))

    def learn(self, view: str, schema: Schema) -> None:
        """Make rows of `view` that were written with `schema` readable."""
        self.online.readers[view].learn(schema)
        if self._decoder is not None:
            self._decoder.learn(view, schema)

    def predict(
        self,
        request_ids: Sequence[str],
        counts: Sequence[int],
        columns: RequestColumns,
        rows: Sequence[Reply],
        at: UtcMicros,
    ) -> ServedBatch | None:
        """Scores of requests of `counts` rows at `at` (microseconds), or None where `predict_in_full` must decide.

        `rows`: the store's replies, row by row.
        """
        decoded = self._decoder.decode(rows, at, columns.request) if self._decoder is not None else None
        if decoded is None:
            return None
        scores = self.score(decoded.matrix)
        entities, request = columns.entities, columns.request
        return ServedBatch(
            request_ids, counts, at, entities, request, decoded.statuses, decoded.orders, decoded.matrix, scores
        )

    def predict_in_full(
        self, request_id: str, columns: RequestColumns, places: Places, replies: Sequence[Reply], at: UtcMicros
    ) -> Prediction:
        """`predict` with a name for every value: the slow definition that the compiled path must equal.

        Raises: CorruptRow, UnknownSchema.
        """
        # The replies are there already, and decoding does not look at the lookups.
        batch = LookupBatch((), tuple(np.array(place, np.intp) for place in places))
        views = self.online.decode(batch, replies, at)
        values = self.bundle.assembler.values(views, columns.request)
        inputs = self.bundle.inputs(values)
        scores = self.score(inputs)
        return Prediction(
            ServedRequest(request_id, at, columns.entities, columns.request, views, inputs, scores), values
        )


def _measured(bundle: Bundle) -> tuple[float, float]:
    """Seconds of a run of the model, and of each row: the shortest of some runs, which also warm the model up."""
    shortest = []
    for rows in (1, _MEASURED_ROWS):
        inputs = bundle.signature.zeros(rows)
        times = []
        for _ in range(_MEASURED_RUNS):
            started = perf_counter()
            bundle.score(inputs)
            times.append(perf_counter() - started)
        shortest.append(min(times))
    row = max(0.0, (shortest[1] - shortest[0]) / (_MEASURED_ROWS - 1))
    return max(0.0, shortest[0] - row), row
