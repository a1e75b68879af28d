"""Plans a historical retrieval: which features under which column names, joined to which rows."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import pyarrow as pa
import pyarrow.compute as pc

from feast import OnDemandFeatureView
from feast.errors import FeatureNameCollisionError, RequestDataNotFoundInEntityDfException
from feast.utils import _parse_feature_ref
from skewless.contract.errors import InvalidPlan
from skewless.contract.model.assembler import wanted_features
from skewless.contract.plan import ModelColumn, Plan, PlanView, StoredFeature, TransformOutput
from skewless.contract.value_types import ValueType, value_type
from skewless.feast.entity_frame import EntityFrame
from skewless.feast.retrieval_job import ResultPart
from skewless.offline.join.point_in_time import JoinedFeatures, PointInTimeJoin, answers, spine_column
from skewless.offline.tables.columns import common_type
from skewless.offline.tables.source import TableSource
from skewless.offline.tables.view_rows import newest_schema
from skewless.offline.values.arrow_answers import decided_by_values
from skewless.offline.values.column_types import numbers_as_text
from skewless.runtime.errors import SourceMissing, SpineMismatch
from skewless.runtime.settings import DEFAULT_JOIN_MEMORY

Reference = StoredFeature | TransformOutput
_DECIMAL128_DIGITS, _DECIMAL256_DIGITS = 38, 76


@dataclass(frozen=True, slots=True)
class PlannedRetrieval:
    """A join that is ready to run. The plan's columns are the stored features by their names in the result."""

    plan: Plan
    sources: Mapping[str, TableSource]
    frame: EntityFrame
    memory: int = DEFAULT_JOIN_MEMORY

    def check(self, names: Mapping[Reference, str]) -> None:
        """Refuse, before the join runs, a join key that is absent or of another type, and a column named like a feature.

        Raises: SpineMismatch.
        """
        spine = self.frame.spine(self.plan.join_keys)
        for key in self.plan.join_keys:
            numbers = numbers_as_text(value_type(key.dtype), spine.schema.field(key.name).type)
            spine_column(spine, key.name, key.dtype, numbers=numbers and self._integers_stored(key.name))
        for name in names.values():
            if name in self.frame.table.column_names:
                raise SpineMismatch(name, "is also the name of a feature; rename it, or set full_feature_names=True")

    def _integers_stored(self, name: str) -> bool:
        """Whether a join key is integers in each table, for a key that is declared as a string."""
        for view in self.plan.views:
            source = self.sources[view.name]
            for column in [source.column(key.key) for key in view.join_keys if key.name == name]:
                try:
                    schema = newest_schema(source)
                except SourceMissing:
                    return False
                if column not in schema.names or not pa.types.is_integer(schema.field(column).type):
                    return False
        return True

    def parts(self) -> Iterator[ResultPart]:
        """The entity frame's columns unchanged, then the features: as many rows at a time as memory allows, and all rows
        at once where a feature's Arrow type depends on its values.

        Raises: SourceMissing, SourceMismatch.
        """
        spine = self.frame.spine(self.plan.join_keys)
        join = PointInTimeJoin(self.plan, self.sources, spine, statuses=False, memory=self.memory)
        blocks, types = join.blocks(), result_types(join)
        wanted = [field for fields in wanted_features(self.plan).values() for field in fields]
        if any(decided_by_values(value_type(field.dtype)) for field in wanted):
            yield self._part(self.frame.table, answers(blocks, types), types)
            return
        for block in blocks:
            yield self._part(self.frame.table.slice(block.start, block.rows), answers([block], types), types)

    def _part(self, table: pa.Table, joined: JoinedFeatures, types: Mapping[StoredFeature, pa.DataType]) -> ResultPart:
        for column in self.plan.columns:
            feature = cast(StoredFeature, column.source)
            values = joined.columns[feature]
            if pa.types.is_timestamp(values.type):
                # Feast's protos hold whole seconds, so its online answers do too.
                values = pc.floor_temporal(values, unit="second")
            table = table.append_column(column.name, values.cast(types.get(feature, values.type)))
        return ResultPart(table, joined.waiting)


