"""Recognises definitions that were applied before and superseded since, as an older checkout has them.

Held by tests/definitions/test_definition_change.py.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from google.protobuf.message import Message

from skewless.contract.errors import SkewlessError
from skewless.state.definition_records import AppliedObjects

if TYPE_CHECKING:
    from feast.repo_contents import RepoContents

_KINDS = {
    "entity": "entities",
    "feature view": "feature_views",
    "stream feature view": "stream_feature_views",
    "on-demand feature view": "on_demand_feature_views",
    "feature service": "feature_services",
}
_VOLATILE = {("DataSource", "meta"), ("UserDefinedFunctionV2", "body"), ("UserDefinedFunction", "body")}
_TRANSFORMS = "transforms.py"
_SERVICE = "feature service "
"""A service lists its views' features: it is as it was before whenever a view loses a feature that it had gained."""


@dataclass(eq=False)
class OlderDefinitions(SkewlessError):
    """The definitions to apply were applied before and superseded since."""

    objects: tuple[str, ...]
    superseded_at: str
    superseded_by: str

    def __str__(self) -> str:
        return (
            f"these definitions were applied before, and {self.superseded_by} applied newer ones at "
            f"{self.superseded_at}: {', '.join(self.objects)} would go back. If this is an older checkout, update it and "
            "apply that; `skewless apply --force` goes back all the same. Nothing was changed"
        )


_confirmed: ContextVar[bool] = ContextVar("confirmed", default=False)


@contextmanager
def confirmed_already() -> Iterator[None]:
    """In this block definitions are confirmed and recorded by who applies them: Feast's `apply` need not."""
    token = _confirmed.set(True)
    try:
        yield
    finally:
        _confirmed.reset(token)


def confirmed() -> bool:
    """Whether this is such a block."""
    return _confirmed.get()


def object_name(kind: str, name: str) -> str:
    """What a definition is called among the applied ones."""
    return f"{kind} {name}"


def object_digests(contents: RepoContents, repo: Path, *, transforms: bool = True) -> dict[str, str]:
    """The digest of each definition of a feature repository, by its kind and name, and with `transforms` of its functions."""
    digests = {
        object_name(kind, definition.name): hashlib.sha256(_content(definition)).hexdigest()
        for kind, member in _KINDS.items()
        for definition in getattr(contents, member)
    }
    functions = repo / _TRANSFORMS
    if transforms and functions.is_file():
        digests[_TRANSFORMS] = hashlib.sha256(functions.read_bytes()).hexdigest()
    return digests


def confirm_newer(history: Sequence[AppliedObjects], objects: Mapping[str, str]) -> None:
    """Refuse definitions of which a view, a transform or an entity, or the whole, equals an earlier and superseded state.

    Raises: OlderDefinitions.
    """
    if not history or history[-1].objects == objects:
        return
    own = {name: digest for name, digest in objects.items() if not name.startswith(_SERVICE)}
    back = [name for name, digest in own.items() if _superseded(history, name, digest)]
    if not back and any(state.objects == objects for state in history[:-1]):
        now = history[-1].objects
        back = [name for name in {**now, **objects} if now.get(name) != objects.get(name)]
    if back:
        last = next(
            after
            for state, after in reversed(list(pairwise(history)))
            if any(state.objects.get(name) != after.objects.get(name) for name in back)
        )
        raise OlderDefinitions(tuple(sorted(back)), last.applied_at.isoformat(timespec="seconds"), last.applied_by)


def _superseded(history: Sequence[AppliedObjects], name: str, digest: str) -> bool:
    return history[-1].objects.get(name) != digest and any(state.objects.get(name) == digest for state in history)


def _content(definition: Any) -> bytes:  # noqa: ANN401 - Feast's definitions share no type
    """What Feast stores of a definition, without what differs each time that it is imported or applied."""
    message = definition.to_proto().spec
    _clear_volatile(message)
    content: bytes = message.SerializeToString(deterministic=True)
    return content


def _clear_volatile(message: Message) -> None:
    """Clear when a source was made, and the pickled form of a function, whose source text stays."""
    for descriptor, value in message.ListFields():
        if (descriptor.containing_type.name, descriptor.name) in _VOLATILE:
            message.ClearField(descriptor.name)
        elif descriptor.message_type is not None:
            for inner in _messages(value):
                _clear_volatile(inner)


def _messages(value: Any) -> Iterable[Message]:  # noqa: ANN401 - a message, or a list or map of some
    if isinstance(value, Message):
        return [value]
    members = value.values() if isinstance(value, Mapping) else value
    return [member for member in members if isinstance(member, Message)]
