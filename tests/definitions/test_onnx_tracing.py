"""Pure array functions become one graph; what is none is refused by name and line."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

from skewless.contract.columns import ColumnValues
from skewless.contract.model.transforms import TransformGraph
from skewless.contract.plan import (
    Field,
    Transform,
    TransformOutput,
)
from skewless.definitions.onnx_tracing import load_functions, trace
from skewless.runtime.errors import Untraceable
from tests.checkout import ROOT
from tests.definitions.traced_functions import COUNT, GOOD, HOUR, MEAN, RUSH, functions, plan


def traced(repo: Path, source: str, *transforms: Transform) -> bytes:
    return trace(plan(*(transforms or (RUSH,))), functions(repo, source))


def test_the_graph_gives_what_the_function_says(tmp_path: Path):
    graph = TransformGraph(plan(RUSH), traced(tmp_path, GOOD))
    mean = ColumnValues(np.array([1.5, 0.0, 2.0], np.float32), np.array([True, False, True]))
    hour = ColumnValues(np.array([8, 9, 10]), np.ones(3, bool))
    swell = graph.run({MEAN: mean, HOUR: hour})[TransformOutput("rush", "swell")]
    expected = np.array([1.5, np.nan, 2.0], np.float32) * np.sin(np.array([8.0, 9.0, 10.0])).astype(np.float32)
    np.testing.assert_allclose(swell.data, expected, rtol=1e-6)


def test_all_transforms_of_a_plan_are_one_graph(tmp_path: Path):
    calm = Transform(
        "calm", (("hour", HOUR), ("count", COUNT)), (Field("swell", "Float32"), Field("one", "Float32")), ""
    )
    source = f"""{GOOD}
def calm(*, hour, count):
    xp = hour.__array_namespace__()
    return {{"one": xp.astype(hour / hour, xp.float32), "swell": _narrow(xp, count - hour)}}

def _narrow(xp, x):
    return xp.astype(x, xp.float32)
