"""Holdfast as its users run it: real processes, real Kafka and Postgres, spoken to over the public HTTP API."""

from __future__ import annotations

import atexit
import base64
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import httpx

from holdfast.launcher.compose import SERVICES
from holdfast.launcher.demo.org_session import OrgSession
from holdfast.launcher.demo.proof import ObjectProof, prove_object
from holdfast.launcher.stack.process import free_ports
from holdfast.orgsim.testing import RunningOrg

from .zygote import Child, Zygote

ENDED = {"completed", "partial", "failed", "cancelled"}
START_TIMEOUT_S = 45.0


def free_port() -> int:
    """A free port outside the range from which the system gives ports to clients."""
    return free_ports([], 1)[0]


@cache
def the_zygote() -> Zygote:
    """The one that all installations of this test process fork from; it ends with it."""
    running = Zygote()
    atexit.register(running.__exit__, None, None, None)
    return running


class Installation:
    """Services on given Kafka and Postgres servers; all in one process, a process each, or as `groups` says.

    They are forked from a process that has imported everything, unless `afresh` asks for `holdfast run` as users start
    it.
    """

    def __init__(
        self,
        folder: Path,
        *,
        kafka: str,
        dsn: str,
        separate: bool = False,
        afresh: bool = False,
        groups: Sequence[Sequence[str]] = (),
    ) -> None:
        self.folder = folder
        self._zygote = None if afresh else the_zygote()
        self.vault = folder / "vault"
        self._groups = [list(group) for group in groups] or ([[name] for name in SERVICES] if separate else [["all"]])
        self._processes: list[subprocess.Popen[bytes] | Child] = []
        http_port, *grpc_ports = free_ports([], len(SERVICES))
        ports = {
            f"HOLDFAST_{name.upper()}_GRPC": f"127.0.0.1:{port}"
            for name, port in zip(SERVICES[:-1], grpc_ports, strict=True)
        }
        self.env = {
            **{name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")},
            "HOLDFAST_DATA": str(folder),
            "HOLDFAST_KAFKA": kafka,
            "HOLDFAST_KAFKA_PREFIX": f"t{secrets.token_hex(4)}.",
            "HOLDFAST_KAFKA_PARTITIONS": "2",
            "HOLDFAST_INSTANCE": "test",
            "HOLDFAST_POSTGRES": dsn,
            "HOLDFAST_OBJECT_STORE": self.vault.as_uri(),
            "HOLDFAST_INTERNAL_TOKEN": secrets.token_hex(16),
            "HOLDFAST_SECRET_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
            "HOLDFAST_GATEWAY_HTTP": f"127.0.0.1:{http_port}",
            "HOLDFAST_ALLOW_INSECURE_SALESFORCE": "true",
            "HOLDFAST_EXTRACTOR_LEASE": "PT2S",
            "HOLDFAST_DIFFER_LEASE_S": "2",
            **ports,
        }
        self.trial_env: dict[str, str] = {}  # on top of `env`, for a command that is run beside the services
        self.api = f"http://{self.env['HOLDFAST_GATEWAY_HTTP']}"
        self._http: httpx.Client | None = None

    @property
    def log(self) -> str:
        """What the processes printed, the last lines of each."""
        files = sorted(self.folder.glob("*.log"))
        return "\n".join(f"== {file.name}\n{file.read_text(errors='replace')[-6000:]}" for file in files)

    def start(self, env: Mapping[str, str] | None = None) -> None:
        """Start the processes; returns when the API answers, or when one has died (see `alive`)."""
        for group in self._groups:
            self._processes.append(self._spawn(group, {**self.env, **(env or {})}))
        self._wait_ready()

    def _spawn(self, group: list[str], env: Mapping[str, str], log_name: str = "") -> subprocess.Popen[bytes] | Child:
        log_file = self.folder / f"{log_name or group[0]}.log"
        if self._zygote is not None:
            return self._zygote.spawn(group, env, log_file)
        with log_file.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "holdfast.launcher.main", "run", *group],
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def command(self, *words: str) -> tuple[int, str]:
        """Run a command of the command line beside the services; its exit code and what it printed."""
        log = self.folder / f"command-{secrets.token_hex(4)}.txt"
        code = the_zygote().command(words, {**self.env, **self.trial_env}, log).wait(timeout=60)
        return code, log.read_text(errors="replace")

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        servers = [address for group in self._groups for address in self._servers(group, self.env)]
        while time.monotonic() < deadline and self.alive:
            try:
                for address in servers:
                    host, _, port = address.partition(":")
                    socket.create_connection((host, int(port)), timeout=2).close()
                if httpx.get(f"{self.api}/v1/health", timeout=2).status_code == httpx.codes.OK:
                    return
            except (httpx.HTTPError, OSError):
                time.sleep(0.05)
        if self.alive:
            raise RuntimeError(f"the services did not start\n{self.log}")

    @staticmethod
    def _servers(group: Sequence[str], env: Mapping[str, str]) -> list[str]:
        names = [name for name in SERVICES if name in group or "all" in group]
        return [env[f"HOLDFAST_{name.upper()}_GRPC"] for name in names if name != "gateway"]

    @contextmanager
    def beside(self, names: Sequence[str], env: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes] | Child]:
        """One more process with some services, ended with the block. `env` gives it its own HOLDFAST_INSTANCE."""
        its_env = {**self.env, **env}
        process = self._spawn(list(names), its_env, log_name=env["HOLDFAST_INSTANCE"])

        def serves() -> bool:
            try:
                for host, _, port in (address.partition(":") for address in self._servers(names, its_env)):
                    socket.create_connection((host, int(port)), timeout=2).close()
            except OSError:
                return False
            return True

        try:
            wait_until(serves, START_TIMEOUT_S, lambda: self.log)
            yield process
        finally:
            for number in (signal.SIGTERM, signal.SIGCONT):
                process.send_signal(number)
            process.wait(timeout=25)

    @property
    def alive(self) -> bool:
        """Whether every process runs."""
        return bool(self._processes) and all(process.poll() is None for process in self._processes)

    @property
    def pids(self) -> list[int]:
        return [process.pid for process in self._processes]

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End all processes, cleanly or, with SIGKILL, as a crash would."""
        for process in self._processes:
            if process.poll() is None:
                process.send_signal(number)
        for process in self._processes:
            try:
                process.wait(timeout=25)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._processes.clear()
        if self._http is not None:
            self._http.close()
            self._http = None

    @property
    def http(self) -> httpx.Client:
        """The public API, as the admin."""
        if self._http is None:
            token = (self.folder / "admin-token").read_text().strip()
            headers = {"Authorization": f"Bearer {token}"}
            self._http = httpx.Client(base_url=f"{self.api}/v1", headers=headers, timeout=30)
        return self._http

    def post(self, path: str, body: Mapping[str, Any], key: str | None = None) -> dict[str, Any]:
        headers = {"Idempotency-Key": key} if key else {}
        answer = self.http.post(path, json=body, headers=headers)
        if answer.is_error:
            raise AssertionError(f"POST {path}: {answer.status_code} {answer.text}\n{self.log}")
        return dict(answer.json())

    def get(self, path: str, **params: Any) -> dict[str, Any]:
        answer = self.http.get(path, params=params)
        if answer.is_error:
            raise AssertionError(f"GET {path}: {answer.status_code} {answer.text}\n{self.log}")
        return dict(answer.json())

    def connect(self, org: RunningOrg, name: str = "org") -> str:
        """Add a connection to a local org; its id."""
        body = {
            "name": name,
            "login_url": org.url,
            "flow": "client-credentials",
            "client_id": org.client_id,
            "secret": org.client_secret,
        }
        return str(self.post("/connections", body, key=f"connect-{name}")["id"])

    def create_job(self, connection_id: str, objects: Sequence[str] = (), name: str = "nightly") -> str:
        """Create a job; its id."""
        body: dict[str, Any] = {"name": name, "connection": connection_id}
        if objects:
            body["objects"] = list(objects)
        return str(self.post("/jobs", body, key=f"job-{name}")["id"])

    def request_run(self, job_id: str, *, full: bool = False, key: str | None = None) -> str:
        """Ask for a run; its id."""
        return str(self.post(f"/jobs/{job_id}/runs", {"full": full}, key=key)["id"])

    def wait_run(self, run_id: str, timeout_s: float = 60) -> dict[str, Any]:
        """The run once it has ended."""
        run: dict[str, Any] = {}

        def ended() -> bool:
            nonlocal run
            run = self.get(f"/runs/{run_id}")
            return run["state"] in ENDED

        wait_until(ended, timeout_s, lambda: f"run {run}\n{self.log}")
        return run

    def until(self, condition: Callable[[], bool], timeout_s: float, found: Callable[[], object] = str) -> None:
        """Wait for what these processes do; raise once a process has died, or with what was found instead."""

        def come_true() -> bool:
            living = self.alive  # asked first: what a process did before it died counts
            if condition():
                return True
            assert living, f"a process ended\n{self.log}"
            return False

        wait_until(come_true, timeout_s, lambda: f"{found()}\n{self.log}")

    def run(self, job_id: str, *, full: bool = False, timeout_s: float = 60) -> dict[str, Any]:
        """Run a job to its end."""
        return self.wait_run(self.request_run(job_id, full=full), timeout_s)


def wait_until(condition: Callable[[], bool], timeout_s: float, describe: Callable[[], str]) -> None:
    """Wait for a condition; raise with `describe()` when it does not come true."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s:.0f} s: {describe()}")
        time.sleep(0.05)


