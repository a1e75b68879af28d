"""A project as materialization and maintenance use it: its rows online, and its watermarks and runs in the state database.

Held by tests/online/materialization/test_materialize.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta

from skewless.contract.plan import PlanView
from skewless.online.store.store import SyncOnlineStore
from skewless.state.database import StateDatabase
from skewless.state.locks import WAIT


@dataclass(frozen=True, slots=True)
class OnlineProject:
    """The project `name`: the online store that its rows are in, and the state database with its watermarks and runs."""

    name: str
    store: SyncOnlineStore
    state: StateDatabase

    def watermark(self, view: PlanView) -> datetime | None:
        """The arrival up to and including which all of the view's rows are online. Raises: StateUnreachable."""
        return self.state.watermark(self.name, view.stored_as)

    def lock(self, views: Sequence[PlanView], verb: str, wait: timedelta = WAIT) -> AbstractContextManager[None]:
        """Hold the exclusive locks of these views against other writers. Raises: LockBusy, StateUnreachable."""
        return self.state.lock(self.name, [view.stored_as for view in views], verb, wait)
