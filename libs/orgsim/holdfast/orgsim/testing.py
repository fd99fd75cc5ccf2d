"""An org for tests: starts the process, hands over its address and a small client of the admin API."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import orjson

START_TIMEOUT_S = 60.0


class RunningOrg:
    """A served org.

    Attributes: url, pid, client_id, client_secret, username, password, security_token, org_id; https_url, proxy_url
    and ca_file of an org that listens on https; domain, the host name of its My Domain; orgs, the further orgs of the
    process by their name.
    """

    def __init__(self, info: Mapping[str, Any]) -> None:
        self.url: str = info["url"]
        self.pid: int = info["pid"]
        self.client_id: str = info["client_id"]
        self.client_secret: str = info["client_secret"]
        self.username: str = info["username"]
        self.org_id: str = info["org_id"]
        self.password: str = info["password"]
        self.security_token: str = info["security_token"]
        self.domain: str = info["domain"]
        self.https_url: str | None = info.get("https_url")
        self.proxy_url: str | None = info.get("proxy_url")
        self.ca_file: str | None = info.get("ca_file")
        self.name: str = info["name"]
        self.orgs = {other["name"]: RunningOrg(other) for other in info.get("orgs", [])[1:]}
        self._http = httpx.Client(base_url=self.url, timeout=60, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the client; the org runs on."""
        for other in self.orgs.values():
            other.close()
        self._http.close()

    def token(self) -> str:
        """A fresh access token by client credentials."""
        form = {
            "grant_type": "client_credentials",
            "client_id": self.client_id,
            "client_secret": self.client_secret,
        }
        answer = self._http.post("/services/oauth2/token", data=form)
        answer.raise_for_status()
        return str(answer.json()["access_token"])

    def state(self, object_name: str, *, at: str | None = None) -> dict[str, dict[str, str | None]]:
        """Every record of the object by id, deleted ones included, in canonical text."""
        params = {"object": object_name} | ({"at": at} if at else {})
        return {row["Id"]: row for row in self._lines("/_org/state", params)}

    def ledger(self, object_name: str | None = None, *, since: int = 0) -> list[dict[str, Any]]:
        """Ledger entries after number `since`."""
        return self._lines("/_org/ledger", {"since": str(since)} | ({"object": object_name} if object_name else {}))

    def calls(self) -> dict[str, Any]:
        """API request counters; see `Accounting.report`."""
        return dict(self._json("GET", "/_org/calls"))

    def reset_calls(self) -> None:
        """Start counting anew."""
        self._json("DELETE", "/_org/calls")

    def objects(self) -> dict[str, dict[str, int]]:
        """Row counts of the objects that hold rows: {name: {rows, deleted}}."""
        return dict(self._json("GET", "/_org/objects")["objects"])

    def faults(self, *faults: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Add faults (see `holdfast.orgsim.faults.scripted`); all in force, with how often each was applied."""
        if faults:
            return list(self._json("POST", "/_org/faults", list(faults)))
        return list(self._json("GET", "/_org/faults"))

    def clear_faults(self) -> None:
        """Take all faults away."""
        self._json("DELETE", "/_org/faults")

    def now(self) -> str:
        """The org's time, ISO 8601."""
        return str(self._json("GET", "/_org/clock")["now"])

    def advance(self, seconds: float) -> None:
        """Move the org's clock forward."""
        self._json("POST", "/_org/clock", {"advance_s": seconds})

    def set_clock(self, iso: str, *, frozen: bool = False) -> None:
        """Set the org's clock; with `frozen` it stands still."""
        self._json("POST", "/_org/clock", {"set": iso, "frozen": frozen})

    def restrict(
        self,
        *,
        hidden_objects: Iterable[str] = (),
        hidden_fields: Iterable[str] = (),
        username: str | None = None,
    ) -> None:
        """What a user (the integration user if None) cannot read; fields as "Object.Field"."""
        body = {
            "username": username,
            "hidden_objects": list(hidden_objects),
            "hidden_fields": list(hidden_fields),
        }
        self._json("POST", "/_org/users", body)

    def permit(
        self,
        *,
        permissions: Mapping[str, bool] | None = None,
        objects: Mapping[str, str] | None = None,
        read_only_fields: Iterable[str] = (),
        username: str | None = None,
    ) -> str:
        """Give a user (the integration user if None; made if new) a profile of their own; the user's id.

        Args:
            permissions: System permissions to switch, e.g. `{"ViewAllData": False}`.
            objects: Rights by object, as letters: create, read, update, delete, view all, modify all.
            read_only_fields: Fields that cannot be written, as "Object.Field".
            username: Whose.
        """
        body = {
            "username": username,
            "permissions": dict(permissions or {}),
            "objects": dict(objects or {}),
            "read_only_fields": list(read_only_fields),
        }
        return str(self._json("POST", "/_org/users", body)["id"])

    def schema(self, document: Mapping[str, Any]) -> list[str]:
        """Define what a schema document names (see docs/schema.md); the names of its objects."""
        return list(self._json("POST", "/_org/schema", document)["objects"])

    def limits(self, *, maximum: int | None = None, used: int | None = None) -> dict[str, int]:
        """Set and read the daily API limit."""
        body = {key: value for key, value in (("max", maximum), ("used", used)) if value is not None}
        return dict(self._json("POST", "/_org/limits", body))

    def expire_sessions(self) -> int:
        """End every session."""
        return int(self._json("POST", "/_org/sessions/expire")["expired"])

    def define(self, name: str, fields: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]]) -> list[str]:
        """Define an object with custom fields and load rows; their ids."""
        answer = self._json("POST", "/_org/objects", {"name": name, "fields": list(fields), "rows": list(rows)})
        return list(answer["ids"])

    def _json(self, method: str, path: str, body: object = None) -> Any:
        answer = self._http.request(method, path, content=None if body is None else orjson.dumps(body))
        if answer.is_error:
            raise RuntimeError(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer.json()

    def _lines(self, path: str, params: Mapping[str, str]) -> list[dict[str, Any]]:
        answer = self._http.get(path, params=dict(params))
        if answer.is_error:
            raise RuntimeError(f"GET {path}: {answer.status_code} {answer.text}")
        return [orjson.loads(line) for line in answer.content.split(b"\n") if line]


@contextmanager
def start_org(
    *,
    load: Sequence[Path] = (),
    multiply: int = 1,
    data_dir: Path | None = None,
    client_secret: str | None = None,
    orgs: Sequence[str] = (),
    extra: Sequence[str] = (),
) -> Iterator[RunningOrg]:
    """Run an org as a child process. `extra` are further arguments of `serve`, e.g. ["--session-s", "5"].

    `orgs`, e.g. ["acme", "uat=sandbox"], serves several: the first is handed over and has the others in its `orgs`.
    The secret of the connected app is random unless it is given; it travels by the child's environment.

    Raises:
        RuntimeError: the org did not come up; its output is in the message.
    """
    with tempfile.TemporaryDirectory(prefix="orgsim-") as folder:
        ready = Path(folder) / "ready.json"
        command = [sys.executable, "-m", "holdfast.orgsim", "serve", "--ready-file", str(ready)]
        command += ["--multiply", str(multiply), "--parent-pid", str(os.getpid()), *extra]
        for definition in orgs:
            command += ["--org", definition]
        for path in load:
            command += ["--load", str(path)]
        if data_dir is not None:
            command += ["--data-dir", str(data_dir)]
        log_path = Path(folder) / "org.log"
        environment = dict(os.environ) | ({"ORGSIM_CLIENT_SECRET": client_secret} if client_secret else {})
        with log_path.open("wb") as log:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=environment
            )
        try:
            _wait(process, ready, log_path)
            with RunningOrg(orjson.loads(ready.read_bytes())) as org:
                yield org
        finally:
            process.terminate()
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(process: subprocess.Popen[bytes], ready: Path, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not ready.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the org did not start: {log.read_text(errors='replace')}")
        time.sleep(0.02)
