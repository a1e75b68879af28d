"""One historical retrieval compiled: which features under which names, joined to which rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import pyarrow as pa

from feast import OnDemandFeatureView
from feast.errors import FeatureNameCollisionError, RequestDataNotFoundInEntityDfException
from feast.utils import _parse_feature_ref
from skewless.contract.errors import InvalidPlan
from skewless.contract.model.assembler import wanted_features
from skewless.contract.plan import ModelColumn, Plan, PlanView, StoredFeature, TransformOutput
from skewless.contract.value_types import ValueType, value_type
from skewless.feast.entity_frame import EntityFrame
from skewless.feast.retrieval_job import AnswerPart
from skewless.feast.source_rows import schema_of
from skewless.offline.join.point_in_time import JoinedFeatures, PointInTimeJoin, answers, spine_column
from skewless.offline.tables.source import TableSource
from skewless.offline.values.arrow_answers import decided_by_values
from skewless.offline.values.column_types import numbers_as_text
from skewless.runtime.errors import SourceMissing, SpineMismatch
from skewless.runtime.settings import DEFAULT_JOIN_MEMORY

Reference = StoredFeature | TransformOutput


@dataclass(frozen=True, slots=True)
class PlannedRetrieval:
    """A join that is ready to run. The plan's columns are the stored features under their names in the answer."""

    plan: Plan
    sources: Mapping[str, TableSource]
    frame: EntityFrame
    memory: int = DEFAULT_JOIN_MEMORY

    def check(self, names: Mapping[Reference, str]) -> None:
        """Refuse before the join runs: a join key that is absent or of another type, a column named like a feature.

        Raises: SpineMismatch.
        """
        spine = self.frame.spine(self.plan.join_keys)
        for key in self.plan.join_keys:
            numbers = numbers_as_text(value_type(key.dtype), spine.schema.field(key.name).type)
            spine_column(spine, key.name, key.dtype, numbers=numbers and self._numbered(key.name))
        for name in names.values():
            if name in self.frame.table.column_names:
                raise SpineMismatch(name, "is also the name of a feature; rename it, or set full_feature_names=True")

    def _numbered(self, name: str) -> bool:
        """Whether each table has whole numbers under a key that is declared as text."""
        for view in self.plan.views:
            source = self.sources[view.name]
            for column in [source.column(key.key) for key in view.join_keys if key.name == name]:
                try:
                    held = schema_of(source)
                except SourceMissing:
                    return False
                if column not in held.names or not pa.types.is_integer(held.field(column).type):
                    return False
        return True

    def parts(self) -> Iterator[AnswerPart]:
        """The entity frame's rows and columns as they are, then the features: as many rows at a time as memory allows,
        and all of them where a feature's type is for its values to tell.

        Raises: SourceMissing, SourceMismatch.
        """
        spine = self.frame.spine(self.plan.join_keys)
        join = PointInTimeJoin(self.plan, self.sources, spine, statuses=False, memory=self.memory)
        blocks, types = join.blocks(), answer_types(join)
        wanted = [field for fields in wanted_features(self.plan).values() for field in fields]
        if any(decided_by_values(value_type(field.dtype)) for field in wanted):
            yield self._part(self.frame.table, answers(blocks), types)
            return
        for block in blocks:
            yield self._part(self.frame.table.slice(block.start, block.rows), answers([block]), types)

    def _part(self, table: pa.Table, made: JoinedFeatures, types: Mapping[StoredFeature, pa.DataType]) -> AnswerPart:
        for column in self.plan.columns:
            feature = cast(StoredFeature, column.source)
            answer = made.columns[feature]
            table = table.append_column(column.name, answer.cast(types.get(feature, answer.type)))
        return AnswerPart(table, made.waiting)


def answer_types(join: PointInTimeJoin) -> dict[StoredFeature, pa.DataType]:
    """Of floats and of lists of numbers the types that their tables hold, where those are wider: as Feast answers them.
    The values are the declared type's all the same, as online.
    """
    found = {}
    for one in join.views:
        for field in one.table.wanted:
            kind = value_type(field.dtype)
            wider = [stored for stored in one.table.stored(field.name) if _wider(kind, stored)]
            if wider:
                found[StoredFeature(one.view.name, field.name)] = max(wider, key=_width)
    return found


def _wider(kind: ValueType, stored: pa.DataType) -> bool:
    if pa.types.is_list(stored) and kind.shape == "array":
        inner = kind.inner[0]
        number = pa.types.is_integer(inner.arrow) or pa.types.is_floating(inner.arrow)
        return inner.shape == "scalar" and number and _width(stored) > inner.arrow.bit_width
    return bool(pa.types.is_float32(kind.arrow) and pa.types.is_float64(stored))


def _width(kind: pa.DataType) -> int:
    return int((kind.value_type if pa.types.is_list(kind) else kind).bit_width)


def check_request_data(frame: EntityFrame, on_demand: Sequence[OnDemandFeatureView]) -> None:
    """Raises: RequestDataNotFoundInEntityDfException (Feast's own), which Feast itself checks for pandas frames only."""
    for view in on_demand:
        for name in view.get_request_data_schema():
            if name not in frame.table.column_names:
                raise RequestDataNotFoundInEntityDfException(feature_name=name, feature_view_name=view.name)


def plan_of(project: str, views: Sequence[PlanView], names: Mapping[Reference, str]) -> Plan:
    """The plan of the stored features among `names`."""
    columns = tuple(ModelColumn(name, source) for source, name in names.items() if isinstance(source, StoredFeature))
    return Plan("historical features", project, tuple(views), (), (), columns)


def output_names(
    refs: Sequence[str], views: Sequence[PlanView], on_demand: Sequence[OnDemandFeatureView], *, full: bool
) -> dict[Reference, str]:
    """Every referenced feature, in order, and its column's name in the answer.

    Feast appends the inputs of on-demand views to the references in an order that differs from process to process;
    here those that end the list stand in the order of their views' definitions.
    Raises: InvalidPlan, FeatureNameCollisionError (Feast's own).
    """
    parsed = [_parsed(ref, views) for ref in refs]
    asked = list(dict.fromkeys(_settled(parsed, views, on_demand)))
    names: dict[Reference, str] = {}
    taken: dict[str, Reference] = {}
    for source in asked:
        owner = source.view if isinstance(source, StoredFeature) else source.transform
        name = f"{owner}__{source.name}" if full else source.name
        if name in taken:
            raise FeatureNameCollisionError([f"{owner}:{source.name}"], full)
        names[source], taken[name] = name, source
    return names


def _parsed(ref: str, views: Sequence[PlanView]) -> Reference:
    name, version, feature = _parse_feature_ref(ref)
    used = name if version is None else f"{name}@v{version}"
    for view in views:
        if view.name == used:
            if feature not in {field.name for field in view.fields}:
                raise InvalidPlan(ref, "the feature view has no such feature")
            return StoredFeature(used, feature)
    return TransformOutput(used, feature)


def _settled(
    asked: Sequence[Reference], views: Sequence[PlanView], on_demand: Sequence[OnDemandFeatureView]
) -> list[Reference]:
    inputs = {
        StoredFeature(projection.name_to_use(), field.name)
        for view in on_demand
        for projection in view.source_feature_view_projections.values()
        for field in projection.features
    }
    tail = len(asked)
    while tail and asked[tail - 1] in inputs:
        tail -= 1
    defined = [StoredFeature(view.name, field.name) for view in views for field in view.fields]
    return [*asked[:tail], *sorted(asked[tail:], key=defined.index)]  # type: ignore[arg-type]
