"""Drift thresholds by model, from `drift.yaml` beside the definitions. Without that file the defaults apply.

my_model:
  alpha: 0.01                 # probability of a false alarm in a run, over all its tests
  ks: 0.1                     # numbers: greatest allowed gap of the distribution functions
  features:
    my_view__my_feature: {ks: 0.4, because: "it follows the season"}
    my_join_key: {ignore: true, because: "..."}
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from skewless.contract.errors import SkewlessError

FILE = "drift.yaml"
SCORE = "score"


@dataclass(eq=False)
class BadThresholds(SkewlessError):
    """`drift.yaml` is not valid."""

    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path} is refused: {self.reason}"


class ThresholdOverride(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Thresholds of one model input, join key, view or score; `because` is a note for readers."""

    ks: float | None = None
    psi: float | None = None
    share: float | None = None
    ignore: bool = False
    because: str = ""


class DriftThresholds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The thresholds of a model. An alarm needs a p-value below `alpha`, corrected for all tests of the run, and an effect
    large enough to matter: without the second, a large window would alarm on negligible differences.

    The effect is `ks` (greatest gap of two distribution functions) for numbers of many values, `psi` (population
    stability index) for columns of few values, and `share` (absolute difference of the share of nulls, new values or
    absent rows). Fewer than `least_rows` values are not judged.
    """

    alpha: float = 0.01
    ks: float = 0.1
    psi: float = 0.1
    share: float = 0.05
    least_rows: int = 100
    features: dict[str, ThresholdOverride] = msgspec.field(default_factory=dict)

    def of(self, name: str) -> ThresholdOverride:
        """The thresholds of one input, key, view or score, with the model's defaults filled in."""
        own = self.features.get(name, ThresholdOverride())
        return ThresholdOverride(
            ks=self.ks if own.ks is None else own.ks,
            psi=self.psi if own.psi is None else own.psi,
            share=self.share if own.share is None else own.share,
            ignore=own.ignore,
            because=own.because,
        )


def read(path: Path, model: str, known: Iterable[str]) -> DriftThresholds:
    """The thresholds of a model; `known` are the names that may be overridden. Raises: BadThresholds."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return DriftThresholds()
    try:
        by_model = msgspec.yaml.decode(content, type=dict[str, DriftThresholds] | None) or {}
    except msgspec.MsgspecError as error:
        raise BadThresholds(str(path), str(error)) from error
    thresholds = by_model.get(model, DriftThresholds())
    unknown = sorted(set(thresholds.features) - set(known))
    if unknown:
        raise BadThresholds(str(path), f"model {model!r} has no input, join key or view {unknown[0]!r}")
    if not 0 < thresholds.alpha < 1:
        raise BadThresholds(str(path), f"alpha of model {model!r} is {thresholds.alpha}, not between 0 and 1")
    return thresholds
