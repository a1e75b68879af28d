"""Checks that the definitions a model was trained on are unchanged: the views, types, ttls and transforms of its plan."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from skewless.contract.errors import SkewlessError
from skewless.contract.model.assembler import wanted_features
from skewless.contract.plan import Plan, PlanView, Transform, differences


@dataclass(eq=False)
class DefinitionsChanged(SkewlessError):
    """The definitions differ from those that a model was trained on."""

    model: str
    differences: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"{self.model} was trained on other definitions than the registry has now: {'; '.join(self.differences)}. "
            "Train and publish it again, or apply the definitions that it was trained on"
        )


def confirm(
    model: str,
    plan: Plan,
    stored: Callable[[PlanView], PlanView | None],
    digests: Mapping[str, str] | None = None,
) -> None:
    """Refuse a plan whose features are defined differently now.

    `stored` returns the definition to compare a view with, or None; `digests` are those of the applied transforms by name,
    None where the plan's own graph is run. Raises: DefinitionsChanged, naming each difference.
    """
    changes = []
    for view in plan.views:
        used = wanted_features(plan)[view.name]
        changes += [str(change) for change in differences(view, stored(view), used, where="the registry")]
    if digests is not None:
        for transform in plan.transforms:
            changes += _transform_differences(transform, digests.get(transform.name))
    if changes:
        raise DefinitionsChanged(model, tuple(changes))


def _transform_differences(transform: Transform, now: str | None) -> list[str]:
    if now is None:
        return [f"transform {transform.name}: its graph was {transform.digest[:12]} in training and is absent now"]
    if now == transform.digest:
        return []
    # Another version of ndonnx may write the same function as another graph: then only a new training settles it.
    return [f"transform {transform.name}: its graph was {transform.digest[:12]} in training and is {now[:12]} now"]
