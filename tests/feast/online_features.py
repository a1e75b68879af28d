"""The scratch project's tables, and reads and writes of its online features."""

from __future__ import annotations

from datetime import datetime, timedelta

import pandas as pd
import pyarrow as pa
from feast import FeatureStore
from feast.data_source import PushMode
from feast.online_response import OnlineResponse
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus

from tests.tables.scratch_project import DAY, HOUR, ScratchProject, times

BIG = 2**53 + 1
STATUSES = {number: name for name, number in FieldStatus.items()}


def write_tables(project: ScratchProject) -> None:
    """`flown` (ttl 5 h): N1 fresh and corrected, N2 stale, N3 tombstone, N4 of the future, N5 nulls, N6 not known yet."""
    project.write(
        "flown",
        tailnum=["N1", "N1", "N1", "N2", "N3", "N3", "N4", "N4", "N5", "N6"],
        hours=pa.array([9, 1, 2, 3, 4, 4, 5, 6, None, 7], pa.float32()),
        cycles=[9, BIG - 1, BIG, 3, 4, 4, 5, 6, None, 7],
        note=["", "x", "é", "", "", "", "", "", None, ""],
        grounded=[True, False, True, True, True, True, True, True, None, True],
        gone=[False, False, False, False, False, True, False, False, False, False],
        event_timestamp=times(*map(_hours, (-3, -2, -2, -6, -3, -2, -2, 2, -1, -1))),
        created_timestamp=times(*map(_hours, (0, -2, -1, -6, -3, -2, -2, 2, -1, 1))),
    )
    project.write(
        "legs",
        carrier=["AA", "AA", "UA"],
        number=[1, 2, 1],
        min=[10.5, 20.0, 30.0],
        stops=pa.array([1, None, 3], pa.int32()),
        last=times(-DAY, -DAY, -DAY),
        digest=[b"\xff\x00", b"", b"3"],
        event_timestamp=times(-DAY, -DAY, -DAY),
    )
    clock = {"event_timestamp": times(-2 * HOUR, -HOUR), "created_timestamp": times(-2 * HOUR, -HOUR)}
    project.write("city", mean=pa.array([1, 2], pa.float32()), **clock)
    project.write("told", tailnum=["N1", "N2"], fuel=pa.array([1, 2], pa.float32()), gate=[1, 2], **clock)


def _hours(hours: float) -> timedelta:
    return timedelta(hours=hours)


def answers(response: OnlineResponse) -> dict[str, list[tuple[object, str]]]:
    """Value and status of each feature, row by row."""
    values = response.to_dict()
    names = response.proto.metadata.feature_names.val
    return {
        name: [(value, STATUSES[s]) for value, s in zip(values[name], vector.statuses, strict=True)]
        for name, vector in zip(names, response.proto.results, strict=True)
    }


def ask(store: FeatureStore, features: object, **entities: list[object]) -> dict[str, list[tuple[object, str]]]:
    return answers(store.get_online_features(features, entities))


def push(store: FeatureStore, tail: str | None, fuel: float, event: datetime, created: datetime | None) -> None:
    row = {"tailnum": tail, "fuel": fuel, "gate": BIG, "event_timestamp": event, "created_timestamp": created}
    frame = pd.DataFrame([row]).astype({"created_timestamp": "datetime64[us, UTC]"})
    store.push("tell", frame, to=PushMode.ONLINE)
