"""Versions of models that are published: proven bundles.

Held by tests/sdk/test_model_verbs.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from skewless.sdk.arguments import BadArgument
from skewless.sdk.results import ShownResult

if TYPE_CHECKING:
    from skewless.contract.model.manifest import Manifest
    from skewless.model.publishing.graph_optimisation import GraphChanges
    from skewless.model.publishing.publish import PublishedBundle
    from skewless.sdk.session import ProjectSession


@dataclass(frozen=True, slots=True)
class PublishRequest:
    """What to publish under which name. `onnx` is a ready graph instead of the model trained here, with the features of its
    `inputs` and the `outputs` to return; `optimise` and `quantise` change the graph, and no score by more than
    `max_score_difference`.
    """

    model: str | None = None
    service: str | None = None
    version: str | None = None
    promote: bool = True
    onnx: bytes | None = None
    inputs: Mapping[str, Sequence[str]] = field(default_factory=dict)
    outputs: Sequence[str] = ()
    optimise: bool = False
    quantise: bool = False
    max_score_difference: float | None = None


@dataclass(frozen=True, slots=True, repr=False)
class PublishedVersion(ShownResult):
    """A published version: `created` says whether it is new, or the newest version was this model already. A notebook shows
    its card.
    """

    model: str
    version: str
    created: bool
    folder: Path
    manifest: Manifest
    notes: list[str] = field(default_factory=list)

    @property
    def metrics(self) -> dict[str, float]:
        """Its metrics on the test window; empty for a ready graph."""
        return self.manifest.metrics

    @property
    def card(self) -> str:
        """Its model card, an HTML page."""
        from skewless.contract.model.bundle import CARD

        return (self.folder / CARD).read_text()

    def lines(self) -> list[str]:
        """The result as text, line by line."""
        from skewless.model.training.train import format_metrics

        state = "proven and published" if self.created else "published before, unchanged"
        test = f"; test {format_metrics(self.metrics)}" if self.metrics else ""
        return [f"{self.model} {self.version} {state}{test}", *self.notes]

    def _repr_html_(self) -> str:
        from skewless.html.fragment import fragment, framed

        return fragment(self.lines()) + framed(self.card)


def graph_bytes(onnx: str | Path | bytes | None, argument: str) -> bytes | None:
    """The bytes of an ONNX graph, or of the file that holds it. Raises: BadArgument."""
    if onnx is None or isinstance(onnx, bytes):
        return onnx
    if not Path(onnx).is_file():
        raise BadArgument(argument, f"there is no file {onnx}")
    return Path(onnx).read_bytes()


def publish(session: ProjectSession, request: PublishRequest) -> PublishedVersion:
    """Publish a model as a bundle that proves itself. Raises: StepInputMissing, DefinitionsChanged, InvalidBundle,
    AlreadyPublished, RolloutRefused, ScoreGapTooLarge, ModelNotNamed; nothing is published then.
    """
    if request.max_score_difference is not None and not (request.optimise or request.quantise):
        of = " and ".join(map(session.spelled, ("optimise", "quantise")))
        raise BadArgument(session.spelled("max_score_difference"), f"is of {of}; name one of them")
    declared = session.declared(request.model, request.service)
    model = declared.name()
    service = request.service or declared.spec(session.spelled("service")).service
    with session.step("publish") as progress:
        from skewless.model.publishing.graph_optimisation import GraphChanges

        changes = GraphChanges(request.optimise, request.quantise, request.max_score_difference)
        done = _published(session, request, model, declared.training_set(service), changes)
        notes = [done.unexplained] if done.unexplained else []
        notes += _promoted(session, model, done) if request.promote else []
        if done.manifest.optimised is not None:
            notes.append(str(done.manifest.optimised))
        elif changes.optimise:
            notes.append("nothing of the graph can be optimised: it is published as it was")
        result = PublishedVersion(model, done.manifest.version, done.created, done.folder, done.manifest, notes)
        progress.result = result.lines()[0]
    return result


def _published(
    session: ProjectSession, request: PublishRequest, model: str, training: str, changes: GraphChanges
) -> PublishedBundle:
    from skewless.model.conversion.onnx_import import ImportOptions
    from skewless.model.publishing import publish as verb
    from skewless.model.publishing import rollout_steps
    from skewless.model.publishing.registry_upload import publishing
    from skewless.model.training.training_set import TrainingSet

    settings, when = session.settings, session.now()
    registry = settings.registry
    if request.promote:
        rollout_steps.require_active(registry, model)
    training_set = TrainingSet(settings.folders.training / training)
    with session.opened() as work:
        work.confirm(f"the model of training set {training}", training_set.plan)
    with publishing(registry, settings.folders.models, model) as built:
        deleted = rollout_steps.deleted_versions(registry, model)
        target = verb.VersionPlace(built, model, request.version, promote=False, deleted=deleted)
        if request.onnx is None:
            done = verb.run(training_set, target, created_at=when, changes=changes)
        else:
            options = ImportOptions(request.inputs, request.outputs)
            done = verb.run_onnx(request.onnx, training_set, target, created_at=when, options=options, changes=changes)
    return done


def _promoted(session: ProjectSession, model: str, done: PublishedBundle) -> list[str]:
    """Make the version the champion, unless it is an old one that was taken back; a note then."""
    from skewless.model.publishing import rollout_steps

    registry, version = session.settings.registry, done.manifest.version
    change = None if done.created else rollout_steps.demotion(registry, model, version)
    if change is None:
        author = rollout_steps.ChangeAuthor(rollout_steps.PUBLISH, session.now(), "published")
        rollout_steps.make_champion(registry, model, version, author)
        return []
    reason = f"{change.by} made another version the champion at {change.at} ({change.what}: {change.reason})"
    return [f"{version} stays back: {reason}; `skewless models promote {model} {version}`"]
