"""Drift: is what a model was served in a window still what it was trained on?

Every model input, join key and the score are compared with the bundle's baseline, and so are the shares of nulls and of
rows that a view had nothing to say of (none found, or beyond its ttl). All p-values of a run are corrected together; an alarm needs a small one and an effect that
matters (`drift_thresholds`).
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
    """One comparison: `p_adjusted` is Benjamini-Hochberg's over the run; `effect` (a `ks`, `psi` or `share`) is held
    against `threshold`.
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
    """A model input, join key, view or the score: its checks, and shares of nulls (of a view: rows not there or stale)
    then and now. `note` says why something was not judged.
    """

    name: str
    kind: Literal["input", "key", "view", "score"]
    rows: int
    nulls_then: float
    nulls_now: float
    psi: float
    js: float
    checks: tuple[DriftCheck, ...]
    picture: Histogram | None = None
    note: str = ""

    @property
    def drifted(self) -> bool:
        """Whether any of its checks is an alarm."""
        return any(check.drifted for check in self.checks)

    def __str__(self) -> str:
        told = [
            f"{check.measure} ({check.effect_name} {check.effect:.3g}, threshold {check.threshold:g}, "
            f"corrected p {check.p_adjusted:.2g})"
            for check in self.checks
            if check.drifted
        ]
        return f"{self.kind} {self.name}: {'; '.join(told) or 'as trained'}"


class DriftResult(msgspec.Struct, frozen=True):
    """What a drift run found in the window [start, end) of the served log."""

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
        """Those that drifted."""
        return tuple(subject for subject in self.subjects if subject.drifted)

    @property
    def clean(self) -> bool:
        """Whether nothing drifted."""
        return not self.alarms

    def __str__(self) -> str:
        tests = sum(len(subject.checks) for subject in self.subjects)
        told = ", ".join(subject.name for subject in self.alarms[:5]) or "none"
        more = f" and {len(self.alarms) - 5} more" if len(self.alarms) > 5 else ""
        return f"{self.model} {self.version}: {self.rows:,} served rows, {tests} tests, drifted: {told}{more}"


@dataclass(frozen=True, slots=True)
class ServedWindow:
    """What a model version served with start <= served_at < end (aware UTC)."""

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
    form: ModelSignature | None = None,
) -> DriftResult:
    """Compare the served rows of a window with the baseline of the bundle (its `plan`, and its model's form unless that
    is one matrix) that served them.
    """
    found = _subjects(plan, form or MatrixSignature(plan), baseline, served, thresholds)
    subjects = _corrected(list(found), thresholds.alpha)
    return DriftResult(
        model=window.model,
        version=window.version,
        start=window.start.isoformat(),
        end=window.end.isoformat(),
        rows=len(served),
        baseline_rows=max(one.rows for one in baseline.inputs.values()),
        alpha=thresholds.alpha,
        subjects=tuple(subjects),
    )


def names_of(plan: Plan) -> list[str]:
    """Everything that thresholds may be given for."""
    columns, keys, views = plan.columns, plan.join_keys, plan.views
    return [SCORE, *(c.name for c in columns), *(k.name for k in keys), *(v.name for v in views)]


def _subjects(
    plan: Plan, form: ModelSignature, baseline: Baseline, served: pa.Table, thresholds: DriftThresholds
) -> Iterator[DriftSubject]:
    least, scores = thresholds.least_rows, baseline.outputs or {SCORE: baseline.scores}
    for name, now in cells(form.told, from_columns(form.told, served)):
        yield _column(name, "score", scores[name], now, thresholds.of(name), least)
    for name, now in cells(form.taken, from_columns(form.taken, served)):
        yield _column(name, "input", baseline.inputs[name], now, thresholds.of(name), least)
    for key in plan.join_keys:
        now = served.column(f"entity:{key.name}")
        yield _texts(key.name, "key", baseline.keys[key.name], now, thresholds.of(key.name), least)
    for view in plan.views:
        if view.name in baseline.views:
            statuses = served.column(f"{view.name}:status").to_numpy()
            yield _view(view.name, baseline.views[view.name], statuses, thresholds.of(view.name), least)


@dataclass(frozen=True, slots=True)
class _ServedCounts:
    """Served rows, how many of them are null, and of how many values how many the baseline does not name."""

    rows: int
    nulls: int
    others: tuple[int, int] | None


def _numbers(
    name: str, kind: Literal["input", "score"], then: Distribution, now: Numbers, limits: ThresholdOverride, least: int
) -> DriftSubject:
    there = present(now)
    if isinstance(then, CategoryCounts):
        counts = divergence.counts_of(now)
        picture: Histogram | None = of_categories(then, counts)
        found = divergence.of_categories(then, counts) if len(there) else None
        others = _others(then, counts)
    else:
        others = None
        picture = of_numbers(then, there)
        found = divergence.of_numbers(then, there) if len(there) and then.quantiles else None
    now_counted = _ServedCounts(len(now), len(now) - len(there), others)
    return _subject(name, kind, then, now_counted, found, limits, least, picture)


