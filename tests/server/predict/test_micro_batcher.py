"""Whatever comes together, each request is answered, and logged, as if it had come alone."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from queue import Empty
from typing import Any

import msgspec
import orjson
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from redis import Redis

from skewless.contract.model.assembler import Assembler
from skewless.contract.model.bundle import Bundle, open_model
from skewless.contract.model.matrix_scorer import ScoreOutput
from skewless.contract.storage.entity_key import EntityKeyEncoder
from skewless.contract.storage.packed_row import RowLayout
from skewless.contract.storage.served_row import ServedBatch, used_batch
from skewless.registry.bundle_folder import open_bundle
from skewless.registry.cpu_features import processor_features
from skewless.server.errors import StoreUnavailable
from skewless.server.metrics.counters import ServerMetrics
from skewless.server.metrics.version_counters import VersionCounters
from skewless.server.online_store.reader import OnlineStoreReader
from skewless.server.predict import micro_batcher as module
from skewless.server.predict.explanation import FeatureExplainer
from skewless.server.predict.micro_batcher import MicroBatcher, PendingRequest, PredictAnswer
from skewless.server.predict.predictor import Predictor
from skewless.server.predict.request import PredictRequest
from skewless.server.predict.single_request import answer_single
from skewless.server.served_log import ServedLogWriter
from tests.models import tiny
from tests.models.tiny_rows import MINUTE

ORIGINS = ("JFK", "LGA", "EWR", "wide", "new", "nobody", None, "corrupt", "unlisted", "text")
BAD = ORIGINS[-3:]
Request = tuple[str, PredictRequest]


@pytest.fixture(scope="module")
def bundles(published: Path) -> tuple[Bundle, ...]:
    """Two versions with a transform, and a model without."""
    with_transform = [
        open_bundle(published / tiny.NAME / version, processor_features()) for version in ("1.0.0", "2.0.0")
    ]
    first = with_transform[0]
    plan = msgspec.structs.replace(first.plan, name="plain", transforms=(), columns=first.plan.columns[:4])
    plain = replace(
        first,
        manifest=msgspec.structs.replace(first.manifest, name="plain"),
        plan=plan,
        assembler=Assembler(plan, None),
        model=open_model(plan, tiny.model((0.5, 0.001, -0.25, 0.125)), ScoreOutput("probabilities", 1), None),
    )
    return (*with_transform, plain)


@pytest.fixture
def mixed(stored: str) -> str:
    """JFK is as it should be; the others are old, gone, wide, of a newer schema, or cannot be read."""
    event = tiny.NOON - 30 * MINUTE
    newer = (*tiny.DELAYS.fields[::-1], tiny.Field("more", "Bool"))
    added = tiny.PlanView("delays", "delays", tiny.DELAYS.join_keys, newer, tiny.DELAYS.ttl_us, "created_timestamp")
    lost = (tiny.Field("mean", "Float32"), tiny.Field("never told", "Int32"))
    unlisted = tiny.PlanView("delays", "delays", tiny.DELAYS.join_keys, lost, tiny.DELAYS.ttl_us, "created_timestamp")
    tiny.write_catalog(stored, tiny.plan(delays=added))
    tiny.write_row(stored, tiny.DELAYS, "LGA", {"departures": 3}, event=event - 4 * tiny.HOUR_US)
    tiny.write_row(stored, tiny.DELAYS, "EWR", {"mean": 1.0}, event=event, deleted=True)
    tiny.write_row(stored, tiny.DELAYS, "wide", {"mean": -0.0, "departures": 2**60 + 1}, event=event)
    tiny.write_row(stored, added, "new", {"mean": 2.5, "gate": "A1"}, event=event)
    tiny.write_row(stored, unlisted, "unlisted", {"mean": 2.5}, event=event)
    keys = EntityKeyEncoder("tests", ["origin"], ["String"])
    with Redis.from_url(stored) as client:
        client.hset(keys.encode(["corrupt"]), "delays", b"\xff" * RowLayout(tiny.DELAYS.fields).records[0].itemsize)
        client.set(keys.encode(["text"]), "no hash")
    return stored


ASKS = st.builds(
    lambda rows, explain, as_of: PredictRequest(
        len(rows),
        dict(zip(("origin", "tailnum", "hour"), map(list, zip(*rows, strict=True)), strict=True)),
        explain,
        as_of,
    ),
    st.lists(
        st.tuples(
            st.one_of(st.sampled_from(ORIGINS[:-3]), st.sampled_from(ORIGINS)),
            st.sampled_from(("N1", "N2", None)),
            st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1), st.integers(0, 23)),
        ),
        min_size=1,
        max_size=4,
    ),
    st.sampled_from(("", "", "", "features")),
    st.sampled_from((None, None, None, tiny.NOON - MINUTE, tiny.NOON + 10 * tiny.HOUR_US)),
)


class Desk:
    """Bursts of one model with a log that only fills, and their parts."""

    def __init__(self, bundle: Bundle, store: OnlineStoreReader, folder: Path, threads: int) -> None:
        self.predictor, self.store = Predictor(bundle), store
        metrics = ServerMetrics(None)
        self.log = ServedLogWriter(folder, metrics, capacity=10_000, flush_s=60)
        counters = VersionCounters(metrics, self.predictor.name, self.predictor.version, self.predictor.views)
        self.batcher = MicroBatcher(self.predictor, store, clock, counters, self.log, threads=threads)

    def ask(self, request: Request, *, defaults: bool = False) -> asyncio.Future[PredictAnswer]:
        response: asyncio.Future[PredictAnswer] = asyncio.get_running_loop().create_future()
        self.batcher.submit(response, *request, 0.0, defaults=defaults)
        return response

    def told(self, found: PredictAnswer | BaseException) -> Any:
        """An answer as bits."""
        if isinstance(found, BaseException):
            return repr(found)
        full = (
            None
            if found.full is None
            else orjson.dumps(
                FeatureExplainer(self.predictor.plan, self.predictor.bundle.signature).explain(found.full).rows
            )
        )
        return found.served_at, orjson.dumps(found.scores), full

    def logged(self) -> list[ServedBatch]:
        found = []
        try:
            while True:
                found.append(self.log._queue.get_nowait()[1])
        except Empty:
            return found

    def rows(self, entries: Sequence[ServedBatch]) -> pa.Table | None:
        """Entries as they would be written, by request."""
        if not entries:
            return None
        predictor = self.predictor
        batch = used_batch(predictor.plan, predictor.name, predictor.version, predictor.views, entries)
        return pa.Table.from_batches([batch]).sort_by([("request_id", "ascending"), ("row", "ascending")])


def clock() -> int:
    return tiny.NOON


@pytest.mark.parametrize("inline", [True, False])
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 2), ASKS), min_size=1, max_size=12), st.booleans())
def test_together_as_alone(
    bundles: tuple[Bundle, ...],
    mixed: str,
    tmp_path: Path,
    inline: bool,
    asked: list[tuple[int, PredictRequest]],
    defaults: bool,
):
    async def compare() -> None:
        store = OnlineStoreReader(mixed, timeout_s=5)
        desks = [Desk(bundle, store, tmp_path, threads=2) for bundle in bundles]
        for desk in desks:
            desk.predictor.is_long = (lambda rows: False) if inline else (lambda rows: True)
        requests = [(desks[number], (f"r{place:02d}", ask)) for place, (number, ask) in enumerate(asked)]
        together = await asyncio.gather(
            *[desk.ask(one, defaults=defaults) for desk, one in requests], return_exceptions=True
        )
        kept: dict[int, list[ServedBatch]] = {}
        for (number, ask), (desk, (name, _)), found in zip(asked, requests, together, strict=True):
            (alone,) = await asyncio.gather(
                answer_single(Predictor(bundles[number]), store, clock, name, ask, defaults=defaults),
                return_exceptions=True,
            )
            if isinstance(alone, BaseException):
                assert desk.told(found) == repr(alone)
                assert set(ask.columns["origin"]) & set(BAD)
                continue
            kept.setdefault(number, []).append(alone.used)
            assert desk.told(found) == desk.told(
                PredictAnswer(alone.used.served_at, alone.used.scores.tolist(), alone.full)
            )
        for number, desk in enumerate(desks):
            entries = desk.logged()
            event(f"{sum(len(one.counts) for one in entries)} answers in {len(entries)} entries")
            together_rows, alone_rows = desk.rows(entries), desk.rows(kept.get(number, []))
            assert (together_rows is None) == (alone_rows is None)
            assert together_rows is None or bits(together_rows) == bits(alone_rows)
        await store.close()

    asyncio.run(compare())


def bits(table: pa.Table) -> list[dict[str, Any]]:
    """Rows whose floats are their bits."""
    return [{name: repr(value) for name, value in row.items()} for row in table.to_pylist()]


def plain_ask(rows: int = 1) -> PredictRequest:
    return PredictRequest(rows, {"origin": ["JFK"] * rows, "tailnum": ["N1"] * rows, "hour": [8] * rows})


def test_a_burst_is_one_read_one_run_and_one_entry(bundles: tuple[Bundle, ...], stored: str, tmp_path: Path):
    async def ask() -> None:
        store = OnlineStoreReader(stored, timeout_s=5)
        desk = Desk(bundles[0], store, tmp_path, threads=1)
        await asyncio.gather(*[desk.ask((f"r{i}", plain_ask(i % 3 + 1))) for i in range(30)])
        (entry,) = desk.logged()
        assert entry.request_ids == [f"r{i}" for i in range(30)]
        assert list(entry.counts) == [i % 3 + 1 for i in range(30)]
        await store.close()

    asyncio.run(ask())


def test_one_bad_row_leaves_the_others_together(bundles: tuple[Bundle, ...], mixed: str, tmp_path: Path):
    async def ask() -> None:
        store = OnlineStoreReader(mixed, timeout_s=5)
        desk = Desk(bundles[0], store, tmp_path, threads=1)
        bad = PredictRequest(1, {"origin": ["corrupt"], "tailnum": ["N1"], "hour": [8]})
        asks = [bad if i == 13 else plain_ask() for i in range(64)]
        found = await asyncio.gather(*[desk.ask((f"r{i}", a)) for i, a in enumerate(asks)], return_exceptions=True)
        assert [i for i, one in enumerate(found) if isinstance(one, BaseException)] == [13]
        assert len(desk.logged()) <= 6
        await store.close()

    asyncio.run(ask())


def test_a_fault_of_ours_is_met_alone(bundles: tuple[Bundle, ...], stored: str, tmp_path: Path):
    """Whatever a burst stumbles over, each of its requests gets a try by itself."""

    async def ask() -> None:
        store = OnlineStoreReader(stored, timeout_s=5)
        desk = Desk(bundles[0], store, tmp_path, threads=1)
        inner = desk.predictor.predict

        def only_alone(ids: Sequence[str], *given: Any) -> ServedBatch | None:
            if len(ids) > 1:
                raise RuntimeError("a graph that cannot take two requests")
            return inner(ids, *given)

        desk.predictor.predict = only_alone
        found = await asyncio.gather(*[desk.ask((f"r{i}", plain_ask())) for i in range(5)])
        assert len({one.scores[0] for one in found}) == 1
        await store.close()

    asyncio.run(ask())


@pytest.mark.parametrize("defaults", [True, False])
def test_a_silent_store_fails_a_burst_once(bundles: tuple[Bundle, ...], tmp_path: Path, defaults: bool):
    async def ask() -> None:
        store = OnlineStoreReader("redis://127.0.0.1:1", timeout_s=1)
        desk = Desk(bundles[0], store, tmp_path, threads=1)
        asked = [desk.ask((f"r{i}", plain_ask()), defaults=defaults) for i in range(5)]
        found = await asyncio.gather(*asked, return_exceptions=True)
        assert all(isinstance(one, PredictAnswer if defaults else StoreUnavailable) for one in found)
        assert len(desk.logged()) == (1 if defaults else 0)
        await store.close()

    asyncio.run(ask())


def test_while_a_long_run_is_under_way_the_next_burst_gathers(bundles: tuple[Bundle, ...], stored: str, tmp_path: Path):
    async def ask() -> None:
        store = OnlineStoreReader(stored, timeout_s=5)
        desk = Desk(bundles[0], store, tmp_path, threads=1)
        desk.predictor.is_long = lambda rows: True
        entered, gate, inner = asyncio.Event(), threading.Event(), desk.predictor.predict
        loop = asyncio.get_running_loop()

        def held(ids: Sequence[str], *given: Any) -> ServedBatch | None:
            loop.call_soon_threadsafe(entered.set)
            assert gate.wait(5)
            return inner(ids, *given)

        desk.predictor.predict = held
        first = desk.ask(("first", plain_ask()))
        await entered.wait()
        others = []
        for i in range(5):
            others.append(desk.ask((f"r{i}", plain_ask())))
            await asyncio.sleep(0.001)
        gate.set()
        await asyncio.gather(first, *others)
        assert [len(entry.counts) for entry in desk.logged()] == [1, 5]
        await store.close()

    asyncio.run(ask())


def test_very_many_rows_are_several_batches(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_MOST_ROWS", 10)
    waiting = [PendingRequest(None, "r", plain_ask(rows), 0.0, False) for rows in (1, 9, 1, 12, 3, 3, 4, 1)]
    assert [[one.request.rows for one in part] for part in module._batches(waiting)] == [
        [1, 9],
        [1],
        [12],
        [3, 3, 4],
        [1],
    ]
    assert list(module._batches([])) == []
