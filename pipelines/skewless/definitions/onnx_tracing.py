"""Traces the transforms of a feature repository to one ONNX graph."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import ndonnx as ndx

from skewless.contract.model.transforms import input_dtype, inputs_of, reference
from skewless.contract.plan import ColumnSource, Plan, Transform
from skewless.definitions import repo_modules
from skewless.definitions.repo_modules import RepoModuleFailed
from skewless.runtime.errors import Untraceable

Function = Callable[..., Mapping[str, Any]]


def load_functions(repo: Path) -> dict[str, Function]:
    """The public functions of `repo/transforms.py` by name; none where the file is absent. Raises: Untraceable."""
    try:
        module = repo_modules.load(repo, "transforms")
    except RepoModuleFailed as error:
        raise Untraceable("*", error.reason) from error
    if module is None:
        return {}
    return {
        name: function
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if not name.startswith("_") and function.__module__ == module.__name__
    }


def trace(plan: Plan, functions: Mapping[str, Function]) -> bytes | None:
    """The ONNX model of all transforms of a plan: inputs and outputs are named by `reference`, each a vector of N rows.

    None for a plan without transforms. Raises: Untraceable.
    """
    if not plan.transforms:
        return None
    arguments: dict[ColumnSource, Any] = {}
    for source, dtype in inputs_of(plan):
        numpy = input_dtype(dtype, name=reference(source))
        arguments[source] = ndx.argument(shape=("N",), dtype=getattr(ndx, numpy.name))
    outputs: dict[str, Any] = {}
    for transform in plan.transforms:
        outputs |= _call(transform, functions[transform.name], arguments)
    graph: bytes = ndx.build({reference(s): a for s, a in arguments.items()}, outputs).SerializeToString()
    return graph


def _call(transform: Transform, function: Function, arguments: Mapping[ColumnSource, Any]) -> dict[str, Any]:
    try:
        outputs = function(**{name: arguments[source] for name, source in transform.inputs})
    except Exception as error:  # whatever the user's function, NumPy or ndonnx raise
        raise Untraceable(transform.name, f"{_place(error)}: {type(error).__name__}: {error}") from error
    declared = [field.name for field in transform.outputs]
    begins = f"line {function.__code__.co_firstlineno}"
    if not isinstance(outputs, Mapping) or sorted(outputs) != sorted(declared):
        got = sorted(outputs) if isinstance(outputs, Mapping) else type(outputs).__name__
        declares = f"its on-demand view declares {sorted(declared)}"
        raise Untraceable(transform.name, f"{begins}: it returns {got}, and {declares}")
    for name in declared:
        output = outputs[name]
        if not isinstance(output, ndx.Array) or output.dtype != ndx.float32:
            dtype = getattr(output, "dtype", type(output).__name__)
            raise Untraceable(transform.name, f"{begins}: output {name!r} is {dtype}; cast it to float32")
        if output.ndim > 1:
            raise Untraceable(transform.name, f"{begins}: output {name!r} has {output.ndim} dimensions, not one a row")
    return {f"{transform.name}__{name}": outputs[name] for name in declared}


def _place(error: Exception) -> str:
    """The line of transforms.py where tracing failed, for a message."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if Path(frame.filename).name == "transforms.py":
            return f"line {frame.lineno} (`{frame.line}`)"
    return "its call"
