"""What can go wrong while a request is answered. The contract's own errors are in `skewless.contract.errors`.

SkewlessError
├── StoreUnavailable     Redis did not answer in time, or refused
├── UnreadableRows       the online rows of some entities are corrupt
├── UnknownModel         no champion has this name
├── UnknownVersion       no version that the model serves has this name
├── ModelRetired         the model is retired, and no version of it answers
├── ModelNotReady        the model has a champion that must not answer now
├── UnknownView          rows are pushed to a feature view that the store does not know
├── TableUnavailable     the table behind a feature view takes no rows
├── PushNotAllowed       rows are pushed to a server that takes none
├── BadMessage           the connection brings what is no request that can be answered
│   ├── MalformedMessage      it is not HTTP
│   ├── HeadTooLong           its request line and headers are too long
│   ├── VersionNotSupported   it is of another version of HTTP
│   ├── MethodNotSupported    it is a method of proxies
│   ├── RequestTimedOut       it did not arrive in time
│   └── ConnectionsExhausted  the server has as many connections as it may
└── InvalidBody          a request's body cannot be answered
    ├── BodyTooLarge
    ├── UnsupportedBody  its headers do not announce plain JSON
    ├── MalformedBody    it is not JSON
    ├── InvalidRequest   it is JSON that does not fit the model
    ├── NoContributions  it requests contributions of a model without them
    └── AsOfNotAllowed   it requests a prediction as of another time

Held by tests/server/api/test_problems.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from skewless.contract.errors import InvalidInput, SkewlessError


@dataclass(eq=False)
class StoreUnavailable(SkewlessError):
    """The online store at `url` (its password masked) did not answer."""

    url: str
    reason: str

    def __str__(self) -> str:
        return f"the online store at {self.url} {self.reason}; start it, or mend SKEWLESS_REDIS_URL"


@dataclass(eq=False)
class UnreadableRows(SkewlessError):
    """Rows of the online store that a request needs do not decode; each error points at a row of the request."""

    errors: tuple[InvalidInput, ...]

    def __str__(self) -> str:
        return "; ".join(dict.fromkeys(error.reason for error in self.errors[:3]))


@dataclass(eq=False)
class UnknownModel(SkewlessError):
    """No champion has this name."""

    model: str

    def __str__(self) -> str:
        return f"no model {self.model!r} is served; GET /v1/models lists those that are, `skewless publish` adds one"


@dataclass(eq=False)
class UnknownVersion(SkewlessError):
    """A request pins a version that the model's rollout does not name."""

    model: str
    version: str

    def __str__(self) -> str:
        return (
            f"model {self.model!r} serves no version {self.version!r}; "
            f"`skewless models pin {self.model} {self.version}` adds one that is published"
        )


@dataclass(eq=False)
class ModelRetired(SkewlessError):
    """The model was retired for a reason: no version of it answers any more."""

    model: str
    reason: str

    def __str__(self) -> str:
        return f"model {self.model!r} is retired: {self.reason}"


@dataclass(eq=False)
class ModelNotReady(SkewlessError):
    """The model has a champion that must not answer now."""

    model: str
    reason: str

    def __str__(self) -> str:
        return f"model {self.model!r} does not answer: {self.reason}"


@dataclass(eq=False)
class UnknownView(SkewlessError):
    """The online store's catalog of the server's project has no such feature view."""

    view: str
    project: str = ""

    def __str__(self) -> str:
        owner = f"project {self.project!r}" if self.project else "the project"
        return (
            f"{owner} has no feature view {self.view!r} in the online store to push to; check the server's "
            "SKEWLESS_PUSH_PROJECT, define the view in feature_repo/, and run `skewless apply` where the store can be reached "
            "(after Feast's own `apply`, too)"
        )


@dataclass(eq=False)
class TableUnavailable(SkewlessError):
    """The table behind a feature view takes no rows; nothing was pushed."""

    view: str
    reason: str

    def __str__(self) -> str:
        return f"the table of feature view {self.view!r} takes no rows ({self.reason}); mend that, then push again"


