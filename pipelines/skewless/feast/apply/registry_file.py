"""Feast's registry in a local file, replaced as a whole: a reader beside a writer sees the old registry or the new one.

Feast 0.67 truncates the file and writes it in place, so another process may read none or a part of it, takes that for a
registry without views, and keeps it until the file changes again.
"""

from __future__ import annotations

import shutil
from uuid import uuid4

from feast.infra.registry.file import FileRegistryStore
from feast.infra.registry.registry import get_registry_store_class_from_scheme
from feast.protos.feast.core.Registry_pb2 import Registry as RegistryProto
from feast.repo_config import RegistryConfig
from feast.utils import _utc_now
from skewless.files.durable import replace_file


class ReplacedFileRegistryStore(FileRegistryStore):
    """Feast loads it by its name, which must end as that of the others."""

    def _write_registry(self, registry_proto: RegistryProto) -> None:
        registry_proto.version_id = str(uuid4())
        registry_proto.last_updated.FromDatetime(_utc_now())
        file = self._filepath.resolve()  # where it is a link, what it names is replaced
        with replace_file(file) as building:
            building.write_bytes(registry_proto.SerializeToString())
            if file.exists():
                shutil.copymode(file, building)


def replace_as_a_whole(settings: RegistryConfig) -> None:
    """Let Feast write the registry so, where it is a local file; another registry stays as it is."""
    if settings.registry_type != "file" or settings.registry_store_type not in (None, "FileRegistryStore"):
        return
    if get_registry_store_class_from_scheme(settings.path) is FileRegistryStore:
        store = ReplacedFileRegistryStore
        settings.registry_store_type = f"{store.__module__}.{store.__name__}"
