"""The params of a retraining, and the work of its tasks.

Held by tests/airflow/test_dags_of_models.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from skewless.airflow.airflow_project import AirflowProject
from skewless.airflow.dag_defaults import optional_param

CANARY_SHARE = 0.05
"""The share of the entities that a canary serves where neither the run nor the model says it."""

SUMMARY = "{{ ti.xcom_pull(task_ids='retrain')['summary'] }}"
"""What whoever approves is told."""

PARAMS = {
    "window": optional_param("string", "How long to train, validate and test before the run's end, as 212d,30d,92d."),
    "as_served": optional_param("string", "Join as a store on a schedule: every=1h,delay=5m."),
    "margin": optional_param("number", "Required gain in logloss. Default: of the model's promotion rule."),
    "canary": optional_param(
        "number", f"Share of the entities that a better model is tried on. Default: of the rule, else {CANARY_SHARE:g}."
    ),
    "approval": optional_param("boolean", "Whether a person approves before it is tried. Default: of the rule, true."),
}


def retrain(project: AirflowProject, model: str, context: Mapping[str, Any]) -> dict[str, Any]:
    """Train, publish a candidate and compare it with the champion: the verdict, its `summary`, and whether a person's
    `approval` is required.

    Raises: as `skewless.monitoring.retraining.retrain.run`, BadVariable, WindowMissing, WindowsNotDeclared;
    AirflowSkipException where the model is retired.
    """
    import msgspec

    from skewless.airflow.connections import now, workspace
    from skewless.airflow.lineage import read_views
    from skewless.airflow.run_options import confirm_not_retired, run_options
    from skewless.airflow.window import window_of
    from skewless.monitoring.reports.retraining_page import write_report
    from skewless.monitoring.retraining import retrain as verb
    from skewless.offline.join.refresh_schedule import RefreshSchedule
    from skewless.project.windows import Windows

    options, work, at = run_options(context), workspace(project), now()
    declared = work.model(model)
    spec, rule, option = declared.spec("--model"), declared.promotion, "the DAG's param `window`"
    confirm_not_retired(model, work.settings.registry)
    windows = Windows.parse(options["window"]) if "window" in options else declared.windows(option)
    request = verb.RetrainOptions(
        model,
        work.folders.data / spec.spine,
        spec.label_column,
        windows.until(window_of(context).end, declared.gap),
        declared.learner,
        replace(rule, margin=options.get("margin", rule.margin)),
        as_served=RefreshSchedule.parse(options["as_served"]) if "as_served" in options else None,
    )
    retraining = verb.RetrainProject.of(work, spec.service)
    read_views(work.project, retraining.definitions.plan.views)
    result = verb.run(retraining, request, created_at=at, canary=None)
    page = write_report(work.folders.reports, result, at)
    summary = "\n".join([str(result), *result.lines(), f"report: {page}"])
    verdict = msgspec.to_builtins(msgspec.structs.replace(result, held_out=None, live=None))
    return verdict | {"summary": summary, "approval": options.get("approval", rule.approval)}


def canary(project: AirflowProject, context: Mapping[str, Any], result: Mapping[str, Any]) -> str:
    """Start a canary of the verdict's candidate on a share of the entities; the author is whoever approved it.

    Raises: RolloutRefused, InvalidBundle, BadVariable.
    """
    import msgspec

    from skewless.airflow.connections import now, workspace
    from skewless.airflow.run_options import run_options
    from skewless.monitoring.retraining import retrain as verb

    work = workspace(project)
    share = run_options(context).get("canary") or work.model(result["model"]).promotion.canary or CANARY_SHARE
    approval, dag = context["ti"].xcom_pull(task_ids="approve"), context["dag"].dag_id
    by = f"{approval['responded_by_user']['name']}, asked by {dag}" if approval else dag
    fields = {name: result[name] for name in verb.RetrainResult.__struct_encode_fields__}
    verdict = msgspec.convert(fields, verb.RetrainResult)
    rollout = verb.start_canary(work.settings.registry, verdict, share, now(), by=by)
    return f"revision {rollout.revision}, {rollout.change.what}"
