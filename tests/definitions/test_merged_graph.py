"""The graphs of several transforms in one: the bits of each alone, with an input that both take given once."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import version_converter

from skewless.contract.columns import ColumnValues
from skewless.contract.errors import InvalidPlan
from skewless.contract.model.transforms import TransformGraph
from skewless.contract.plan import Field, Plan, RequestInput, Transform, TransformOutput
from skewless.definitions.merged_graph import merged_graph
from skewless.definitions.onnx_tracing import trace

HOUR, MILES = RequestInput("hour"), RequestInput("miles")
REQUEST = (Field("hour", "Float64"), Field("miles", "Float32"))
WAVE = Transform("wave", (("hour", HOUR), ("miles", MILES)), (Field("high", "Float32"),), "")
PLAIN = Transform("plain", (("hour", HOUR),), (Field("half", "Float32"), Field("wide", "Float32")), "")


def wave(hour, miles):
    xp = hour.__array_namespace__()
    return {"high": xp.sin(xp.astype(hour, xp.float32)) * miles}


def plain(hour):
    xp = hour.__array_namespace__()
    return {"half": xp.astype(hour / 2, xp.float32), "wide": xp.astype(xp.exp(hour), xp.float32)}


def plan(*transforms: Transform) -> Plan:
    taken = {source.name for transform in transforms for _, source in transform.inputs}
    return Plan("p", "", (), tuple(field for field in REQUEST if field.name in taken), transforms, ())


def graph(transform: Transform, function) -> bytes:
    return trace(plan(transform), {transform.name: function})


def outputs(plan_: Plan, model: bytes) -> dict[TransformOutput, np.ndarray]:
    rng = np.random.default_rng(1)
    values = {source: ColumnValues(rng.normal(size=100), np.ones(100, bool)) for source in (HOUR, MILES)}
    return {source: found.data.view("u4") for source, found in TransformGraph(plan_, model).run(values).items()}


def test_both_give_what_each_gives_alone():
    alone = outputs(plan(WAVE), graph(WAVE, wave)) | outputs(plan(PLAIN), graph(PLAIN, plain))
    model = merged_graph({"wave": graph(WAVE, wave), "plain": graph(PLAIN, plain)})
    onnx.checker.check_model(onnx.load_from_string(model))
    together = outputs(plan(WAVE, PLAIN), model)
    assert alone.keys() == together.keys()
    for source, bits in alone.items():
        np.testing.assert_array_equal(bits, together[source])


def test_one_stays_as_it_is_and_none_is_none():
    assert merged_graph({"wave": b"as it is"}) == b"as it is"
    assert merged_graph({}) is None


def test_graphs_for_different_operators_are_not_mixed():
    model = onnx.load_from_string(graph(PLAIN, plain))
    version = next(opset.version for opset in model.opset_import if opset.domain in ("", "ai.onnx"))
    other = version_converter.convert_version(model, version + 1).SerializeToString()
    with pytest.raises(InvalidPlan, match=r"'plain'.*run `skewless apply`"):
        merged_graph({"wave": graph(WAVE, wave), "plain": other})
