"""Drift: compares what a model was served in a window with what it was trained on.

Every model input, every join key and the score are compared with the bundle's baseline, and so are the shares of nulls and
of rows for which a view was absent (not found, or beyond its ttl). All p-values of a run are corrected together; an alarm
needs a small p-value and an effect that matters (`DriftThresholds`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import msgspec
import numpy as np
import pyarrow as pa

from skewless.contract.admission import FeatureStatus
from skewless.contract.model.signature import Array, MatrixSignature, ModelSignature, cells, from_columns
from skewless.contract.plan import Plan
from skewless.model.distributions import divergence
from skewless.model.distributions.baseline import (
    Baseline,
    CategoryCounts,
    Distribution,
    Numbers,
    as_numbers,
    counted_names,
    present,
)
from skewless.model.distributions.coverage import AbsentRows
from skewless.model.distributions.histogram import Histogram, of_categories, of_numbers
from skewless.monitoring.drift.thresholds import SCORE, DriftThresholds, ThresholdOverride

Measure = Literal["distribution", "nulls", "other values", "absent"]


class DriftCheck(msgspec.Struct, frozen=True):
    """One comparison: `p_adjusted` is the Benjamini-Hochberg p-value over the run; `effect` (a `ks`, `psi` or `share`) is
    compared with `threshold`.
    """

    measure: Measure
    test: str
    statistic: float
    p_value: float
    effect_name: Literal["ks", "psi", "share"]
    effect: float
    threshold: float
    p_adjusted: float = 1.0
    drifted: bool = False


class DriftSubject(msgspec.Struct, frozen=True):
    """A model input, join key, view or score: its checks, and the share of nulls (of a view: of absent or stale rows) in
    training and as served. `note` says why something was not judged.
    """

    name: str
    kind: Literal["input", "key", "view", "score"]
    rows: int
    baseline_nulls: float = msgspec.field(name="nulls_then")
    served_nulls: float = msgspec.field(name="nulls_now")
    psi: float
    js: float
    checks: tuple[DriftCheck, ...]
    histogram: Histogram | None = msgspec.field(default=None, name="picture")
    note: str = ""

    @property
    def drifted(self) -> bool:
        """Whether any of its checks alarms."""
        return any(check.drifted for check in self.checks)

    def __str__(self) -> str:
        alarms = [
            f"{check.measure} ({check.effect_name} {check.effect:.3g}, threshold {check.threshold:g}, "
            f"corrected p {check.p_adjusted:.2g})"
            for check in self.checks
            if check.drifted
        ]
        return f"{self.kind} {self.name}: {'; '.join(alarms) or 'as trained'}"


class DriftResult(msgspec.Struct, frozen=True):
    """The result of a drift run over the window [start, end) of the served log."""

    model: str
    version: str
    start: str
    end: str
    rows: int
    baseline_rows: int
    alpha: float
    subjects: tuple[DriftSubject, ...]

    @property
    def alarms(self) -> tuple[DriftSubject, ...]:
        """The subjects that drifted."""
        return tuple(subject for subject in self.subjects if subject.drifted)

    @property
    def clean(self) -> bool:
        """Whether nothing drifted."""
        return not self.alarms

    def __str__(self) -> str:
        tests = sum(len(subject.checks) for subject in self.subjects)
        names = ", ".join(subject.name for subject in self.alarms[:5]) or "none"
        more = f" and {len(self.alarms) - 5} more" if len(self.alarms) > 5 else ""
        return f"{self.model} {self.version}: {self.rows:,} served rows, {tests} tests, drifted: {names}{more}"


@dataclass(frozen=True, slots=True)
class ServedWindow:
    """The rows that a model version served with start <= served_at < end (aware UTC)."""

    model: str
    version: str
    start: datetime
    end: datetime


def run(
    window: ServedWindow,
    plan: Plan,
    baseline: Baseline,
    served: pa.Table,
    thresholds: DriftThresholds,
    signature: ModelSignature | None = None,
) -> DriftResult:
    """Compare the served rows of a window with the baseline of the bundle that served them. `plan` is that bundle's, and
    `form` its model's signature (None: one matrix).
    """
    uncorrected = _subjects(plan, signature or MatrixSignature(plan), baseline, served, thresholds)
    subjects = _corrected(list(uncorrected), thresholds.alpha)
    return DriftResult(
        model=window.model,
        version=window.version,
        start=window.start.isoformat(),
        end=window.end.isoformat(),
        rows=len(served),
        baseline_rows=max(distribution.rows for distribution in baseline.inputs.values()),
        alpha=thresholds.alpha,
        subjects=tuple(subjects),
    )


def threshold_names(plan: Plan) -> list[str]:
    """The names that thresholds may be set for: the score, and the plan's columns, join keys and views."""
    columns, keys, views = plan.columns, plan.join_keys, plan.views
    return [SCORE, *(c.name for c in columns), *(k.name for k in keys), *(v.name for v in views)]


