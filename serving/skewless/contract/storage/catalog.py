"""The catalog: the online store's metadata, one Redis hash per project beside the entities' hashes.

`view:NAME` holds a view's definition as of its last materialization, so that a server can refuse a model that was
trained on another one. `schema:FINGERPRINT` holds a row schema, so that rows of any age stay readable.
`reached:NAME` is the arrival time up to which all rows of a view are stored, as RFC 3339 in microseconds. It lies on the
server that has the rows, so a server that was emptied, or restored from an older copy, does not claim what it lost.
`removing:NAME` exists while a view's rows are being removed: readers find no rows then, and writers are refused.
`computed:NAME` is the digest of the transform by which the stored outputs of an on-demand view were computed.
`expiry` is whether the server itself removes rows long past their ttl, so that all writers agree (see `expiry_mode`).
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
    """The catalog field of the arrival time up to which all of a view's rows are in the store."""
    return b"reached:" + stored_as.encode()


def removal_field(stored_as: str) -> bytes:
    """The catalog field that exists while a view's rows are being removed."""
    return b"removing:" + stored_as.encode()


def computed_field(stored_as: str) -> bytes:
    """The catalog field of the digest of the transform that computed an on-demand view's stored outputs."""
    return b"computed:" + stored_as.encode()


def schema_entry(view: PlanView) -> dict[bytes, bytes]:
    """The catalog entry that a writer of `view` sets before it writes a row: it makes the row readable."""
    return {schema_field(fingerprint(view.fields)): msgspec.json.encode(view.fields)}


def view_entry(view: PlanView) -> dict[bytes, bytes]:
    """The catalog entry of `view` once its rows are in the store."""
    return {view_field(view.stored_as): msgspec.json.encode(view, order="sorted")}


def parse_view(data: bytes) -> PlanView | None:
    """Parse a view's definition from the catalog; None where it does not parse."""
    try:
        return msgspec.json.decode(data, type=PlanView)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def same_rows(view: PlanView, stored: PlanView | None) -> bool:
    """Whether the rows stored under the definition `stored` are those that `view` would have: equal in format, and none
    removed by a shorter ttl.
    """
    if stored is None:
        return False
    keys, stored_keys = ([(key.key, key.dtype) for key in defined.join_keys] for defined in (view, stored))
    same_rule = (view.known_by, view.deleted_field) == (stored.known_by, stored.deleted_field)
    if view.rule.outlasts(stored.rule):
        return False
    return view.fields == stored.fields and same_rule and sorted(keys) == sorted(stored_keys)


def parse_schema(data: bytes) -> Schema:
    """Parse a row schema from the catalog. Raises: msgspec.MsgspecError."""
    return msgspec.json.decode(data, type=tuple[Field, ...])


def confirm(plan: Plan, catalog: Mapping[bytes, bytes | None]) -> None:
    """Check that every view of the plan has the same definition in the store. Raises: ContractMismatch, naming each
    difference.
    """
    mismatches = []
    used = wanted_features(plan)
    for view in plan.views:
        entry = catalog.get(view_field(view.stored_as))
        try:
            stored = msgspec.json.decode(entry, type=PlanView) if entry else None
        except (msgspec.MsgspecError, UnicodeDecodeError):
            mismatches.append(
                ViewDifference(view.stored_as, "the definition", "readable", "written by another version")
            )
            continue
        mismatches += differences(view, stored, used[view.name])
    if mismatches:
        raise ContractMismatch(plan.name, tuple(str(difference) for difference in mismatches))
