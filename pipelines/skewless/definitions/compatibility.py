"""What became of the definitions that a model was trained on: the views, types, ttls and transforms of its plan."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from skewless.contract.errors import SkewlessError
from skewless.contract.model.assembler import wanted_features
from skewless.contract.plan import Plan, PlanView, Transform, differences
from skewless.definitions.onnx_tracing import Function, digest
from skewless.runtime.errors import Untraceable


@dataclass(eq=False)
class DefinitionsChanged(SkewlessError):
    """The definitions are no longer those that a model was trained on."""

    model: str
    differences: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"{self.model} was trained on other definitions than the registry holds: {'; '.join(self.differences)}. "
            "Train and publish it again, or apply the definitions of its training"
        )


def confirm(
    model: str, plan: Plan, stored: Callable[[str], PlanView | None], functions: Mapping[str, Function]
) -> None:
    """Refuse a plan whose features mean something else by now.

    `stored` gives the registry's view of a name, or None; `functions` are the transforms of the feature repository.
    Raises: DefinitionsChanged, naming each difference.
    """
    found = []
    for view in plan.views:
        used = wanted_features(plan)[view.name]
        found += [str(one) for one in differences(view, stored(view.stored_as), used, where="the registry")]
    for transform in plan.transforms:
        found += _transform_differs(transform, plan, functions)
    if found:
        raise DefinitionsChanged(model, tuple(found))


def _transform_differs(transform: Transform, plan: Plan, functions: Mapping[str, Function]) -> list[str]:
    if transform.name not in functions:
        return [f"transform {transform.name}: its function was in feature_repo/transforms.py and is absent now"]
    try:
        now = digest(transform, plan, functions)
    except Untraceable as error:
        return [f"transform {transform.name}: it cannot be traced as it was ({error.reason})"]
    if now == transform.digest:
        return []
    # Another ndonnx may write the same function as another graph: then nothing but a training tells.
    return [f"transform {transform.name}: its graph was {transform.digest[:12]} in training and is {now[:12]} now"]
