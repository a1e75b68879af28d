"""The catalog: what the online store says of itself. One Redis hash per project, beside the entities' hashes.

`view:NAME` holds a view's definition as of its last materialization, so that a server can refuse a model that was
trained on another one. `schema:FINGERPRINT` holds a row schema, so that rows of any age stay readable.
`reached:NAME` says up to which arrival all rows of a view are there, as RFC 3339 in microseconds. It lies on the server
that holds the rows, so one that was emptied, or came back from an older copy, does not claim what it lost.
`removing:NAME` is there while a view's rows are being removed: it has none to readers then, and takes none.
`expiry` says whether the server itself removes rows that are long out of their ttl, so that all writers do alike (see `expiry`).
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from skewless.contract.columns import Schema
from skewless.contract.errors import ContractMismatch
from skewless.contract.model.assembler import wanted_features
from skewless.contract.plan import Field, Plan, PlanView, ViewDifference, differences
from skewless.contract.storage.packed_row import fingerprint


def catalog_key(project: str) -> bytes:
    """The hash that holds a project's catalog. No entity key begins like this: those begin with a small number."""
    return b"skewless:catalog:" + project.encode()


def view_field(stored_as: str) -> bytes:
    """The catalog field of a view's definition."""
    return b"view:" + stored_as.encode()


def schema_field(schema: bytes) -> bytes:
    """The catalog field of the row schema with this fingerprint."""
    return b"schema:" + schema.hex().encode()


def reached_field(stored_as: str) -> bytes:
    """The catalog field that says up to which arrival all of a view's rows are in the store."""
    return b"reached:" + stored_as.encode()


def removal_field(stored_as: str) -> bytes:
    """The catalog field that is there while a view's rows are being removed."""
    return b"removing:" + stored_as.encode()


def schema_entry(view: PlanView) -> dict[bytes, bytes]:
    """What a writer of `view` puts into the catalog before it writes a row: with it the row is readable."""
    return {schema_field(fingerprint(view.fields)): msgspec.json.encode(view.fields)}


def view_entry(view: PlanView) -> dict[bytes, bytes]:
    """What the catalog holds of `view` once its rows are in the store."""
    return {view_field(view.stored_as): msgspec.json.encode(view, order="sorted")}


def parse_view(data: bytes) -> PlanView | None:
    """A view's definition out of the catalog; None where it does not parse."""
    try:
        return msgspec.json.decode(data, type=PlanView)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def same_rows(view: PlanView, stored: PlanView | None) -> bool:
    """Whether the rows that a store keeps under the `stored` definition are those that it would under `view`: written
    alike, and none of them gone by a shorter ttl.
    """
    if stored is None:
        return False
    keys, stored_keys = ([(key.key, key.dtype) for key in one.join_keys] for one in (view, stored))
    same_rule = (view.known_by, view.deleted_field) == (stored.known_by, stored.deleted_field)
    if view.rule.outlasts(stored.rule):
        return False
    return view.fields == stored.fields and same_rule and sorted(keys) == sorted(stored_keys)


def parse_schema(data: bytes) -> Schema:
    """A row schema out of the catalog. Raises: msgspec.MsgspecError."""
    return msgspec.json.decode(data, type=tuple[Field, ...])


def confirm(plan: Plan, catalog: Mapping[bytes, bytes | None]) -> None:
    """Whether every view of the plan means the same in the store. Raises: ContractMismatch, naming each difference."""
    found = []
    used = wanted_features(plan)
    for view in plan.views:
        entry = catalog.get(view_field(view.stored_as))
        try:
            stored = msgspec.json.decode(entry, type=PlanView) if entry else None
        except (msgspec.MsgspecError, UnicodeDecodeError):
            found.append(ViewDifference(view.stored_as, "the definition", "readable", "written by another version"))
            continue
        found += differences(view, stored, used[view.name])
    if found:
        raise ContractMismatch(plan.name, tuple(str(difference) for difference in found))
