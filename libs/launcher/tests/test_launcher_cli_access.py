"""How the command line finds the API, and how it fails: one sentence, no traceback, a documented exit code."""

from __future__ import annotations

import resource
import subprocess
import sys

import httpx
import pytest

from holdfast.common.errors import HoldfastError, Kind
from holdfast.launcher.main import app


def failed(result, code: int, words: str) -> None:
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ") and result.stderr.count("\n") == 1, result.stderr
    assert words in result.stderr


def problem(status: int, detail: str) -> httpx.Response:
    body = {"type": "/problems/x", "title": "x", "status": status, "detail": detail, "code": "x"}
    return httpx.Response(status, json=body, headers={"content-type": "application/problem+json"})


def test_address_and_token_come_from_the_data_folder(cli):
    cli.answers["GET /v1/jobs"] = {"items": [], "next_cursor": None}
    assert cli.type("job", "list").exit_code == 0
    assert cli.requests[0].url.host == "127.0.0.1" and cli.requests[0].url.port == 7100
    assert cli.requests[0].headers["authorization"] == "Bearer hf_" + "A" * 43


def test_environment_and_option_win_over_the_data_folder(cli):
    cli.answers["GET /v1/jobs"] = {"items": [], "next_cursor": None}
    env = {"HOLDFAST_API": "https://backup.example/", "HOLDFAST_TOKEN": "hf_x"}
    assert cli.type("job", "list", **env).exit_code == 0
    assert str(cli.requests[0].url).startswith("https://backup.example/v1/jobs")
    assert cli.requests[0].headers["authorization"] == "Bearer hf_x"
    assert cli.type("job", "list", "--api", "https://other.example", **env).exit_code == 0
    assert cli.requests[1].url.host == "other.example"


def test_token_of_the_data_folder_goes_to_no_other_address(cli):
    failed(cli.type("job", "list", "--api", "https://other.example"), 3, "Set HOLDFAST_TOKEN")
    assert cli.requests == []


def test_nothing_runs_here(cli):
    (cli.data / "api-address").unlink()
    failed(cli.type("job", "list"), 3, "holdfast up")
    failed(cli.type("job", "list", HOLDFAST_API="nonsense"), 2, "not an address")


def test_nobody_answers(cli):
    def refuse(_request):
        raise httpx.ConnectError("Connection refused")

    cli.answers["GET /v1/jobs"] = refuse
    failed(cli.type("job", "list"), 3, "Nobody answers at http://127.0.0.1:7100")


def test_it_takes_too_long(cli):
    def sleep(_request):
        raise httpx.ReadTimeout("")

    cli.answers["GET /v1/jobs"] = sleep
    failed(cli.type("job", "list"), 3, "takes too long")


@pytest.mark.parametrize(
    ("status", "code"), [(401, 3), (403, 3), (404, 4), (409, 4), (413, 4), (422, 4), (429, 4), (500, 3), (503, 3)]
)
def test_problems_become_sentences_and_exit_codes(cli, status, code):
    cli.answers["GET /v1/jobs/Nightly"] = lambda _request: problem(status, "This is why.")
    failed(cli.type("job", "show", "Nightly"), code, "This is why.")
    failed(cli.type("job", "show", "Nightly", "--json"), code, "This is why.")


@pytest.mark.parametrize("answer", [httpx.Response(200, text="<html>"), httpx.Response(502, text="<html>")])
def test_something_else_answers(cli, answer):
    cli.answers["GET /v1/jobs"] = lambda _request: answer
    failed(cli.type("job", "list"), 3, "is not Holdfast")


@pytest.mark.parametrize("words", [["nope"], ["job"], ["job", "create"], ["runs", "list", "--limit", "0"]])
def test_usage_errors_exit_with_2_and_a_plain_text(cli, words):
    result = cli.type(*words)
    assert result.exit_code == 2
    assert "Traceback" not in result.output and "│" not in result.output


def test_errors_of_the_processes_are_sentences_too(cli, monkeypatch):
    def fail(_work):
        _work.close()
        raise HoldfastError(Kind.UNAVAILABLE, "Postgres does not answer.")

    monkeypatch.setattr("uvloop.run", fail)
    failed(cli.type("run", "all"), 1, "Postgres does not answer.")


def test_parked_needs_to_know_where_postgres_is(cli):
    failed(cli.type("parked", "list", HOLDFAST_POSTGRES=""), 3, "HOLDFAST_POSTGRES")
    failed(cli.type("parked", "replay", "gateway", "1", HOLDFAST_POSTGRES="postgresql://x"), 2, "consumes no messages")


def test_help_is_instant_and_imports_nothing_heavy():
    code = (
        "import sys; from holdfast.launcher.main import app; "
        "print([m for m in ('httpx', 'rich', 'grpc', 'pyarrow', 'asyncpg', 'fastapi') if m in sys.modules])"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=30)
    assert done.stdout == "[]\n", done.stderr
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before < 0.5


def test_every_command_has_help(cli):
    groups = {"connection": ["add", "list", "show", "test", "objects"]}
    groups |= {"job": ["create", "list", "show", "objects", "run"]}
    groups |= {"runs": ["list", "show"], "record": ["history"], "parked": ["list", "replay", "drop"]}
    words = [[group, command] for group, commands in groups.items() for command in commands]
    words += [["changes"], ["verify"], ["run"], ["up"], ["demo"]]
    assert app.registered_commands
    for each in words:
        result = cli.type(*each, "--help")
        assert result.exit_code == 0 and "Usage: " in result.stdout, each
