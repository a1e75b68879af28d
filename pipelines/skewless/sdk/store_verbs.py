"""The online store itself: `project.store`.

Held by tests/cli/test_online_store.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from skewless.html.table import PageTable, thousands
from skewless.sdk.arguments import Length, at_least, length
from skewless.sdk.results import ShownResult

if TYPE_CHECKING:
    from skewless.contract.errors import SkewlessError
    from skewless.online.push import push
    from skewless.online.push.stream import StreamLimits, StreamResult
    from skewless.online.store.embedded_valkey import RunningValkey
    from skewless.project.project import ProjectContext
    from skewless.sdk.session import ProjectSession
    from skewless.state.run_history import VerbRun


@dataclass(frozen=True, slots=True, repr=False)
class RunList(ShownResult):
    """Materializations, the latest first: windows, counts, and how each ended."""

    runs: list[VerbRun]

    def lines(self) -> list[str]:
        """The result as text, line by line."""
        later: set[str] = set()
        lines = []
        for run in self.runs:
            # Runs of a view take turns: a run without an end that another run follows was killed.
            lines.append(_line(run, _ended(run, later)))
            later.add(run.view)
        return lines or ["nothing was materialized yet"]

    def tables(self) -> list[PageTable]:
        """The runs."""
        heads = ("view", "started", "up to", "read", "written", "how it ended")
        rows = tuple(
            (
                run.view,
                f"{run.started_at:%Y-%m-%d %H:%M:%S}",
                run.window_end.isoformat(),
                thousands(run.counts.read),
                thousands(run.counts.written),
                f"{run.status}: {run.error}" if run.error else str(run.status),
            )
            for run in self.runs
        )
        return [PageTable("", "", heads, rows, texts=True)]

    def _repr_html_(self) -> str:
        from skewless.html.fragment import fragment

        return fragment([] if self.runs else self.lines(), self.tables() if self.runs else ())


def _ended(run: VerbRun, later: Iterable[str]) -> str:
    from skewless.state.run_history import RunStatus

    status = "cut short" if run.status is RunStatus.RUNNING and run.view in later else str(run.status)
    return f"{status}: {run.error}" if run.error else status


def _line(run: VerbRun, ended: str) -> str:
    start = run.window_start.isoformat() if run.window_start else "the beginning"
    counts = run.counts
    rows = f"{counts.read:,} read, {counts.written:,} written, {counts.skipped_older:,} older"
    took = f" in {(run.finished_at - run.started_at).total_seconds():.1f} s" if run.finished_at else ""
    window = f"{run.started_at:%Y-%m-%d %H:%M:%S}  {run.verb} {run.view}, {start} to {run.window_end.isoformat()}: "
    return f"{window}{ended}{took}; {rows}, {counts.held_back:,} held back"


class OnlineStoreVerbs:
    """The online store of a project: started and stopped, its runs, fed from a stream."""

    def __init__(self, session: ProjectSession) -> None:
        self._session = session

    def up(self, *, port: int | None = None, persist: bool = True) -> RunningValkey | None:
        """Start the embedded Redis, unless it runs; None where a Redis of one's own is used. `port`: listen on the loopback
        too, 0 picks a port. Raises: EmbeddedServerFailed, OtherServerRuns, UnsupportedPlatform.
        """
        from skewless.online.store import embedded_valkey

        settings = self._session.settings
        if not settings.embedded:
            return None
        return embedded_valkey.start(settings.folders, persistent=persist, port=port)

    def down(self) -> bool:
        """Stop the embedded Redis; whether it was running. Raises: EmbeddedServerFailed."""
        from skewless.online.store import embedded_valkey

        return embedded_valkey.stop(self._session.settings.folders)

    def runs(self, view: str | None = None, *, limit: int = 20) -> RunList:
        """The latest materializations, of all feature views or of one. Raises: UnknownFeatureView, StateUnreachable."""
        at_least(self._session.spelled("limit"), limit, 1)
        with self._session.opened() as work:
            stored_as = view and work.stored_name(view)
            return RunList(work.history.runs(work.project, stored_as, limit=limit))

    def stream(
        self,
        *,
        once: bool = False,
        batch: int = 1_000,
        idle: Length = "30s",
        keep: bool = False,
        unchecked: bool = False,
    ) -> StreamResult:
        """Push the events of the project's Redis stream until it is interrupted, or (`once`) until nothing is left. Call it in
        the main thread. At most `batch` entries are pushed together; a consumer that was `idle` so long counts as dead;
        `keep` leaves pushed entries in the stream. Raises: RedisUnreachable.
        """
        from skewless.online.push.stream import StreamLimits

        at_least(self._session.spelled("batch"), batch, 1)
        limits = StreamLimits(batch=batch, idle=length(idle))
        return _consume(self._session, limits, once=once, keep=keep, unchecked=unchecked)

    def stream_status(self) -> str:
        """How far the consumers of the stream are. Raises: RedisUnreachable."""
        from skewless.online.push.stream_entries import StreamEntries

        with self._session.opened() as work:
            entries = StreamEntries(work.client, work.project, _consumer())
            return f"{entries.key}: {entries.status()}"


def _consume(session: ProjectSession, limits: StreamLimits, *, once: bool, keep: bool, unchecked: bool) -> StreamResult:
    """Push the stream's events until a signal, or until nothing is left. Raises: RedisUnreachable."""
    import stamina.instrumentation

    from skewless.online.push.stop_signal import StopSignal
    from skewless.online.push.stream import StreamConsumer
    from skewless.online.push.stream_entries import StreamEntries

    def on_outage(error: SkewlessError) -> None:
        session.say(f"waiting: {error}")

    with session.opened() as work:
        name = _consumer()
        entries = StreamEntries(work.client, work.project, name, keep=keep)
        stamina.instrumentation.set_on_retry_hooks([])  # it would log each of the tries
        check_of = _checks(work, unchecked=unchecked)
        find, now = work.fresh_targets, session.now
        consumer = StreamConsumer(work.project, work.data, work.online, entries, find, now, limits, check_of, on_outage)
        with StopSignal() as stopping:
            session.say(f"{name} reads {entries.key}")
            done = consumer.run(stopping, once=once)
        entries.leave()
    return done


def _consumer() -> str:
    import os
    import socket
    from uuid import uuid4

    return f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:8]}"


def _checks(work: ProjectContext, *, unchecked: bool) -> Callable[[str], push.Check]:
    from skewless.monitoring.quality.gates import QualityGates
    from skewless.online.push import push

    def check_of(view: str) -> push.Check:
        return push.unchecked if unchecked else QualityGates.of_pushed(work, view).push_check(view)

    return check_of
