"""Law 5: a bundle that does not score its own golden rows is refused, naming the row and the gap."""

from __future__ import annotations

import ndonnx as ndx
import numpy as np
import pyarrow as pa
import pytest

from skewless.contract.columns import ColumnValues
from skewless.contract.model import bundle as b
from skewless.contract.model.matrix_scorer import ScoreOutput
from skewless.contract.model.signature import MODEL_INPUT, SCORE
from skewless.contract.plan import StoredFeature
from skewless.registry.bundle_folder import open_bundle
from tests.models.bundles import ELSEWHERE, ROWS, refused, regild, republish
from tests.models.flight_plan import PLAN
from tests.models.graphs import model, traced
from tests.tables.arrays import as_values


def test_another_model_does_not_score_its_golden_rows(folder):
    republish(folder, b.MODEL, model(3, scale=1.5))
    refused(folder, "golden row", "its score differs", "greatest gap")


def test_other_transforms_do_not_give_the_golden_input(folder):
    other = traced(PLAN, {"clock": lambda hour, delay: {"sine": ndx.cos(hour), "late": delay}})
    republish(folder, b.TRANSFORMS, other)
    refused(folder, "golden row", "its model input differs")


def test_a_model_that_does_not_run_is_refused(folder):
    republish(folder, b.MODEL, model(3, rows=7))
    refused(folder, "do not score")


def test_a_wrong_output_is_refused(folder):
    republish(folder, output=ScoreOutput("nothing", 1))
    refused(folder, "no output 'nothing'")


def scores_off_by(gap: float, *, row: int = 5):
    def change(table: pa.Table) -> pa.Table:
        scores = table[SCORE].to_numpy().copy()
        scores[row] += np.float32(gap)
        return table.set_column(table.schema.get_field_index(SCORE), SCORE, pa.array(scores))

    return change


def test_a_changed_golden_score_is_named_by_row_and_gap(folder):
    regild(folder, scores_off_by(0.25))
    refused(folder, "golden row 5", "score", "gap 0.25", "allowed 0)")


@pytest.mark.parametrize("gap", [1e-6, 1e-7])
def test_a_last_bit_is_refused_here_and_told_elsewhere(folder, gap):
    regild(folder, scores_off_by(gap))
    refused(folder, "golden row 5", "allowed 0)")
    assert not open_bundle(folder, ELSEWHERE).exact


def test_beyond_the_tolerance_it_is_refused_everywhere(folder):
    regild(folder, scores_off_by(1e-3))
    refused(folder, "golden row 5", "allowed 1e-05", processor=ELSEWHERE)


def input_with(old: float, new: float):
    """Golden rows whose model inputs of `old` are `new`."""

    def change(table: pa.Table) -> pa.Table:
        flat = table[MODEL_INPUT].combine_chunks().flatten().to_numpy().copy()
        flat[(flat == old) | (np.isnan(flat) & np.isnan(old))] = new
        inputs = pa.FixedSizeListArray.from_arrays(pa.array(flat), len(PLAN.columns))
        return table.set_column(table.schema.get_field_index(MODEL_INPUT), MODEL_INPUT, inputs)

    return change


def test_the_sign_of_a_zero_counts_where_bits_are_demanded(folder):
    regild(folder, input_with(0.0, -0.0))
    refused(folder, "model input differs")
    assert not open_bundle(folder, ELSEWHERE).exact


def test_a_nan_of_other_bits_is_refused_here_and_passes_elsewhere(folder):
    other_nan = np.frombuffer(np.uint32(0xFFC00000).tobytes(), "<f4")[0]
    regild(folder, input_with(np.nan, other_nan))
    refused(folder, "model input differs")
    assert not open_bundle(folder, ELSEWHERE).exact


def test_a_nan_for_a_number_is_refused_everywhere(folder):
    regild(folder, input_with(np.nan, 1.0))
    refused(folder, "model input differs")
    refused(folder, "model input differs", processor=ELSEWHERE)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda t: t.slice(0, 0), "no rows"),
        (lambda t: t.drop_columns([SCORE]), "plan's values"),
        (lambda t: t.drop_columns([MODEL_INPUT]), "plan's values"),
        (lambda t: t.drop_columns(["aircraft__delay"]), "plan's values"),
        (lambda t: retyped(t, MODEL_INPUT, pa.array(["x"] * ROWS)), "plan's values"),
        (lambda t: retyped(t, MODEL_INPUT, pa.array([[1.0]] * ROWS)), "plan's values"),
        (lambda t: retyped(t, MODEL_INPUT, pa.array([None] * ROWS, pa.list_(pa.float32(), 3))), "lacks"),
        (lambda t: retyped(t, SCORE, pa.array(["x"] * ROWS)), "plan's values"),
        (lambda t: retyped(t, SCORE, pa.array([None] * ROWS, pa.float32())), "lacks"),
        (lambda t: retyped(t, "hour", pa.array(["x"] * ROWS)), "plan's values"),
    ],
)
def test_golden_rows_of_another_form_are_refused(folder, change, told):
    regild(folder, change)
    refused(folder, b.GOLDEN, told)


def retyped(table: pa.Table, name: str, column: pa.Array) -> pa.Table:
    return table.set_column(table.schema.get_field_index(name), name, column)


def test_values_out_of_a_table_are_those_that_went_in():
    column = as_values("Int64", [1, None, 2**53 + 1])
    table = pa.table({"aircraft__seats": pa.chunked_array([pa.array([1]), pa.array([None, 2**53 + 1], pa.int64())])})
    (found,) = b.untransformed_values(PLAN, [StoredFeature("aircraft", "seats")], table).values()
    assert isinstance(found, ColumnValues)
    assert found.data.tobytes() == column.data.tobytes()
    assert found.valid.tolist() == [True, False, True]
