"""A real S3 server on loopback, in a thread of the test process."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from moto.moto_server.threaded_moto_server import ThreadedMotoServer
from pyarrow import fs

BUCKET = "features"


@dataclass(frozen=True)
class S3:
    endpoint: str
    filesystem: fs.S3FileSystem


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> S3:
    """An empty bucket, and the credentials in the environment."""
    for name, value in {"ACCESS_KEY_ID": "key", "SECRET_ACCESS_KEY": "secret", "DEFAULT_REGION": "us-east-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    filesystem = fs.S3FileSystem(endpoint_override=s3_server, allow_bucket_creation=True, allow_bucket_deletion=True)
    if filesystem.get_file_info(BUCKET).type == fs.FileType.Directory:
        filesystem.delete_dir(BUCKET)
    filesystem.create_dir(BUCKET)
    return S3(s3_server, filesystem)