"""
    assert sorted(functions(tmp_path, source)) == ["calm", "rush"]
    graph = TransformGraph(plan(RUSH, calm), traced(tmp_path, source, RUSH, calm))
    ones = np.ones(1, bool)
    given = {MEAN: ColumnValues(np.ones(1, np.float32), ones), HOUR: ColumnValues(np.array([2]), ones)}
    found = graph.run(given | {COUNT: ColumnValues(np.array([7]), ones)})
    assert {(s.transform, s.name): v.data.tolist() for s, v in found.items() if s.transform == "calm"} == {
        ("calm", "swell"): [5.0],
        ("calm", "one"): [1.0],
    }


def test_a_plan_without_transforms_has_no_graph(tmp_path: Path):
    assert trace(plan(), {}) is None
    assert load_functions(tmp_path) == {}


UNTRACEABLE = {
    "if on an array": (
        """
        def rush(mean, hour):
            if mean > 0:
                return {"swell": mean}
            return {"swell": hour}
        """,
        r"line 3 \(`if mean > 0:`\)",
    ),
    "a NumPy call": (
        """
        import numpy as np
        def rush(mean, hour):
            return {"swell": np.sin(mean)}
        """,
        r"line 4 \(`return {\"swell\": np.sin\(mean\)}`\)",
    ),
    "a loop over rows": (
        """
        def rush(mean, hour):
            return {"swell": [float(value) for value in mean]}
        """,
        "line 3",
    ),
    "an exception": (
        """
        def rush(mean, hour):
            return {"swell": mean / _none()}
        def _none():
            raise LookupError("no such table")
        """,
        r"line 5 .*LookupError: no such table",
    ),
    "a wrong dtype": ("def rush(mean, hour):\n    return {'swell': hour}", "line 1: output 'swell' is .*64"),
    "a wrong kind": ("def rush(mean, hour):\n    return {'swell': 1.5}", "line 1: output 'swell' is float"),
    "a matrix": (
        """
        def rush(mean, hour):
            return {"swell": mean[:, None] * mean[None, :]}
        """,
        "line 2: output 'swell' has 2 dimensions",
    ),
    "a missing output": ("def rush(mean, hour):\n    return {}", r"line 1: it returns \[\], .* declares \['swell'\]"),
    "one output too many": (
        "def rush(mean, hour):\n    return {'swell': mean, 'more': mean}",
        r"line 1: it returns \['more', 'swell'\]",
    ),
    "no mapping": ("def rush(mean, hour):\n    return mean", "line 1: it returns Array"),
    "other parameters": ("def rush(mean):\n    return {'swell': mean}", "TypeError: .*unexpected keyword .*'hour'"),
}


@pytest.mark.parametrize("what", UNTRACEABLE)
def test_what_cannot_be_traced_is_refused_by_name_and_line(tmp_path: Path, what: str):
    source, told = UNTRACEABLE[what]
    with pytest.raises(Untraceable, match=told) as refused:
        traced(tmp_path, source)
    assert refused.value.transform == "rush"
    assert "transform 'rush' of feature_repo/transforms.py" in str(refused.value)


@pytest.mark.parametrize("source", ["import no_such_thing", "1 / 0"])
def test_a_module_that_does_not_load_is_refused_by_its_line(tmp_path: Path, source: str):
    with pytest.raises(Untraceable, match=r"line 2 .*(no_such_thing|division by zero)"):
        functions(tmp_path, f"x = 1\n{source}")


def test_a_module_that_is_no_python_is_refused(tmp_path: Path):
    with pytest.raises(Untraceable, match=r"transforms\.py, line 1: SyntaxError"):
        functions(tmp_path, "def rush(:")


SAME = {
    "again": GOOD,
    "a comment": GOOD.replace("    return", "    # swells with the hour\n    return"),
    "another name inside": GOOD.replace("xp", "arrays"),
    "parameters in another order": GOOD.replace("mean, hour", "hour, mean"),
    "beside another function": GOOD + "\ndef other(hour):\n    return {}\n",
    "through a helper": GOOD.replace("xp.sin(hour)", "_sin(xp, hour)") + "\ndef _sin(xp, x):\n    return xp.sin(x)\n",
}
OTHER = {
    "another function": GOOD.replace("sin", "exp"),
    "another constant": GOOD.replace("xp.sin(hour)", "xp.sin(hour + 1)"),
    "yet another constant": GOOD.replace("xp.sin(hour)", "xp.sin(hour + 2)"),
    "another order of operations": GOOD.replace(
        "mean * xp.astype(xp.sin(hour)", "mean * xp.astype(xp.sin(hour * hour)"
    ),
    "through a helper": GOOD.replace("xp.sin(hour)", "_sin(xp, hour)") + "\ndef _sin(xp, x):\n    return xp.exp(x)\n",
}


def digest_of(repo: Path, source: str, transform: Transform = RUSH) -> str:
    return hashlib.sha256(trace(plan(transform), functions(repo, source)) or b"").hexdigest()


def test_the_digest_changes_with_the_function_and_only_then(tmp_path: Path):
    first = digest_of(tmp_path, GOOD)
    assert {name for name, source in SAME.items() if digest_of(tmp_path, source) != first} == set()
    others = [digest_of(tmp_path, source) for source in OTHER.values()]
    assert first not in others
    assert len(set(others)) == len(others) - 1, "one function, reached in two ways"
    renamed = msgspec.structs.replace(RUSH, inputs=(("mean", COUNT), ("hour", HOUR)))
    wide = GOOD.replace("mean * ", "xp.astype(mean, xp.float32) * ")
    assert digest_of(tmp_path, wide, renamed) != first


ELSEWHERE = """
import hashlib, sys
from pathlib import Path
from skewless.definitions.onnx_tracing import load_functions, trace
from tests.definitions import traced_functions as here
print(hashlib.sha256(trace(here.plan(here.RUSH), load_functions(Path(sys.argv[1])))).hexdigest())
"""


def test_the_digest_is_the_same_in_another_process(tmp_path: Path):
    here = digest_of(tmp_path, GOOD)
    command = [sys.executable, "-W", "ignore", "-c", ELSEWHERE, str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert ran.stdout.strip() == here
