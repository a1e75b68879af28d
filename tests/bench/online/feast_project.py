"""The workload as a Feast user would define it, on Feast's own Redis store."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import feast.types
from feast import Entity, FeatureService, FeatureStore, FeatureView, FileSource, ValueType
from feast import Field as FeastField

from tests.bench.online.workload import FIELDS, KEY, MODEL, PROJECT, USED, VIEWS

_YAML = """\
project: {project}
provider: local
registry:
  path: {folder}/registry.db
  cache_ttl_seconds: 0
online_store:
  type: redis
  connection_string: "{redis}"
offline_store:
  type: file
entity_key_serialization_version: 3
"""


def make_project(folder: Path, redis_url: str) -> Path:
    """An applied project, for the SDK and for `feast serve`; the registry's cache never expires under load."""
    folder.mkdir(parents=True)
    redis = urlsplit(redis_url).netloc
    (folder / "feature_store.yaml").write_text(_YAML.format(project=PROJECT, folder=folder, redis=redis))
    entity = Entity(name="entity", join_keys=[KEY], value_type=ValueType.INT64)
    views = [_view(view.name, entity, folder) for view in VIEWS]
    used = [view[[source.name for source in USED if source.view == view.name]] for view in views]
    store = FeatureStore(str(folder))
    store.apply([entity, *views, FeatureService(name=MODEL, features=used)])
    return folder


def _view(name: str, entity: Entity, folder: Path) -> FeatureView:
    return FeatureView(
        name=name,
        entities=[entity],
        ttl=timedelta(days=365),
        schema=[FeastField(name=field.name, dtype=getattr(feast.types, field.dtype)) for field in FIELDS]
        + [FeastField(name=KEY, dtype=feast.types.Int64)],
        source=FileSource(name=name, path=str(folder / f"{name}.parquet"), timestamp_field="event_timestamp"),
    )
