"""What can go wrong between offline and online, as a tree.

SkewlessError
├── UnsupportedType      a feature's type is not supported where it is used
├── InvalidPlan          a feature service cannot be compiled
├── CorruptRow           the bytes of an online row do not decode
├── UnknownSchema        an online row's schema is not known to the reader
├── RowsLost             an online store lost rows that earlier runs had written
├── RemovalUnfinished    a feature view is being removed from an online store
├── InvalidInput         a request's rows do not fit the plan
├── InvalidRows          pushed rows do not fit their feature view
├── NotPushable          rows cannot be pushed to a feature view
├── BadSetting           an environment variable has an invalid value
├── UnsupportedPlatform  the system lacks what a part of Skewless needs
├── InvalidBundle        a bundle fails its own checks
├── InvalidRollout       a model's rollout does not parse
├── RolloutRefused       a change of a model's rollout is not allowed
├── RegistryUnreadable   the model registry does not answer
└── ContractMismatch     a bundle was trained on other definitions than the online store has

Fields come first and the text is made from them; no error knows about HTTP or exit codes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar


class SkewlessError(Exception):
    """Base of every error that this project raises on purpose; the text says what to do next.

    `transient`: a service did not answer, so a retry may succeed. Otherwise the same input fails the same way.
    """

    transient: ClassVar[bool] = False

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by fields, so that an error crosses a process whole."""
        names = getattr(type(self), "__dataclass_fields__", {})
        return type(self), tuple(getattr(self, name) for name in names) or self.args


@dataclass(eq=False)
class UnsupportedType(SkewlessError):
    """`feature` has a type that is not supported where it is used."""

    feature: str
    dtype: str

    def __str__(self) -> str:
        return (
            f"feature {self.feature!r} has type {self.dtype!r}, which is not supported there; a stored feature takes any "
            "value type of Feast, a join key, request input or transform only its plain scalar types"
        )


@dataclass(eq=False)
class InvalidPlan(SkewlessError):
    """A definition does not compile, or a plan or another file of a bundle does not parse."""

    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name!r} cannot be used: {self.reason}"


@dataclass(eq=False)
class CorruptRow(SkewlessError):
    """The bytes of one online row do not decode."""

    view: str
    reason: str
    entity: str = ""

    def __str__(self) -> str:
        of = f" of entity {self.entity}" if self.entity else ""
        return (
            f"the online row of feature view {self.view!r}{of} is corrupt: {self.reason}; "
            f"run `skewless materialize --view {self.view} --full`"
        )


@dataclass(eq=False)
class UnknownSchema(SkewlessError):
    """An online row was written with a schema that the reader does not know."""

    view: str
    fingerprint: str

    def __str__(self) -> str:
        return (
            f"a row of feature view {self.view!r} has schema {self.fingerprint}, which the store does not list; "
            f"run `skewless materialize --view {self.view} --full`"
        )


@dataclass(eq=False)
class RowsLost(SkewlessError):
    """The online store no longer has the rows before the start of a window that is being written: it was emptied, or restored
    from an older copy.
    """

    transient = True

    view: str
    since: str
    reached: str | None

    def __str__(self) -> str:
        complete = (
            f"is complete up to {self.reached} only" if self.reached else "does not say up to when it is complete"
        )
        return (
            f"the online store {complete} for feature view {self.view!r}, and the run began after {self.since}: the store "
            "was emptied or restored from an older copy, or another definition was materialized meanwhile; run the command "
            "again, it begins where the store is complete"
        )


@dataclass(eq=False)
class RemovalUnfinished(SkewlessError):
    """Rows cannot be written to a feature view whose old rows are still being removed."""

    view: str

    def __str__(self) -> str:
        return (
            f"feature view {self.view!r} is being removed from the online store, or its removal was cut short; "
            "`skewless sweep` finishes it"
        )


@dataclass(eq=False)
class InvalidInput(SkewlessError):
    """A request's rows do not fit the plan; `pointer` is an RFC 6901 JSON pointer to the culprit."""

    pointer: str
    reason: str

    def __str__(self) -> str:
        return f"{self.pointer or 'the body'}: {self.reason}"


@dataclass(eq=False)
class InvalidRows(SkewlessError):
    """The first errors of pushed rows that do not fit their feature view; none of the rows was stored."""

    view: str
    errors: tuple[InvalidInput, ...]

    def __str__(self) -> str:
        listed = "; ".join(str(error) for error in self.errors[:3])
        more = f" (and {len(self.errors) - 3} more)" if len(self.errors) > 3 else ""
        return f"no row was pushed to feature view {self.view!r}: {listed}{more}"


@dataclass(eq=False)
class NotPushable(SkewlessError):
    """Rows cannot be pushed to this feature view."""

    view: str
    reason: str

    def __str__(self) -> str:
        return f"rows cannot be pushed to feature view {self.view!r}: {self.reason}"


@dataclass(eq=False)
class BadSetting(SkewlessError):
    """An environment variable has an invalid value."""

    variable: str
    reason: str

    def __str__(self) -> str:
        return f"{self.variable} is set wrongly: {self.reason}; mend it, or unset it for the default"


@dataclass(eq=False)
class UnsupportedPlatform(SkewlessError):
    """`part` of Skewless needs something that this operating system lacks."""

    part: str
    need: str
    mend: str

    def __str__(self) -> str:
        return f"{self.part} does not run on this system: it needs {self.need}; {self.mend}"


@dataclass(eq=False)
class InvalidBundle(SkewlessError):
    """A bundle fails its own checks and must not be served."""

    path: str
    reason: str

    def __str__(self) -> str:
        return f"bundle {self.path} is refused: {self.reason}; publish it again with `skewless publish`"


@dataclass(eq=False)
class InvalidRollout(SkewlessError):
    """The newest revision of a model's rollout is invalid."""

    path: str
    reason: str

    def __str__(self) -> str:
        return f"rollout {self.path} is refused: {self.reason}; make another with `skewless models promote`"


@dataclass(eq=False)
class RolloutRefused(SkewlessError):
    """A change of a model's rollout is not allowed; nothing was changed."""

    model: str
    reason: str

    def __str__(self) -> str:
        return f"the rollout of model {self.model!r} stays as it is: {self.reason}"


@dataclass(eq=False)
class RegistryUnreadable(SkewlessError):
    """The model registry does not answer, or cannot be written."""

    transient = True

    url: str
    reason: str

    def __str__(self) -> str:
        return (
            f"the model registry {self.url} does not answer ({self.reason}); mend SKEWLESS_MODELS, the network, or the "
            "credentials (for S3: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, or the machine's role)"
        )


@dataclass(eq=False)
class ContractMismatch(SkewlessError):
    """A bundle was trained on other definitions than the online store holds."""

    model: str
    differences: tuple[str, ...]

    def __str__(self) -> str:
        listed = "; ".join(self.differences)
        return (
            f"model {self.model!r} was trained on other definitions than the online store holds: {listed}. "
            "Run `skewless apply` and `skewless materialize`, or train and publish the model again"
        )
