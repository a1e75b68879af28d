"""Somebody who answers what a run of `dag.test()` asks, as the api-server does it, or lets the time run out, which the
scheduler sees. `dag.test()` itself waits for ever.
"""

from __future__ import annotations

import os
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.api_fastapi.core_api.datamodels.hitl import UpdateHITLDetailPayload
from airflow.api_fastapi.core_api.routes.public.hitl import update_hitl_detail
from airflow.jobs.job import Job
from airflow.jobs.scheduler_job_runner import SchedulerJobRunner
from airflow.models.taskinstance import TaskInstance
from airflow.sdk.timezone import utcnow
from airflow.utils.session import create_session
from airflow.utils.state import TaskInstanceState
from sqlalchemy import select

SECONDS = 120.0
NOBODY = "nobody"
NAME = "Ada"


@contextmanager
def answering(answer: str | None) -> Iterator[None]:
    """For the length of a block, the first task that asks is answered so."""
    over = threading.Event()
    thread = threading.Thread(target=_answer, args=(answer, over))
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _answer(answer: str | None, over: threading.Event) -> None:
    try:
        last = time.monotonic() + SECONDS
        while answer and not over.wait(0.3):
            assert time.monotonic() < last, f"nobody asked for {SECONDS} s"
            if _answered(answer):
                return
    except BaseException:  # noqa: BLE001 - the run would wait for ever
        traceback.print_exc()
        os._exit(1)


def _answered(answer: str) -> bool:
    with create_session() as session:
        asking = session.scalar(select(TaskInstance).where(TaskInstance.state == TaskInstanceState.AWAITING_INPUT))
        if asking is None:
            return False
        if answer == NOBODY:
            asking.trigger_timeout = utcnow() - timedelta(seconds=1)
        else:
            update_hitl_detail(
                asking.dag_id,
                asking.run_id,
                asking.task_id,
                UpdateHITLDetailPayload(chosen_options=[answer]),
                SimpleAuthManagerUser(username=NAME, role="op"),
                session,
            )
    if answer == NOBODY:
        SchedulerJobRunner(job=Job()).check_awaiting_input_timeouts()
    return True
