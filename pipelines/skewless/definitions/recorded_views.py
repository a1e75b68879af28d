"""A feature view's definition as the state database records it: identified by its content, with its table and tags.

Held by tests/definitions/test_stored_names.py.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from skewless.contract.plan import PlanView
from skewless.contract.storage.stored_name import view_name
from skewless.definitions.compiled_views import CompiledView
from skewless.state.definition_records import DefinitionRecord

if TYPE_CHECKING:
    from feast.data_source import DataSource


class _RecordedView(msgspec.Struct, frozen=True):
    """`remote` is Feast's message of a source in object storage, which is opened by Feast's own settings."""

    view: CompiledView
    remote: str | None = None


class _PlanOfView(msgspec.Struct, frozen=True):
    plan: PlanView


class _RecordedPlan(msgspec.Struct, frozen=True):
    view: _PlanOfView


def definition_digest(view: PlanView) -> str:
    """SHA-256 of everything that decides a view's rows and how they are read; its names do not count."""
    keys = sorted((key.key, key.dtype) for key in view.join_keys)
    content = (keys, view.fields, view.ttl_us, view.known_by, view.deleted_field)
    return hashlib.sha256(msgspec.json.encode(content)).hexdigest()


def encode_view(view: CompiledView, data: Path, source: DataSource | None = None) -> str:
    """A definition as JSON. A path below the data folder is relative to it, since machines may keep it in different places.

    `source` is the view's source in Feast, needed where its table is in object storage.
    """
    path = view.source.path
    table = replace(view.source, path=path.relative_to(data) if path.is_relative_to(data) else path, remote=None)
    message = source.to_proto().SerializeToString() if source is not None and view.source.remote is not None else None
    recorded = _RecordedView(replace(view, source=table), base64.b64encode(message).decode() if message else None)
    return msgspec.json.encode(recorded, enc_hook=str, order="sorted").decode()


def record_of(view: CompiledView, data: Path, at: datetime, source: DataSource | None = None) -> DefinitionRecord:
    """The record of a definition that becomes current at `at`."""
    name, content = view.plan.stored_as, encode_view(view, data, source)
    return DefinitionRecord(view_name(name), name, definition_digest(view.plan), content, at)


def decode_plan(text: str) -> PlanView:
    """The plan alone of what `encode_view` made."""
    return msgspec.json.decode(text, type=_RecordedPlan).view.plan


def with_plan(text: str, plan: PlanView) -> str:
    """What `encode_view` made, with another plan."""
    recorded = msgspec.json.decode(text)
    recorded["view"]["plan"] = msgspec.to_builtins(plan)
    return msgspec.json.encode(recorded, order="sorted").decode()


def decode_view(text: str, data: Path) -> CompiledView:
    """The inverse of `encode_view`. Raises: InvalidPlan where a table in object storage cannot be opened."""
    recorded = msgspec.json.decode(text, type=_RecordedView, dec_hook=lambda _, path: Path(path))
    view = recorded.view
    if recorded.remote is None:
        return replace(view, source=replace(view.source, path=data / view.source.path))
    from feast.data_source import DataSource  # noqa: PLC0415 - a local table is read without Feast
    from feast.protos.feast.core.DataSource_pb2 import DataSource as SourceMessage  # noqa: PLC0415

    from skewless.definitions.file_source import table_of  # noqa: PLC0415

    source = DataSource.from_proto(SourceMessage.FromString(base64.b64decode(recorded.remote)))
    return replace(view, source=table_of(view.plan.name, source, data))