def _column(
    name: str, kind: Literal["input", "score"], then: Distribution, now: Array, limits: ThresholdOverride, least: int
) -> DriftSubject:
    if now.dtype == object and isinstance(then, CategoryCounts):
        return _texts(name, kind, then, pa.chunked_array([pa.array(now, pa.string())]), limits, least)
    return _numbers(name, kind, then, as_numbers(now), limits, least)


def _texts(
    name: str,
    kind: Literal["input", "key", "score"],
    then: CategoryCounts,
    now: pa.ChunkedArray,
    limits: ThresholdOverride,
    least: int,
) -> DriftSubject:
    counts = counted_names(now)
    found = divergence.of_categories(then, counts) if counts else None
    counted = _ServedCounts(len(now), now.null_count, _others(then, counts))
    return _subject(name, kind, then, counted, found, limits, least, of_categories(then, counts))


def _others(then: CategoryCounts, counts: Mapping[str, int]) -> tuple[int, int]:
    """How many of some counted values the baseline does not name, and how many there are."""
    return sum(count for name, count in counts.items() if name not in then.counts), sum(counts.values())


def _subject(
    name: str,
    kind: Literal["input", "key", "score"],
    then: Distribution,
    now: _ServedCounts,
    found: divergence.Divergence | None,
    limits: ThresholdOverride,
    least: int,
    picture: Histogram | None,
) -> DriftSubject:
    nulls, rows, others = now.nulls, now.rows, now.others
    checks, note = [], limits.because if limits.ignore else ""
    if not limits.ignore and rows >= least and then.rows:
        checks.append(_share("nulls", (then.nulls, then.rows), (nulls, rows), limits))
    if not limits.ignore and found and rows - nulls >= least:
        sketched = not isinstance(then, CategoryCounts)
        limit = (limits.ks if sketched else limits.psi) or 0.0
        effect = found.ks if sketched else found.psi
        by: Literal["ks", "psi"] = "ks" if sketched else "psi"
        if others and isinstance(then, CategoryCounts):
            checks.append(_share("other values", (then.other, then.rows - then.nulls), others, limits))
        checks.append(DriftCheck("distribution", found.test, found.statistic, found.p_value, by, effect, limit))
    elif not limits.ignore:
        note = f"{rows - nulls} values are too few to judge; {least} are needed"
    psi, js = (found.psi, found.js) if found else (0.0, 0.0)
    return DriftSubject(
        name, kind, rows, _part(then.nulls, then.rows), _part(nulls, rows), psi, js, tuple(checks), picture, note
    )


def _view(name: str, then: AbsentRows, statuses: np.ndarray, limits: ThresholdOverride, least: int) -> DriftSubject:
    rows = len(statuses)
    absent, stale = (
        int(np.count_nonzero(found)) for found in (statuses != FeatureStatus.PRESENT, statuses == FeatureStatus.STALE)
    )
    judged = not limits.ignore and rows >= least and then.rows > 0
    checks = (_share("absent", (then.absent, then.rows), (absent, rows), limits),) if judged else ()
    few = f"{rows} rows are too few to judge; {least} are needed"
    note = limits.because if limits.ignore else f"{_part(stale, rows):.2%} stale" if judged else few
    return DriftSubject(
        name, "view", rows, _part(then.absent, then.rows), _part(absent, rows), 0.0, 0.0, checks, None, note
    )


def _share(measure: Measure, then: tuple[int, int], now: tuple[int, int], limits: ThresholdOverride) -> DriftCheck:
    test, p_value = divergence.of_shares(then, now)
    effect = abs(_part(*now) - _part(*then))
    return DriftCheck(measure, test, _part(*now), p_value, "share", effect, limits.share or 0.0)


def _part(some: int, of: int) -> float:
    return some / of if of else 0.0


def _corrected(subjects: list[DriftSubject], alpha: float) -> list[DriftSubject]:
    """The p-values of all checks corrected together, and the alarms that follow."""
    corrected = iter(divergence.adjusted([check.p_value for subject in subjects for check in subject.checks]))
    done = []
    for subject in subjects:
        checks = []
        for check in subject.checks:
            p = next(corrected)
            drifted = p < alpha and check.effect >= check.threshold
            checks.append(msgspec.structs.replace(check, p_adjusted=p, drifted=drifted))
        done.append(msgspec.structs.replace(subject, checks=tuple(checks)))
    return done
