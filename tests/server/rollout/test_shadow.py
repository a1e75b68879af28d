"""The queue before a shadow: when it is emptied, and what is dropped."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from skewless.server.metrics.counters import ServerMetrics
from skewless.server.predict.micro_batcher import PredictAnswer
from skewless.server.predict.request import PredictRequest
from skewless.server.predict.result_sink import ResultSink
from skewless.server.rollout.model_version import ServedVersion
from skewless.server.rollout.shadow import ShadowQueue, ShadowTee
from tests.services.waiting import VirtualTimeLoop, run_in_virtual_time


class Bursts:
    """Notes who is asked, and answers when it is told to."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, ResultSink[PredictAnswer]]] = []

    def submit(
        self,
        sink: ResultSink[PredictAnswer],
        request_id: str,
        request: PredictRequest,
        started: float,
        *,
        defaults: bool,
    ) -> None:
        self.asked.append((request_id, sink))


def shadow(metrics: ServerMetrics, capacity: int = 10) -> tuple[ShadowQueue, Bursts]:
    bursts = Bursts()
    predictor = SimpleNamespace(name="m", version="2.0.0")
    who = cast(ServedVersion, SimpleNamespace(predictor=predictor, batcher=bursts, defaults=False))
    return ShadowQueue(who, metrics, capacity=capacity), bursts


async def asked(bursts: Bursts, *names: str) -> None:
    """The shadow is asked these, in order, and nothing else."""
    await asyncio.sleep(1)
    assert [name for name, _ in bursts.asked] == list(names)


def counted(counter: Any) -> float:
    return float(counter.labels("m", "2.0.0")._value.get())


def test_it_is_asked_only_once_the_answer_is_out():
    async def run() -> None:
        one, bursts = shadow(ServerMetrics(None))
        answer: asyncio.Future[PredictAnswer] = asyncio.get_running_loop().create_future()
        followed = ShadowTee(answer, one, "r", PredictRequest(1, {}))
        await asyncio.sleep(0.02)
        assert bursts.asked == []
        followed.set_result(PredictAnswer(0, [0.5]))
        assert answer.done()
        assert bursts.asked == []
        await asked(bursts, "r")

    run_in_virtual_time(run())


def test_a_request_that_failed_is_not_asked_again():
    async def run() -> None:
        one, bursts = shadow(ServerMetrics(None))
        answer: asyncio.Future[PredictAnswer] = asyncio.get_running_loop().create_future()
        ShadowTee(answer, one, "r", PredictRequest(1, {})).set_exception(ValueError())
        await asyncio.sleep(0.02)
        assert bursts.asked == []
        assert isinstance(answer.exception(), ValueError)

    run_in_virtual_time(run())


def test_what_does_not_fit_is_dropped_and_counted_and_failures_stop_nothing():
    async def run() -> None:
        metrics = ServerMetrics(None)
        one, bursts = shadow(metrics, capacity=10)
        dropped, failed = counted(metrics.shadow_dropped), counted(metrics.shadow_failed)
        for name in ("a", "b", "c", "d"):
            one.offer(name, PredictRequest(4, {}))
        assert counted(metrics.shadow_dropped) - dropped == 8
        await asked(bursts, "a", "b")
        one.offer("e", PredictRequest(4, {}))
        await asyncio.sleep(0.02)
        assert len(bursts.asked) == 2, "one burst at a time"
        bursts.asked[0][1].set_exception(ValueError())
        bursts.asked[1][1].set_result(PredictAnswer(0, [0.5]))
        await asked(bursts, "a", "b", "e")
        assert counted(metrics.shadow_failed) - failed == 1

    run_in_virtual_time(run())


def test_while_the_loop_is_busy_it_waits():
    async def run() -> None:
        one, bursts = shadow(ServerMetrics(None))
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        one.offer("a", PredictRequest(1, {}))
        for _ in range(10):
            loop.advance(0.01)
            await asyncio.sleep(0)
        assert bursts.asked == []
        await asked(bursts, "a")

    run_in_virtual_time(run())
