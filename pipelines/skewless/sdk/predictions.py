"""Predictions: asked of a prediction server over HTTP, as every other program asks; never computed in this process.

Where no address is given, the project's own server runs beside this process: the same program on the same files.
"""

from __future__ import annotations

import atexit
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from skewless.contract.errors import SkewlessError
from skewless.sdk.arguments import BadArgument, Instant, optional_instant
from skewless.sdk.frames import Rows, is_dicts, json_rows
from skewless.sdk.results import RowsResult
from skewless.settings.process_environment import setting

if TYPE_CHECKING:
    import httpx
    import pyarrow as pa

    from skewless.runtime.predict_server import RunningPredictServer
    from skewless.runtime.settings import ProjectSettings
    from skewless.sdk.session import ProjectSession

MOST_ROWS = 1_000
"""Rows of one request; more are asked for in several."""
_TIMEOUT_SECONDS = 30.0
_RELOAD_SECONDS = 4.0
_POLL_SECONDS = 0.1
_LOG = "notebook-server.log"
Explanation = Literal["features", "contributions"]


@dataclass(eq=False)
class PredictServerUnreachable(SkewlessError):
    """No prediction server answers at the address."""

    transient = True

    url: str
    reason: str

    def __str__(self) -> str:
        return f"no prediction server answers at {self.url} ({self.reason}); start one with `skewless serve`"


@dataclass(eq=False)
class PredictionDenied(SkewlessError):
    """A server answered a request with a problem: its status and title, what is wrong, and each culprit in the rows."""

    status: int
    title: str
    detail: str
    culprits: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.title} ({self.status}): {self.detail}"


@dataclass(eq=False)
class ModelNotServable(SkewlessError):
    """A model that the project's own server could not answer with."""

    model: str
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        return f"model {self.model!r} cannot answer: {'; '.join(self.reasons)}"


