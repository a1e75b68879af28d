"""Applies to be killed: a process that has imported everything forks one for each line that it reads.

A line is JSON: the environment, the request of the apply, and before which of its writes it is killed. When it is over,
the exit status is printed: 0 where there were fewer writes.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from typing import Any

from feast.infra.registry.sql import SqlRegistry

from skewless.feast.online_store import SkewlessOnlineStore
from skewless.online.maintenance import view_removal
from skewless.online.store.store import SyncOnlineStore
from skewless.project import feast_apply
from skewless.project.apply import update_online_store
from skewless.project.apply_report import ApplyRequest
from skewless.project.project import ProjectContext
from skewless.runtime.settings import ProjectSettings
from skewless.state.database import StateDatabase
from skewless.state.definition_log import DefinitionLog

WRITES: list[tuple[Any, str]] = [
    (DefinitionLog, "write"),
    (SqlRegistry, "apply_data_source"),
    (SqlRegistry, "apply_feature_view"),
    (SqlRegistry, "apply_entity"),
    (SqlRegistry, "apply_feature_service"),
    (SqlRegistry, "delete_feature_view"),
    (SkewlessOnlineStore, "update"),
    (StateDatabase, "forget"),
    (view_removal, "remove"),
    (DefinitionLog, "remove"),
    (SyncOnlineStore, "accept"),
]


def kill_before(write: int) -> None:
    """Let this process be killed before its write of that number, from 0."""
    count = 0

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def call(*given: Any, **named: Any) -> Any:
            nonlocal count
            count += 1
            if count > write:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*given, **named)

        return call

    for home, name in WRITES:
        setattr(home, name, counted(getattr(home, name)))


def run(line: str) -> None:
    order = json.loads(line)
    os.environ.update(order["environment"])
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    kill_before(order["write"])
    at = datetime.now(UTC)
    report = feast_apply.apply(ApplyRequest(order["repo"], "", at, "a test"))
    error = update_online_store(ProjectContext(ProjectSettings.read()), at, report.dropped)
    if error is not None:
        raise error


def main() -> None:
    sys.path.insert(0, "")  # as for `python -c`: Feast imports the definitions from the working folder
    for line in sys.stdin:
        child = os.fork()
        if not child:
            try:
                run(line)
            except BaseException as error:  # noqa: BLE001 - a fork of this process may not go on
                print(repr(error), file=sys.stderr, flush=True)
                os._exit(1)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
