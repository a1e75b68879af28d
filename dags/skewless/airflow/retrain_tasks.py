"""What a retraining may be told, and how its tasks do it.

Held by tests/airflow/test_dags_of_models.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from skewless.airflow.assets import DRIFT
from skewless.airflow.dag_defaults import choice

SHARE = 0.05
"""Of the entities, that a canary answers."""

CHOICES = {
    "model": choice("string", "Name that the model is served under."),
    "service": choice("string", "Feature service to train on."),
    "spine": choice("string", "Table of the rows, in the data folder."),
    "label": choice("string", "Column of the spine to predict, 0 or 1."),
    "window": choice("string", "How long to train, validate and test before the run's end, as 212d,30d,92d."),
    "as_served": choice("string", "Join as a store on a schedule: every=1h,delay=5m."),
    "margin": choice("number", "Gain in logloss that is asked for, with 95% confidence."),
    "canary": choice("number", f"Share of the entities that a better one is tried on. Default: {SHARE:g}."),
    "approval": choice("boolean", "Whether a person decides before it is tried. Default: true."),
}


def retrain(context: Mapping[str, Any]) -> dict[str, Any]:
    """Train, publish a candidate, hold it against the champion: the verdict, what is `told` of it, and whether a person's
    `approval` is asked for.

    Raises: as `skewless.monitoring.retraining.retrain.run`, BadVariable, NoWindow, BadWindow; AirflowSkipException where others drifted.
    """
    import msgspec

    from airflow.sdk.exceptions import AirflowSkipException
    from skewless.airflow.connections import now, workspace
    from skewless.airflow.lineage import read_views
    from skewless.airflow.run_options import choices, param
    from skewless.airflow.window import window_of
    from skewless.model.training.train import TimeSplit
    from skewless.monitoring.reports.retraining_page import write_report
    from skewless.monitoring.retraining import retrain as verb
    from skewless.offline.join.refresh_schedule import RefreshSchedule

    asked, drifted = choices(context), _drifted(context)
    work, at = workspace(), now()
    declared = work.model(asked.get("model"))
    model = declared.name(param("model"))
    if drifted and model not in drifted:
        raise AirflowSkipException(f"{', '.join(sorted(drifted))} drifted, not {model}")
    lengths = asked.get("window") or declared.windows(param("window")).lengths
    wanted = verb.RetrainOptions(
        model,
        work.folders.data / (asked.get("spine") or declared.spec(param("spine")).spine),
        asked.get("label") or declared.spec(param("label")).label,
        TimeSplit.until(window_of(context).end, lengths),
        declared.parameters,
        margin=asked.get("margin", 0.0),
        as_served=RefreshSchedule.parse(asked["as_served"]) if "as_served" in asked else None,
    )
    project = verb.RetrainProject.of(work, asked.get("service") or declared.spec(param("service")).service)
    read_views(work.project, project.definitions.plan.views)
    found = verb.run(project, wanted, created_at=at, canary=None)
    page = write_report(work.folders.reports, found, at)
    told = "\n".join([str(found), *found.lines(), f"report: {page}"])
    verdict = msgspec.to_builtins(msgspec.structs.replace(found, held_out=None, live=None))
    return verdict | {"told": told, "approval": asked.get("approval", True)}


def canary(context: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    """Try the candidate of a verdict on a share of the entities, in the name of who approved.

    Raises: RolloutRefused, InvalidBundle, BadVariable.
    """
    import msgspec

    from skewless.airflow.connections import now, settings
    from skewless.airflow.run_options import choices
    from skewless.monitoring.retraining import retrain as verb

    share = choices(context).get("canary", SHARE)
    answer = context["ti"].xcom_pull(task_ids="approve")
    by = f"{answer['responded_by_user']['name']}, asked by {context['dag'].dag_id}" if answer else context["dag"].dag_id
    verdict = msgspec.convert(
        {name: found[name] for name in verb.RetrainResult.__struct_encode_fields__}, verb.RetrainResult
    )
    rollout = verb.start_canary(settings().registry, verdict, share, now(), by=by)
    return f"revision {rollout.revision}, {rollout.change.what}"


def _drifted(context: Mapping[str, Any]) -> set[str]:
    """The models that the triggering alarms name; none where the run was not triggered by one."""
    events = context["triggering_asset_events"].get(DRIFT) or ()
    return {model for event in events for model in event.extra.get("models", ())}