@dataclass(frozen=True, slots=True, repr=False)
class Predictions(RowsResult):
    """The answer to a prediction: a score for each row, in their order. A score of one number is a float32, exact.

    `request_ids` are those of the requests, in the order of the rows, 1,000 rows each: `outcomes` and the audit know the
    rows by them. `features` and `contributions` are those that were asked for, a dict for each row.
    """

    model: str
    version: str
    served_at: datetime
    scores: list[Any]
    request_ids: list[str]
    rows: list[dict[str, object]] = field(default_factory=list)
    features: list[dict[str, Any]] | None = None
    contributions: list[dict[str, Any]] | None = None

    def lines(self) -> list[str]:
        """The result as text, line by line."""
        shown = ", ".join(map(str, self.scores[:_SHOWN])) + (", ..." if len(self.scores) > _SHOWN else "")
        return [f"{self.model} {self.version}, {len(self.scores):,} scores at {self.served_at.isoformat()}: {shown}"]

    def to_arrow(self) -> pa.Table:
        """The rows that were asked about, with the columns `score`, `request_id` and `row`."""
        import pyarrow as pa

        from skewless.offline.tables.row_batches import of_dicts

        numbers = all(score is None or isinstance(score, int | float) for score in self.scores)
        columns = {
            "score": pa.array(self.scores, pa.float32()) if numbers else pa.array(self.scores),
            "request_id": pa.array([self.request_ids[place // MOST_ROWS] for place in range(len(self.scores))]),
            "row": pa.array([place % MOST_ROWS for place in range(len(self.scores))], pa.int32()),
        }
        table = pa.Table.from_batches([of_dicts(self.rows)])
        for name, values in columns.items():
            kept = [column for column in table.column_names if column != name]
            table = table.select(kept).append_column(name, values)
        return table


_SHOWN = 5


class PredictClient:
    """The servers that a project asks: a client for each address, and a server of its own, started at its first use."""

    def __init__(self, session: ProjectSession) -> None:
        self._session = session
        self._clients: dict[str, httpx.Client] = {}
        self._opened = ExitStack()
        self._own: RunningPredictServer | None = None

    def predict(
        self,
        rows: Rows,
        *,
        model: str | None,
        version: str | None,
        as_of: Instant | None,
        explain: Explanation | None,
        url: str | None,
    ) -> Predictions:
        """Ask for the scores of rows. Raises: PredictServerUnreachable, PredictionDenied, ModelNotServable, BadArgument."""
        name = self._session.declared(model).name()
        given = json_rows(rows, self._session.spelled("rows"))
        if not given:
            raise BadArgument(self._session.spelled("rows"), "has no row to predict")
        at = optional_instant(as_of)
        more = {"as_of": at.isoformat() if at else None, "explain": explain}
        body = {key: value for key, value in more.items() if value is not None}
        client = self._client(self.own_server(name) if url is None else url.rstrip("/"))
        if not is_dicts(rows):
            given = _inputs_of(client, name, given)
        path = f"/v1/models/{name}@{version}/predict" if version else f"/v1/models/{name}/predict"
        answers = [
            _answer(client, path, {"rows": given[begin : begin + MOST_ROWS], **body})
            for begin in range(0, len(given), MOST_ROWS)
        ]
        return _joined(answers, [row for row in given if isinstance(row, dict)])

    def own_server(self, model: str) -> str:
        """The address of the project's own server, which lives until `close` or the end of the process.

        Raises: StepInputMissing and ModelNotServable before it is started, PredictServerFailed.
        """
        if self._own is not None and self._own.process.poll() is not None:
            self.close()
        if self._own is None:
            self._own = self._started(model)
        self._await_champion(self._own.url, model)
        return self._own.url

    def _await_champion(self, url: str, model: str) -> None:
        """Wait until the server answers with the present champion, or with none of a retired model: it looks for changed
        rollouts now and then.
        """
        rollout, client = self._session.settings.registry.rollout(model), self._client(url)
        if rollout is None:
            return
        last = time.monotonic() + _RELOAD_SECONDS
        while time.monotonic() < last:
            listed = _answer(client, "/v1/models", None)["models"]
            answering = [one["version"] for one in listed if one["name"] == model and one["ready"]]
            if answering == ([rollout.champion] if rollout.retired is None else []):
                return
            time.sleep(_POLL_SECONDS)

    def _started(self, model: str) -> RunningPredictServer:
        from skewless.model.publishing.rollout_steps import champion_version
        from skewless.online.store import embedded_valkey
        from skewless.online.store.valkey_process import free_port
        from skewless.runtime.predict_server import server
        from skewless.sdk.rollouts import view_warnings

        settings = self._session.settings
        champion_version(settings.registry, model)
        redis_url = embedded_valkey.ensure(settings)
        if reasons := view_warnings(self._session, model):
            raise ModelNotServable(model, tuple(reasons))
        log = settings.folders.root / _LOG
        with self._session.step("serve") as progress:
            running = self._opened.enter_context(
                server(_own_settings(settings, redis_url), free_port(), log, "/healthz")
            )
            progress.result = f"a prediction server of this program's own answers at {running.url}"
        atexit.register(self.close)
        return running

    def _client(self, url: str) -> httpx.Client:
        import httpx

        if url not in self._clients:
            try:
                client = httpx.Client(base_url=url, timeout=_TIMEOUT_SECONDS)
            except (httpx.InvalidURL, ValueError) as error:
                raise PredictServerUnreachable(url, f"no address: {error}") from error
            self._clients[url] = self._opened.enter_context(client)
        return self._clients[url]

    def close(self) -> None:
        """End the server, which writes its served log, and the connections; the next prediction starts them anew."""
        atexit.unregister(self.close)
        self._clients.clear()
        self._own = None
        self._opened.close()


def _own_settings(settings: ProjectSettings, redis_url: str) -> dict[str, str]:
    """The variables of the project's own server; it logs what it serves at once. An answer as of the past is right only where
    the store was filled up to then, so who wants one says so, as for every server.
    """
    return {
        "SKEWLESS_STATE": str(settings.state),
        "SKEWLESS_FEATURE_REPO": str(settings.feature_repo),
        "SKEWLESS_MODELS": str(settings.models),
        "SKEWLESS_REDIS_URL": redis_url,
        "SKEWLESS_ALLOW_AS_OF": setting("allow_as_of") or "false",
        "SKEWLESS_MODELS_REFRESH_S": "0.2",
        "SKEWLESS_SERVED_LOG_FLUSH_S": "0.2",
    }


def _inputs_of(client: httpx.Client, model: str, rows: Sequence[object]) -> list[object]:
    """Rows of a frame with the columns that the model takes: a frame has others too, as a label or the row's time."""
    inputs = _answer(client, f"/v1/models/{model}", None)["inputs"]
    names = {field["name"] for kind in ("join_keys", "request") for field in inputs[kind]}
    return [{name: row[name] for name in row if name in names} for row in rows if isinstance(row, dict)]


def _answer(client: httpx.Client, path: str, body: dict[str, object] | None) -> dict[str, Any]:
    """The answer to a POST of the body, or to a GET without one. Raises: PredictServerUnreachable, PredictionDenied."""
    import httpx

    try:
        response = client.get(path) if body is None else client.post(path, json=body)
    except (httpx.TransportError, httpx.InvalidURL, ValueError) as error:
        raise PredictServerUnreachable(str(client.base_url), type(error).__name__) from error
    try:
        content = response.json()
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise PredictServerUnreachable(str(client.base_url), f"its answer {response.status_code} is not JSON")
    if response.status_code != httpx.codes.OK:
        raise _denied(response.status_code, content)
    return content


def _denied(status: int, problem: dict[str, Any]) -> PredictionDenied:
    errors = [error for error in problem.get("errors") or () if isinstance(error, dict)]
    culprits = tuple(f"{error.get('pointer', '')} {error.get('detail', '')}".strip() for error in errors)
    return PredictionDenied(status, str(problem.get("title", "")), str(problem.get("detail", "")), culprits)


def _joined(answers: Sequence[dict[str, Any]], rows: list[dict[str, object]]) -> Predictions:
    def all_of(name: str) -> list[Any]:
        return [value for answer in answers for value in answer.get(name) or ()]

    first = answers[0]
    return Predictions(
        first["model"],
        first["version"],
        datetime.fromisoformat(first["served_at"]),
        all_of("scores"),
        [answer["request_id"] for answer in answers],
        rows,
        all_of("features") if first.get("features") is not None else None,
        all_of("contributions") if first.get("contributions") is not None else None,
    )
