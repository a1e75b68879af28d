"""The README is true: its blocks are run in order, in one project, and its tables are what the code says."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from typer.testing import CliRunner

from skewless.cli import app
from skewless.contract.state_folder import StateFolders
from skewless.demo.predict_server import RunningPredictServer, server
from skewless.online.store import embedded_valkey
from skewless.online.store.valkey_process import free_port
from skewless.runtime.settings import ProjectSettings as OfflineSettings
from skewless.server.settings import ServerSettings
from skewless.settings.process_environment import PREFIX
from tests.checkout import ROOT

README = (ROOT / "README.md").read_text()
BLOCK = re.compile(r"(?P<skip><!-- not run: [^\n]* -->\n)?```(?P<kind>sh|python)\n(?P<text>.*?)```", re.DOTALL)
# Set by the server for its own workers, not by an operator.
INTERNAL = {"metrics_folder"}


@dataclass
class Reader:
    """Somebody who types what the README says."""

    folders: StateFolders
    processes: ExitStack
    running: RunningPredictServer | None = None
    names: dict[str, object] = field(default_factory=dict)

    def does(self, kind: str, text: str) -> None:
        if kind == "python":
            exec(compile(text, "README.md", "exec"), self.names)
            return
        for command in text.replace("\\\n", " ").split("\n") if "curl" not in text else [text]:
            if command.strip():
                self.types(command)

    def types(self, command: str) -> None:
        words = shlex.split(command, comments=True)
        if "serve" in words:
            settings = {"SKEWLESS_STATE": str(self.folders.root), "SKEWLESS_SERVED_LOG_FLUSH_S": "0.1"}
            settings |= dict(word.split("=", 1) for word in words if word.startswith(PREFIX))
            log = self.folders.root / "server.log"
            self.running = self.processes.enter_context(server(settings, free_port(), log))
        elif words[0] == "curl":
            assert self.running, "the README calls the server before it starts it"
            words = [word.replace("http://127.0.0.1:8080", self.running.url) for word in words]
            done = subprocess.run([*words, "--fail-with-body"], capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout
            assert '"scores"' in done.stdout
        else:
            assert words[0] == "skewless", f"{command!r} is no command of ours"
            if words[1] == "audit":
                self.processes.close()  # the served log is written whole when the server stops
            told = CliRunner().invoke(app, words[1:], catch_exceptions=False)
            assert told.exit_code == 0, f"{command}\n{told.output}"


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reader]:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("SKEWLESS_STATE", str(tmp_path))
    monkeypatch.setattr(sys, "path", [str(ROOT / "feature_repo"), *sys.path])
    with ExitStack() as processes:
        yield Reader(StateFolders(tmp_path), processes)
    embedded_valkey.stop(StateFolders(tmp_path))


@pytest.mark.timeout(240)
def test_the_blocks_of_the_readme_run(reader: Reader) -> None:
    blocks = [block for block in BLOCK.finditer(README) if not block["skip"]]
    assert len(blocks) >= 8
    for block in blocks:
        reader.does(block["kind"], block["text"])


def test_every_verb_is_in_the_readme() -> None:
    verbs = set(re.findall(r"skewless ([a-z][a-z-]+)", README))
    ours = {
        (command.name or command.callback.__name__).replace("_", "-")
        for group in app.registered_groups
        for command in group.typer_instance.registered_commands
    }
    assert not ours - verbs, "the README says nothing of these verbs"


def test_every_verb_of_a_group_is_in_the_readme() -> None:
    told = set(re.findall(r"skewless ([a-z-]+ [a-z][a-z-]+)", README))
    ours = {
        f"{group.name} {(command.name or command.callback.__name__).replace('_', '-')}"
        for verbs in app.registered_groups
        for group in verbs.typer_instance.registered_groups
        for command in group.typer_instance.registered_commands
    }
    assert {"models unpin", "models policy", "audit what-if"} <= ours
    assert not ours - told, "the README says nothing of these verbs"


def test_the_readmes_settings_are_the_settings() -> None:
    said = re.search(r"<!-- settings -->\n(.*?)\n?<!-- /settings -->", README, re.DOTALL)
    assert said
    assert said[1] == settings_table(), f"paste this between the settings marks:\n{settings_table()}"


def settings_table() -> str:
    """The settings of both sides as a Markdown table; one that both read stands once."""
    offline, online = OfflineSettings.model_fields, ServerSettings.model_fields
    lines = ["| variable | read by | meaning |", "|---|---|---|"]
    for name in dict.fromkeys((*offline, *online)):
        if name in INTERNAL:
            continue
        sides = [side for side, known in (("offline", offline), ("server", online)) if name in known]
        described = (online.get(name) or offline[name]).description
        default = (online.get(name) or offline[name]).default
        told = f" Default: {default}." if isinstance(default, int | float | str) else ""
        lines.append(f"| `{PREFIX}{name.upper()}` | {', '.join(sides)} | {described}{told} |")
    return "\n".join(lines)
