"""`drift.yaml`: defaults, overrides, and typing errors that are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from skewless.monitoring.drift.thresholds import BadThresholds, DriftThresholds, ThresholdOverride, read


def written(folder: Path, text: str) -> Path:
    path = folder / "drift.yaml"
    path.write_text(text)
    return path


def test_without_a_file_or_a_word_on_the_model_the_defaults_hold(tmp_path: Path):
    assert read(tmp_path / "drift.yaml", "tiny", []) == DriftThresholds()
    assert read(written(tmp_path, ""), "tiny", []) == DriftThresholds()
    assert read(written(tmp_path, "other: {alpha: 0.2}"), "tiny", []) == DriftThresholds()


def test_an_override_keeps_what_it_does_not_say(tmp_path: Path):
    path = written(
        tmp_path, "tiny:\n  ks: 0.2\n  features:\n    mean: {ks: 0.4, because: winter}\n    hour: {ignore: true}\n"
    )
    found = read(path, "tiny", ["mean", "hour", "age"])
    assert found.of("mean") == ThresholdOverride(ks=0.4, psi=0.1, share=0.05, because="winter")
    assert found.of("age") == ThresholdOverride(ks=0.2, psi=0.1, share=0.05)
    assert found.of("hour").ignore


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("tiny: {kolmogorov: 0.2}", "unknown field `kolmogorov`"),
        ("tiny: {ks: much}", "Expected `float`"),
        ("tiny: [", "expected"),
        ("tiny: {alpha: 1}", "not between 0 and 1"),
        ("tiny: {features: {maen: {ks: 0.4}}}", "has no input, join key or view 'maen'"),
    ],
)
def test_what_it_may_not_say(tmp_path: Path, text: str, reason: str):
    with pytest.raises(BadThresholds, match=r"drift\.yaml is refused") as error:
        read(written(tmp_path, text), "tiny", ["mean"])
    assert reason in str(error.value)
