"""A local Airflow on the loopback: api-server, scheduler, dag-processor and triggerer, all state in one folder.

`python -m skewless.local_airflow.stack` runs it until Ctrl-C or SIGTERM. Everyone who reaches its port is an admin, so it
listens on 127.0.0.1 alone; it is not for shared use.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

import httpx

from skewless.airflow.pools import POOLS
from skewless.contract.errors import SkewlessError, UnsupportedPlatform
from skewless.files.durable import write_file
from skewless.local_airflow import process_guard
from skewless.local_airflow.dag_listing import DagListing, listing
from skewless.online.store import embedded_valkey
from skewless.project import apply
from skewless.runtime.console import console, step
from skewless.runtime.settings import ProjectSettings
from skewless.settings.process_environment import environment_with

HOST = "127.0.0.1"
PORT = 8791
# The scheduler's first tasks ask the api-server, so that answers first.
FIRST, REST = ("api-server", "dag-processor"), ("scheduler", "triggerer")
# Their log servers would listen on all addresses; here the api-server reads the log files.
ARGUMENTS = {"scheduler": ("--skip-serve-logs",), "triggerer": ("--skip-serve-logs",)}
# Modules that tasks import: each task is forked from a process that has imported them once.
PRELOADED = (
    "skewless.monitoring.reports.freshness_metrics",  # before Feast, which makes metrics of later importers files on disk
    "airflow.executors.local_executor",
    "airflow.sdk.execution_time.task_runner",
    "skewless.project.project",
    "skewless.monitoring.quality.gates",
    "skewless.offline.tables.ingest",
    "skewless.online.materialization.materialize",
    "skewless.online.materialization.view_freshness",
)
_READY_SECONDS = 120.0
_POLL_SECONDS = 0.2
_RESPONSE_SECONDS = 30.0


@dataclass(eq=False)
class StackFailed(SkewlessError):
    """A part of the local Airflow did not come up, or ended."""

    part: str
    reason: str
    log: str

    def __str__(self) -> str:
        return f"Airflow's {self.part} {self.reason}; its log is {self.log}"


@dataclass(eq=False)
class DagsMissing(SkewlessError):
    """The folder of DAG files does not exist."""

    folder: str

    def __str__(self) -> str:
        return (
            f"there is no folder of DAG files at {self.folder}; name another with --dags, or write a file there: a docstring "
            "that says DAGs, `from skewless.airflow import timetables` and `timetables(globals())`"
        )


@dataclass
class AirflowStack:
    """A local Airflow whose state is in `home`, on the DAG files of `dags`. `settings` are Airflow's, as environment variables,
    besides ours; `rest` starts once the api-server responds.
    """

    home: Path
    dags: Path
    port: int = PORT
    settings: Mapping[str, str] = field(default_factory=dict)
    rest: tuple[str, ...] = REST
    parts: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """URL of the UI and the API."""
        return f"http://{HOST}:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables of every part."""
        own = {
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.dags),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__PARALLELISM": "4",
            "AIRFLOW__SCHEDULER__MP_START_METHOD": "forkserver",
            "AIRFLOW__CORE__MP_FORKSERVER_PRELOAD": ",".join(PRELOADED),
            "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "10",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            # On a busy machine its first answer takes more than Airflow's 5 s, and the task would fail before it began.
            "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__HOST": HOST,
            "AIRFLOW__API__PORT": str(self.port),
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self.home / 'airflow.db'}",
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(self.home / "logs"),
            "AIRFLOW__TRIGGERER__CAPACITY": "100",
        }
        return environment_with(own | self._secrets() | dict(self.settings))

    def airflow(self, *arguments: str) -> str:
        """Run an `airflow` command; returns its output. Raises: StackFailed."""
        done = process_guard.run([sys.executable, "-m", "airflow", *arguments], self.environment)
        if done.returncode:
            raise StackFailed(" ".join(arguments[:2]), f"failed: {(done.stdout + done.stderr)[-2000:]}", str(self.home))
        return done.stdout

    def prepare(self) -> None:
        """Create the database, or migrate it. Raises: StackFailed."""
        self.airflow("db", "migrate")

    def list_dags(self) -> DagListing:
        """What Airflow makes of the DAG files. Raises: StackFailed."""
        listed = listing(self.dags, self.home / "dags.json", self.environment)
        if isinstance(listed, str):
            raise StackFailed("DAG files", f"cannot be listed: {listed}", str(self.home))
        return listed

    def start(self, pools: Iterable[str] = ()) -> None:
        """Start all parts; the api-server responds, and the pools exist, before tasks are scheduled. Raises: StackFailed."""
        self._claim_port()
        for part in FIRST:
            self.launch(part)
        self._await_response()
        self._make_pools(pools)
        for part in self.rest:
            self.launch(part)

    def launch(self, part: str) -> None:
        """Start one part, guarded: it ends with this process. Its session is its own, so that the terminal's Ctrl-C
        reaches this process alone.
        """
        with self.log(part).open("ab") as output:
            self.parts[part] = subprocess.Popen(
                process_guard.guarded([sys.executable, "-m", "airflow", part, *ARGUMENTS.get(part, ())]),
                env=self.environment,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def unpause(self, dags: Iterable[str]) -> None:
        """Let DAGs run, once the dag-processor knows them. Raises: StackFailed."""
        last = time.monotonic() + _READY_SECONDS
        for dag in dags:
            while True:
                answer = httpx.patch(
                    f"{self.url}/api/v2/dags/{dag}", json={"is_paused": False}, timeout=_RESPONSE_SECONDS
                )
                if answer.is_success:
                    break
                if answer.status_code != httpx.codes.NOT_FOUND or time.monotonic() > last:
                    raise StackFailed("dag-processor", f"does not load {dag}: {answer.text}", str(self.home))
                time.sleep(_POLL_SECONDS)

    def log(self, part: str) -> Path:
        """The log file of a part."""
        return self.home / f"{part}.log"

    def stop(self) -> None:
        """End all parts, the api-server after the scheduler: ending tasks report to it."""
        for parts in (self.rest, FIRST):
            ending = [self.parts.pop(part) for part in parts if part in self.parts]
            for process in ending:
                process.stdin.close()
            for process in ending:
                process.wait()

    def kill(self, part: str) -> None:
        """Kill a part and all processes that it started."""
        process = self.parts.pop(part)
        process_guard.kill_session(process.pid)
        process.communicate()

    def ended(self) -> str | None:
        """The name of a part that has ended by itself, or None."""
        return next((part for part, process in self.parts.items() if process.poll() is not None), None)

    def _claim_port(self) -> None:
        """Raises: StackFailed where another process listens, whose responses would be mistaken for ours."""
        with suppress(OSError), socket.create_connection((HOST, self.port), _RESPONSE_SECONDS):
            raise StackFailed(
                "api-server", f"cannot have port {self.port}: another process listens there", str(self.home)
            )

    def _await_response(self) -> None:
        part, last = FIRST[0], time.monotonic() + _READY_SECONDS
        while time.monotonic() < last:
            if ended := self.ended():
                raise StackFailed(ended, "ended", str(self.log(ended)))
            try:
                if httpx.get(f"{self.url}/api/v2/monitor/health", timeout=_RESPONSE_SECONDS).is_success:
                    return
            except httpx.TransportError:
                pass
            time.sleep(_POLL_SECONDS)
        raise StackFailed(part, f"does not answer at {self.url}", str(self.log(part)))

    def _make_pools(self, pools: Iterable[str]) -> None:
        for pool in pools:
            slots = next((slots for role, slots in POOLS.items() if pool.endswith(role)), 1)
            body = {"name": pool, "slots": slots, "description": "skewless"}
            answer = httpx.post(f"{self.url}/api/v2/pools", json=body, timeout=_RESPONSE_SECONDS)
            if answer.status_code != httpx.codes.CONFLICT:  # it exists
                answer.raise_for_status()

    def _secrets(self) -> dict[str, str]:
        """The secret keys of this installation, generated once."""
        file = self.home / "secrets.json"
        if not file.is_file():
            keys = {
                name: secrets.token_hex(32) for name in ("AIRFLOW__API_AUTH__JWT_SECRET", "AIRFLOW__API__SECRET_KEY")
            }
            keys["AIRFLOW__CORE__FERNET_KEY"] = urlsafe_b64encode(secrets.token_bytes(32)).decode()
            write_file(file, json.dumps(keys).encode(), mode=0o600)
        stored: dict[str, str] = json.loads(file.read_text())
        return stored


@contextmanager
def running(stack: AirflowStack, pools: Iterable[str] = ()) -> Iterator[AirflowStack]:
    """A stack for the length of a block; its database is prepared. Raises: StackFailed."""
    try:
        stack.start(pools)
        yield stack
    finally:
        stack.stop()


def main(arguments: list[str] | None = None) -> int:
    """Run the local Airflow until Ctrl-C or SIGTERM; exit status 1 where a part of it ended by itself."""
    parser = argparse.ArgumentParser(
        prog="python -m skewless.local_airflow.stack", description="A local Airflow on the loopback."
    )
    parser.add_argument("--port", type=int, default=PORT)
    parser.add_argument("--dags", type=Path, help="folder of the DAG files; default: `dags` beside feature_repo/")
    parser.add_argument("--unpause", action="store_true", help="let the DAGs run at once, but those that train models")
    setting_help = "one of Airflow's settings, as core.parallelism=8"
    parser.add_argument(
        "--set", action="append", default=[], type=_setting, metavar="SECTION.KEY=VALUE", help=setting_help
    )
    options = parser.parse_args(arguments)
    settings = ProjectSettings.read()
    for number in (signal.SIGTERM, signal.SIGINT):  # a shell starts background jobs with INT ignored
        signal.signal(number, _interrupt)
    try:
        _check_platform()
        local = AirflowStack(
            settings.folders.root / "airflow", _dags(options.dags, settings), options.port, dict(options.set)
        )
        with step("definitions"):
            apply.run(settings.feature_repo, at=datetime.now(UTC))
            embedded_valkey.ensure(settings)
        with step("database"):
            local.prepare()
        listed = _listed(local)
        with running(local, listed.pools) as stack:
            if options.unpause:
                stack.unpause(name for name, dag in listed.dags.items() if not dag.retrains)
            console.print(f"Airflow runs at {stack.url}, its logs are in {stack.home}. Ctrl-C stops it.")
            while (part := stack.ended()) is None:
                time.sleep(_POLL_SECONDS)
            raise StackFailed(part, "ended", str(stack.log(part)))
    except KeyboardInterrupt:
        console.print("stopped" + ("; the embedded Redis runs on until `make down`" if settings.embedded else ""))
        return 0
    except SkewlessError as error:
        console.print(str(error), style="red")
        return 1


def _listed(local: AirflowStack) -> DagListing:
    """The DAGs of the project; says which files give none. Raises: StackFailed."""
    with step("DAG files") as progress:
        listed = local.list_dags()
        progress.result = f"{len(listed.dags)} DAGs in {local.dags}"
    for warning in listed.warnings():
        console.print(f"warning: {warning}", markup=False, style="yellow")
    return listed


def _check_platform() -> None:
    if not hasattr(os, "getsid"):
        raise UnsupportedPlatform(
            "the local Airflow", "the sessions of a POSIX system", "run it on Linux or macOS, or in WSL"
        )


def _dags(folder_option: Path | None, settings: ProjectSettings) -> Path:
    """The folder of the project's DAG files. Raises: DagsMissing."""
    folder = (folder_option or settings.feature_repo.parent / "dags").absolute()
    if not folder.is_dir():
        raise DagsMissing(str(folder))
    return folder


def _setting(text: str) -> tuple[str, str]:
    """The environment variable of a setting given as SECTION.KEY=VALUE, and its value."""
    name, equals, value = text.partition("=")
    section, dot, key = name.partition(".")
    if not equals or not dot:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form SECTION.KEY=VALUE")
    return f"AIRFLOW__{section}__{key}".upper(), value


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
