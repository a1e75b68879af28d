from __future__ import annotations

import hashlib
import itertools
import shutil
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skewless.contract.model import bundle as b
from skewless.contract.plan import ModelColumn, StoredFeature
from skewless.registry.bundle_folder import open_bundle
from skewless.registry.cpu_features import processor_features
from tests.models import tiny
from tests.models.bundles import ELSEWHERE, FILES, HERE, refused, republish
from tests.models.flight_plan import PLAN, but


def test_a_whole_bundle_opens(published):
    opened = open_bundle(published, HERE)
    assert opened.exact
    assert opened.plan == PLAN
    assert (opened.manifest.name, opened.manifest.version) == ("lateness", "1.0.0")
    assert opened.assembler.names == tuple(column.name for column in PLAN.columns)


def test_on_another_processor_it_opens_and_says_whether_it_matched(published, folder):
    assert open_bundle(published, ELSEWHERE).exact
    assert open_bundle(published, list(HERE)).exact


def test_the_processor_of_this_machine_can_be_asked(published):
    assert processor_features() == tuple(sorted(processor_features()))
    assert all(isinstance(name, str) for name in processor_features())


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("harm", ["changed", "truncated", "longer", "empty"])
def test_a_file_that_was_touched_is_named(folder, name, harm):
    content = (folder / name).read_bytes()
    middle = len(content) // 2
    harmed = {
        "changed": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
        "truncated": content[:-1],
        "longer": content + b"\0",
        "empty": b"",
    }[harm]
    (folder / name).write_bytes(harmed)
    refused(folder, name, "not the file that was published")


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    refused(folder, name, "missing")


@pytest.mark.parametrize("name", [*FILES, b.MANIFEST])
def test_a_folder_in_the_place_of_a_file_is_named(folder, name):
    (folder / name).unlink()
    (folder / name).mkdir()
    refused(folder, name, "cannot be read")


def test_swapped_files_are_refused(folder):
    model_bytes, transforms = ((folder / name).read_bytes() for name in (b.MODEL, b.TRANSFORMS))
    (folder / b.MODEL).write_bytes(transforms)
    (folder / b.TRANSFORMS).write_bytes(model_bytes)
    refused(folder, "not the file that was published")


@pytest.mark.parametrize("name", [b.PLAN, b.MODEL, b.GOLDEN, b.BASELINE])
def test_a_file_that_the_manifest_does_not_list_is_named(folder, name):
    manifest = msgspec.json.decode((folder / b.MANIFEST).read_bytes(), type=b.Manifest)
    republish(folder, digests={k: v for k, v in manifest.digests.items() if k != name})
    refused(folder, "manifest does not list", name)


def test_transforms_that_the_manifest_does_not_list_are_missed(folder):
    manifest = msgspec.json.decode((folder / b.MANIFEST).read_bytes(), type=b.Manifest)
    republish(folder, digests={k: v for k, v in manifest.digests.items() if k != b.TRANSFORMS})
    refused(folder, "transforms", "missing")


def test_no_folder_and_no_manifest(tmp_path, folder):
    refused(tmp_path / "nowhere", "no manifest.json")
    (folder / b.MANIFEST).unlink()
    refused(folder, "no manifest.json")


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff", b"null", b"[]", b"{}", b'{"name":"\xff"}', b'{"x":' + b"[" * 100_000],
)
def test_a_manifest_of_garbage_is_refused(folder, content):
    (folder / b.MANIFEST).write_bytes(content)
    refused(folder, b.MANIFEST)


@pytest.mark.parametrize(
    ("field", "value"), [("format", 2), ("tolerance", "lots"), ("digests", ["plan.json"]), ("output", None)]
)
def test_a_manifest_of_another_format_is_refused(folder, field, value):
    manifest = msgspec.json.decode((folder / b.MANIFEST).read_bytes())
    (folder / b.MANIFEST).write_bytes(msgspec.json.encode(manifest | {field: value}))
    refused(folder, "manifest.json does not fit its format", field)


@pytest.mark.parametrize(
    "name", ["../secret", "/etc/passwd", "..", ".", "", "a/b", "a\0b", "./plan.json", "manifest.json"]
)
def test_a_manifest_may_name_files_of_the_bundle_only(folder, name):
    (folder.parent / "secret").write_bytes(b"secret")
    manifest = msgspec.json.decode((folder / b.MANIFEST).read_bytes(), type=b.Manifest)
    republish(folder, digests={name: hashlib.sha256(b"secret").hexdigest()} | manifest.digests)
    refused(folder, repr(name), "not a file of the bundle")


def test_another_plan_is_not_the_contract(folder):
    republish(folder, b.PLAN, but(PLAN, name="other").to_json())
    refused(folder, "plan.json is not the contract")


def test_another_contract_is_not_the_plan(folder):
    republish(folder, contract="0" * 64)
    refused(folder, "plan.json is not the contract")


@pytest.mark.parametrize(
    ("plan", "told"),
    [
        (but(PLAN, columns=PLAN.columns[:2]), "matrix of 2 columns"),
        (
            but(PLAN, columns=(ModelColumn("t", StoredFeature("aircraft", "maker")), *PLAN.columns[1:])),
            "models of one matrix take numbers",
        ),
        (but(PLAN, transforms=()), "clock"),
        (but(PLAN, request=(*PLAN.request, PLAN.request[0])), "'hour' appears twice"),
    ],
)
def test_a_plan_that_the_graphs_do_not_serve_is_refused(folder, plan, told):
    republish(folder, b.PLAN, plan.to_json(), contract=plan.fingerprint)
    refused(folder, told)