@dataclass(eq=False)
class PushNotAllowed(SkewlessError):
    """Rows were pushed to a server that takes none."""

    def __str__(self) -> str:
        return "this server takes no pushes; start it with SKEWLESS_PUSH_PROJECT set to the project's name"


class BadMessage(SkewlessError):
    """A connection brings what is no request that can be answered; it is closed after the error."""


@dataclass(eq=False)
class MalformedMessage(BadMessage):
    """The bytes are no request of HTTP/1.1."""

    reason: str

    def __str__(self) -> str:
        return f"this is no HTTP/1.1 request (RFC 9112): {self.reason}"


@dataclass(eq=False)
class HeadTooLong(BadMessage):
    """The request line and headers have more bytes than they may."""

    limit: int

    def __str__(self) -> str:
        return f"the request line and headers are longer than {self.limit} bytes; send less, or raise SKEWLESS_MAX_HEAD_BYTES"


@dataclass(eq=False)
class VersionNotSupported(BadMessage):
    """The request is of another version of HTTP."""

    version: str

    def __str__(self) -> str:
        return f"this server does not speak HTTP/{self.version}; use HTTP/1.1"


@dataclass(eq=False)
class MethodNotSupported(BadMessage):
    """The method is one of proxies."""

    method: str

    def __str__(self) -> str:
        return f"this server is no proxy and knows no {self.method}"


@dataclass(eq=False)
class RequestTimedOut(BadMessage):
    """A request did not arrive in time."""

    seconds: float

    def __str__(self) -> str:
        return (
            f"no whole request arrived within {self.seconds:g} s; send it at once, or raise SKEWLESS_RECEIVE_TIMEOUT_S"
        )


@dataclass(eq=False)
class ConnectionsExhausted(BadMessage):
    """The server has as many connections as it may."""

    limit: int

    def __str__(self) -> str:
        return (
            f"the server has {self.limit} connections; use those that are open again (keep-alive), try later, "
            "or raise SKEWLESS_MAX_CONNECTIONS"
        )


class InvalidBody(SkewlessError):
    """A request's body cannot be answered."""


@dataclass(eq=False)
class BodyTooLarge(InvalidBody):
    """More bytes than a body may have."""

    limit: int

    def __str__(self) -> str:
        return f"the body is longer than {self.limit} bytes; send fewer rows, or raise SKEWLESS_MAX_BODY_BYTES"


@dataclass(eq=False)
class UnsupportedBody(InvalidBody):
    """The headers do not announce plain JSON in UTF-8."""

    header: str
    reason: str

    def __str__(self) -> str:
        return f"{self.header}: {self.reason}; send UTF-8 JSON as `Content-Type: application/json`"


@dataclass(eq=False)
class MalformedBody(InvalidBody):
    """The body is not JSON."""

    reason: str

    def __str__(self) -> str:
        return f"the body is not JSON (RFC 8259): {self.reason}"


@dataclass(eq=False)
class InvalidRequest(InvalidBody):
    """The first errors of a body that does not fit the model."""

    errors: tuple[InvalidInput, ...]

    def __str__(self) -> str:
        return "; ".join(str(error) for error in self.errors[:3])


@dataclass(eq=False)
class NoContributions(InvalidBody):
    """Contributions were requested of a model whose bundle has no leaves. `of_trees`: its graph does have trees."""

    model: str
    version: str
    of_trees: bool

    def __str__(self) -> str:
        if not self.of_trees:
            return (
                f"model {self.model!r} {self.version} is no tree model, and contributions are told of trees; "
                'ask for "explain": "features"'
            )
        return (
            f"the bundle of model {self.model!r} {self.version} keeps no leaves to tell contributions from; publish the "
            "model again, and `skewless publish` adds them or says why it cannot"
        )


@dataclass(eq=False)
class AsOfNotAllowed(InvalidBody):
    """A prediction as of another time was requested of a server that predicts as of now only."""

    def __str__(self) -> str:
        return "this server predicts as of now only; leave out `as_of`, or start it with SKEWLESS_ALLOW_AS_OF=true"
