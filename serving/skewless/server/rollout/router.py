"""Who answers the requests at one address: the champion, for some entities the canary, and the shadow after them.

A request's rows are drawn one by one, since its entities may be told apart: the champion answers its rows and the
canary the others, and the caller gets one answer that says which version each row had.
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
    """A canary, which rows are its, and how it does."""

    answerer: ServedVersion
    draw: Draw
    trial: CanaryWindow


class ModelRouter:
    """An address, `model` or `model@version`. `plain`: nobody but the champion has anything to do with it."""

    __slots__ = ("_join", "address", "champion", "plain", "shadow", "trying")

    def __init__(
        self,
        address: str,
        champion: ServedVersion,
        trying: CanaryTrial | None = None,
        shadow: ShadowQueue | None = None,
    ) -> None:
        self.address = address
        self.champion, self.trying, self.shadow = champion, trying, shadow
        self.plain = trying is None and shadow is None
        self._join = champion.bursts.join

    def begin(
        self, outcome: ResultSink[PredictAnswer], request_id: str, ask: PredictRequest, started: float
    ) -> ServedVersion:
        """Answer in time; who answers is told at once. Where two do, the answer says so and it is the champion."""
        champion = self.champion
        if self.plain:
            self._join(outcome, request_id, ask, started, defaults=champion.defaults)
            return champion
        if self.shadow is not None:
            outcome = ShadowTee(outcome, self.shadow, request_id, ask)
        if self.trying is None:
            self._join(outcome, request_id, ask, started, defaults=champion.defaults)
            return champion
        return self._tried(self.trying, outcome, request_id, ask, started)

    def _tried(
        self,
        trying: CanaryTrial,
        outcome: ResultSink[PredictAnswer],
        request_id: str,
        ask: PredictRequest,
        started: float,
    ) -> ServedVersion:
        drawn = trying.draw(request_id, ask.columns, ask.rows)
        if all(drawn) or not any(drawn):
            who = trying.answerer if drawn[0] else self.champion
            who.bursts.join(outcome, request_id, ask, started, defaults=who.defaults)
            return who
        split = SplitRequest(outcome, ask.rows)
        for who, mine in ((self.champion, False), (trying.answerer, True)):
            places = tuple(place for place, canarys in enumerate(drawn) if canarys == mine)
            part = PredictRequest(len(places), _taken(ask, places), ask.explain, ask.as_of, places)
            who.bursts.join(RequestSlice(split, who, places), request_id, part, started, defaults=who.defaults)
        return self.champion


class SplitRequest:
    """One request of some rows that two versions answer: told when both have, or when one fails."""

    def __init__(self, outcome: ResultSink[PredictAnswer], rows: int) -> None:
        self.outcome = outcome
        self._missing, self._at = rows, 0
        self._scores: list[Any] = [None] * rows
        self._versions = [""] * rows
        self._explained: list[Any] = [None] * rows

    def told(self, who: ServedVersion, places: tuple[int, ...], answer: PredictAnswer) -> None:
        told = who.explanation.told(answer.full) if answer.full is not None else None
        for at, place in enumerate(places):
            self._scores[place], self._versions[place] = answer.scores[at], who.predictor.version
            self._explained[place] = told.rows[at] if told is not None else None
        self._missing -= len(places)
        self._at = max(self._at, answer.served_at)
        if not self._missing and not self.outcome.done():
            shown = ExplainedFeature(told.member, self._explained) if told is not None else None
            self.outcome.set_result(PredictAnswer(self._at, self._scores, None, self._versions, shown))


@dataclass(frozen=True, slots=True)
class RequestSlice:
    """The outcome of one version's rows."""

    split: SplitRequest
    who: ServedVersion
    places: tuple[int, ...]

    def done(self) -> bool:
        return self.split.outcome.done()

    def set_result(self, answer: PredictAnswer) -> None:
        self.split.told(self.who, self.places, answer)

    def set_exception(self, error: BaseException) -> None:
        self.split.outcome.set_exception(error)


def _taken(ask: PredictRequest, places: tuple[int, ...]) -> dict[str, list[Any]]:
    return {name: [column[place] for place in places] for name, column in ask.columns.items()}
