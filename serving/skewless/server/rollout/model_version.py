"""A model version in one of its roles, ready to serve.

Held by tests/server/rollout/test_router.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from skewless.contract.errors import InvalidBundle, SkewlessError
from skewless.contract.rollout.rollout import CachePolicy
from skewless.registry.bundle_folder import open_bundle
from skewless.server.metrics.canary_window import SlidingCounts
from skewless.server.metrics.version_counters import VersionCounters
from skewless.server.predict.explanation import FeatureExplainer
from skewless.server.predict.micro_batcher import MicroBatcher
from skewless.server.predict.predictor import Predictor
from skewless.server.predict.score_cache import ScoreCache
from skewless.server.rollout.dependencies import VersionDependencies

CHAMPION, CANARY, SHADOW, PINNED = "champion", "canary", "shadow", "pinned"
_RESPONSE = b'{"request_id":"%%b","model":"%b","version":"%b","served_at":"%%b","scores":%%b}'


@dataclass(frozen=True, slots=True)
class LoadedBundle:
    """A proven bundle, compiled."""

    predictor: Predictor
    explainer: FeatureExplainer

    @property
    def version(self) -> str:
        return self.predictor.version


class VersionConfig(NamedTuple):
    """Everything that decides how a version is served: while it is equal, the same `ServedVersion` goes on."""

    loaded: LoadedBundle
    role: str
    defaults: bool
    cache: CachePolicy | None
    watch: SlidingCounts | None = None


@dataclass(frozen=True, slots=True)
class ServedVersion:
    """A version with its micro-batcher. `response_template` is its JSON response without request id, time and scores."""

    config: VersionConfig
    predictor: Predictor
    explainer: FeatureExplainer
    batcher: MicroBatcher
    response_template: bytes
    defaults: bool


def loaded(folder: Path, model: str, version: str, processor: tuple[str, ...]) -> LoadedBundle:
    """The bundle in a folder, once it has proven itself. Raises: SkewlessError, OSError."""
    try:
        bundle = open_bundle(folder, processor)
    except (SkewlessError, OSError):
        raise
    except Exception as error:  # one model's broken file may not stop the others
        raise InvalidBundle(str(folder), f"it does not open ({type(error).__name__})") from error
    if (bundle.manifest.name, bundle.manifest.version) != (model, version):
        raise InvalidBundle(
            str(folder), f"its manifest says that it is {bundle.manifest.name} {bundle.manifest.version}"
        )
    return LoadedBundle(Predictor(bundle), FeatureExplainer(bundle.plan, bundle.signature))


def served_version(config: VersionConfig, dependencies: VersionDependencies) -> ServedVersion:
    """Compile a version for its role: score cache, counters and micro-batcher."""
    predictor = config.loaded.predictor
    if config.cache is not None:
        counters = [counter.labels(predictor.name, predictor.version) for counter in dependencies.metrics.cached]
        predictor = predictor.with_score(ScoreCache(predictor.bundle.model.scorer, config.cache, *counters).score)
    batcher = MicroBatcher(
        predictor,
        dependencies.store,
        dependencies.clock,
        VersionCounters(dependencies.metrics, predictor.name, predictor.version, predictor.views, role=config.role),
        dependencies.served_log,
        threads=dependencies.threads,
        role=config.role,
        watch=config.watch,
    )
    template = _RESPONSE % (predictor.name.encode(), predictor.version.encode())
    return ServedVersion(config, predictor, config.loaded.explainer, batcher, template, config.defaults)
