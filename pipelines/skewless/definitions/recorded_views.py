"""A feature view's definition as the state database records it: identified by its content, with its table and tags.

Held by tests/definitions/test_stored_names.py.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import msgspec

from skewless.contract.plan import PlanView
from skewless.contract.storage.stored_name import view_name
from skewless.definitions.compiled_views import CompiledView
from skewless.state.definition_records import DefinitionRecord


class _RecordedView(msgspec.Struct, frozen=True):
    view: CompiledView


class _PlanOfView(msgspec.Struct, frozen=True):
    plan: PlanView


class _RecordedPlan(msgspec.Struct, frozen=True):
    view: _PlanOfView


def definition_digest(view: PlanView) -> str:
    """SHA-256 of everything that decides a view's rows and how they are read; its names do not count."""
    keys = sorted((key.key, key.dtype) for key in view.join_keys)
    content = (keys, view.fields, view.ttl_us, view.known_by, view.deleted_field)
    return hashlib.sha256(msgspec.json.encode(content)).hexdigest()


def encode_view(view: CompiledView, data: Path) -> str:
    """A definition as JSON. A path below the data folder is relative to it, since machines may keep it in different places."""
    path = view.source.path
    table = replace(view.source, path=path.relative_to(data) if path.is_relative_to(data) else path)
    recorded = _RecordedView(replace(view, source=table))
    return msgspec.json.encode(recorded, enc_hook=str, order="sorted").decode()


def record_of(view: CompiledView, data: Path, at: datetime) -> DefinitionRecord:
    """The record of a definition that becomes current at `at`."""
    name, content = view.plan.stored_as, encode_view(view, data)
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
    """The inverse of `encode_view`."""
    view = msgspec.json.decode(text, type=_RecordedView, dec_hook=lambda _, path: Path(path)).view
    return replace(view, source=replace(view.source, path=data / view.source.path))
