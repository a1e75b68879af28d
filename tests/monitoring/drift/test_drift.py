"""Drift: measured false alarms and power on a population of 30 inputs, and the verb on a served log.

Bounds are binomial: a test fails where the measured share says with 99.9% certainty that the promise is broken.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import stats
from typer.testing import CliRunner

from skewless.cli import app
from skewless.contract.model.signature import MatrixSignature
from skewless.model.distributions.baseline import Baseline, describe
from skewless.model.distributions.coverage import AbsentRows
from skewless.monitoring.drift import drift
from skewless.monitoring.drift.drift import DriftResult
from skewless.monitoring.drift.thresholds import DriftThresholds, ThresholdOverride
from skewless.registry.bundle_folder import open_bundle
from skewless.registry.cpu_features import processor_features
from tests.bench import drift as bench
from tests.models import tiny

NOON = datetime(2013, 10, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def then() -> Baseline:
    return bench.baseline(50_000)


def at_most(hits: int, runs: int, promised: float) -> bool:
    return stats.binomtest(hits, runs, promised, alternative="greater").pvalue > 0.001


def at_least(hits: int, runs: int, promised: float) -> bool:
    return stats.binomtest(hits, runs, promised, alternative="less").pvalue > 0.001


@pytest.mark.parametrize(("rows", "runs"), [(200, 60), (2_000, 25), (50_000, 2)])
def test_the_same_population_raises_no_alarm(then: Baseline, rows: int, runs: int):
    """`alpha` is the chance of a false alarm of a whole run."""
    assert at_most(bench.false_alarms(then, rows, runs), runs, 0.01)


@pytest.mark.parametrize("shift", [shift for shift in bench.SHIFTS if "too little" not in shift])
def test_a_shift_that_matters_is_seen_in_a_thousand_rows(then: Baseline, shift: str):
    assert at_least(bench.seen(then, shift, 1_000, 8), 8, 0.9)


def test_a_shift_that_does_not_matter_is_let_pass_however_sure(then: Baseline):
    slight = "a mean moved by 0.1 standard deviations (too little to matter)"
    assert bench.seen(then, slight, 20_000, 2) == 0
    bare = DriftThresholds(ks=0.0)
    rows = bench.population(np.random.default_rng(5), 20_000)
    bench.SHIFTS[slight][1](np.random.default_rng(6), rows)
    found = drift.run(bench.WINDOW, bench.PLAN, then, rows.served(), bare)
    assert "mean_7" in {one.name for one in found.alarms}, "without the gate a large window alarms on it"


def test_few_rows_are_not_judged(then: Baseline):
    rows = bench.population(np.random.default_rng(5), 99)
    found = drift.run(bench.WINDOW, bench.PLAN, then, rows.served(), DriftThresholds())
    assert found.clean
    assert {one.note for one in found.subjects if one.kind == "view"} == {
        "99 rows are too few to judge; 100 are needed"
    }
    assert not any(one.checks for one in found.subjects)
    none = drift.run(bench.WINDOW, bench.PLAN, then, rows.served().slice(0, 0), DriftThresholds())
    assert none.clean
    assert none.rows == 0


def test_what_is_ignored_says_why(then: Baseline):
    rows = bench.population(np.random.default_rng(5), 1_000)
    rows.inputs["age"] += 100
    seen = drift.run(bench.WINDOW, bench.PLAN, then, rows.served(), DriftThresholds())
    assert [one.name for one in seen.alarms] == ["age"]
    limits = DriftThresholds(features={"age": ThresholdOverride(ignore=True, because="they grow old")})
    found = drift.run(bench.WINDOW, bench.PLAN, then, rows.served(), limits)
    (age,) = [one for one in found.subjects if one.name == "age"]
    assert (found.clean, age.note, age.checks) == (True, "they grow old", ())


def test_an_input_that_is_gone_is_told_by_its_nulls(then: Baseline):
    rows = bench.population(np.random.default_rng(5), 1_000)
    rows.inputs["mean_7"][:] = np.nan
    (gone,) = drift.run(bench.WINDOW, bench.PLAN, then, rows.served(), DriftThresholds()).alarms
    assert [check.measure for check in gone.checks] == ["nulls"]
    assert "nulls (share 0.9" in str(gone)
    assert gone.served_nulls == 1.0


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """`skewless drift` in a project with a bundle and an hour of its served log."""
    monkeypatch.setenv("SKEWLESS_STATE", str(tmp_path))
    monkeypatch.setenv("SKEWLESS_FEATURE_REPO", str(tmp_path))
    rng, plan = np.random.default_rng(4), tiny.plan()
    matrix = rng.normal(size=(5_000, len(plan.columns))).astype(np.float32)
    keys = pa.table({"origin": rng.choice(["JFK", "LGA"], 5_000), "tailnum": ["N1"] * 5_000})
    shares = {view.name: AbsentRows(5_000, 0) for view in plan.views}
    found = describe(plan, MatrixSignature(plan), matrix, keys, shares, rng.random(5_000).astype(np.float32))
    folder = tiny.write_bundle(tmp_path / "models", "1.0.0", baseline=msgspec.json.encode(found))
    tiny.promote(tmp_path / "models", "1.0.0")
    assert open_bundle(folder, processor_features()).exact
    served = {
        "served_at": pa.array([NOON + timedelta(seconds=second) for second in range(600)], pa.timestamp("us", "UTC")),
        "entity:origin": rng.choice(["JFK", "LGA"], 600),
        "entity:tailnum": ["N1"] * 600,
        "delays:status": np.zeros(600, np.uint8),
        "planes:status": np.zeros(600, np.uint8),
        "model_input": pa.FixedSizeListArray.from_arrays(
            pa.array(rng.normal(size=3_000).astype(np.float32)), len(plan.columns)
        ),
        "score": rng.random(600).astype(np.float32) ** np.where(np.arange(600) < 300, 1, 3).astype(np.float32),
    }
    place = tmp_path / "served" / "model=tiny" / "version=1.0.0" / "day=2013-10-01"
    place.mkdir(parents=True)
    pq.write_table(pa.table(served), place / "part.parquet")
    return lambda *words: CliRunner().invoke(app, ["drift", "--model", "tiny", *words], catch_exceptions=False)


def test_the_exit_status_and_the_files_of_the_verb(command, tmp_path: Path):
    clean = command("--from", "2013-10-01", "--to", "2013-10-01T12:05")
    assert (clean.exit_code, "drifted: none" in clean.output) == (0, True), clean.output
    wrong = command(
        "--from", "2013-10-01T12:05", "--html", str(tmp_path / "d.html"), "--json", str(tmp_path / "d.json")
    )
    assert wrong.exit_code == 1
    assert "score score: distribution (ks " in wrong.output
    found = msgspec.json.decode((tmp_path / "d.json").read_bytes(), type=DriftResult)
    assert [one.name for one in found.alarms] == ["score"]
    assert "1 drifted" in (tmp_path / "d.html").read_text()
    prom = (tmp_path / "reports" / "drift-tiny-1.0.0.prom").read_text()
    assert (
        'skewless_drift_alarm{kind="score",measure="distribution",model="tiny",name="score",version="1.0.0"} 1.0'
        in prom
    )


def test_a_rare_new_value_is_told_before_chi_square_could(then: Baseline):
    rows = bench.population(np.random.default_rng(5), 150)
    rows.place[:9] = "SWF"
    (place,) = drift.run(bench.WINDOW, bench.PLAN, then, rows.served(), DriftThresholds()).alarms
    assert "other values" in {check.measure for check in place.checks if check.drifted}


def test_the_verb_reads_the_thresholds_beside_the_definitions(command, tmp_path: Path):
    (tmp_path / "drift.yaml").write_text("tiny: {features: {score: {ks: 0.9}}}")
    assert command("--from", "2013-10-01T12:05").exit_code == 0
