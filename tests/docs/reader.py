"""Somebody who types what a page says, in one project for all pages."""

from __future__ import annotations

import shlex
import subprocess
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from typer.testing import CliRunner

from skewless.cli import app
from skewless.contract.state_folder import StateFolders
from skewless.online.store.valkey_process import free_port
from skewless.runtime.predict_server import RunningPredictServer, server
from skewless.settings.process_environment import PREFIX
from tests.docs.pages import Block, Page

SERVER = "http://127.0.0.1:8080"


@dataclass
class Reader:
    """Runs pages after the pages that they continue, each page once."""

    folders: StateFolders
    processes: ExitStack
    begun: set[Path] = field(default_factory=set)
    finished: set[Path] = field(default_factory=set)
    running: RunningPredictServer | None = None
    names: dict[str, object] = field(default_factory=dict)

    def reads(self, page: Page) -> None:
        """Run a page's blocks. Its server, if it started one, ends with it."""
        if page.path in self.begun:
            assert page.path in self.finished, f"{page} failed before"
            return
        if page.continues:
            self.reads(page.continues)
        self.begun.add(page.path)
        self.names.clear()
        try:
            for block in page.runs:
                self._runs(block, page)
        finally:
            self._stops_the_server()
        self.finished.add(page.path)

    def _runs(self, block: Block, page: Page) -> None:
        if block.kind == "python":
            exec(compile(block.text, str(page), "exec"), self.names)
            return
        for command in block.text.replace("\\\n", " ").split("\n") if "curl" not in block.text else [block.text]:
            if command.strip():
                self._types(command)

    def _types(self, command: str) -> None:
        words = shlex.split(command, comments=True)
        if "serve" in words:
            settings = {"SKEWLESS_STATE": str(self.folders.root), "SKEWLESS_SERVED_LOG_FLUSH_S": "0.1"}
            settings |= dict(word.split("=", 1) for word in words if word.startswith(PREFIX))
            log = self.folders.root / "server.log"
            self.running = self.processes.enter_context(server(settings, free_port(), log))
        elif words[0] == "curl":
            assert self.running, "the page calls the server before it starts it"
            words = [word.replace(SERVER, self.running.url) for word in words]
            done = subprocess.run([*words, "--fail-with-body"], capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout
            assert '"scores"' in done.stdout
        else:
            assert words[0] == "skewless", f"{command!r} is no command of ours"
            if words[1] == "audit":
                self._stops_the_server()  # the served log is written whole when the server stops
            result = CliRunner().invoke(app, words[1:], catch_exceptions=False)
            assert result.exit_code == 0, f"{command}\n{result.output}"

    def _stops_the_server(self) -> None:
        self.processes.close()
        self.running = None
