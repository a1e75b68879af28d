from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from skewless.contract.errors import SkewlessError
from skewless.server import cli
from tests.checkout import project_version

SKEWLESS = Path(sys.executable).parent / "skewless"


def run(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([SKEWLESS, *arguments], cwd=cwd, capture_output=True, text=True, env=environment, check=False)


def test_help_lists_the_verbs_of_the_extras(tmp_path: Path):
    done = run("--help", cwd=tmp_path)
    assert done.returncode == 0
    assert all(f" {verb} " in done.stdout for verb in ("up", "down", "status"))


def test_help_is_fast(tmp_path: Path):
    """Half a second of processor time; the best of three, since whoever else is busy here slows that too."""
    script = "import time; t = time.process_time(); import sys; from skewless.server.cli import main; sys.argv[1:] = ['--help']\n"
    script += "try: main()\nexcept SystemExit: pass\n"
    script += (
        "slow = {'feast', 'duckdb', 'airflow', 'pandas', 'numpy', 'sqlalchemy', 'pyarrow', 'onnxruntime', 'fastapi'}\n"
    )
    script += "print(time.process_time() - t, *slow & set(sys.modules))"
    times = []
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
        seconds, *imported = done.stdout.splitlines()[-1].split()
        assert not imported
        times.append(float(seconds))
    assert min(times) < 0.5


def test_version(tmp_path: Path):
    assert run("--version", cwd=tmp_path).stdout == f"skewless {project_version()}\n"


def test_an_error_is_one_line_and_exit_status_2(tmp_path: Path):
    done = run("status", cwd=tmp_path, SKEWLESS_REDIS_URL="http://user:hidden@host")
    assert done.returncode == 2
    assert done.stderr.startswith("error: SKEWLESS_REDIS_URL is set wrongly: ")
    assert done.stderr.count("\n") == 1
    assert "hidden" not in done.stderr
    assert done.stdout == ""


def test_debug_shows_the_traceback(tmp_path: Path):
    done = run("--debug", "status", cwd=tmp_path, SKEWLESS_REDIS_URL="http://host")
    assert done.returncode == 2
    assert "Traceback" in done.stderr
    assert "BadSetting: SKEWLESS_REDIS_URL is set wrongly" in done.stderr


def test_an_extra_that_is_not_installed_leaves_a_hint():
    app, absent = cli.assemble([EntryPoint("moon", "no_such_module:app", cli.GROUP)])
    assert absent == "Not installed, with its verbs: pip install 'skewless[moon]'"
    shown = CliRunner().invoke(app, ["--help"], obj=cli.CliInvocation())
    assert "skewless[moon]" in shown.output


def test_an_unknown_verb_of_a_missing_extra_leaves_the_hint(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(cli, "entry_points", lambda group: [EntryPoint("moon", "no_such_module:app", group)])
    monkeypatch.setattr(sys, "argv", ["skewless", "land"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert "skewless[moon]" in capsys.readouterr().err


@pytest.fixture
def failed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[Exception], tuple[int, str]]:
    """Exit status and stderr of a verb that raises an error."""

    def run(error: Exception) -> tuple[int, str]:
        verbs = typer.Typer()

        @verbs.command()
        def fail() -> None:
            raise error

        monkeypatch.setattr(cli, "verbs", verbs)
        monkeypatch.setattr(cli, "entry_points", lambda group: [])
        monkeypatch.setattr(sys, "argv", ["skewless", "fail"])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return int(ended.value.code or 0), capsys.readouterr().err

    return run


def test_an_error_of_many_lines_is_shown_as_one(failed):
    assert failed(SkewlessError("one\ntwo")) == (2, "error: one; two\n")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "error: the disk: No space left on device; mend that, "),
        (PermissionError(errno.EACCES, "Permission denied", "/x/y"), "error: /x/y: Permission denied; mend that, "),
    ],
)
def test_a_disk_that_takes_nothing_is_told_in_one_line(failed, error: OSError, told: str):
    assert failed(error) == (2, told + "and run this again\n")


def test_a_failure_that_is_none_of_ours_is_no_verdict(failed):
    status, told = failed(OSError("the disk is gone"))
    assert status == 2, "1 would say that something was found"
    assert "OSError: the disk is gone" in told