def _subjects(
    plan: Plan, signature: ModelSignature, baseline: Baseline, served: pa.Table, thresholds: DriftThresholds
) -> Iterator[DriftSubject]:
    least, scores = thresholds.least_rows, baseline.outputs or {SCORE: baseline.scores}
    for name, values in cells(signature.outputs, from_columns(signature.outputs, served)):
        yield _column(name, "score", scores[name], values, thresholds.of(name), least)
    for name, values in cells(signature.inputs, from_columns(signature.inputs, served)):
        yield _column(name, "input", baseline.inputs[name], values, thresholds.of(name), least)
    for key in plan.join_keys:
        texts = served.column(f"entity:{key.name}")
        yield _texts(key.name, "key", baseline.keys[key.name], texts, thresholds.of(key.name), least)
    for view in plan.views:
        if view.name in baseline.views:
            statuses = served.column(f"{view.name}:status").to_numpy()
            yield _view(view.name, baseline.views[view.name], statuses, thresholds.of(view.name), least)


@dataclass(frozen=True, slots=True)
class _ServedCounts:
    """Served rows and nulls among them; `others` is (values that the baseline does not name, all values)."""

    rows: int
    nulls: int
    others: tuple[int, int] | None


def _numbers(
    name: str,
    kind: Literal["input", "score"],
    baseline: Distribution,
    served: Numbers,
    limits: ThresholdOverride,
    least: int,
) -> DriftSubject:
    values = present(served)
    if isinstance(baseline, CategoryCounts):
        counts = divergence.counts_of(served)
        histogram: Histogram | None = of_categories(baseline, counts)
        diverged = divergence.of_categories(baseline, counts) if len(values) else None
        others = _others(baseline, counts)
    else:
        others = None
        histogram = of_numbers(baseline, values)
        diverged = divergence.of_numbers(baseline, values) if len(values) and baseline.quantiles else None
    counted = _ServedCounts(len(served), len(served) - len(values), others)
    return _subject(name, kind, baseline, counted, diverged, limits, least, histogram)


def _column(
    name: str,
    kind: Literal["input", "score"],
    baseline: Distribution,
    served: Array,
    limits: ThresholdOverride,
    least: int,
) -> DriftSubject:
    if served.dtype == object and isinstance(baseline, CategoryCounts):
        return _texts(name, kind, baseline, pa.chunked_array([pa.array(served, pa.string())]), limits, least)
    return _numbers(name, kind, baseline, as_numbers(served), limits, least)


def _texts(
    name: str,
    kind: Literal["input", "key", "score"],
    baseline: CategoryCounts,
    served: pa.ChunkedArray,
    limits: ThresholdOverride,
    least: int,
) -> DriftSubject:
    counts = counted_names(served)
    diverged = divergence.of_categories(baseline, counts) if counts else None
    counted = _ServedCounts(len(served), served.null_count, _others(baseline, counts))
    return _subject(name, kind, baseline, counted, diverged, limits, least, of_categories(baseline, counts))


