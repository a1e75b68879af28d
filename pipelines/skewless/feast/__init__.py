"""The plug-ins that Feast loads by name from `feature_store.yaml`, each with its `...Config` beside it. Each is imported
at its first use. This room imports `offline`, `online`, `definitions` and what is below them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skewless.feast.materialization.engine import SkewlessEngine, SkewlessEngineConfig
    from skewless.feast.offline_store import SkewlessOfflineStore, SkewlessOfflineStoreConfig
    from skewless.feast.online_store import SkewlessOnlineStore, SkewlessOnlineStoreConfig
    from skewless.feast.spark_store import SkewlessSparkOfflineStore, SkewlessSparkOfflineStoreConfig

__all__ = [
    "SkewlessEngine",
    "SkewlessEngineConfig",
    "SkewlessOfflineStore",
    "SkewlessOfflineStoreConfig",
    "SkewlessOnlineStore",
    "SkewlessOnlineStoreConfig",
    "SkewlessSparkOfflineStore",
    "SkewlessSparkOfflineStoreConfig",
]
_MODULES = {
    "SkewlessEngine": "materialization.engine",
    "SkewlessOfflineStore": "offline_store",
    "SkewlessOnlineStore": "online_store",
    "SkewlessSparkOfflineStore": "spark_store",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a module's own hook
    module = _MODULES.get(name.removesuffix("Config"))
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{module}"), name)
