"""Keys, rows, bundles, the served log and the state folder, from the code that reads and writes them."""

from __future__ import annotations

import ast
import inspect
import json
from pathlib import Path
from typing import Any

import msgspec

from skewless.contract import state_folder
from skewless.contract.admission import FeatureStatus
from skewless.contract.model import bundle, manifest, tree_leaves
from skewless.contract.model.manifest import Manifest
from skewless.contract.plan import Field, JoinKey, ModelColumn, Plan, PlanView, StoredFeature
from skewless.contract.storage import catalog
from skewless.contract.storage.entity_key import EntityKeyEncoder
from skewless.contract.storage.packed_row import RowLayout
from skewless.contract.storage.served_row import served_schema
from skewless.contract.value_types import value_type
from tests.checkout import GOLDEN_BYTES
from tests.docs.reference.markdown import one_line, table

_HEADER = {
    "event": "event_timestamp: microseconds since 1970, sign bit flipped, so that bytes compare like times",
    "created": "created_timestamp, in the same form",
    "schema": "fingerprint of the feature names and types, in order",
    "flags": "bits 0 and 7: tombstone; bit 1: narrow (each Int64 takes 4 bytes)",
    "nulls": "one bit per feature, least significant first; 1 is null",
}
_BUNDLE = {
    manifest.MANIFEST: "what the bundle says of itself and of its files, sealed",
    bundle.PLAN: "the contract's data: views, columns, transforms",
    bundle.MODEL: "the model",
    bundle.TRANSFORMS: "the transforms, if the plan has any",
    bundle.GOLDEN: "given values, model input and score of some training rows",
    bundle.BASELINE: "the distribution of each model input in training",
    tree_leaves.LEAVES: "of a tree model: the leaves, from which contributions are computed",
    bundle.CARD: "the model card, for people",
}
_FOLDERS = {
    "registry_db": "The Feast registry.",
    "reports": "Pages, JSON and metrics of audits, drift and other reports.",
    "redis_socket": "The socket of the embedded server, unless its path is too long for one.",
}
"""What lies where, as far as the code does not say it well enough for a reader."""


def key_example() -> str:
    """A golden key, taken apart."""
    golden = next(one for one in json.loads(GOLDEN_BYTES.read_text())["keys"] if one["name"] == "one text")
    ((name, (dtype, value)),) = golden["keys"].items()
    encoded = EntityKeyEncoder(golden["project"], [name], [dtype]).encode([value])
    assert encoded is not None
    assert encoded.hex() == golden["hex"]
    parts = [
        ("number of join keys", encoded[:4]),
        ("type of the name (2: text) and its length", encoded[4:12]),
        ("name", name.encode()),
        ("type of the value and its length", encoded[12 + len(name) :][:8]),
        ("value", value.encode()),
        ("project", golden["project"].encode()),
    ]
    assert b"".join(part for _, part in parts) == encoded
    return table(["bytes", "hexadecimal", "text"], [[what, f"`{part.hex()}`", _text(part)] for what, part in parts])


def row_header() -> str:
    """What every row begins with, from the record that rows are packed as; here of 1 to 8 features."""
    record = RowLayout((Field("x", "Float64"),)).records[0]
    fields: Any = record.fields
    names = [name for name in record.names or () if not name.startswith("v")]
    assert names == list(_HEADER), "the header has other parts: describe them in _HEADER"
    rows = [[f"`{name}`", str(fields[name][1]), str(fields[name][0].itemsize), _HEADER[name]] for name in names]
    rows.append(["values", str(fields["v0"][1]), "", "fixed-width values in schema order; of a text its end offset"])
    rows.append(["bodies", "", "", "the bytes of texts, lists, sets, maps and structs, one after the other"])
    return table(["part", "offset", "bytes", "content"], rows)


