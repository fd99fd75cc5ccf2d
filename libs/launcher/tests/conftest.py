"""The command line against an HTTP API that answers from a table."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner, Result

from holdfast.launcher.commands import api as api_module
from holdfast.launcher.commands import progress
from holdfast.launcher.main import app

sys.path.insert(0, str(Path(__file__).parent))
Answer = Callable[[httpx.Request], httpx.Response] | Any


@dataclass
class Cli:
    """Types commands; `answers` says what the API has at `METHOD /path`."""

    data: Path
    answers: dict[str, Answer] = field(default_factory=dict)
    requests: list[httpx.Request] = field(default_factory=list)

    def respond(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.get(f"{request.method} {request.url.path}")
        if answer is None:
            return problem(404, "not-found", f"There is nothing at {request.url.path}.")
        return answer(request) if callable(answer) else httpx.Response(200, json=answer)

    def type(self, *words: str, stdin: str | None = None, **env: str) -> Result:
        environment = {"HOLDFAST_DATA": str(self.data), "HOLDFAST_API": None, "HOLDFAST_TOKEN": None, **env}
        return CliRunner().invoke(app, list(words), env=environment, input=stdin)

    def body(self, number: int = -1) -> Any:
        return json.loads(self.requests[number].content)


def problem(status: int, code: str, detail: str) -> httpx.Response:
    body = {"type": f"/problems/{code}", "title": "x", "status": status, "detail": detail, "code": code}
    return httpx.Response(status, json=body, headers={"content-type": "application/problem+json"})


@pytest.fixture
def cli(tmp_path, monkeypatch) -> Cli:
    made = Cli(tmp_path)
    (tmp_path / "api-address").write_text("http://127.0.0.1:7100\n")
    (tmp_path / "admin-token").write_text("hf_" + "A" * 43 + "\n")
    real = api_module.Api

    def over_table(address: str, token: str) -> api_module.Api:
        return real(address, token, transport=httpx.MockTransport(made.respond))

    monkeypatch.setattr(api_module, "Api", over_table)
    return made


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr(progress.time, "sleep", lambda _seconds: None)
