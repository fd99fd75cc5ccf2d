"""What every run of the broker shares: command line, settings, and the question "are you there?"."""

from __future__ import annotations

import socket
import struct
from datetime import timedelta
from pathlib import Path

from holdfast.launcher.stack.java import Java

PROBE_TIMEOUT = timedelta(seconds=2)
METADATA_API_KEY = 3
METADATA_VERSION = 4
# Small heap, no just-in-time tier that pays off only after minutes: measured 0.8-1.1 s to
# the first acknowledged message and 160-205 MB resident (Kafka 4.3.1, Java 17 and 25).
JVM_FLAGS = (
    "-Xmx256m",
    "-Xss512k",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
)


def java_arguments(java: Java, jars: list[Path], archive: list[str], *main: str) -> list[str]:
    """The command line of a Kafka program: explicit, sorted class path, as archives need it."""
    class_path = ":".join(str(jar) for jar in jars)
    return [str(java.program), *JVM_FLAGS, *archive, "-cp", class_path, *main]


def write_settings(folder: Path, data: Path, port: int, controller_port: int) -> None:
    """Write ``server.properties`` for one loopback-only node."""
    single_copy = {
        f"{prefix}.{setting}": "1"
        for prefix in ("transaction.state.log", "share.coordinator.state.topic")
        for setting in ("replication.factor", "min.isr")
    }
    settings = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "log.dirs": str(data),
        "offsets.topic.replication.factor": "1",
        **single_copy,
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.num.partitions": "4",
        "share.coordinator.state.topic.num.partitions": "4",
        "group.initial.rebalance.delay.ms": "0",
        "log.cleaner.dedupe.buffer.size": "4194304",  # the default takes 128 MiB of heap
        "metric.reporters": "",
        # With the default the controller refuses the node for 12 s after a kill -9, until its
        # old session ends; with these it is back in about 3 s.
        "broker.session.timeout.ms": "2000",
        "broker.heartbeat.interval.ms": "300",
        "auto.create.topics.enable": "false",
        "num.network.threads": "2",
        "num.io.threads": "4",
    }
    text = "".join(f"{key}={value}\n" for key, value in settings.items())
    (folder / "server.properties").write_text(text)


def broker_answers(port: int) -> bool:
    """Whether a Metadata request finds one live (unfenced) broker.

    An open port is not enough: the broker listens before the controller lets it serve.
    """
    body = struct.pack(">hhih4s", METADATA_API_KEY, METADATA_VERSION, 1, 4, b"wait")
    body += struct.pack(">i?", 0, False)  # no topics; create none
    try:
        with socket.create_connection(("127.0.0.1", port), PROBE_TIMEOUT.total_seconds()) as connection:
            connection.sendall(struct.pack(">i", len(body)) + body)
            reply = connection.recv(16)  # size, correlation id, throttle time, number of brokers
    except OSError:
        return False
    return len(reply) == 16 and struct.unpack(">iiii", reply)[3] > 0
