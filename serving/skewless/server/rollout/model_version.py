"""A model version in one of its roles, ready to answer.

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
_TOLD = b'{"request_id":"%%b","model":"%b","version":"%b","served_at":"%%b","scores":%%b}'


@dataclass(frozen=True, slots=True)
class LoadedBundle:
    """A proven bundle, compiled."""

    predictor: Predictor
    explanation: FeatureExplainer

    @property
    def version(self) -> str:
        return self.predictor.version


class VersionConfig(NamedTuple):
    """What decides how a version answers: where it is the same, the answerer stays who it is."""

    loaded: LoadedBundle
    role: str
    defaults: bool
    cache: CachePolicy | None
    watch: SlidingCounts | None = None


@dataclass(frozen=True, slots=True)
class ServedVersion:
    """Answers; `told` is the JSON that it answers with, but for request id, time and scores."""

    casting: VersionConfig
    predictor: Predictor
    explanation: FeatureExplainer
    bursts: MicroBatcher
    told: bytes
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
        told = f"{bundle.manifest.name} {bundle.manifest.version}"
        raise InvalidBundle(str(folder), f"its manifest says that it is {told}")
    return LoadedBundle(Predictor(bundle), FeatureExplainer(bundle.plan, bundle.signature))


def answerer(casting: VersionConfig, parts: VersionDependencies) -> ServedVersion:
    predictor = casting.loaded.predictor
    if casting.cache is not None:
        counters = [counter.labels(predictor.name, predictor.version) for counter in parts.metrics.cached]
        predictor = predictor.scoring(ScoreCache(predictor.bundle.model.scorer, casting.cache, *counters).score)
    bursts = MicroBatcher(
        predictor,
        parts.store,
        parts.clock,
        VersionCounters(parts.metrics, predictor.name, predictor.version, predictor.views, role=casting.role),
        parts.served_log,
        threads=parts.threads,
        role=casting.role,
        watch=casting.watch,
    )
    told = _TOLD % (predictor.name.encode(), predictor.version.encode())
    return ServedVersion(casting, predictor, casting.loaded.explanation, bursts, told, casting.defaults)
