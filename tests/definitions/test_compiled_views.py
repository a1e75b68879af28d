from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, SnowflakeSource, ValueType
from feast.types import Float32, Int64

from skewless.contract.errors import InvalidPlan
from skewless.definitions.compiled_views import CompiledViewCache, CompiledViews
from skewless.definitions.compiler import compile_views
from skewless.offline.tables.object_storage import RemoteTable
from skewless.project.project import ProjectContext
from skewless.runtime.errors import UnknownFeatureView
from skewless.runtime.settings import ProjectSettings

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning:feast", "ignore::DeprecationWarning")
STORE = """
project: shop
provider: local
registry: {registry_type: sql, path: "sqlite:///registry.db?plugin=skewless"}
offline_store: {type: skewless.feast.SkewlessOfflineStore}
online_store: {type: skewless.feast.SkewlessOnlineStore}
entity_key_serialization_version: 3
"""


def customer(**tags: str) -> Entity:
    return Entity(name="customer", join_keys=["customer"], value_type=ValueType.INT64, tags=tags)


def spend(ttl: int = 1, path: str = "spend", **tags: str) -> FeatureView:
    return FeatureView(
        name="spend",
        entities=[customer()],
        schema=[Field(name="customer", dtype=Int64), Field(name="amount", dtype=Float32, tags=tags)],
        source=FileSource(name="spend", path=path, timestamp_field="event_timestamp"),
        ttl=timedelta(days=ttl),
        tags={"expect_unique": "true"},
    )


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "feature_repo"
    folder.mkdir()
    (folder / "feature_store.yaml").write_text(STORE)
    monkeypatch.setenv("SKEWLESS_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("SKEWLESS_FEATURE_REPO", str(folder))
    FeatureStore(repo_path=str(folder)).apply([customer(), spend()])
    return folder


@pytest.fixture
def apply(repo: Path) -> Callable[..., None]:
    return lambda *definitions: FeatureStore(repo_path=str(repo)).apply([*definitions])


def cache() -> CompiledViewCache:
    settings = ProjectSettings.read()
    return CompiledViewCache(
        settings.folders.compiled_views, settings.feature_repo, settings.folders.root, settings.registry_url
    )


def project() -> ProjectContext:
    return ProjectContext(ProjectSettings.read())


def test_nothing_is_kept_before_the_first_compilation(repo: Path):
    assert cache().read() is None


def test_what_is_kept_is_what_feast_compiles(repo: Path):
    project().stored()
    assert cache().read() == compile_views(FeatureStore(repo_path=str(repo)))


def test_a_project_whose_views_are_kept_opens_no_feature_store(repo: Path):
    first, again = project(), project()
    assert first.stored() == again.stored()
    assert first.compiled() == again.compiled()
    assert (first.project, first.data) == (again.project, again.data)
    assert "store" in vars(first)
    assert "store" not in vars(again)


def test_a_view_that_is_applied_anew_is_compiled_anew(apply):
    opened = project()
    assert opened.stored()[0][0].ttl_us == 86_400_000_000
    apply(spend(ttl=2))
    assert opened.stored()[0][0].ttl_us == 2 * 86_400_000_000, "the same process sees it"
    assert project().stored()[0][0].ttl_us == 2 * 86_400_000_000


def test_an_entity_that_is_applied_anew_is_compiled_anew(apply):
    assert [column.tags for column in project().compiled()[0].columns] == [{}, {}]
    apply(customer(expect_values="1, 2"), spend())
    assert [column.tags for column in project().compiled()[0].columns] == [{}, {"expect_values": "1, 2"}]


def test_another_store_file_is_read_anew(repo: Path):
    assert project().stored()[0][0].known_by == "event_timestamp"
    known_by = "{type: skewless.feast.SkewlessOfflineStore, known_by: created_timestamp}"
    (repo / "feature_store.yaml").write_text(STORE.replace("{type: skewless.feast.SkewlessOfflineStore}", known_by))
    assert project().stored()[0][0].known_by == "created_timestamp"


def test_a_store_file_is_read_with_its_variables(repo: Path, monkeypatch: pytest.MonkeyPatch):
    known_by = "{type: skewless.feast.SkewlessOfflineStore, known_by: $KNOWN_BY}"
    (repo / "feature_store.yaml").write_text(STORE.replace("{type: skewless.feast.SkewlessOfflineStore}", known_by))
    for known in ("created_timestamp", "event_timestamp"):
        monkeypatch.setenv("KNOWN_BY", known)
        assert project().stored()[0][0].known_by == known


def test_another_project_of_the_registry_changes_nothing(repo: Path, apply):
    project().stored()
    (repo / "feature_store.yaml").write_text(STORE.replace("project: shop", "project: bakery"))
    apply(customer(), spend(ttl=9))
    (repo / "feature_store.yaml").write_text(STORE)
    assert cache().read() is not None
    assert project().stored()[0][0].ttl_us == 86_400_000_000


def test_a_state_folder_that_was_moved_is_compiled_anew(repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    project().stored()
    (tmp_path / "state").rename(tmp_path / "moved")
    monkeypatch.setenv("SKEWLESS_STATE", str(tmp_path / "moved"))
    assert project().stored()[0][1].path == tmp_path / "moved" / "data" / "spend"


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b'{"compiled": {}}', b"\xff"])
def test_a_file_that_is_damaged_is_written_anew(repo: Path, content: bytes):
    expected = project().stored()
    cache().file.write_bytes(content)
    assert project().stored() == expected
    assert cache().read() is not None


def test_a_state_folder_that_takes_no_file_is_no_error(repo: Path):
    cache().file.mkdir()
    assert len(project().stored()) == 1
    assert cache().read() is None


def test_the_addresses_of_tables_in_object_storage_are_kept(repo: Path):
    content = cache().content("shop")
    compiled = compile_views(FeatureStore(repo_path=str(repo)))
    (view,) = compiled.views
    remote = replace(view, source=replace(view.source, remote=RemoteTable("s3://lake/spend", "http://127.0.0.1:9")))
    cache().write(CompiledViews("shop", compiled.data, (remote,)), str(content))
    kept = cache().read()
    assert kept is not None
    assert kept.views == (remote,)


def test_a_registry_that_only_feast_knows_is_not_kept(repo: Path, tmp_path: Path):
    other = f"sqlite:///{tmp_path}/other.db"
    (repo / "feature_store.yaml").write_text(STORE.replace("sqlite:///registry.db?plugin=skewless", other))
    FeatureStore(repo_path=str(repo)).apply([customer(), spend(ttl=5)])
    assert project().stored()[0][0].ttl_us == 5 * 86_400_000_000
    assert cache().read() is None


def test_where_a_view_does_not_compile_nothing_is_kept_and_the_others_stay_usable(apply):
    """As in a registry that was written before `apply` refused such a view."""
    source = SnowflakeSource(name="clicks", table="clicks", timestamp_field="event_timestamp")
    clicks = FeatureView(name="clicks", schema=[Field(name="n", dtype=Int64)], source=source, entities=[customer()])
    apply(spend())
    store = project().store
    clicks.entity_columns = [Field(name="customer", dtype=Int64)]
    store.registry.apply_feature_view(clicks, store.project)
    assert [view.name for view, _ in project().stored(["spend"])] == ["spend"]
    assert cache().read() is None
    with pytest.raises(InvalidPlan, match="SnowflakeSource"):
        project().stored()


def test_an_unknown_view_is_refused_by_the_kept_views(repo: Path):
    for _ in range(2):
        with pytest.raises(UnknownFeatureView, match="spent"):
            project().stored(["spent"])
