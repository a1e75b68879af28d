"""What a run may be told beside its window: by its params, else, since nobody gives params to a run that an asset or the
clock triggers, by the Airflow Variable that is named like its DAG, as JSON. What neither tells is as the project declares it.

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
    from skewless.project.model_specs import ModelDefaults
    from skewless.registry.model_registry import ModelRegistry

_OF_THE_WINDOW = ("start", "end")


@dataclass(eq=False)
class BadVariable(SkewlessError):
    """A Variable tells a DAG what it does not understand."""

    variable: str
    reason: str

    def __str__(self) -> str:
        return (
            f"the Airflow Variable {self.variable!r}, a JSON object of params of its DAG, cannot be used: {self.reason}"
        )


def choices(context: Mapping[str, Any]) -> dict[str, Any]:
    """What this run is told, by name. Raises: BadVariable."""
    from airflow.sdk import Variable

    params, name = context["dag"].params, context["dag"].dag_id
    try:
        kept = Variable.get(name, default={}, deserialize_json=True)
    except ValueError as error:
        raise BadVariable(name, str(error)) from None
    given = {key: value for key, value in context["params"].items() if key not in _OF_THE_WINDOW and value is not None}
    return _checked(params, name, kept) | given


def param(name: str) -> str:
    """How errors call the param of a DAG, beside the Variable that has it too."""
    return f"the DAG's param `{name}`"


def champion(declared: ModelDefaults, registry: ModelRegistry) -> tuple[str, str]:
    """The model of a run, by its params or else the project's only one, and the version that servers answer with.

    Raises: StepInputMissing where it has none, ModelNotNamed where the project declares several; AirflowSkipException
    where no model was named and none is declared, or published: nobody waits for one.
    """
    from airflow.sdk.exceptions import AirflowSkipException
    from skewless.model.publishing.rollout_steps import champion_version
    from skewless.runtime.errors import StepInputMissing

    if declared.model is None and not declared.specs.models:
        raise AirflowSkipException(f"no model was named and {declared.specs.path} declares none")
    model = declared.name(param("model"))
    try:
        return model, champion_version(registry, model)
    except StepInputMissing as error:
        if declared.model is not None:
            raise
        raise AirflowSkipException(str(error)) from None


def _checked(params: ParamsDict, name: str, kept: object) -> dict[str, Any]:
    from airflow.sdk.exceptions import ParamValidationError

    if not isinstance(kept, dict):
        raise BadVariable(name, "it is another kind of value")
    known = sorted(set(params) - set(_OF_THE_WINDOW))
    for key, value in kept.items():
        if key not in known:
            raise BadVariable(name, f"{key!r} is none of {', '.join(known)}")
        try:
            copy(params.get_param(key)).resolve(value)
        except ParamValidationError as error:
            raise BadVariable(name, f"{key!r}: {str(error).partition(chr(10))[0]}") from None
    return {key: value for key, value in kept.items() if value is not None}
