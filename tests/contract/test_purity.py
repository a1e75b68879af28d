"""The contract is pure: it opens nothing, waits for nothing, draws nothing, and looks up no time, setting or name."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.checkout import ROOT

CONTRACT = ROOT / "serving" / "skewless" / "contract"
SHELL_MODULES = {
    "asyncio", "ctypes", "fcntl", "glob", "http", "logging", "mmap", "multiprocessing", "random", "secrets", "select",
    "shutil", "signal", "socket", "sqlite3", "ssl", "subprocess", "tempfile", "threading", "time", "uuid",
    "pyarrow.csv", "pyarrow.dataset", "pyarrow.fs", "urllib.request",
}  # fmt: skip
PURE_OF_OS = {"fsencode", "fsdecode", "fspath"}
FUNCTIONS = {"open", "input", "print", "__import__", "exec", "eval"}
METHODS = {
    "absolute", "chmod", "cwd", "exists", "expanduser", "glob", "hardlink_to", "home", "is_dir", "is_file",
    "is_symlink", "iterdir", "lstat", "mkdir", "now", "open", "read_bytes", "read_text", "readlink", "rename", "resolve",
    "rglob", "rmdir", "samefile", "stat", "symlink_to", "today", "touch", "unlink", "utcnow", "write_bytes",
    "write_text", "memory_map", "OSFile", "input_stream", "output_stream",
}  # fmt: skip


def impure(source: str) -> list[str]:
    """What a module does that only a shell around the contract may do, by line."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            found += _calls(node)
            continue
        found += [f"{node.lineno}: imports {name}" for name in names if name in SHELL_MODULES]
        found += [f"{node.lineno}: imports {name}" for name in names if name.startswith("os.")]
    return found


def _calls(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os":
        return [] if node.attr in PURE_OF_OS else [f"{node.lineno}: os.{node.attr}"]
    if not isinstance(node, ast.Call):
        return []
    if isinstance(node.func, ast.Name) and node.func.id in FUNCTIONS:
        return [f"{node.lineno}: calls {node.func.id}"]
    if isinstance(node.func, ast.Attribute) and node.func.attr in METHODS:
        return [f"{node.lineno}: calls .{node.func.attr}"]
    return []


def test_no_module_of_the_contract_says_what_only_a_shell_may_do():
    found = {str(path.relative_to(CONTRACT)): impure(path.read_text()) for path in CONTRACT.rglob("*.py")}
    assert len(found) > 30
    assert {path: lines for path, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    "line",
    [
        "open('x')", "import time", "from time import sleep", "import random", "from uuid import uuid4",
        "from pyarrow import fs", "import pyarrow.dataset", "import os\nos.environ['A']", "import os\nos.getenv('A')",
        "from os import environ", "from os.path import exists", "from pathlib import Path\nPath('x').is_file()", "p.read_bytes()",
        "p.stat()", "import tempfile", "from datetime import datetime\ndatetime.now()", "pa.memory_map('x')",
        "def late():\n    import socket", "print(1)",
    ],
)  # fmt: skip
def test_a_planted_line_is_refused(line: str):
    assert impure(f"x = 1\n{line}\n")


def test_what_a_status_report_reads_imports_no_arrays():
    modules = "plan, admission, timestamps, redis_urls, state_folder, storage.part_files"
    program = ";".join(f"import skewless.contract.{module}" for module in modules.split(", "))
    program += "; import sys; sys.exit(str({'numpy', 'pyarrow'} & set(sys.modules) or ''))"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""


FAULTS = [
    "open('/dev/null')", "Path('/').iterdir().__next__()", "os.mkdir('/tmp/x')", "time.sleep(0)", "time.time()",
    "random.random()", "random.Random(1).getrandbits(3)", "uuid.uuid4()", "os.urandom(1)",
    "import socket; socket.socket()", "import subprocess; subprocess.run(['true'])",
    "import tempfile; tempfile.mkstemp()", "import shutil; shutil.rmtree('/tmp/x')",
    "import pyarrow.parquet as pq; pq.read_table('/etc/hostname')", "import pyarrow as pa; pa.memory_map('/etc/hostname')",
]  # fmt: skip


def test_the_contract_decides_where_nothing_can_be_opened(published: Path):
    command = [sys.executable, "-m", "tests.contract.guarded_calls", str(published), "", *FAULTS]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    pure, *planted = done.stdout.splitlines()
    assert pure == "pure"
    assert len(planted) == len(FAULTS)
    assert [fault for fault, line in zip(FAULTS, planted, strict=True) if not line.startswith("refused: ")] == []
