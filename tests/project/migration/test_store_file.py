from __future__ import annotations

import difflib

import pytest
import yaml

from skewless.project.migration.store_file import PLUG_INS, StoreFileUnchanged, change

FILE = """\
project: shop
# Where definitions are kept.
registry: data/registry.db
provider: local
online_store:  # ours since 2024
    type: redis
    # The port is odd.
    connection_string: "localhost:6380,password=${PASSWORD}"

# The tables.
offline_store: file
entity_key_serialization_version: 3
auth:
    type: no_auth"""


def test_only_the_lines_of_the_stores_change():
    changed = change("feature_store.yaml", FILE)
    lines = difflib.ndiff(FILE.splitlines(), changed.after.splitlines())
    assert [line for line in lines if line[0] in "+-"] == [
        "-     type: redis",
        "+     type: skewless.feast.SkewlessOnlineStore",
        '-     connection_string: "localhost:6380,password=${PASSWORD}"',
        "- offline_store: file",
        "+ offline_store:",
        "+   type: skewless.feast.SkewlessOfflineStore",
        "+   data: .",
        "+ batch_engine:",
        "+   type: skewless.feast.SkewlessEngine",
    ]
    assert changed.store("online_store")["type"] == "redis"
    assert changed.store("offline_store") == {"type": "file"}


def test_a_changed_file_stays_as_it_is():
    once = change("feature_store.yaml", FILE).after
    assert change("feature_store.yaml", once).after == once


@pytest.mark.parametrize(
    "text",
    [
        "project: a\nprovider: local",
        "project: a\nonline_store: {type: redis, connection_string: 'a:1'}\noffline_store: {type: file}\n",
        "online_store:\n  type: sqlite\n\n\nproject: a\n",
        "project: a\nbatch_engine_config: local\nonline_store:\n- odd\n",
        "project: a\nbatch_engine: local\nonline_store: null\n\noffline_store:\n    type: dask\n",
        '"project": a\n"online_store":\n  type: sqlite\n  path: x#y\n',
    ],
)
def test_every_other_value_stays(text: str):
    before, after = yaml.safe_load(text), yaml.safe_load(change("feature_store.yaml", text).after)
    stores = (*PLUG_INS, "batch_engine_config")
    assert {name: value for name, value in after.items() if name not in stores} == {
        name: value for name, value in before.items() if name not in stores
    }
    assert {name: after[name] for name in PLUG_INS} == PLUG_INS
    assert "batch_engine_config" not in after


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "names no project"),
        ("a: b", "names no project"),
        ("project: [", "was not changed"),
        ("{project: a, online_store: {type: redis}}", "write into it by hand: offline_store: {type: skewless.feast"),
    ],
)
def test_what_cannot_be_changed_by_lines_is_refused(text: str, says: str):
    with pytest.raises(StoreFileUnchanged, match=says):
        change("feature_store.yaml", text)
