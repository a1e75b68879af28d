"""Any sequence of changes, publications, promotions and sweeps leaves every live model with the rows it was trained on."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace as but

from skewless.contract.plan import PlanView
from skewless.definitions.applied_objects import OlderDefinitions, confirm_newer
from skewless.definitions.definition_change import DefinitionChange, StoredDefinitions, plan_change
from skewless.definitions.live_reads import LiveRead
from skewless.definitions.recorded_views import definition_digest, record_of
from skewless.definitions.stored_names import StoredNames
from skewless.state.definition_records import AppliedObjects, DefinitionRecord
from tests.definitions.view_pool import DATA, POOL, SPEND, compiled

AT = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class DefinitionHistory:
    """A registry of one view, its records and the versions that are live, without any database."""

    registered: PlanView | None = None
    records: list[DefinitionRecord] = field(default_factory=list)
    live: list[LiveRead] = field(default_factory=list)
    steps: int = 0

    @property
    def names(self) -> StoredNames:
        return StoredNames.of_records(self.records)

    @property
    def stored(self) -> StoredDefinitions:
        current = {"spend": self.names.of(self.registered)} if self.registered else {}
        return StoredDefinitions(self.names, current, self.live)

    def apply(self, view: PlanView | None, *, now: bool = False) -> DefinitionChange:
        change = plan_change(self.stored, [compiled(view)] if view else [], now=now)
        self.steps += 1
        for placed in change.placed:
            record = record_of(placed, DATA, AT + timedelta(self.steps))
            same = (record.stored_as, record.digest)
            self.records = [known for known in self.records if (known.stored_as, known.digest) != same] + [record]
        for kept in change.retained:
            record = record_of(compiled(kept.view), DATA, AT + timedelta(self.steps) - timedelta(hours=1))
            if self.names.latest[record.stored_as].digest != record.digest:
                same = (record.stored_as, record.digest)
                self.records = [known for known in self.records if (known.stored_as, known.digest) != same] + [record]
        self.registered = view
        return change

    def publish(self, used: tuple[int, ...]) -> None:
        if self.registered is not None:
            view = self.names.of(self.registered)
            features = tuple(view.fields[place % len(view.fields)] for place in used)
            self.live.append(LiveRead("churn", f"{len(self.live)}.0.0", "pinned", view, features))

    def sweep(self) -> None:
        current = {view.stored_as for view in self.stored.registered.values()}
        kept = {name for name in self.names.latest if name in current or self.stored.reads(name)}
        self.records = [record for record in self.records if record.stored_as in kept]


CHANGE = st.tuples(st.just("apply"), st.sampled_from([*POOL, None]))
PUBLISH = st.tuples(st.just("publish"), st.sampled_from([(0,), (1,), (0, 1)]))
UNPIN = st.tuples(st.just("unpin"), st.integers(0, 3))
SWEEP = st.tuples(st.just("sweep"), st.none())


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.one_of(CHANGE, PUBLISH, UNPIN, SWEEP), max_size=14))
def test_no_change_takes_the_rows_of_a_live_model(steps: list[tuple[str, object]]):
    history = DefinitionHistory()
    for step, given_value in steps:
        if step == "apply":
            change = history.apply(given_value)  # type: ignore[arg-type]
            assert not change.going_down
            records = list(history.records)
            again = history.apply(given_value)  # type: ignore[arg-type]
            assert again.placed == change.placed, "applying again changes nothing"
            assert [(r.stored_as, r.digest) for r in history.records] == [(r.stored_as, r.digest) for r in records]
        elif step == "publish":
            history.publish(given_value)  # type: ignore[arg-type]
        elif step == "unpin" and history.live:
            history.live.pop(given_value % len(history.live))  # type: ignore[operator]
        elif step == "sweep":
            history.sweep()
        stored = history.stored
        for read in history.live:
            assert read.survives(stored.by_name[read.view.stored_as]), "its rows are of a definition that it can read"
        for view in stored.registered.values():
            assert history.names.latest[view.stored_as].digest == definition_digest(view), (
                "the current one has its name"
            )
        kept = set(stored.by_name) - {view.stored_as for view in stored.registered.values()}
        if step == "sweep":
            assert kept == {read.view.stored_as for read in history.live} - {
                view.stored_as for view in stored.registered.values()
            }


def test_a_definition_is_kept_without_what_it_gained_since_its_readers_were_trained():
    history = DefinitionHistory()
    history.apply(SPEND)
    history.publish((0,))
    history.apply(POOL[3])
    (kept,) = history.apply(but(SPEND, ttl_us=5)).retained
    assert kept.view == SPEND


def test_rows_of_other_keys_keep_their_name():
    history = DefinitionHistory()
    history.apply(SPEND)
    (placed,) = history.apply(POOL[8]).placed
    assert placed.plan.stored_as != "spend", "what lies in other hashes could not be removed any more"


def test_what_is_forced_takes_the_place_and_names_the_readers():
    history = DefinitionHistory()
    history.apply(SPEND)
    history.publish((0,))
    change = history.apply(POOL[1], now=True)
    assert [view.plan.stored_as for view in change.placed] == ["spend"]
    assert [read.reader for read in change.going_down] == ["churn 0.0.0 (pinned)"]
    assert not change.retained
    assert not history.apply(POOL[2]).retained, "a model that is refused already holds nothing up"


def test_the_sentence_says_what_changes_for_whom_and_until_when():
    history = DefinitionHistory()
    history.apply(SPEND)
    history.publish((0,))
    (changed,) = history.apply(but(SPEND, ttl_us=5)).retained
    assert "'spend' changes (ttl was 1:00:00 and is 0:00:00.000005), and churn 0.0.0 (pinned) was trained" in str(
        changed
    )
    (removed,) = history.apply(None).retained
    assert "'spend' is removed, and churn 0.0.0 (pinned) was trained on the old definition" in str(removed)


def states(*objects: dict[str, str]) -> list[AppliedObjects]:
    return [AppliedObjects(AT + timedelta(n), f"person {n}", one) for n, one in enumerate(objects)]


A1, A2, B = {"view a": "1"}, {"view a": "2"}, {"view b": "1"}


@pytest.mark.parametrize(
    ("history", "objects"),
    [([], A1), ([A1], A1), ([A1, A2], A2), ([A1, A2], A2 | B), ([A1, A2], {"view a": "3"}), ([A1, A2], {})],
)
def test_newer_definitions_are_taken(history: list[dict[str, str]], objects: dict[str, str]):
    confirm_newer(states(*history), objects)


@pytest.mark.parametrize(
    ("history", "objects", "back", "by"),
    [
        ([A1, A2], A1, "view a", 1),
        ([A1, A2, A2 | B], A1 | B, "view a", 1),
        ([A1, A1 | B], A1, "view b", 1),
        ([A1 | B, A1], A1 | B, "view b", 1),
        ([A1, A2, {"view a": "3"}], A2, "view a", 2),
    ],
    ids=["the whole", "a part beside something new", "before one was added", "before one was removed", "the last"],
)
def test_older_definitions_are_recognised(history: list[dict[str, str]], objects: dict[str, str], back: str, by: int):
    with pytest.raises(OlderDefinitions) as error:
        confirm_newer(states(*history), objects)
    assert (error.value.objects, error.value.superseded_by) == ((back,), f"person {by}")
    assert "--force" in str(error.value)
