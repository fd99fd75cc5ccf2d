"""The settings of an embedded installation: made on the first start, kept in its data folder.

Everything reaches the services as `HOLDFAST_*` variables, as it does on Kubernetes: embedded mode swaps
addresses, never implementations. A variable that the user has set wins over the embedded part.
"""

from __future__ import annotations

import base64
import os
import secrets
from pathlib import Path

from holdfast.launcher.stack.embedded import EmbeddedStack
from holdfast.launcher.stack.process import free_ports

SECRET_FILE_MODE = 0o600
API_PORT = 8080  # if it is free
GRPC_SERVICES = ("connections", "scheduler", "extractor", "differ", "history")


def wanted_parts() -> dict[str, bool]:
    """Which embedded parts to start: those for which no outside address is set."""
    return {"kafka": not os.environ.get("HOLDFAST_KAFKA"), "postgres": not os.environ.get("HOLDFAST_POSTGRES")}


def embedded_environment(data: Path, stack: EmbeddedStack, *, s3: bool) -> dict[str, str]:
    """`HOLDFAST_*` variables for services on `stack`, leaving out what the user has set."""
    http_port, *grpc_ports = free_ports([API_PORT], 1 + len(GRPC_SERVICES))
    values = {
        "HOLDFAST_DATA": str(data),
        "HOLDFAST_INTERNAL_TOKEN": kept_secret(data / "internal-token"),
        "HOLDFAST_SECRET_KEY": kept_secret(data / "secret-key"),
        "HOLDFAST_OBJECT_STORE": (data / "vault").as_uri(),
        "HOLDFAST_INSTANCE": "embedded",  # the data folder's lock lets only one run
        "HOLDFAST_LOG_LEVEL": "warning",
        "HOLDFAST_LOG_FORMAT": "console",
        "HOLDFAST_GATEWAY_HTTP": f"127.0.0.1:{http_port}",
    }
    parts = wanted_parts()
    if parts["kafka"]:
        values["HOLDFAST_KAFKA"] = stack.kafka_servers
    if parts["postgres"]:
        values["HOLDFAST_POSTGRES"] = stack.postgres_dsn("holdfast")
    if s3:
        values |= _s3_environment(stack)
    values |= {
        f"HOLDFAST_{name.upper()}_GRPC": f"127.0.0.1:{port}"
        for name, port in zip(GRPC_SERVICES, grpc_ports, strict=True)
    }
    return {name: value for name, value in values.items() if not os.environ.get(name)}


def _s3_environment(stack: EmbeddedStack) -> dict[str, str]:
    return {
        "HOLDFAST_OBJECT_STORE": f"s3://{stack.s3.bucket}/vault",
        "HOLDFAST_S3_ENDPOINT": stack.s3.endpoint,
        "HOLDFAST_S3_ACCESS_KEY": stack.s3.access_key,
        "HOLDFAST_S3_SECRET_KEY": stack.s3.secret_key,
        "HOLDFAST_S3_REGION": "us-east-1",
    }


def kept_secret(path: Path) -> str:
    """A random 32-byte secret, made once and readable by its owner only."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".new")
        partial.touch(mode=SECRET_FILE_MODE)
        partial.write_text(base64.b64encode(secrets.token_bytes(32)).decode())
        partial.replace(path)
    return path.read_text().strip()


def kept_port(path: Path) -> int:
    """The port that `path` remembers if it is still free, else any free port, which is remembered instead."""
    last = path.read_text().strip() if path.exists() else ""
    port = free_ports([int(last)] if last.isdigit() else [], 1)[0]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(str(port))
    return port
