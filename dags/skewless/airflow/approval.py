"""An approval task that alerts whoever is on call and fails where nobody responds in time."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from skewless.airflow.alerts import Alerts

WITHIN = timedelta(days=3)


class TimedApproval(ApprovalOperator):
    """Waits for "Approve" or "Reject" under Required Actions in the UI, or by the REST API, for `within` at most,
    without occupying a worker. After a rejection the tasks downstream are skipped.
    """

    def __init__(self, *, project: str, within: timedelta = WITHIN, **arguments: Any) -> None:  # noqa: ANN401 - Airflow's own
        super().__init__(response_timeout=within, **arguments)
        self.project = project

    def execute(self, context: Mapping[str, Any]) -> object:
        run = context["dag_run"]
        Alerts(self.project).send(
            f"{run.dag_id}: run {run.run_id} waits for approval: {self.subject} Respond within {self.response_timeout}. {self.body}"
        )
        return super().execute(context)

    def process_trigger_event_error(self, event: Mapping[str, Any]) -> None:
        from airflow.sdk.exceptions import AirflowFailException

        if event["error_type"] == "timeout":
            raise AirflowFailException(
                f"nobody answered within {self.response_timeout}, so nothing changes; clear this task to ask again"
            )
        super().process_trigger_event_error(event)
