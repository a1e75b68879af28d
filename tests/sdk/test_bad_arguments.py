"""What cannot be done is said in Python's words: every message names arguments, and no option of the command line."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from skewless.contract.errors import SkewlessError
from skewless.sdk import Project

ROW = pd.DataFrame({"customer_id": [7], "request_unix": [1_772_323_200], "event_timestamp": ["2026-02-01"]}).astype(
    {"event_timestamp": "datetime64[us, UTC]"}
)
_COMMAND = re.compile(r"`skewless [^`]*`")
_OPTION = re.compile(r"(?<![\w-])--\w")

CASES: dict[str, tuple[Callable[[Project], object], str]] = {
    "a spine that is not there": (lambda p: p.training_set("nope"), "as `spine` here"),
    "a frame of objects": (lambda p: p.training_set(ROW.assign(x=[object()])), "spine= has rows that are no table"),
    "a column twice": (
        lambda p: p.training_set(pd.concat([ROW, ROW[["customer_id"]]], axis=1)),
        "spine= has rows that are no table",
    ),
    "a window without rows": (lambda p: p.training_set(start="2001-01-01", end="2001-02-01"), "other windows, here"),
    "a frame with a row without a time": (
        lambda p: p.training_set(pd.concat([ROW, ROW.assign(event_timestamp=pd.NaT)])),
        "is null in rows 1 (counted from 0) of the given frame; each row needs a time",
    ),
    "a window without rows of a frame": (
        lambda p: p.training_set(ROW, start="2001-01-01", end="2001-02-01"),
        "the given frame has no row from 2001-01-01",
    ),
    "a time that is none": (lambda p: p.materialize(end=5), "5 is no ISO 8601 time"),  # type: ignore[arg-type]
    "a learner's parameter": (lambda p: p.train(parameters={"num_leaves": "many"}), "parameters do not fit LightGBM"),
    "a version that exists": (lambda p: p.publish(version="1.0.0", quantise=True), "`quantise`"),
    "a model of other files": (lambda p: p.publish(onnx="missing.onnx"), "onnx= there is no file"),
    "files for a filled table": (lambda p: p.ingest("orders", "nope.csv"), "is filled by its own rows"),
    "no subject": (lambda p: p.erase({}), "name its join keys, as customer_id=42"),
    "a subject without a value": (lambda p: p.erase({"customer_id": None}), "keys= has no value of 'customer_id'"),
    "a subject that is a text": (lambda p: p.erase("customer_id=7"), "keys= is 'customer_id=7'"),  # type: ignore[arg-type]
    "outputs that nothing takes": (lambda p: p.score(ROW, take={"total": "score"}), "give write_to="),
    "a table that scores do not fit": (lambda p: p.score(ROW, write_to="orders"), "`take` names the outputs"),
    "a sample of nothing": (lambda p: p.housekeeping.verify(sample=0), "sample= is 0"),
    "an expiry that is none": (lambda p: p.housekeeping.expire(by="later"), "by= is 'later'"),  # type: ignore[arg-type]
    "a batch of nothing": (lambda p: p.store.stream(once=True, batch=0), "batch= is 0"),
    "a role that is none": (lambda p: p.audit(role="boss"), "role= is 'boss'"),  # type: ignore[arg-type]
    "a schedule that is none": (lambda p: p.what_if("soon"), "every=soon"),
    "a policy that no server reads": (
        lambda p: p.models.policy("buys_again", reason="try", on_store_failure="guess"),  # type: ignore[arg-type]
        "stays as it is: it does not fit its format",
    ),
    "a cache of less than nothing": (
        lambda p: p.models.policy("buys_again", reason="try", cache_rows=-1),
        "stays as it is: it does not fit its format",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_cannot_be_done_is_said_in_the_words_of_python(project: Project, case: str):
    call, words = CASES[case]
    champion = project.models.show("buys_again").current
    with pytest.raises(SkewlessError) as refused:
        call(project)
    text = str(refused.value)
    assert words in text
    assert not _OPTION.search(_COMMAND.sub("", text)), text
    assert project.models.show("buys_again").current == champion


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"time": "paid"}, "give time=COLUMN"),
        ({"entity": "paid"}, "give entity=COLUMN"),
        ({"label": "paid"}, "`label=paid=VALUE`"),
        ({"table": "orders"}, "a table is of a database"),
    ],
)
def test_columns_of_events_are_arguments_too(tmp_path: Path, arguments: dict[str, Any], words: str):
    rows = [f"{number % 9},2026-01-{1 + number % 28:02},{number}.5" for number in range(90)]
    (tmp_path / "events.csv").write_text("\n".join(["customer_id,at,paid", *rows]))
    with pytest.raises(SkewlessError) as refused:
        Project.init(tmp_path / "mine", tmp_path / "events.csv", **arguments)
    assert words in str(refused.value)
    assert not (tmp_path / "mine").exists()