def test_a_plan_with_another_meaning_does_not_score_its_golden_rows(folder):
    plan = but(PLAN, columns=(PLAN.columns[1], PLAN.columns[0], PLAN.columns[2]))
    republish(folder, b.PLAN, plan.to_json(), contract=plan.fingerprint)
    refused(folder, "golden row", "model input differs")


@pytest.mark.parametrize("name", [b.PLAN, b.MODEL, b.TRANSFORMS, b.GOLDEN])
@pytest.mark.parametrize("content", [b"", b"\xff" * 64, b"PAR1" + b"\0" * 40 + b"PAR1"])
def test_a_published_file_of_garbage_is_refused(folder, name, content):
    republish(folder, name, content)
    refused(folder)


def sealed(folder) -> dict:
    manifest = msgspec.json.decode((folder / b.MANIFEST).read_bytes(), type=b.Manifest).sealed()
    (folder / b.MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest)))
    open_bundle(folder, HERE)
    return msgspec.json.decode((folder / b.MANIFEST).read_bytes())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("metrics", {"auc": 0.99}),
        ("training_start", "2012-02-01T00:00:00Z"),
        ("tolerance", 1.0),
        ("processor", ["NEON"]),
        ("created_at", "2030-01-01T00:00:00Z"),
        ("seal", "0" * 64),
    ],
)
def test_a_manifest_that_was_changed_is_refused_by_its_seal(folder, field, value):
    told = sealed(folder)
    (folder / b.MANIFEST).write_bytes(msgspec.json.encode(told | {field: value}))
    refused(folder, "manifest.json is not the file that was published")


GOLDEN_BUNDLE = Path(__file__).parent / "golden_bundle"
"""A bundle as version 0.1.0 sealed it; its files are never to be made anew."""


def test_a_sealed_bundle_of_an_older_version_opens():
    opened = open_bundle(GOLDEN_BUNDLE, ())
    assert (opened.manifest.name, opened.manifest.optimised) == ("tiny", None)
    assert len(opened.manifest.seal) == 64


@pytest.fixture
def older(tmp_path) -> Path:
    return Path(shutil.copytree(GOLDEN_BUNDLE, tmp_path / "older"))


NAMES = sorted(path.name for path in GOLDEN_BUNDLE.iterdir())


@pytest.mark.parametrize(("name", "other"), list(itertools.permutations(NAMES, 2)))
def test_any_file_in_the_place_of_another_is_refused_by_name(older, name, other):
    (older / name).write_bytes((older / other).read_bytes())
    refused(older, name, processor=())


@pytest.mark.parametrize("name", NAMES)
def test_a_file_of_another_version_is_refused_by_name(older, name):
    """Each is sound where it belongs."""
    sibling = tiny.write_bundle(older.parent / "models", "2.0.0", weights=(1.0, 2.0, 3.0, 4.0, 5.0), baseline=b"[]")
    content = (sibling / name).read_bytes()
    same = content == (older / name).read_bytes()
    assert same == (name in {"plan.json", "transforms.onnx"}), "what two versions of one contract share"
    (older / name).write_bytes(content)
    if not same:
        refused(older, "is not the file that was published", processor=())


@pytest.mark.parametrize(("name", "told"), [(b"real", "is not the file"), (b"s\xe3al", "does not fit its format")])
def test_a_seal_under_another_name_is_none(tmp_path, name, told):
    folder = tmp_path / "bundle"
    shutil.copytree(GOLDEN_BUNDLE, folder)
    content = (folder / b.MANIFEST).read_bytes()
    assert content.count(b'"seal"') == 1
    (folder / b.MANIFEST).write_bytes(content.replace(b"seal", name))
    refused(folder, f"manifest.json {told}", processor=())


@given(data=st.data(), name=st.sampled_from(NAMES), harm=st.sampled_from(["changed", "cut", "doubled"]))
def test_a_byte_that_is_changed_anywhere_is_refused_by_the_file(tmp_path_factory, data, name, harm):
    folder = tmp_path_factory.mktemp("harmed") / "bundle"
    shutil.copytree(GOLDEN_BUNDLE, folder)
    content = bytearray((folder / name).read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    if harm == "changed":
        content[place] ^= data.draw(st.integers(1, 255))
    else:
        content[place:] = content[place:] * 2 if harm == "doubled" else b""
    (folder / name).write_bytes(content)
    if name == b.MANIFEST and _said(bytes(content)) == _said((GOLDEN_BUNDLE / name).read_bytes()):
        open_bundle(folder, ())  # a blank between two words of it says nothing
    else:
        refused(folder, name, processor=())


def _said(manifest: bytes) -> object:
    try:
        return msgspec.json.decode(manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def test_a_word_that_was_added_to_a_manifest_is_refused_by_its_seal(older):
    told = msgspec.json.decode((older / b.MANIFEST).read_bytes())
    (older / b.MANIFEST).write_bytes(msgspec.json.encode(told | {"approved_by": "nobody"}))
    refused(older, "manifest.json is not the file that was published", processor=())
