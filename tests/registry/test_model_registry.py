"""The registry in a folder and in an S3 server, by the same tests."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pyarrow import fs

from skewless.contract.errors import InvalidRollout, RegistryUnreadable, RolloutRefused, SkewlessError
from skewless.contract.rollout.rollout import (
    Canary,
    Rollout,
    RolloutStep,
    delete,
    pin,
    promote,
    restore,
    retire,
    roll_back,
    start_canary,
    unpin,
)
from skewless.registry.bundle_folder import open_bundle
from skewless.registry.cpu_features import processor_features
from skewless.registry.model_registry import ModelRegistry
from tests.models import tiny
from tests.services.s3 import BUCKET, S3, s3, s3_server

__all__ = ["s3", "s3_server"]

NOW = datetime(2013, 10, 1, 12, tzinfo=UTC)
Made = Callable[[], ModelRegistry]


@pytest.fixture(params=["folder", "s3"])
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Made:
    """Another reader and writer of one empty registry."""
    address = str(tmp_path / "models")
    if request.param == "s3":
        s3: S3 = request.getfixturevalue("s3")
        address = f"s3://{BUCKET}/models?endpoint_override={s3.endpoint}"
    return lambda: ModelRegistry(address, tmp_path / "mirror")


def change(registry: ModelRegistry, step: RolloutStep, reason: str = "to see") -> Rollout:
    return registry.change("tiny", step, by="ada", at=NOW, reason=reason)


def test_what_is_written_is_read_and_is_history(made: Made):
    registry = made()
    assert registry.models() == []
    assert registry.rollout("tiny") is None
    first = change(registry, promote("1.0.0"), "first")
    second = change(registry, start_canary("tiny", Canary("2.0.0", 0.25)), "try")
    assert made().rollout("tiny") == second
    assert made().history("tiny") == [first, second]
    assert made().models() == ["tiny"]
    assert (second.revision, second.champion, second.canary) == (2, "1.0.0", Canary("2.0.0", 0.25))
    assert (second.change.by, second.change.at, second.change.reason) == ("ada", "2013-10-01T12:00:00+00:00", "try")
    assert registry.rollout("tiny", known=second) is second, "not read again"
    assert change(registry, promote("1.0.0")) == second, "what changes nothing makes no revision"


def test_a_refused_step_changes_nothing(made: Made):
    registry = made()
    with pytest.raises(RolloutRefused, match="no champion"):
        change(registry, pin("tiny", "1.0.0"))
    before = change(registry, promote("1.0.0"))
    for step in (unpin("tiny", "1.0.0"), roll_back("tiny"), start_canary("tiny", Canary("1.0.0", 0.5))):
        with pytest.raises(RolloutRefused):
            change(registry, step)
    assert made().history("tiny") == [before]


def test_a_retired_model_accepts_no_change_but_those_of_retired_ones(made: Made):
    registry = made()
    change(registry, promote("1.0.0"))
    retired = change(registry, retire("tiny", "unused"), "unused")
    with pytest.raises(RolloutRefused, match="it is retired"):
        change(registry, promote("2.0.0"))
    assert made().rollout("tiny") == retired
    assert change(registry, restore("tiny")).retired is None


def test_what_is_removed_is_gone_and_the_rest_stays(made: Made, tmp_path: Path):
    registry = made()
    for version in ("1.0.0", "2.0.0"):
        registry.add("tiny", version, tiny.write_bundle(tmp_path / "models", version))
    change(registry, promote("1.0.0"))
    for _ in range(2):
        registry.remove("tiny", "2.0.0")
        assert made().versions("tiny") == ["1.0.0"]
        assert made().file("tiny", "2.0.0", "manifest.json") is None
    assert made().rollout("tiny").champion == "1.0.0"
    open_bundle(made().bundle("tiny", "1.0.0"), processor_features())
    for _ in range(2):
        registry.remove_model("tiny")
        assert (made().models(), made().versions("tiny"), made().rollout("tiny")) == ([], [], None)


def test_a_bundle_that_is_a_link_is_only_unlinked(tmp_path: Path):
    bundle = tiny.write_bundle(tmp_path / "elsewhere", "1.0.0")
    (tmp_path / "models" / "tiny").mkdir(parents=True)
    for remove in (lambda registry: registry.remove("tiny", "1.0.0"), lambda registry: registry.remove_model("tiny")):
        (tmp_path / "models" / "tiny").mkdir(exist_ok=True)
        (tmp_path / "models" / "tiny" / "1.0.0").symlink_to(bundle)
        remove(ModelRegistry(tmp_path / "models", tmp_path / "mirror"))
        assert not (tmp_path / "models" / "tiny" / "1.0.0").exists()
        open_bundle(bundle, processor_features())


def test_of_a_deletion_and_a_promotion_at_once_one_is_refused(made: Made):
    """However they fall: no rollout names a deleted version."""
    change(made(), promote("1.0.0"))
    for number in range(2, 12):
        version, refused = f"{number}.0.0", []

        def attempt(step: RolloutStep, refused: list[str] = refused) -> None:
            try:
                change(made(), step)
            except RolloutRefused as error:
                refused.append(str(error))

        steps = [threading.Thread(target=attempt, args=(step,)) for step in (promote(version), delete("tiny", version))]
        for step in steps:
            step.start()
        for step in steps:
            step.join()
        now = made().rollout("tiny")
        assert not now.named & set(now.deleted)
        assert len(refused) == 1
        assert (now.champion == version) != (version in now.deleted)


def test_of_changes_at_once_none_is_lost(made: Made):
    change(made(), promote("1.0.0"))
    versions = [f"{number}.0.0" for number in range(2, 8)]
    failed: list[BaseException] = []

    def pinned(version: str) -> None:
        try:
            change(made(), pin("tiny", version))
        except SkewlessError as error:
            failed.append(error)

    threads = [threading.Thread(target=pinned, args=(version,)) for version in versions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    now = made().rollout("tiny")
    assert failed == []
    assert now is not None
    assert sorted(now.pinned) == versions
    assert [one.revision for one in made().history("tiny")] == sorted({one.revision for one in made().history("tiny")})


def test_a_bundle_is_opened_from_there(made: Made, tmp_path: Path):
    registry = made()
    published = tiny.write_bundle(tmp_path / ("models" if registry.is_folder else "here"), "1.0.0")
    registry.add("tiny", "1.0.0", published)
    folder = made().bundle("tiny", "1.0.0")
    assert open_bundle(folder, processor_features()).manifest.version == "1.0.0"
    assert (folder.parent.name, folder.name) == ("tiny", "1.0.0")
    assert registry.versions("tiny") == ["1.0.0"]
    assert made().seen("tiny", "1.0.0") == registry.seen("tiny", "1.0.0") != ()
    assert made().seen("tiny", "9.0.0") == ()


def test_copies_that_nobody_needs_go_when_another_is_fetched(s3: S3, tmp_path: Path):
    registry = ModelRegistry(f"s3://{BUCKET}/models?endpoint_override={s3.endpoint}", tmp_path / "mirror")
    for number in range(1, 9):
        version = f"{number}.0.0"
        registry.add("tiny", version, tiny.write_bundle(tmp_path / "here", version))
        change(registry, promote(version))
        copy = registry.bundle("tiny", version)
        assert open_bundle(copy, processor_features()).manifest.version == version
        os.utime(copy, (number * 3600, number * 3600))
    change(registry, start_canary("tiny", Canary("1.0.0", 0.5)))
    registry.bundle("tiny", "1.0.0")
    kept = sorted(path.name for path in (tmp_path / "mirror").glob("*/tiny/*"))
    # Canary, champion, the champion before it, and three besides.
    assert kept == ["1.0.0", "4.0.0", "5.0.0", "6.0.0", "7.0.0", "8.0.0"]


def test_a_dead_writers_claim_holds_nobody_up_for_long(s3: S3, tmp_path: Path):
    registry = ModelRegistry(f"s3://{BUCKET}/models?endpoint_override={s3.endpoint}", tmp_path)
    first = change(registry, promote("1.0.0"))
    claim = f"{BUCKET}/models/tiny/rollout/00000002-00000000.claim"
    with s3.filesystem.open_output_stream(claim) as stream:
        stream.write(b"")
    assert registry.rollout("tiny") == first
    assert registry.history("tiny") == [first]
    assert change(registry, promote("2.0.0")).revision == 2
    left = s3.filesystem.get_file_info(fs.FileSelector(f"{BUCKET}/models/tiny/rollout"))
    assert not [info.path for info in left if info.path.endswith(".claim")]


def test_who_claims_a_number_that_is_made_meanwhile_begins_anew(
    s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    url = f"s3://{BUCKET}/models?endpoint_override={s3.endpoint}"
    slow, quick = ModelRegistry(url, tmp_path), ModelRegistry(url, tmp_path)
    change(slow, promote("1.0.0"))
    write, before = ModelRegistry._write, [promote("2.0.0"), pin("tiny", "3.0.0")]

    def late(registry: ModelRegistry, path: str, content: bytes) -> None:
        if registry is slow and path.endswith(".claim") and before:
            change(quick, before.pop(0))
        write(registry, path, content)

    monkeypatch.setattr(ModelRegistry, "_write", late)
    made = change(slow, pin("tiny", "4.0.0"))
    assert (made.revision, made.champion, sorted(made.pinned)) == (4, "2.0.0", ["3.0.0", "4.0.0"])
    assert [one.revision for one in quick.history("tiny")] == [1, 2, 3, 4]


def test_a_number_that_was_made_twice_counts_for_neither(s3: S3, tmp_path: Path):
    registry = ModelRegistry(f"s3://{BUCKET}/models?endpoint_override={s3.endpoint}", tmp_path)
    first = change(registry, promote("1.0.0"))
    for nonce in ("aaaaaaaa", "bbbbbbbb"):
        with s3.filesystem.open_output_stream(f"{BUCKET}/models/tiny/rollout/00000002-{nonce}.json") as stream:
            stream.write(b"{}")
    assert registry.rollout("tiny") == first
    assert change(registry, promote("2.0.0")).revision == 3
    assert [one.revision for one in registry.history("tiny")] == [1, 3]


@pytest.mark.parametrize("content", [b"", b"{", b'{"champion": "1.0.0"}', b"\xff", b"[" * 10_000])
def test_a_broken_revision_is_refused(tmp_path: Path, content: bytes):
    registry = ModelRegistry(tmp_path, tmp_path)
    change(registry, promote("1.0.0"))
    (tmp_path / "tiny" / "rollout" / "00000002.json").write_bytes(content)
    with pytest.raises(InvalidRollout, match="00000002"):
        registry.rollout("tiny")


def test_a_registry_that_does_not_answer_is_named(tmp_path: Path):
    with pytest.raises(RegistryUnreadable, match="no-such-scheme"):
        ModelRegistry("no-such-scheme://models", tmp_path)