def proofs(vault: Path, job_id: str, org: RunningOrg, objects: Sequence[str]) -> list[ObjectProof]:
    """Compare the vault with the org's ledger, object by object."""
    with OrgSession(org.url, org.client_id, org.client_secret) as session:
        return [
            prove_object(
                name, session.field_types(name), org.state(name), vault / job_id / "records" / name, gone(org, name)
            )
            for name in objects
        ]


def gone(org: RunningOrg, name: str) -> frozenset[str]:
    """Ids of records that the org had and deleted for good."""
    return (
        frozenset(entry["id"] for entry in org.ledger(name) if entry.get("values", entry) is None)
        - org.state(name).keys()
    )


def assert_agree(vault: Path, job_id: str, org: RunningOrg, objects: Sequence[str]) -> None:
    """Every cell of every record is the same in the vault and in the org's ledger; nothing is there twice."""
    for proof in proofs(vault, job_id, org, objects):
        assert proof.holds, (proof.object, proof.difference_count, proof.differences[:5])
        assert proof.live + proof.deleted >= len(org.state(proof.object))


@contextmanager
def installed(
    folder: Path,
    *,
    kafka: str,
    dsn: str,
    separate: bool = False,
    afresh: bool = False,
    env: Mapping[str, str] | None = None,
) -> Iterator[Installation]:
    """A running installation, ended with the block."""
    installation = Installation(folder, kafka=kafka, dsn=dsn, separate=separate, afresh=afresh)
    installation.env.update(env or {})
    try:
        installation.start()
        if not installation.alive:
            raise RuntimeError(f"a process ended while it started\n{installation.log}")
        yield installation
    finally:
        installation.stop()
