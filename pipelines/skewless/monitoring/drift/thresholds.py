"""What counts as drift, by model: `drift.yaml` beside the definitions. Without it the defaults hold.

flight_delay:
  alpha: 0.01                 # chance of a false alarm of a whole run, over all its tests
  ks: 0.1                     # numbers: greatest gap of the distribution functions that is let pass
  features:
    origin_weather__temperature: {ks: 0.4, because: "winter follows autumn"}
    origin: {ignore: true, because: "..."}
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
    """`drift.yaml` does not say what it may say."""

    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path} is refused: {self.reason}"


class ThresholdOverride(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Other thresholds for one model input, join key, view or the score; `because` is for people."""

    ks: float | None = None
    psi: float | None = None
    share: float | None = None
    ignore: bool = False
    because: str = ""


class DriftThresholds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An alarm needs two things: chance is an unlikely reason (`alpha`, after correction for all tests of the run),
    and the effect is large enough to matter. Without the second, a large window alarms on nothing.

    The effect is `ks` (greatest gap of two distribution functions) for numbers of many values, `psi` (population
    stability index) for things of few, and `share` (of nulls, new values, absent rows) as an absolute difference.
    Fewer than `least_rows` values are not judged.
    """

    alpha: float = 0.01
    ks: float = 0.1
    psi: float = 0.1
    share: float = 0.05
    least_rows: int = 100
    features: dict[str, ThresholdOverride] = msgspec.field(default_factory=dict)

    def of(self, name: str) -> ThresholdOverride:
        """The thresholds of one thing, all filled in."""
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
        every = msgspec.yaml.decode(content, type=dict[str, DriftThresholds] | None) or {}
    except msgspec.MsgspecError as error:
        raise BadThresholds(str(path), str(error)) from error
    found = every.get(model, DriftThresholds())
    strange = sorted(set(found.features) - set(known))
    if strange:
        raise BadThresholds(str(path), f"model {model!r} has no input, join key or view {strange[0]!r}")
    if not 0 < found.alpha < 1:
        raise BadThresholds(str(path), f"alpha of model {model!r} is {found.alpha}, not between 0 and 1")
    return found
