"""`skewless models`: what people change, and what is refused before it is written."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from skewless.cli import app
from skewless.contract.errors import InvalidBundle, InvalidRollout, RolloutRefused, SkewlessError
from skewless.contract.plan import Field
from skewless.contract.rollout.rollout import CachePolicy, Canary, GuardrailBounds
from skewless.model.publishing.rollout_steps import (
    PUBLISH,
    ChangeAuthor,
    demotion,
    make_champion,
    restore_previous,
    rollback_in_force,
)
from skewless.registry.model_registry import ModelRegistry
from skewless.runtime.errors import StepInputMissing
from skewless.sdk.arguments import BadArgument
from tests.models import tiny
from tests.services.s3 import BUCKET, S3, s3, s3_server

__all__ = ["s3", "s3_server"]
NOON = datetime(2013, 10, 1, 12, tzinfo=UTC)


@pytest.fixture(params=["folder", "s3"])
def registry(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelRegistry:
    """Versions 1.0.0 and 2.0.0, and 3.0.0, which takes other requests; no rollout."""
    monkeypatch.setenv("SKEWLESS_STATE", str(tmp_path))
    address = str(tmp_path / "models")
    if request.param == "s3":
        server: S3 = request.getfixturevalue("s3")
        address = f"s3://{BUCKET}/models?endpoint_override={server.endpoint}"
        monkeypatch.setenv("SKEWLESS_MODELS", address)
    found = ModelRegistry(address, tmp_path / "mirrored-models")
    for version in ("1.0.0", "2.0.0", "3.0.0"):
        contract = tiny.with_request(tiny.plan(), Field("extra", "Int64")) if version == "3.0.0" else None
        found.add("tiny", version, tiny.write_bundle(tmp_path / "models", version, contract=contract))
    return found


def does(*words: str) -> str:
    told = CliRunner().invoke(app, ["models", *words], catch_exceptions=False)
    assert told.exit_code == 0, told.output
    return " ".join(told.output.split())


def test_a_rollout_from_the_first_promotion_to_the_way_back(registry: ModelRegistry, tmp_path: Path):
    assert (
        does("promote", "tiny", "1.0.0", "--reason", "first", "--by", "ada")
        == "revision 1, promote 1.0.0: 1.0.0 champion"
    )
    bounds = tmp_path / "bounds.json"
    bounds.write_text(json.dumps({"most_drift": 0.2}))
    canary = ("canary", "tiny", "2.0.0", "--key", "tailnum", "--reason", "try")
    does(*canary, "--weight", "0.1", "--bounds", str(bounds))
    assert registry.rollout("tiny").canary == Canary("2.0.0", 0.1, ("tailnum",), GuardrailBounds(most_drift=0.2))
    does(*canary, "--weight", "0.5")
    assert registry.rollout("tiny").canary == Canary("2.0.0", 0.5, ("tailnum",), GuardrailBounds(most_drift=0.2))
    does("shadow", "tiny", "2.0.0", "--reason", "compare")
    assert "withdraw the canary" in does("canary", "tiny", "--reason", "enough")
    does("promote", "tiny", "2.0.0", "--reason", "better")
    does("pin", "tiny", "1.0.0", "--reason", "for the old client")
    assert does("list") == "tiny: 1.0.0 pinned, 2.0.0 champion, 3.0.0"
    does("policy", "tiny", "--on-store-failure", "defaults", "--cache-rows", "100", "--reason", "night")
    now = registry.rollout("tiny")
    assert (now.on_store_failure, now.cache) == ("defaults", CachePolicy(100, 60.0))
    does("policy", "tiny", "--cache-rows", "0", "--reason", "day")
    does("unpin", "tiny", "1.0.0", "--reason", "it is gone")
    assert "1.0.0 champion" in does("rollback", "tiny", "--reason", "worse", "--by", "grace")
    now = registry.rollout("tiny")
    assert (now.champion, now.pinned, now.cache, now.on_store_failure) == ("1.0.0", (), None, "defaults")
    told = does("show", "tiny")
    assert "ada: promote 1.0.0 (first)" in told
    assert "grace: roll back (worse)" in told
    assert len(registry.history("tiny")) == now.revision == 11


@pytest.mark.parametrize(
    ("words", "error", "told"),
    [
        (
            ("promote", "tiny", "4.0.0"),
            StepInputMissing,
            r"version 4\.0\.0 of model 'tiny' \(1\.0\.0, 2\.0\.0, 3\.0\.0 are there",
        ),
        (
            ("canary", "tiny", "9.9.9"),
            StepInputMissing,
            r"version 9\.9\.9 of model 'tiny' \(1\.0\.0, 2\.0\.0, 3\.0\.0 are there",
        ),
        (("policy", "tiny"), BadArgument, "^--on-store-failure or --cache-rows says what to change; give one of them"),
        (("promote", "tiny", "2.0.0"), InvalidBundle, "model.onnx"),
        (("canary", "tiny", "2.0.0"), InvalidBundle, "model.onnx"),
        (("pin", "tiny", "2.0.0"), InvalidBundle, "model.onnx"),
        (("canary", "tiny", "3.0.0"), RolloutRefused, "other requests than the champion 1.0.0"),
        (("shadow", "tiny", "3.0.0"), RolloutRefused, "other requests than the champion 1.0.0"),
        (("canary", "tiny", "1.0.0"), RolloutRefused, "is the champion already"),
        (("canary", "tiny", "1.0.0", "--key", "hour"), RolloutRefused, "no join key"),
        (("canary", "tiny"), RolloutRefused, "no canary"),
        (("rollback", "tiny"), RolloutRefused, "no promotion to take back"),
        (("unpin", "tiny", "1.0.0"), RolloutRefused, "not pinned"),
        (("show", "nobody"), SkewlessError, "a published version of nobody"),
    ],
)
def test_what_is_refused_changes_nothing(
    registry: ModelRegistry, tmp_path: Path, words: tuple[str, ...], error: type[SkewlessError], told: str
):
    does("promote", "tiny", "1.0.0", "--reason", "first")
    if registry.is_folder:
        (tmp_path / "models" / "tiny" / "2.0.0" / "model.onnx").write_bytes(b"")
    elif "model.onnx" in told:
        registry._files.copy_file(f"{BUCKET}/models/tiny/2.0.0/plan.json", f"{BUCKET}/models/tiny/2.0.0/model.onnx")
    reason = () if words[0] == "show" else ("--reason", "to see")
    with pytest.raises(error, match=told):
        CliRunner().invoke(app, ["models", *words, *reason], catch_exceptions=False)
    assert registry.rollout("tiny").revision == 1


def test_a_model_is_retired_restored_and_deleted(registry: ModelRegistry):
    does("promote", "tiny", "1.0.0", "--reason", "first")
    does("promote", "tiny", "2.0.0", "--reason", "second")
    with pytest.raises(RolloutRefused, match=r"2\.0\.0 is its champion; run `skewless models retire tiny` first"):
        does("delete", "tiny", "--all")
    for version, role in (("1.0.0", "champion before this one"), ("2.0.0", "champion;")):
        with pytest.raises(RolloutRefused, match=role):
            does("delete", "tiny", "--version", version)
    assert does("delete", "tiny", "--version", "3.0.0", "--reason", "too wide") == "tiny: 3.0.0 deleted"
    assert does("delete", "tiny", "--version", "3.0.0") == "tiny: 3.0.0 deleted", "again changes nothing"
    assert registry.versions("tiny") == ["1.0.0", "2.0.0"]
    with pytest.raises(StepInputMissing, match=r"version 3\.0\.0 of model 'tiny' \(1\.0\.0, 2\.0\.0 are there\)"):
        does("promote", "tiny", "3.0.0", "--reason", "it is gone")
    assert does("retire", "tiny", "--reason", "nobody asks for it").startswith(
        "revision 4, retire the model: 2.0.0 cham"
    )
    assert does("list").endswith("; retired: nobody asks for it")
    with pytest.raises(RolloutRefused, match="it is retired"):
        does("promote", "tiny", "1.0.0", "--reason", "back")
    does("restore", "tiny", "--reason", "it was asked for")
    assert "delete 3.0.0 (too wide)" in does("show", "tiny")
    does("retire", "tiny", "--reason", "for good")
    assert does("delete", "tiny", "--all") == "tiny: 1.0.0, 2.0.0 deleted"
    assert (registry.models(), registry.versions("tiny")) == ([], [])
    with pytest.raises(StepInputMissing, match="model 'tiny' does not exist yet"):
        does("delete", "tiny", "--all")


def test_an_invalid_rollout_is_mended_by_the_promotion_that_its_message_names(tmp_path: Path, registry: ModelRegistry):
    does("promote", "tiny", "1.0.0", "--reason", "first")
    does("pin", "tiny", "2.0.0", "--reason", "for an old client")
    place = f"{registry._root}/tiny/rollout/00000003{'' if registry.is_folder else '-aaaaaaaa'}.json"
    registry._write(place, b"{")
    with pytest.raises(InvalidRollout, match="make another with `skewless models promote`"):
        does("unpin", "tiny", "2.0.0", "--reason", "it is gone")
    mended = does("promote", "tiny", "1.0.0", "--reason", "a half revision")
    assert mended == "revision 4, promote 1.0.0: 2.0.0 pinned, 1.0.0 champion"
    assert [rollout.revision for rollout in registry.history("tiny")] == [1, 2, 4]
    assert "half revision" in does("show", "tiny")
    does("unpin", "tiny", "2.0.0", "--reason", "it is gone")


@pytest.mark.parametrize("arguments", [[], ["--version", "1.0.0", "--all"]])
def test_one_version_or_all_are_deleted(registry: ModelRegistry, arguments: list[str]):
    result = CliRunner().invoke(app, ["models", "delete", "tiny", *arguments])
    assert result.exit_code == 2
    assert registry.versions("tiny") == ["1.0.0", "2.0.0", "3.0.0"]


def test_a_version_that_is_not_there_is_not_deleted(registry: ModelRegistry):
    with pytest.raises(
        StepInputMissing, match=r"version 9\.9\.9 of model 'tiny' \(1\.0\.0, 2\.0\.0, 3\.0\.0 are there\)"
    ):
        does("delete", "tiny", "--version", "9.9.9")
    does("delete", "tiny", "--version", "3.0.0")
    assert registry.versions("tiny") == ["1.0.0", "2.0.0"], "a model without a rollout has no roles"


def test_views_that_are_not_materialized_are_named(
    registry: ModelRegistry, redis_url: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SKEWLESS_REDIS_URL", redis_url)
    result = does("promote", "tiny", "1.0.0", "--reason", "first")
    assert (
        "revision 1, promote 1.0.0: 1.0.0 champion warning: no server answers with the champion 1.0.0 yet: " in result
    )
    assert "delays: " in result
    assert "is absent (nothing was materialized) in the store" in result
    assert "Run `skewless apply` and `skewless materialize`" in result
    tiny.write_catalog(redis_url)
    assert "warning" not in does("canary", "tiny", "2.0.0", "--reason", "try")
    monkeypatch.setenv("SKEWLESS_REDIS_URL", "redis://127.0.0.1:1")
    assert "warning: it was not checked whether the online store has what the model reads: " in does(
        "pin", "tiny", "2.0.0", "--reason", "try"
    )


def test_a_version_is_demoted_by_who_took_it_back_and_not_by_a_later_publish(registry: ModelRegistry):
    published = ChangeAuthor(PUBLISH, NOON, "published")
    make_champion(registry, "tiny", "1.0.0", published)
    assert demotion(registry, "tiny", "2.0.0") is None, "it was never the champion"
    make_champion(registry, "tiny", "2.0.0", published)
    assert demotion(registry, "tiny", "1.0.0") is None, "a newer one was published, and this one may be again"
    restore_previous(registry, "tiny", ChangeAuthor("ada", NOON, "it was worse"))
    change = demotion(registry, "tiny", "2.0.0")
    assert (change.by, change.what, change.reason) == ("ada", "roll back", "it was worse")
    assert rollback_in_force(registry, "tiny") == change
    assert demotion(registry, "tiny", "1.0.0") is None
    make_champion(registry, "tiny", "2.0.0", ChangeAuthor("ada", NOON, "mended"))
    assert demotion(registry, "tiny", "1.0.0").by == "ada"
    assert rollback_in_force(registry, "tiny") is None
