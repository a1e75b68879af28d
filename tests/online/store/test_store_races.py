"""Two writers race on the same keys, in random orders, are killed half-way and run again: the newest rows stay."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skewless.contract.storage.lookup import HashLookup
from skewless.online.store.connection import connect
from skewless.online.store.store import SyncOnlineStore
from tests.checkout import ROOT
from tests.oracles import merged
from tests.strategies import rows
from tests.tables.arrays import packed
from tests.tables.delay_rows import OTHER, SCHEMA, key

TIMES = st.sampled_from([0, 1, 2, 10**15])
WRITER = """
import json, os, sys
from skewless.online.store import store as online
from skewless.online.store.connection import connect
from skewless.contract.plan import JoinKey, PlanView

view = PlanView("delays", "delays", (JoinKey("origin", "origin", "String"),), (), 0, "event_timestamp")


def work(job):
    online.ROWS_A_CALL, online._CALLS_A_TRIP = job["a_call"], 1
    writer = online.SyncOnlineStore(connect(job["url"]), "tests")
    keys, rows = ([bytes.fromhex(text) for text in job[name]] for name in ("keys", "rows"))
    for _ in range(job["times"]):
        writer.write(view, keys, rows)


def forked(job):
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work(job)
            code = 0
        finally:
            os._exit(code)
    return pid


print("ready", flush=True)
for line in sys.stdin:
    pids = [forked(job) for job in json.loads(line)]
    print(json.dumps(pids), flush=True)
    print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]), flush=True)
"""


class Writers:
    """A process that forks another for each job: importing what a writer needs takes longer than the race."""

    def __init__(self) -> None:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = subprocess.Popen([sys.executable, "-c", WRITER], cwd=ROOT, text=True, **pipes)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def begin(self, jobs: list[dict[str, object]]) -> list[int]:
        """The ids of the processes that do the jobs, at once."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(jobs) + "\n")
        self.process.stdin.flush()
        pids = self._line()
        # Where an earlier test was cut off, a line of exit codes may come first: no id, and 0 is our own group.
        assert len(pids) == len(jobs), pids
        assert min(pids) > 1, pids
        return pids

    def ended(self) -> list[int]:
        """How the jobs ended, once all did."""
        return self._line()

    def _line(self) -> list[int]:
        assert self.process.stdout is not None
        numbers: list[int] = json.loads(self.process.stdout.readline())
        return numbers


@pytest.fixture(scope="module")
def writers() -> Iterator[Writers]:
    writers = Writers()
    yield writers
    writers.process.kill()
    writers.process.communicate(timeout=300)


WRITES = st.lists(
    st.tuples(
        st.integers(0, 5),
        st.one_of(rows(SCHEMA, TIMES), rows(SCHEMA, TIMES), rows(OTHER, st.sampled_from([3, 4]))),
    ),
    min_size=5,
    max_size=40,
)
KILLED: list[int] = []


@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(
    writes=WRITES,
    orders=st.tuples(st.randoms(use_true_random=False), st.randoms(use_true_random=False)),
    a_call=st.integers(1, 5),
    after=st.tuples(st.floats(0, 0.02), st.floats(0, 0.02)),
)
@pytest.mark.parametrize("kind", ["single", "cluster"])
def test_writers_that_race_and_die_leave_the_newest_rows(redis_server, cluster, writers, kind, **drawn):
    url = cluster.url if kind == "cluster" else redis_server.url
    pairs = [(key(entity), packed(row.schema, [row])[0]) for entity, row in drawn["writes"]]
    jobs = []
    for order in drawn["orders"]:
        order.shuffle(pairs)
        keys, some = zip(*pairs, strict=True)
        words = {"keys": [one.hex() for one in keys], "rows": [one.hex() for one in some]}
        jobs.append(words | {"url": url, "a_call": drawn["a_call"]})
    with closing(connect(url)) as client:
        client.flushall()
        begun = time.monotonic()
        pids = writers.begin([job | {"times": 20} for job in jobs])
        for pid, after in zip(pids, drawn["after"], strict=True):
            time.sleep(max(0.0, begun + after - time.monotonic()))
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        KILLED.extend(writers.ended())
        writers.begin([job | {"times": 1} for job in jobs])
        assert writers.ended() == [0, 0]
        replies = SyncOnlineStore(client, "tests").read([HashLookup(key(entity), (b"delays",)) for entity in range(6)])
    left = merged(pairs)
    assert [reply[0] for reply in replies] == [left.get(key(entity)) for entity in range(6)]


def test_some_of_them_died_on_the_way():
    assert -signal.SIGKILL in KILLED
