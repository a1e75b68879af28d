"""The options of a run besides its window: its params, then the Airflow Variable named like its DAG (JSON), which serves
runs that an asset or the clock triggers; else the caller decides.

Held by tests/airflow/test_dags_of_models.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from skewless.contract.errors import SkewlessError

if TYPE_CHECKING:
    from airflow.sdk.definitions.param import ParamsDict
    from skewless.registry.model_registry import ModelRegistry

_WINDOW_PARAMS = ("start", "end")


@dataclass(eq=False)
class BadVariable(SkewlessError):
    """A DAG's Variable has a param that the DAG does not have, or a wrong value."""

    variable: str
    reason: str

    def __str__(self) -> str:
        return (
            f"the Airflow Variable {self.variable!r}, a JSON object of params of its DAG, cannot be used: {self.reason}"
        )


def run_options(context: Mapping[str, Any]) -> dict[str, Any]:
    """The options that are set for this run, by name. Raises: BadVariable."""
    from airflow.sdk import Variable

    params, name = context["dag"].params, context["dag"].dag_id
    try:
        variable = Variable.get(name, default={}, deserialize_json=True)
    except ValueError as error:
        raise BadVariable(name, str(error)) from None
    explicit = {
        key: value for key, value in context["params"].items() if key not in _WINDOW_PARAMS and value is not None
    }
    return _checked(params, name, variable) | explicit


def champion(model: str, registry: ModelRegistry) -> str:
    """The champion version of a model. Raises: AirflowSkipException where it is not published yet, or retired."""
    from airflow.sdk.exceptions import AirflowSkipException
    from skewless.model.publishing.rollout_steps import champion_version
    from skewless.runtime.errors import StepInputMissing

    confirm_not_retired(model, registry)
    try:
        return champion_version(registry, model)
    except StepInputMissing as error:
        raise AirflowSkipException(str(error)) from None


def confirm_not_retired(model: str, registry: ModelRegistry) -> None:
    """Raises: AirflowSkipException."""
    from airflow.sdk.exceptions import AirflowSkipException

    rollout = registry.rollout(model)
    if rollout is not None and rollout.retired is not None:
        raise AirflowSkipException(f"model {model!r} is retired: {rollout.retired}")


def _checked(params: ParamsDict, name: str, variable: object) -> dict[str, Any]:
    from airflow.sdk.exceptions import ParamValidationError

    if not isinstance(variable, dict):
        raise BadVariable(name, "it is not a JSON object")
    known = sorted(set(params) - set(_WINDOW_PARAMS))
    for key, value in variable.items():
        if key not in known:
            raise BadVariable(name, f"{key!r} is none of {', '.join(known)}")
        try:
            copy(params.get_param(key)).resolve(value)
        except ParamValidationError as error:
            raise BadVariable(name, f"{key!r}: {str(error).partition(chr(10))[0]}") from None
    return {key: value for key, value in variable.items() if value is not None}
