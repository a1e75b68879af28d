import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from skewless.contract.storage.part_files import PREFIX
from skewless.files.table_parts import write_part, write_part_once
from tests.faults.killed_calls import ROOT
from tests.tables.part_table import NOW, TABLE


def test_a_part_is_the_table_under_a_name_that_ascends(tmp_path):
    first, second = (write_part(tmp_path / "deep" / "t", TABLE, now) for now in (NOW, NOW + 1))
    assert pq.ParquetFile(first).read().equals(TABLE)
    assert sorted(path.name for path in first.parent.iterdir()) == [first.name, second.name]
    assert write_part(first.parent, TABLE, NOW) != first, "two writers at one instant"
    statistics = pq.read_metadata(first).row_group(0).column(1).statistics
    assert statistics.has_min_max, "readers prune by times"


def test_a_table_that_takes_nothing_is_left_as_it_was(tmp_path):
    (tmp_path / "t").write_text("")
    with pytest.raises(OSError, match="t"):
        write_part(tmp_path / "t", TABLE, NOW)
    (tmp_path / "u").mkdir()
    with pytest.raises(AttributeError):
        write_part(tmp_path / "u", None, NOW)
    assert list((tmp_path / "u").iterdir()) == []


@pytest.mark.parametrize("operation", ["os.fsync", "pathlib.Path.replace"])
def test_a_killed_writer_leaves_nothing_that_a_reader_sees(tmp_path, operation):
    program = (
        "import os, pathlib, signal, sys\n"
        "from skewless.files.table_parts import write_part\n"
        "from tests.tables.part_table import NOW, TABLE\n"
        f"{operation} = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "write_part(pathlib.Path(sys.argv[1]), TABLE, NOW)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, env=environment, check=False)
    assert done.returncode == -signal.SIGKILL
    assert [path.name[0] for path in tmp_path.iterdir()] == ["."]
    assert [file.name for file in Path(tmp_path).glob("pushed-*")] == []
    assert PREFIX == "pushed-"


def test_a_part_that_is_written_once_is_found_by_its_rows(tmp_path):
    first = write_part_once(tmp_path, TABLE, NOW)
    assert pq.ParquetFile(first).read().equals(TABLE)
    pushed = write_part(tmp_path, TABLE, NOW + 5)
    other = write_part_once(tmp_path, TABLE.slice(1), NOW)
    assert other.name > pushed.name > first.name, "the clock may be behind"
    assert write_part_once(tmp_path, TABLE, NOW + 9) == first
    (tmp_path / "pushed-00000001-0123456789abcdef.parquet").write_bytes(first.read_bytes())
    assert write_part_once(tmp_path, TABLE.slice(0, 1), NOW).name > other.name, "parts of older versions"
