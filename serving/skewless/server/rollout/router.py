"""Routes the requests of one address to the champion, for a share of the entities to the canary, then to the shadow.

The traffic split is by entity, so it is decided row by row: the champion scores its rows, the canary the others, and
the caller gets one response that names the version of each row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from skewless.contract.rollout.traffic_split import Draw
from skewless.server.metrics.canary_window import CanaryWindow
from skewless.server.predict.explanation import ExplainedFeature
from skewless.server.predict.micro_batcher import PredictAnswer
from skewless.server.predict.request import PredictRequest
from skewless.server.predict.result_sink import ResultSink
from skewless.server.rollout.model_version import ServedVersion
from skewless.server.rollout.shadow import ShadowQueue, ShadowTee


@dataclass(frozen=True, slots=True)
class CanaryTrial:
    """A canary that answers: the split that gives it rows, and the counts that its guardrail judges."""

    served: ServedVersion
    draw: Draw
    window: CanaryWindow


class ModelRouter:
    """Routes one address, `model` or `model@version`. `plain`: there is neither canary nor shadow."""

    __slots__ = ("_submit", "address", "canary", "champion", "plain", "shadow")

    def __init__(
        self,
        address: str,
        champion: ServedVersion,
        canary: CanaryTrial | None = None,
        shadow: ShadowQueue | None = None,
    ) -> None:
        self.address = address
        self.champion, self.canary, self.shadow = champion, canary, shadow
        self.plain = canary is None and shadow is None
        self._submit = champion.batcher.submit

    def begin(
        self, sink: ResultSink[PredictAnswer], request_id: str, request: PredictRequest, started: float
    ) -> ServedVersion:
        """Start answering; `sink` gets the response. Returns the version that answers, the champion where two do."""
        champion = self.champion
        if self.plain:
            self._submit(sink, request_id, request, started, defaults=champion.defaults)
            return champion
        if self.shadow is not None:
            sink = ShadowTee(sink, self.shadow, request_id, request)
        if self.canary is None:
            self._submit(sink, request_id, request, started, defaults=champion.defaults)
            return champion
        return self._begin_with_canary(self.canary, sink, request_id, request, started)

    def _begin_with_canary(
        self,
        canary: CanaryTrial,
        sink: ResultSink[PredictAnswer],
        request_id: str,
        request: PredictRequest,
        started: float,
    ) -> ServedVersion:
        drawn = canary.draw(request_id, request.columns, request.rows)
        if all(drawn) or not any(drawn):
            served = canary.served if drawn[0] else self.champion
            served.batcher.submit(sink, request_id, request, started, defaults=served.defaults)
            return served
        split = SplitRequest(sink, request.rows)
        for served, of_canary in ((self.champion, False), (canary.served, True)):
            rows_at = tuple(place for place, to_canary in enumerate(drawn) if to_canary == of_canary)
            part = PredictRequest(len(rows_at), _columns_at(request, rows_at), request.explain, request.as_of, rows_at)
            served.batcher.submit(
                RequestSlice(split, served, rows_at), request_id, part, started, defaults=served.defaults
            )
        return self.champion


class SplitRequest:
    """One request whose rows two versions answer. Its sink is set when both have answered, or when one fails."""

    def __init__(self, sink: ResultSink[PredictAnswer], rows: int) -> None:
        self.sink = sink
        self._missing, self._served_at = rows, 0
        self._scores: list[Any] = [None] * rows
        self._versions = [""] * rows
        self._explained: list[Any] = [None] * rows

    def add(self, served: ServedVersion, rows_at: tuple[int, ...], answer: PredictAnswer) -> None:
        explained = served.explainer.explain(answer.full) if answer.full is not None else None
        for at, place in enumerate(rows_at):
            self._scores[place], self._versions[place] = answer.scores[at], served.predictor.version
            self._explained[place] = explained.rows[at] if explained is not None else None
        self._missing -= len(rows_at)
        self._served_at = max(self._served_at, answer.served_at)
        if not self._missing and not self.sink.done():
            member = ExplainedFeature(explained.member, self._explained) if explained is not None else None
            self.sink.set_result(PredictAnswer(self._served_at, self._scores, None, self._versions, member))


@dataclass(frozen=True, slots=True)
class RequestSlice:
    """The sink of one version's rows of a split request."""

    split: SplitRequest
    served: ServedVersion
    rows_at: tuple[int, ...]

    def done(self) -> bool:
        return self.split.sink.done()

    def set_result(self, answer: PredictAnswer) -> None:
        self.split.add(self.served, self.rows_at, answer)

    def set_exception(self, error: BaseException) -> None:
        self.split.sink.set_exception(error)


def _columns_at(request: PredictRequest, rows_at: tuple[int, ...]) -> dict[str, list[Any]]:
    return {name: [column[place] for place in rows_at] for name, column in request.columns.items()}