def result_types(join: PointInTimeJoin) -> dict[StoredFeature, pa.DataType]:
    """The types of the tables' columns for floats and lists of numbers that are stored wider than declared: Feast returns
    these types. The values are still rounded to the declared type, as online. Decimals have a type that holds all of
    their tables', unless those hold them as texts; maps have the type of their tables, or are JSON texts where that has several.
    """
    types = {}
    for view in join.views:
        for field in view.table.wanted:
            kind, stored = value_type(field.dtype), view.table.stored(field.name)
            feature = StoredFeature(view.view.name, field.name)
            if wider := [arrow for arrow in stored if _wider(kind, arrow)]:
                types[feature] = max(wider, key=_width)
            elif stored and "Decimal" in kind.name and (decimals := _decimals(stored)) is not None:
                types[feature] = decimals
            elif decided_by_values(kind) and not all(map(pa.types.is_null, stored)):
                types[feature] = common_type(view.view.name, field.name, set(stored), kind)
    return types


def _decimals(stored: Sequence[pa.DataType]) -> pa.DataType | None:
    """The decimals, or lists of them, that hold those of all types; None where one is no decimal, or they have none."""
    lists = all(pa.types.is_list(arrow) for arrow in stored)
    inner = [arrow.value_type if lists else arrow for arrow in stored]
    if not all(pa.types.is_decimal(arrow) for arrow in inner):
        return None
    scale = max(0, *(arrow.scale for arrow in inner))
    digits = max(arrow.precision - arrow.scale for arrow in inner) + scale
    if digits > _DECIMAL256_DIGITS:
        return None
    kind = pa.decimal128(digits, scale) if digits <= _DECIMAL128_DIGITS else pa.decimal256(digits, scale)
    return pa.list_(kind) if lists else kind


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
    """Every referenced feature, in order, and its column's name in the result.

    Feast appends the inputs of on-demand views to the references in an order that differs between processes; here the
    ones at the end of the list are sorted by the order of their views' definitions.
    Raises: InvalidPlan, FeatureNameCollisionError (Feast's own).
    """
    known = _features(views)
    parsed = [_parsed(ref, known) for ref in refs]
    features = list(dict.fromkeys(_ordered(parsed, views, on_demand)))
    names: dict[Reference, str] = {}
    sources: dict[str, Reference] = {}
    for source in features:
        owner = source.view if isinstance(source, StoredFeature) else source.transform
        name = f"{owner}__{source.name}" if full else source.name
        if name in sources:
            raise FeatureNameCollisionError([f"{owner}:{source.name}"], full)
        names[source], sources[name] = name, source
    return names


def columns_of(refs: Sequence[str], views: Sequence[PlanView], names: Mapping[Reference, str]) -> dict[str, str]:
    """The columns of references, with the names that `output_names` gave them."""
    features = _features(views)
    return {ref: names[_parsed(ref, features)] for ref in refs}


def _features(views: Sequence[PlanView]) -> dict[str, frozenset[str]]:
    return {view.name: frozenset(field.name for field in view.fields) for view in views}


def _parsed(ref: str, features: Mapping[str, Collection[str]]) -> Reference:
    """A reference, by the features of each view; what is no view's is an on-demand view's."""
    name, version, feature = _parse_feature_ref(ref)
    qualified = name if version is None else f"{name}@v{version}"
    if qualified not in features:
        return TransformOutput(qualified, feature)
    if feature not in features[qualified]:
        raise InvalidPlan(ref, "the feature view has no such feature")
    return StoredFeature(qualified, feature)


def _ordered(
    references: Sequence[Reference], views: Sequence[PlanView], on_demand: Sequence[OnDemandFeatureView]
) -> list[Reference]:
    inputs = {
        StoredFeature(projection.name_to_use(), field.name)
        for view in on_demand
        for projection in view.source_feature_view_projections.values()
        for field in projection.features
    }
    tail = len(references)
    while tail and references[tail - 1] in inputs:
        tail -= 1
    defined = [StoredFeature(view.name, field.name) for view in views for field in view.fields]
    return [*references[:tail], *sorted(references[tail:], key=defined.index)]  # type: ignore[arg-type]
