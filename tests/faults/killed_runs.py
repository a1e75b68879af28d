"""Runs of materialize to be killed: a process that has imported everything forks one for each line that it reads.

Start it with the state's URL, the online store's and the data folder. A line is the end of the window in hours, and
after how many seconds the run is killed; when it is over, the exit status is told.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from redis import Redis

from skewless.online.materialization import materialize
from skewless.online.store import store as online
from skewless.online.store.online_project import OnlineProject
from skewless.state.database import StateDatabase
from tests.tables import view_project as here
from tests.tables.histories import source


def run(end: float) -> None:
    online.ROWS_A_CALL = 2
    url, redis, data = sys.argv[1:]
    state, store = StateDatabase(url), online.SyncOnlineStore(Redis.from_url(redis), "tests")
    views = [(here.SEEN, source(Path(data), here.SEEN))]
    stored = store.stored_views([here.SEEN])
    windows = materialize.plan_windows(state, "tests", views, end=here.at(end), stored=stored)
    materialize.run(windows, OnlineProject("tests", store, state), clock=lambda: here.at(end + 1))


if __name__ == "__main__":
    print("ready", flush=True)
    for line in sys.stdin:
        hour, seconds = map(float, line.split())
        child = os.fork()
        if not child:
            run(hour)
            os._exit(0)
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
