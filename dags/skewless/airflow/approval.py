"""The step at which a person decides: whoever is on call hears of it, and where nobody answers in time it fails."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from skewless.airflow.dag_defaults import say


class TimedApproval(ApprovalOperator):
    """Waits for "Approve" or "Reject" under Required Actions in the UI, or by the REST API, for `within` at most. It
    occupies no worker meanwhile. After a rejection what follows is skipped.
    """

    def __init__(self, *, within: timedelta, **given: Any) -> None:  # noqa: ANN401 - Airflow's own
        super().__init__(response_timeout=within, **given)

    def execute(self, context: Mapping[str, Any]) -> object:
        run = context["dag_run"]
        say(f"{run.dag_id}: run {run.run_id} asks: {self.subject} Answer within {self.response_timeout}. {self.body}")
        return super().execute(context)

    def process_trigger_event_error(self, event: Mapping[str, Any]) -> None:
        from airflow.sdk.exceptions import AirflowFailException

        if event["error_type"] == "timeout":
            raise AirflowFailException(
                f"nobody answered within {self.response_timeout}, so nothing changes; clear this task to ask again"
            )
        super().process_trigger_event_error(event)
