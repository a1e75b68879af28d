"""An on-demand view gets the graph of its function as its body: the same bits by any door, and no other file is read."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from feast import Entity, FeatureView, FileSource, OnDemandFeatureView, RequestSource, ValueType
from feast import Field as FeastField
from feast.types import Array, Bool, Float32, Float64, Int64, String, UnixTimestamp

from skewless.contract.errors import InvalidInput, InvalidPlan
from skewless.contract.plan import Field, RequestInput, StoredFeature
from skewless.definitions.applied_transform import applied_transform, body_text
from skewless.definitions.transform_binding import bind
from skewless.runtime.errors import Untraceable

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
SWELL = """
def swell(*, mean, hour):
    '''It's "quoted".'''
    xp = mean.__array_namespace__()
    return {"high": mean * xp.astype(xp.sin(hour), xp.float32), "low": xp.astype(hour / 3, xp.float32)}
"""
TYPES = {"mean": Float32, "count": Int64, "seen": UnixTimestamp, "open": Bool, "name": String, "many": Array(Int64)}
delays = FeatureView(
    name="delays",
    entities=[Entity(name="origin", join_keys=["origin"], value_type=ValueType.STRING)],
    schema=[FeastField(name=name, dtype=kind) for name, kind in TYPES.items()],
    source=FileSource(name="delays", path="delays", timestamp_field="event_timestamp"),
)


def nothing(inputs):
    raise AssertionError("the body of the user runs")


def view(name: str = "swell", *, outputs=("high", "low"), sources=(delays,), **options) -> OnDemandFeatureView:
    request = RequestSource(name="sent", schema=[FeastField(name="hour", dtype=Float64)])
    return OnDemandFeatureView(
        name=name,
        sources=[*sources, request],
        schema=[FeastField(name=output, dtype=Float32) for output in outputs],
        udf=nothing,
        udf_string="def nothing(inputs):\n    raise AssertionError\n",
        **options,
    )


def bound(folder: Path, source: str = SWELL, **options) -> OnDemandFeatureView:
    (folder / "transforms.py").write_text(source)
    found = view(**options)
    bind([found], folder)
    return found


def stored(found: OnDemandFeatureView) -> OnDemandFeatureView:
    """As a registry gives it back."""
    return OnDemandFeatureView.from_proto(found.to_proto())


FRAME = pd.DataFrame({"mean": pd.array([1.5, None, -3.0], "Float32"), "hour": [0.5, 2.0, float("nan")]})
HIGH = [np.float32(1.5) * np.float32(math.sin(0.5)), float("nan"), float("nan")]


def test_the_registry_keeps_what_was_applied(tmp_path: Path):
    found = stored(bound(tmp_path))
    (tmp_path / "transforms.py").write_text("raise RuntimeError('somebody reads me')")
    answer = found.feature_transformation.udf(FRAME)
    assert answer.dtypes.to_dict() == {"high": np.float32, "low": np.float32}
    np.testing.assert_allclose(answer["high"], HIGH, rtol=1e-6)
    applied = applied_transform(found)
    assert [(a.name, a.source, a.dtype) for a in applied.arguments] == [
        ("mean", StoredFeature("delays", "mean"), "Float32"),
        ("hour", RequestInput("hour"), "Float64"),
    ]
    assert applied.outputs == (Field("high", "Float32"), Field("low", "Float32"))
    assert applied.transform.digest == applied.digest
    assert "# def swell(*, mean, hour):\n" in found.feature_transformation.udf_string, "a reader sees the function"


def test_applying_again_changes_nothing_and_another_function_does(tmp_path: Path):
    first, again = bound(tmp_path), bound(tmp_path)
    assert stored(first) == again
    changed = bound(tmp_path, SWELL.replace("/ 3", "/ 4"))
    assert changed != first
    assert applied_transform(changed).digest != applied_transform(first).digest


def test_another_process_in_another_folder_computes_the_same(tmp_path: Path):
    found = bound(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "transforms.py").write_text("raise RuntimeError('somebody reads me')")
    program = f"{found.feature_transformation.udf_string}\nimport pandas as pd\n"
    program += "print(swell(pd.DataFrame({'mean': [1.5], 'hour': [0.5]})).to_numpy().tobytes().hex())"
    command = [sys.executable, "-c", program]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path / "elsewhere")
    assert ran.stdout.strip() == found.feature_transformation.udf(FRAME)[:1].to_numpy().tobytes().hex(), ran.stderr


def test_rows_of_a_dict_and_one_value_are_the_rows_of_a_frame(tmp_path: Path):
    frame = bound(tmp_path).feature_transformation.udf(FRAME)
    lists = stored(bound(tmp_path, mode="python")).feature_transformation.udf(
        {"mean": [1.5, None, -3.0], "hour": [0.5, 2.0, None], "other": ["a", "b", "c"]}
    )
    np.testing.assert_array_equal(pd.DataFrame(lists, dtype=np.float32), frame)
    single = stored(bound(tmp_path, mode="python", singleton=True)).feature_transformation.udf
    assert single({"mean": 1.5, "hour": 0.5}) == frame.iloc[0].to_dict()


def test_a_full_name_goes_before_a_short_one(tmp_path: Path):
    other = FRAME.assign(delays__mean=FRAME["mean"] * 2)
    low = bound(tmp_path).feature_transformation.udf
    np.testing.assert_array_equal(low(other)["high"], low(FRAME.assign(mean=FRAME["mean"] * 2))["high"])


def test_a_missing_input_is_named(tmp_path: Path):
    with pytest.raises(InvalidInput, match=r"hour.*is an input of an on-demand view and is missing"):
        bound(tmp_path).feature_transformation.udf(FRAME[["mean"]])


def test_times_and_flags_come_as_numbers(tmp_path: Path):
    source = (
        "def f(*, seen, open):\n    xp = seen.__array_namespace__()\n"
        "    return {'sum': xp.astype(seen - 1.3e15 + open, xp.float32)}\n"
    )
    found = bound(tmp_path, source, name="f", outputs=("sum",)).feature_transformation
    times = pd.to_datetime([1_300_000_000_000_005, None], unit="us", utc=True)
    for flags in (pd.array([True, None]), np.array([True, None], object)):
        answer = found.udf(pd.DataFrame({"seen": times, "open": flags}))["sum"]
        assert answer.dtype == np.float32
        assert answer.tolist()[0] == 6.0
        assert np.isnan(answer[1])
    table = pa.table({"seen": pa.array(times), "open": [True, None]})
    assert found.transform_arrow(table, []).column("sum").to_pylist() == [6.0, None]


def test_feast_infers_the_outputs_from_the_graph(tmp_path: Path):
    found = bound(tmp_path)
    found.infer_features()
    assert [field.dtype for field in found.features] == [Float32, Float32]


def test_a_view_without_a_function_keeps_its_body(tmp_path: Path):
    plain = bound(tmp_path, name="calm")
    assert plain.udf is nothing
    assert applied_transform(plain) is None
    assert applied_transform(view(mode="python")) is None


def test_a_view_from_its_registry_keeps_its_graph_far_from_the_project(tmp_path: Path):
    found = stored(bound(tmp_path, tags={"transform": "swell"}))
    (tmp_path / "empty").mkdir()
    bind([found], tmp_path / "empty")
    assert applied_transform(found) is not None


REFUSED: dict[str, tuple[str, dict, type[Exception], str]] = {
    "a tag without a function": ("", {"tags": {"transform": "swell"}}, InvalidPlan, "'swell'.*has no function"),
    "two names": (
        SWELL,
        {"tags": {"transform": "flow"}},
        InvalidPlan,
        "'swell'.*transform is 'flow'; give .* one name",
    ),
    "no input": (SWELL.replace("hour", "minute"), {}, InvalidPlan, "parameter 'minute' names 0 of its inputs"),
    "a text": (SWELL.replace("mean", "name"), {}, InvalidPlan, "cannot take the String"),
    "a branch": ("def swell(hour):\n    if hour > 0:\n        return 1", {}, Untraceable, r"line 2 \(`if hour > 0:"),
    "other outputs": (SWELL, {"outputs": ("high",)}, Untraceable, r"it returns \['high', 'low'\]"),
    "a broken file": ("import nowhere_at_all", {}, Untraceable, "nowhere_at_all"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_traced_is_refused_by_name(tmp_path: Path, what: str):
    source, options, kind, message = REFUSED[what]
    with pytest.raises(kind, match=message):
        bound(tmp_path, source, **options)


def test_a_parameter_that_two_sources_have_is_refused(tmp_path: Path):
    hours = FeatureView(
        name="hours", entities=[], schema=[FeastField(name="hour", dtype=Float32)], source=delays.batch_source
    )
    with pytest.raises(InvalidPlan, match="parameter 'hour' names 2 of its inputs"):
        bound(tmp_path, sources=(delays, hours))


def test_a_name_that_is_no_name_of_a_function_has_no_function(tmp_path: Path):
    assert applied_transform(bound(tmp_path, name="swell-1")) is None


def test_the_text_is_a_program_whatever_the_function_says(tmp_path: Path):
    applied = applied_transform(bound(tmp_path))
    for source in ('"""', "'''\\", "\n\n# x\n", "def f():\n\n    return 1"):
        compile(body_text(applied, source), "text", "exec")
