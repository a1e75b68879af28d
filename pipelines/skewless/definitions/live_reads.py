"""What the published models that a rollout names read from the online store.

Held by tests/project/test_apply_change.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from skewless.contract.errors import InvalidPlan, UnsupportedType
from skewless.contract.model.assembler import wanted_features
from skewless.contract.model.bundle import PLAN
from skewless.contract.plan import Field, Plan, PlanView, differences
from skewless.contract.plan_validation import plan_from_json
from skewless.contract.rollout.rollout import Rollout
from skewless.registry.model_registry import ModelRegistry

PREVIOUS = "previous champion"
"""The role of the version that `skewless models rollback` brings back."""


@dataclass(frozen=True, slots=True)
class LiveRead:
    """One view as a model version reads it: the definition that it was trained on, and the features it uses."""

    model: str
    version: str
    role: str
    view: PlanView
    used: tuple[Field, ...]

    @property
    def reader(self) -> str:
        return f"{self.model} {self.version} ({self.role})"

    def survives(self, definition: PlanView) -> bool:
        """Whether a server goes on with the model if the view is stored by this definition."""
        return not self.changes(definition)

    def changes(self, definition: PlanView) -> list[str]:
        """How a definition differs from the one the model was trained on, in what the model uses."""
        return [
            f"{change.what} was {change.trained} and is {change.stored}"
            for change in differences(self.view, definition, self.used)
        ]


def live_reads(registry: ModelRegistry, project: str) -> list[LiveRead]:
    """The views read by every version that a rollout names, and by the champions that a rollback would bring back; a retired
    model reads nothing.

    A bundle whose plan cannot be read serves nothing, and reads nothing. Raises: RegistryUnreadable, InvalidRollout.
    """
    reads = []
    for model in registry.models():
        rollout = registry.rollout(model)
        for version, role in _roles(rollout).items() if rollout and rollout.retired is None else ():
            plan = _plan(registry, model, version)
            if plan is not None and plan.project == project:
                reads += list(_reads(model, version, role, plan))
    return reads


def _roles(rollout: Rollout) -> dict[str, str]:
    previous = {rollout.previous: PREVIOUS} if rollout.previous else {}
    return previous | dict(rollout.roles)


def _plan(registry: ModelRegistry, model: str, version: str) -> Plan | None:
    content = registry.file(model, version, PLAN)
    try:
        return plan_from_json(content, name=model) if content else None
    except (InvalidPlan, UnsupportedType):
        return None


def _reads(model: str, version: str, role: str, plan: Plan) -> Iterator[LiveRead]:
    used = wanted_features(plan)
    for view in plan.views:
        yield LiveRead(model, version, role, view, used[view.name])