def _others(baseline: CategoryCounts, counts: Mapping[str, int]) -> tuple[int, int]:
    """How many of the counted values the baseline does not name, and how many values there are."""
    return sum(count for name, count in counts.items() if name not in baseline.counts), sum(counts.values())


def _subject(
    name: str,
    kind: Literal["input", "key", "score"],
    baseline: Distribution,
    served: _ServedCounts,
    diverged: divergence.Divergence | None,
    limits: ThresholdOverride,
    least: int,
    histogram: Histogram | None,
) -> DriftSubject:
    nulls, rows, others = served.nulls, served.rows, served.others
    checks, note = [], limits.because if limits.ignore else ""
    if not limits.ignore and rows >= least and baseline.rows:
        checks.append(_share("nulls", (baseline.nulls, baseline.rows), (nulls, rows), limits))
    if not limits.ignore and diverged and rows - nulls >= least:
        sketched = not isinstance(baseline, CategoryCounts)
        limit = (limits.ks if sketched else limits.psi) or 0.0
        effect = diverged.ks if sketched else diverged.psi
        by: Literal["ks", "psi"] = "ks" if sketched else "psi"
        if others and isinstance(baseline, CategoryCounts):
            checks.append(_share("other values", (baseline.other, baseline.rows - baseline.nulls), others, limits))
        checks.append(
            DriftCheck("distribution", diverged.test, diverged.statistic, diverged.p_value, by, effect, limit)
        )
    elif not limits.ignore:
        note = f"{rows - nulls} values are too few to judge; {least} are needed"
    psi, js = (diverged.psi, diverged.js) if diverged else (0.0, 0.0)
    before = _ratio(baseline.nulls, baseline.rows)
    return DriftSubject(name, kind, rows, before, _ratio(nulls, rows), psi, js, tuple(checks), histogram, note)


def _view(name: str, baseline: AbsentRows, statuses: np.ndarray, limits: ThresholdOverride, least: int) -> DriftSubject:
    rows = len(statuses)
    absent = int(np.count_nonzero(statuses != FeatureStatus.PRESENT))
    stale = int(np.count_nonzero(statuses == FeatureStatus.STALE))
    judged = not limits.ignore and rows >= least and baseline.rows > 0
    checks = (_share("absent", (baseline.absent, baseline.rows), (absent, rows), limits),) if judged else ()
    few = f"{rows} rows are too few to judge; {least} are needed"
    note = limits.because if limits.ignore else f"{_ratio(stale, rows):.2%} stale" if judged else few
    before = _ratio(baseline.absent, baseline.rows)
    return DriftSubject(name, "view", rows, before, _ratio(absent, rows), 0.0, 0.0, checks, None, note)


def _share(
    measure: Measure, baseline: tuple[int, int], served: tuple[int, int], limits: ThresholdOverride
) -> DriftCheck:
    test, p_value = divergence.of_shares(baseline, served)
    effect = abs(_ratio(*served) - _ratio(*baseline))
    return DriftCheck(measure, test, _ratio(*served), p_value, "share", effect, limits.share or 0.0)


def _ratio(count: int, total: int) -> float:
    return count / total if total else 0.0


def _corrected(subjects: list[DriftSubject], alpha: float) -> list[DriftSubject]:
    """Correct the p-values of all checks together, and decide which checks alarm."""
    corrected = iter(divergence.adjusted([check.p_value for subject in subjects for check in subject.checks]))
    judged = []
    for subject in subjects:
        checks = []
        for check in subject.checks:
            p = next(corrected)
            drifted = p < alpha and check.effect >= check.threshold
            checks.append(msgspec.structs.replace(check, p_adjusted=p, drifted=drifted))
        judged.append(msgspec.structs.replace(subject, checks=tuple(checks)))
    return judged
