"""A repository that Feast ran on its own online store, and that is on ours now: its rows are only in Feast's store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, ValueType
from feast.types import Array, Float32, Int64, Map, String

from skewless.sdk import ImportedFeastRows, Project

NOW = datetime.now(UTC).replace(microsecond=0)
HOUR = timedelta(hours=1)
IDS = range(1, 9)
REDIS = "  type: redis\n  connection_string: {place},db=0,password=${{FORMER_PASSWORD}}\n"
SQLITE = "  type: sqlite\n  path: online.db\n"
OURS = """\
project: cabs
registry: registry.db
provider: local
offline_store:
  type: skewless.feast.SkewlessOfflineStore
  data: .
online_store:
  type: skewless.feast.SkewlessOnlineStore
batch_engine:
  type: skewless.feast.SkewlessEngine
entity_key_serialization_version: {version}
"""


@dataclass(frozen=True)
class FormerRepository:
    folder: Path
    version: int
    online_store: str

    def make(self, *twin: str) -> FeatureStore:
        """Its definitions applied by Feast, which has its own stores; with a second view, `twin`, of these features over the
        drivers' table.
        """
        text = (
            f"project: cabs\nregistry: registry.db\nprovider: local\nonline_store:\n{self.online_store}"
            f"entity_key_serialization_version: {self.version}\n"
        )
        (self.folder / "feature_store.yaml").write_text(text)
        (self.folder / "feature_store.yaml.before-skewless").write_text(text)
        drivers = self.source("drivers", "created")
        pairs = self.source("pairs", None)
        driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
        zone = Entity(name="zone", join_keys=["zone"], value_type=ValueType.STRING)
        store = self.feast()
        fields = [Field(name=name, dtype=Int64) for name in twin]
        others = [FeatureView(name="twin", entities=[driver], schema=fields, source=drivers)]
        store.apply(
            [
                *(others if twin else ()),
                driver,
                zone,
                FeatureView(
                    name="drivers",
                    entities=[driver],
                    ttl=timedelta(days=30),
                    schema=[
                        Field(name="rate", dtype=Float32),
                        Field(name="trips", dtype=Int64),
                        Field(name="tags", dtype=Array(String)),
                        Field(name="meta", dtype=Map),
                    ],
                    source=drivers,
                ),
                FeatureView(
                    name="pairs",
                    entities=[driver, zone],
                    ttl=timedelta(0),
                    schema=[Field(name="rides", dtype=Int64)],
                    source=pairs,
                ),
            ]
        )
        return store

    def feast(self) -> FeatureStore:
        return FeatureStore(repo_path=str(self.folder))

    def source(self, name: str, created: str | None) -> FileSource:
        return FileSource(
            name=name,
            path=str(self.folder / f"{name}.parquet"),
            timestamp_field="event_timestamp",
            created_timestamp_column=created or "",
        )

    def write_table(self, name: str, frame: pd.DataFrame) -> None:
        table = pa.Table.from_pandas(frame, preserve_index=False)
        times = {"event_timestamp", "created"} & set(table.column_names)
        for column in times:
            place = table.column_names.index(column)
            table = table.set_column(place, column, table.column(column).cast(pa.timestamp("us", "UTC")))
        pq.write_table(table, self.folder / f"{name}.parquet")

    def move(self) -> None:
        """Our stores take the place of Feast's; nothing is materialized."""
        (self.folder / "feature_store.yaml").write_text(OURS.format(version=self.version))

    def parts(self, name: str) -> pa.Table | None:
        """The rows that were appended to a table."""
        files = sorted((self.folder / f"{name}.parquet.parts").glob("*.parquet"))
        return pa.concat_tables([pq.read_table(file) for file in files]) if files else None


def drivers(ids: Sequence[int], event: datetime, created: datetime | None = None, rate: float = 0.0) -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "driver_id": list(ids),
            "rate": [rate + number / 8 for number in ids],
            "trips": [None if number % 3 == 0 else number for number in ids],
            "tags": [[f"t{number}", "ü"] for number in ids],
            "meta": [{"a": f"m{number}", "b": "x"} for number in ids],
            "event_timestamp": event,
        }
    ).astype({"rate": "float32", "trips": "Int64"})
    return frame if created is None else frame.assign(created=created)


def pairs(ids: Sequence[int], event: datetime) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "driver_id": list(ids),
            "zone": [f"z{number % 2}" for number in ids],
            "rides": [number * 10 for number in ids],
            "event_timestamp": event,
        }
    )


def values(store: FeatureStore, ids: Sequence[int]) -> dict[str, list[object]]:
    read: dict[str, list[object]] = {}
    for features in (["drivers:rate", "drivers:trips", "drivers:tags", "drivers:meta"], ["pairs:rides"]):
        rows = [{"driver_id": number, "zone": f"z{number % 2}"} for number in ids]
        if features[0].startswith("drivers"):
            rows = [{"driver_id": row["driver_id"]} for row in rows]
        read |= store.get_online_features(features=features, entity_rows=rows).to_dict()
    return read


def served_by_feast(repository: FormerRepository) -> dict[str, list[object]]:
    """Feast's answers before the move: 1 to 4 from the table, 5 and 6 only pushed, 2 pushed newer than the table, 7 unknown."""
    repository.write_table("drivers", drivers([1, 2, 3, 4], NOW - 10 * HOUR, NOW - 9 * HOUR))
    repository.write_table("pairs", pairs([1, 2], NOW - 10 * HOUR))
    store = repository.make()
    store.materialize(NOW - 20 * HOUR, NOW)
    store.write_to_online_store("drivers", drivers([5, 6], NOW - 5 * HOUR, NOW - 5 * HOUR, rate=0.3))
    store.write_to_online_store("drivers", drivers([2], NOW - 4 * HOUR, NOW - 4 * HOUR, rate=7))
    store.write_to_online_store("pairs", pairs([5, 2], NOW - 3 * HOUR))
    return values(store, IDS)


def imported(repository: FormerRepository, **options: object) -> ImportedFeastRows:
    with Project.open(repository.folder, progress=False) as project:
        return project.import_feast(**options)  # type: ignore[arg-type]


def counts(done: ImportedFeastRows) -> dict[str, tuple[int, int, int]]:
    return {view.view: (view.imported, view.known, view.older) for view in done.result.views}
