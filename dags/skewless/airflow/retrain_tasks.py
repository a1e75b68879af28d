"""The params of a retraining, and the work of its tasks.

Held by tests/airflow/test_dags_of_models.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from skewless.airflow.assets import DRIFT
from skewless.airflow.dag_defaults import optional_param

CANARY_SHARE = 0.05
"""The share of the entities that a canary serves where neither the run nor the model says it."""

OPTIONS = {
    "model": optional_param("string", "Name that the model is served under."),
    "service": optional_param("string", "Feature service to train on."),
    "spine": optional_param("string", "Table of the rows, in the data folder."),
    "label": optional_param("string", "Column of the spine to predict, 0 or 1."),
    "window": optional_param("string", "How long to train, validate and test before the run's end, as 212d,30d,92d."),
    "as_served": optional_param("string", "Join as a store on a schedule: every=1h,delay=5m."),
    "margin": optional_param("number", "Required gain in logloss. Default: of the model's promotion rule."),
    "canary": optional_param(
        "number", f"Share of the entities that a better model is tried on. Default: of the rule, else {CANARY_SHARE:g}."
    ),
    "approval": optional_param("boolean", "Whether a person approves before it is tried. Default: of the rule, true."),
}


def retrain(context: Mapping[str, Any]) -> dict[str, Any]:
    """Train, publish a candidate and compare it with the champion: the verdict, its `summary`, and whether a person's
    `approval` is required.

    Raises: as `skewless.monitoring.retraining.retrain.run`, BadVariable, WindowMissing; AirflowSkipException
    where only other models drifted.
    """
    import msgspec

    from airflow.sdk.exceptions import AirflowSkipException
    from skewless.airflow.connections import now, workspace
    from skewless.airflow.lineage import read_views
    from skewless.airflow.run_options import param, run_options
    from skewless.airflow.window import window_of
    from skewless.monitoring.reports.retraining_page import write_report
    from skewless.monitoring.retraining import retrain as verb
    from skewless.offline.join.refresh_schedule import RefreshSchedule
    from skewless.project.windows import Windows

    options, drifted = run_options(context), _drifted(context)
    work, at = workspace(), now()
    declared = work.model(options.get("model"), options.get("service"))
    model = declared.name(param("model"))
    if drifted and model not in drifted:
        raise AirflowSkipException(f"{', '.join(sorted(drifted))} drifted, not {model}")
    rollout = work.settings.registry.rollout(model)
    if rollout is not None and rollout.retired is not None:
        raise AirflowSkipException(f"model {model!r} is retired: {rollout.retired}")
    windows = Windows.parse(options["window"]) if "window" in options else declared.windows(param("window"))
    request = verb.RetrainOptions(
        model,
        work.folders.data / (options.get("spine") or declared.spec(param("spine")).spine),
        declared.label(options.get("label"), param("label")),
        windows.until(window_of(context).end, declared.gap),
        declared.learner,
        replace(declared.promotion, margin=options.get("margin", declared.promotion.margin)),
        as_served=RefreshSchedule.parse(options["as_served"]) if "as_served" in options else None,
    )
    project = verb.RetrainProject.of(work, options.get("service") or declared.spec(param("service")).service)
    read_views(work.project, project.definitions.plan.views)
    result = verb.run(project, request, created_at=at, canary=None)
    page = write_report(work.folders.reports, result, at)
    summary = "\n".join([str(result), *result.lines(), f"report: {page}"])
    verdict = msgspec.to_builtins(msgspec.structs.replace(result, held_out=None, live=None))
    return verdict | {"summary": summary, "approval": options.get("approval", declared.promotion.approval)}


def canary(context: Mapping[str, Any], result: Mapping[str, Any]) -> str:
    """Start a canary of the verdict's candidate on a share of the entities; the author is whoever approved it.

    Raises: RolloutRefused, InvalidBundle, BadVariable.
    """
    import msgspec

    from skewless.airflow.connections import now, workspace
    from skewless.airflow.run_options import run_options
    from skewless.monitoring.retraining import retrain as verb

    work = workspace()
    share = run_options(context).get("canary") or work.model(result["model"]).promotion.canary or CANARY_SHARE
    approval = context["ti"].xcom_pull(task_ids="approve")
    by = (
        f"{approval['responded_by_user']['name']}, asked by {context['dag'].dag_id}"
        if approval
        else context["dag"].dag_id
    )
    verdict = msgspec.convert(
        {name: result[name] for name in verb.RetrainResult.__struct_encode_fields__}, verb.RetrainResult
    )
    rollout = verb.start_canary(work.settings.registry, verdict, share, now(), by=by)
    return f"revision {rollout.revision}, {rollout.change.what}"


def _drifted(context: Mapping[str, Any]) -> set[str]:
    """The models that the triggering alarms name; none where the run was not triggered by one."""
    events = context["triggering_asset_events"].get(DRIFT) or ()
    return {model for event in events for model in event.extra.get("models", ())}
