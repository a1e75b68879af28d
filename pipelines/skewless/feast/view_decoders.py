"""The decoders of a process: compiled once for each definition that Feast gives, and the features that are read.

Held by tests/feast/online/test_online_response.py.
"""

from __future__ import annotations

from collections.abc import Sequence

from feast import OnDemandFeatureView, RepoConfig
from skewless.contract.plan import PlanView
from skewless.definitions.compiler import StoredView, check_untransformed, view_of
from skewless.definitions.stored_names import StoredNames
from skewless.feast.errors import FeastUnsupported
from skewless.feast.online.view_decoder import ViewDecoder
from skewless.feast.stored_definitions import stored_names

_MOST = 256


def stored_view(config: RepoConfig, table: StoredView, names: StoredNames | None = None) -> PlanView:
    """The view under the name that its definition is stored by. Raises: FeastUnsupported, InvalidPlan, UnsupportedType."""
    if isinstance(table, OnDemandFeatureView):
        if not table.write_to_online_store:
            raise FeastUnsupported(
                f"writes to on-demand view {table.name!r}",
                "give it write_to_online_store=True, or write a feature view",
            )
    else:
        check_untransformed(table)
    return (names or stored_names(config)).of(view_of(config, table, table.projection))


class ViewDecoders:
    """The decoders of this process by definition and features, for as long as Feast gives the same definitions."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], tuple[RepoConfig, StoredView, StoredNames, ViewDecoder]] = {}

    def of(self, config: RepoConfig, table: StoredView, names: StoredNames, features: Sequence[str]) -> ViewDecoder:
        """Raises: FeastUnsupported, InvalidPlan, UnsupportedType."""
        identity = id(config), id(table), id(names), *features
        known = self._known.get(identity)
        if known is None:
            if len(self._known) >= _MOST:
                self._known.clear()
            decoder = ViewDecoder(config.project, stored_view(config, table, names), features)
            # What is kept here keeps its identity.
            known = self._known[identity] = config, table, names, decoder
        return known[-1]


decoders = ViewDecoders()
