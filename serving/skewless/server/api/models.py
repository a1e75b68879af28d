"""`GET /v1/models` and `GET /v1/models/{name}`: the served models, their inputs and their training."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel, Field

from skewless.contract.columns import Schema
from skewless.contract.plan import Plan
from skewless.contract.timestamps import SECOND_US
from skewless.server.errors import ModelNotReady, ModelRetired, UnknownModel
from skewless.server.predict.request import sample_row
from skewless.server.rollout.role_assignment import ModelState
from skewless.server.service import PredictService


class ModelSummary(BaseModel):
    """One model; `version` is its champion."""

    name: str
    version: str | None
    ready: bool
    reason: str | None


class ModelList(BaseModel):
    models: list[ModelSummary]


class RowInput(BaseModel):
    """A field of a request's row; `type` is Feast's."""

    name: str
    type: str


class ModelInputs(BaseModel):
    join_keys: list[RowInput]
    request: list[RowInput]


class ViewFeatures(BaseModel):
    """A feature view and the features that the model reads. `ttl_seconds` 0: values do not age."""

    name: str
    ttl_seconds: float
    known_by: str
    features: list[RowInput]


class TrainingSummary(BaseModel):
    """Times are ISO 8601."""

    start: str
    end: str
    rows: int
    metrics: dict[str, float]


class ModelDescription(ModelSummary):
    """A model version; `contract` is the fingerprint of its plan.

    `exact` is false where its golden rows matched only within the bundle's tolerance, on another processor than the
    one that published it.
    """

    created_at: str
    contract: str
    exact: bool
    inputs: ModelInputs
    columns: list[str]
    views: list[ViewFeatures]
    training: TrainingSummary
    example: dict[str, str | int | float | bool | None] = Field(description="A row that fits, to fill in.")


def routes(service: PredictService) -> APIRouter:
    """The routes, bound to a service."""
    router = APIRouter(prefix="/v1/models", tags=["models"])

    @router.get("", summary="All models")
    async def listing() -> ModelList:
        return ModelList(models=[_summary(name, state) for name, state in service.models.states.items()])

    @router.get("/{name}", summary="One model: its inputs, columns and contract")
    async def description(name: str) -> ModelDescription:
        state = service.models.states.get(name)
        if state is None:
            raise UnknownModel(name)
        if state.retired is not None:
            raise ModelRetired(name, state.retired)
        return _description(name, state)

    return router


def _summary(name: str, state: ModelState) -> ModelSummary:
    return ModelSummary(name=name, version=state.version, ready=state.reason is None, reason=state.reason)


def _description(name: str, state: ModelState) -> ModelDescription:
    if state.champion is None:
        raise ModelNotReady(name, state.reason or "it has no champion")
    bundle = state.champion.predictor.bundle
    plan, manifest = bundle.plan, bundle.manifest
    return ModelDescription(
        **_summary(name, state).model_dump(),
        created_at=manifest.created_at,
        contract=manifest.contract,
        exact=bundle.exact,
        inputs=ModelInputs(
            join_keys=[RowInput(name=key.name, type=key.dtype) for key in plan.join_keys],
            request=[RowInput(name=field.name, type=field.dtype) for field in plan.request],
        ),
        columns=list(bundle.assembler.names),
        views=_views(plan, bundle.assembler.wanted),
        training=TrainingSummary(
            start=manifest.training_start,
            end=manifest.training_end,
            rows=manifest.training_rows,
            metrics=manifest.metrics,
        ),
        example=sample_row(plan),
    )


def _views(plan: Plan, wanted: dict[str, Schema]) -> list[ViewFeatures]:
    return [
        ViewFeatures(
            name=view.name,
            ttl_seconds=view.ttl_us / SECOND_US,
            known_by=view.known_by,
            features=[RowInput(name=field.name, type=field.dtype) for field in wanted[view.name]],
        )
        for view in plan.views
    ]
