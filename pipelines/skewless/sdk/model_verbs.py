"""What a project does with its models: training sets, training, versions, predictions, scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from skewless.sdk.arguments import Instant
from skewless.sdk.frames import Rows
from skewless.sdk.model_rows import Spine
from skewless.sdk.session import ProjectSession

if TYPE_CHECKING:
    from skewless.contract.storage.served_row import Role
    from skewless.project.learner import ParameterValue
    from skewless.sdk.predictions import Explanation, PredictClient, Predictions
    from skewless.sdk.publishing import PublishedVersion
    from skewless.sdk.rollouts import ModelRollouts
    from skewless.sdk.scoring import RetrainedModel, ScoredRows
    from skewless.sdk.served import AuditReport, DriftReport
    from skewless.sdk.training import BuiltTrainingSet, FittedModel, JoinExplanation


class ModelVerbs:
    """The part of a `Project` that is about its models."""

    def __init__(self, session: ProjectSession) -> None:
        """For a session that exists; see `Project.open`."""
        self._session = session

    @cached_property
    def models(self) -> ModelRollouts:
        """The published models: which versions answer, canaries, shadows, rollbacks."""
        from skewless.sdk.rollouts import ModelRollouts

        return ModelRollouts(self._session)

    @cached_property
    def _servers(self) -> PredictClient:
        from skewless.sdk.predictions import PredictClient

        return PredictClient(self._session)

    def training_set(
        self,
        spine: Spine | None = None,
        *,
        model: str | None = None,
        service: str | None = None,
        start: Instant | None = None,
        end: Instant | None = None,
        as_served: str | None = None,
        keep: bool = True,
    ) -> BuiltTrainingSet:
        """Join rows to a feature service as of each row's time.

        `spine`: a pandas or Polars frame, an Arrow table, a DuckDB relation, the name of a table, or a file. Of a frame all
        rows are joined, of others those with start <= event_timestamp < end. `as_served` joins as a store on a schedule,
        every=1h,delay=5m. The result is what `train` takes from now on, unless `keep` is off.
        Raises: SpineMissing, SpineMismatch, EmptyWindow, SourceMissing, SourceMismatch, InvalidPlan, ModelNotDeclared.
        """
        from skewless.sdk import training

        request = training.TrainingSetRequest(spine, model, service, start, end, as_served)
        return training.build(self._session, request, keep=keep)

    def explain(
        self,
        spine: Spine | None = None,
        *,
        model: str | None = None,
        service: str | None = None,
        start: Instant | None = None,
        end: Instant | None = None,
    ) -> JoinExplanation:
        """What `training_set` would read and hold in memory; nothing is joined. Raises: as `training_set`."""
        from skewless.sdk import training

        return training.explain(self._session, training.TrainingSetRequest(spine, model, service, start, end))

    def train(
        self,
        *,
        model: str | None = None,
        service: str | None = None,
        label: str | None = None,
        start: Instant | None = None,
        validate: Instant | None = None,
        test: Instant | None = None,
        end: Instant | None = None,
        parameters: Mapping[str, ParameterValue] | None = None,
    ) -> FittedModel:
        """Train on the training set that was joined last: on [start, validate), early stopping on [validate, test), test on
        [test, end). `parameters` replace those of the declared learner.
        Raises: StepInputMissing, EmptyWindow, WindowOrder, BadLearner, BadLabels, ModelNotDeclared.
        """
        from skewless.sdk import training
        from skewless.sdk.model_rows import GivenWindows

        windows = GivenWindows(start, validate, test, end)
        return training.train(self._session, model, service, label, windows, parameters or {})

    def publish(
        self,
        *,
        model: str | None = None,
        service: str | None = None,
        version: str | None = None,
        promote: bool = True,
        onnx: str | Path | bytes | None = None,
        inputs: Mapping[str, Sequence[str]] | None = None,
        outputs: Sequence[str] = (),
        optimise: bool = False,
        quantise: bool = False,
        max_score_difference: float | None = None,
    ) -> PublishedVersion:
        """Publish the model that was trained last, or a ready `onnx` graph, as a bundle that proves itself; `promote` makes it
        the version that servers answer with. `version` as 1.2.0, by default the next minor one.

        `inputs` are the features of the graph's inputs, `outputs` those to return. `optimise` and `quantise` change the
        graph, and refuse where a score moves by more than `max_score_difference`.
        Raises: StepInputMissing, DefinitionsChanged, AlreadyPublished, InvalidBundle, ModelMismatch, ScoreGapTooLarge.
        """
        from skewless.sdk import publishing

        graph = publishing.graph_bytes(onnx, self._session.spelled("onnx"))
        request = publishing.PublishRequest(
            model, service, version, promote, graph, inputs or {}, outputs, optimise, quantise, max_score_difference
        )
        return publishing.publish(self._session, request)

    def predict(
        self,
        rows: Rows,
        *,
        model: str | None = None,
        version: str | None = None,
        as_of: Instant | None = None,
        explain: Explanation | None = None,
        url: str | None = None,
    ) -> Predictions:
        """The scores of rows, by a prediction server over HTTP. Rows name the join keys and request inputs of the model.

        `url` is the address of a running server. Without one the project's own is started beside this process, and ends
        with it. Its answers are in the served log as all are. `as_of` asks about that time, where the server allows it; what
        was served in the past is what `score` gives.
        `version` must be pinned. Raises: PredictionDenied, PredictServerUnreachable, ModelNotServable, StepInputMissing.
        """
        return self._servers.predict(rows, model=model, version=version, as_of=as_of, explain=explain, url=url)

    def serve(self, *, model: str | None = None) -> str:
        """Start the project's own prediction server, as `predict` does; its address. Raises: as `predict`."""
        return self._servers.own_server(self._session.declared(model).name())

    def score(
        self,
        spine: Spine | None = None,
        *,
        model: str | None = None,
        version: str | None = None,
        start: Instant | None = None,
        end: Instant | None = None,
        out: str | Path | None = None,
        write_to: str | None = None,
        created: Instant | None = None,
        take: Mapping[str, str] | None = None,
    ) -> ScoredRows:
        """Score rows as of each row's time, as the server would have answered then; the scores go to the folder `out`, and to
        the table of the feature view `write_to`: its features `take` outputs, known since `created`.

        `spine`: as for `training_set`; by default the model's test window. Raises: StepInputMissing, DefinitionsChanged,
        SpineMissing, SpineMismatch, EmptyWindow, ScoringUnderWay.
        """
        from skewless.sdk import scoring

        request = scoring.ScoreRequest(spine, model, version, start, end, out, write_to, created, take or {})
        return scoring.score(self._session, request)

    def retrain(
        self,
        *,
        model: str | None = None,
        service: str | None = None,
        spine: Spine | None = None,
        label: str | None = None,
        until: Instant | None = None,
        window: str | None = None,
        as_served: str | None = None,
        margin: float | None = None,
        canary: float | None = None,
    ) -> RetrainedModel:
        """Train anew on windows that end at `until` (their lengths as 212d,30d,92d) and compare with the champion. A candidate
        is better by more than the `margin` in logloss; it is then tried on the share `canary` of entities (0: on none).
        Raises: StepInputMissing where no version is published, SpineMissing, EmptyWindow, BadTrainingWindow.
        """
        from skewless.sdk import scoring

        request = scoring.RetrainRequest(model, service, spine, label, until, window, as_served, margin, canary)
        return scoring.retrain(self._session, request)

    def audit(
        self,
        *,
        model: str | None = None,
        version: str | None = None,
        role: Role | None = None,
        since: Instant | None = None,
        until: Instant | None = None,
        html: str | Path | None = None,
        json: str | Path | None = None,
        prom: str | Path | None = None,
    ) -> AuditReport:
        """Replay the predictions that were served in [since, until) through the training join, and compare them bit for bit.

        Of all times, of the champion, in any `role`, if nothing is said. The report's files (`html`, `json`, `prom`) go to
        the state folder by default. Raises: StepInputMissing, InvalidBundle, SourceMissing, SourceMismatch.
        """
        from skewless.sdk import served

        request = served.ServedSelection(model, version, role, since, until)
        return served.audit(self._session, request, served.report_files(html, json, prom))

    def drift(
        self,
        *,
        model: str | None = None,
        version: str | None = None,
        since: Instant | None = None,
        until: Instant | None = None,
        html: str | Path | None = None,
        json: str | Path | None = None,
        prom: str | Path | None = None,
    ) -> DriftReport:
        """Compare inputs and scores that were served in [since, until) with training. Files as for `audit`.
        Raises: StepInputMissing, InvalidBundle, BadThresholds.
        """
        from skewless.sdk import served

        request = served.ServedSelection(model, version, None, since, until)
        return served.drift(self._session, request, served.report_files(html, json, prom))
