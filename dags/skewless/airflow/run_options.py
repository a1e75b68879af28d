"""What a run may be told beside its window: by its params, else, since nobody gives params to a run that an asset or the
clock triggers, by the Airflow Variable that is named like its DAG, as JSON. What neither tells is the verb's default.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from skewless.contract.errors import SkewlessError

if TYPE_CHECKING:
    from airflow.sdk.definitions.param import ParamsDict
    from skewless.contract.registry.model_registry import ModelRegistry

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


def champion(asked: Mapping[str, Any], registry: ModelRegistry) -> tuple[str, str]:
    """The model that a run is told, else the example's, and the version that servers answer with.

    Raises: StepInputMissing where it has none; AirflowSkipException where no model was told either: nobody waits for one.
    """
    from airflow.sdk.exceptions import AirflowSkipException
    from skewless.demo import task as example
    from skewless.model.publishing.rollout_steps import champion_version
    from skewless.runtime.errors import StepInputMissing

    model = asked.get("model", example.MODEL)
    try:
        return model, champion_version(registry, model)
    except StepInputMissing as error:
        if "model" in asked:
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