def row_example() -> str:
    """A golden row, taken apart."""
    golden = next(one for one in json.loads(GOLDEN_BYTES.read_text())["rows"] if one["name"] == "every type, narrow")
    layout = RowLayout(tuple(Field(name, dtype) for name, dtype in golden["schema"]))
    data = bytes.fromhex(golden["hex"])
    record = layout.records[data[20] & 2]
    fields: Any = record.fields
    names = list(record.names or ())
    meanings = {
        f"v{i}": f"{kind}: {value!r}"
        for i, ((_, kind), value) in enumerate(zip(golden["schema"], golden["values"], strict=True))
    }
    rows = []
    for name in names:
        kind, offset = fields[name][:2]
        rows.append([meanings.get(name, name), str(offset), f"`{data[offset : offset + kind.itemsize].hex()}`"])
    rows.append(["bodies", str(record.itemsize), f"`{data[record.itemsize :].hex()}`"])
    return table(["part", "offset", "hexadecimal"], rows)


def value_types() -> str:
    """The plain and other scalar types, with what a value takes in a row."""
    rows = []
    for name in ("Bool", "Int32", "Int64", "Float32", "Float64", "UnixTimestamp", "String", "Bytes", "Array(Float32)"):
        kind = value_type(name)
        body = (
            ""
            if not kind.text
            else "and its bytes in the bodies"
            if kind.encoding != "value"
            else "and Feast's `Value` message in the bodies"
        )
        rows.append([f"`{name}`", str(kind.width), body])
    return table(["type", "bytes in the fixed part", ""], rows)


def catalog_entries() -> str:
    """The fields of a project's catalog, whose functions begin with their meaning."""
    key = catalog.catalog_key("PROJECT").decode()
    made = {
        catalog.view_field("VIEW"): catalog.view_field,
        catalog.schema_field(b"\xab\xcd\xef\x01"): catalog.schema_field,
        catalog.reached_field("VIEW"): catalog.reached_field,
        catalog.removal_field("VIEW"): catalog.removal_field,
    }
    rows = [[f"`{field.decode()}`", one_line(function.__doc__)] for field, function in made.items()]
    return f"The hash `{key}`:\n\n{table(['field', 'meaning'], rows)}"


def bundle_files() -> str:
    constants = {value for name, value in vars(bundle).items() if name.isupper() and isinstance(value, str)}
    assert constants <= set(_BUNDLE), f"describe {constants - set(_BUNDLE)} in _BUNDLE"
    return table(["file", "content"], [[f"`{name}`", meaning] for name, meaning in _BUNDLE.items()])


def manifest_fields() -> str:
    """The members of `manifest.json`, with their types as the code spells them."""
    rows = [
        [f"`{one.encode_name}`", f"`{_annotation(Manifest, one.name)}`", "yes" if one.required else ""]
        for one in msgspec.structs.fields(Manifest)
    ]
    return table(["member", "type", "always there"], rows)


def served_columns() -> str:
    """The columns of a served log, of a plan with one view and one request input."""
    join_key, shown = JoinKey("KEY", "KEY", "String"), Field("FEATURE", "Float32")
    view = PlanView("VIEW", "VIEW", (join_key,), (shown,), 0, "created_timestamp")
    column = ModelColumn("FEATURE", StoredFeature("VIEW", "FEATURE"))
    schema = served_schema(Plan("service", "project", (view,), (Field("INPUT", "Int64"),), (), (column,)))
    return table(["column", "type"], [[f"`{field.name}`", f"`{field.type}`"] for field in schema])


def statuses() -> str:
    """The numbers in the served log's columns of statuses."""
    return table(["number", "status"], [[str(int(status)), f"`{status.name}`"] for status in FeatureStatus])


def folders() -> str:
    """What lies where in the state folder, from the properties of `StateFolders` and their docstrings."""
    tree = ast.parse(inspect.getsource(state_folder))
    kind = next(node for node in tree.body if isinstance(node, ast.ClassDef))
    made = getattr(state_folder, kind.name)(Path("/state"))
    rows = []
    for node in kind.body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            path = getattr(made, node.name)
            rows.append(
                [f"`{path.relative_to('/state')}`", _FOLDERS.get(node.name) or one_line(ast.get_docstring(node))]
            )
    return table(["in `.skewless/`", "content"], rows)


def _annotation(struct: type, name: str) -> str:
    return str(struct.__annotations__[name])


def _text(data: bytes) -> str:
    return f"`{data.decode()}`" if data.isascii() and data.decode().isprintable() else ""
