"""Which removed views keep their rows while Feast applies definitions: those that live models read.

Feast calls the online store for each view that it removes from the registry, and knows no option of ours: an apply that
is to drop them says so by `dropping`, for the time of the call.

Held by tests/project/test_apply_change.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from skewless.contract.plan import PlanView
from skewless.definitions.definition_change import StoredDefinitions
from skewless.definitions.live_reads import live_reads
from skewless.definitions.stored_names import StoredNames
from skewless.runtime.settings import ProjectSettings

_dropping: ContextVar[bool] = ContextVar("dropping", default=False)


@contextmanager
def dropping(*, now: bool) -> Iterator[None]:
    """With `now` removed views lose their rows in this block, whoever reads them."""
    token = _dropping.set(now)
    try:
        yield
    finally:
        _dropping.reset(token)


def kept_names(
    settings: ProjectSettings, project: str, names: StoredNames, views: Mapping[str, PlanView]
) -> frozenset[str]:
    """Those of the stored `views`, by stored name, whose rows a live model reads. Raises: RegistryUnreadable."""
    if _dropping.get():
        return frozenset()
    stored = StoredDefinitions(names, views, live_reads(settings.registry, project))
    return frozenset(name for name in views if stored.reads(name))
