"""`holdfast up` starts, keeps its data, stops in ten seconds, and leaves nothing behind, not even after kill -9."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from holdfast.launcher.stack.process import PORT_RANGE_SETTING

from .harness import free_port, wait_until

pytestmark = pytest.mark.integration
CLEAN_STOP_S = 10.0
READY_LINE = "Press Ctrl-C to stop."


@contextmanager
def up(data: Path, *options: str, settings: dict[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")}
    env[PORT_RANGE_SETTING] = os.environ[PORT_RANGE_SETTING]
    env["HOLDFAST_GATEWAY_HTTP"] = f"127.0.0.1:{free_port()}"  # other tests run beside this one
    log_file = data.parent / "up.log"
    started = log_file.read_text().count(READY_LINE) if log_file.exists() else 0
    with log_file.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "holdfast.launcher.main", "up", "--data", str(data), *options],
            env={**env, **(settings or {})},
            stdout=log,
            stderr=log,
        )
    try:
        wait_until(
            lambda: log_file.read_text().count(READY_LINE) > started or process.poll() is not None,
            60,
            log_file.read_text,
        )
        assert process.poll() is None, log_file.read_text()
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def cli(data: Path, *words: str) -> Any:
    env = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")}
    printed = subprocess.run(
        [sys.executable, "-m", "holdfast.launcher.main", *words, "--json"],
        env={**env, "HOLDFAST_DATA": str(data)},
        capture_output=True,
        check=True,
    )
    return json.loads(printed.stdout)


def family(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def _all_gone(processes: list[psutil.Process]) -> bool:
    return not any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in processes)


def test_kill_9_leaves_no_orphan_and_the_next_start_recovers(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with up(data, "--org-demo") as first:
        printed = (tmp_path / "up.log").read_text()
        secret = data / "org" / "client-secret"
        assert oct((data / "admin-token").stat().st_mode)[-3:] == "600"
        assert oct(secret.stat().st_mode)[-3:] == "600"
        line = next(line for line in printed.splitlines() if "connection add" in line)
        cli(data, *line.split("holdfast ", 1)[1].split())
        children = family(first)
        assert len(children) >= 3
        first.kill()
        first.wait()
        wait_until(lambda: _all_gone(children), 10, lambda: str([each.cmdline()[:3] for each in children]))

    with up(data) as second:
        assert [each["name"] for each in cli(data, "connection", "list")] == ["demo"]
        children = family(second)
        began = time.monotonic()
        second.send_signal(signal.SIGINT)
        assert second.wait(timeout=30) == 0
        assert time.monotonic() - began < CLEAN_STOP_S
        assert _all_gone(children)
        assert not (data / "api-address").exists()


def test_a_second_installation_on_one_folder_is_refused(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with up(data):
        refused = subprocess.run(  # noqa: PLW1510 - its exit code is what is tested
            [sys.executable, "-m", "holdfast.launcher.main", "up", "--data", str(data)], capture_output=True, text=True
        )
        assert refused.returncode != 0
        assert "Traceback" not in refused.stderr
        assert str(data) in refused.stderr
        assert cli(data, "job", "list") == []  # the first one can still be found


def test_outside_servers_replace_the_embedded_ones(tmp_path: Path, kafka_servers: str, postgres_dsn: str) -> None:
    settings = {
        "HOLDFAST_KAFKA": kafka_servers,
        "HOLDFAST_KAFKA_PREFIX": f"{tmp_path.name}.",
        "HOLDFAST_POSTGRES": postgres_dsn,
        "HOLDFAST_OBJECT_STORE": (tmp_path / "elsewhere").as_uri(),
    }
    with up(tmp_path / "data", settings=settings) as process:
        commands = [" ".join(child.cmdline()) for child in family(process)]
        assert not [command for command in commands if "kafka.Kafka" in command or "postgres" in command]
        assert cli(tmp_path / "data", "job", "list") == []
        assert (tmp_path / "elsewhere").is_dir() and not (tmp_path / "data" / "vault").exists()


def test_the_vault_can_be_in_the_embedded_s3_server(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with up(data, "--s3", "--org-demo"):
        printed = (tmp_path / "up.log").read_text()
        line = next(line for line in printed.splitlines() if "connection add" in line)
        cli(data, *line.split("holdfast ", 1)[1].split())
        cli(data, "job", "create", "small", "--connection", "demo", "--object", "Campaign", "--object", "Contact")
        run = cli(data, "job", "run", "small")
        assert run["state"] == "completed" and run["counts"]["captured"] == 13 + 1024
        assert not (data / "vault").exists()
        verdict = cli(data, "verify", "small")
        assert "intact" in json.dumps(verdict)
