"""What the commands ask of the API, print and exit with. The API's answers are made from the API's own models."""

from __future__ import annotations

import importlib.metadata
import io
import json
from uuid import UUID

import httpx
import pytest
from api_answers import connection, detail, job, page, run
from rich.console import Console

from holdfast.gateway.models.runs import Gap
from holdfast.launcher.commands import output, progress

# connections


def test_connection_add_reads_the_secret_from_a_file_and_never_prints_it(cli, tmp_path):
    (tmp_path / "secret").write_text("s3cr3t\n")
    cli.answers["POST /v1/connections"] = connection(warnings=["The user cannot see 2 objects."])
    words = ["connection", "add", "Production", "--login-url", "https://acme.my.salesforce.com", "--client-id", "c"]
    result = cli.type(*words, "--client-secret-file", str(tmp_path / "secret"))
    assert result.exit_code == 0, result.output
    assert cli.body() == {
        "name": "Production",
        "login_url": "https://acme.my.salesforce.com",
        "flow": "client-credentials",
        "client_id": "c",
        "secret": "s3cr3t",
        "username": "",
    }
    assert "Connected 'Production' to Acme (00D5g00000ABCDEFGH) as backup@acme.example." in result.stdout
    assert "Note: The user cannot see 2 objects." in result.stdout
    assert "s3cr3t" not in result.output


@pytest.mark.parametrize(("stdin", "env"), [("piped\n", {}), (None, {"HOLDFAST_CLIENT_SECRET": "piped"})])
def test_connection_add_takes_the_secret_from_stdin_or_environment(cli, stdin, env):
    cli.answers["POST /v1/connections"] = connection()
    words = ["connection", "add", "P", "--login-url", "https://a", "--client-id", "c"]
    if stdin:
        words += ["--client-secret-file", "-"]
    assert cli.type(*words, stdin=stdin, **env).exit_code == 0
    assert cli.body()["secret"] == "piped"


def test_connection_add_with_a_private_key_signs_in_by_jwt(cli, tmp_path):
    (tmp_path / "key.pem").write_text("-----BEGIN PRIVATE KEY-----\nx\n")
    cli.answers["POST /v1/connections"] = connection()
    words = ["connection", "add", "P", "--login-url", "https://a", "--client-id", "c"]
    words += ["--private-key-file", str(tmp_path / "key.pem")]
    assert cli.type(*words).exit_code == 2
    assert cli.type(*words, "--username", "u@x").exit_code == 0
    assert (cli.body()["flow"], cli.body()["username"]) == ("jwt-bearer", "u@x")


def test_connection_add_without_any_secret_says_what_to_do(cli):
    result = cli.type("connection", "add", "P", "--login-url", "https://a", "--client-id", "c", stdin="")
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: Where is the client secret?")
    assert cli.requests == []


def test_connection_list_and_test(cli):
    cli.answers["GET /v1/connections"] = page(connection())
    cli.answers["POST /v1/connections/Production/tests"] = connection(status="broken", status_reason="Expired.")
    listed = cli.type("connection", "list")
    assert listed.stdout.splitlines() == [
        "Name        Org   Instance                        Status      API calls",
        "Production  Acme  https://acme.my.salesforce.com  ok      12 of 100,000",
    ]
    assert json.loads(cli.type("connection", "list", "--json").stdout) == [connection()]
    tested = cli.type("connection", "test", "Production")
    assert tested.exit_code == 1 and "Expired." in tested.stdout


# jobs


def test_job_create_uses_the_only_connection(cli):
    cli.answers["GET /v1/connections"] = page(connection())
    cli.answers["POST /v1/jobs"] = job()
    result = cli.type("job", "create", "Nightly", "--object", "Account,Contact", "--object", "Lead")
    assert result.exit_code == 0, result.output
    assert cli.body()["connection"] == str(UUID(int=1))
    assert cli.body()["objects"] == ["Account", "Contact", "Lead"]
    assert "Created the job 'Nightly'" in result.stdout


def test_job_create_leaves_the_objects_out_when_none_is_named(cli):
    cli.answers["POST /v1/jobs"] = job()
    assert cli.type("job", "create", "Nightly", "--connection", "P").exit_code == 0
    assert "objects" not in cli.body()


def test_job_create_with_several_connections_asks_which(cli):
    cli.answers["GET /v1/connections"] = page(connection(), connection(name="Sandbox"))
    result = cli.type("job", "create", "Nightly")
    assert result.exit_code == 2 and "Production, Sandbox" in result.stderr


def test_job_list_and_show(cli):
    cli.answers["GET /v1/jobs"] = page(job())
    cli.answers["GET /v1/jobs/Nightly"] = job()
    assert "#3 completed" in cli.type("job", "list").stdout
    assert "Schedule    0 2 * * * (UTC)" in cli.type("job", "show", "Nightly").stdout
    assert json.loads(cli.type("job", "show", "Nightly", "--json").stdout) == job()


def following(cli, *states) -> None:
    """The API that shows these states one after the other; an exception is a lost answer."""
    left = list(states)
    cli.answers["POST /v1/jobs/Nightly/runs"] = run(state="requested")

    def next_state(_request):
        state = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(state, Exception):
            raise state
        return state if isinstance(state, httpx.Response) else httpx.Response(200, json=state)

    cli.answers[f"GET /v1/runs/{UUID(int=103)}"] = next_state


def test_job_run_follows_to_the_end_in_plain_lines(cli):
    waiting = detail("requested", objects=[], progress=None)
    following(cli, waiting, detail("running", 500), httpx.ConnectError("gone"), detail("running", 700), detail())
    result = cli.type("job", "run", "Nightly", "--label", "x")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == "run 3 requested"
    assert lines[1] == "run 3 running: 0/1 objects, 500 of 1,000 rows, 250 rows/s, 4 API calls, 3.0 s left"
    assert lines[2] == "run 3 completed: 1/1 objects, 1,000 of 1,000 rows, 250 rows/s, 4 API calls, 1 min 15 s"
    assert lines[-1] == "Run 3 completed in 1 min 15 s: 2 created, 1,500 updated; 4 API calls."
    assert "\x1b" not in result.output
    assert json.loads(cli.requests[0].content) == {"label": "x", "full": False}
    assert cli.requests[0].headers["idempotency-key"]


def test_job_run_that_ends_partial_exits_with_1_and_says_what_is_missing(cli):
    following(cli, detail("partial", missing=[Gap(object="Lead", reason="no access")]))
    result = cli.type("job", "run", "Nightly")
    assert result.exit_code == 1
    assert "Missing: Lead: no access" in result.stdout


def test_job_run_that_fails_gives_the_reason(cli):
    following(cli, detail("failed", reason="The org cannot be reached."))
    result = cli.type("job", "run", "Nightly")
    assert result.exit_code == 1
    assert "Run 3 failed in 1 min 15 s: The org cannot be reached.\n" in result.stdout


def test_job_run_as_json_prints_one_document(cli):
    following(cli, detail("running", 1), detail())
    assert json.loads(cli.type("job", "run", "Nightly", "--json").stdout) == detail()


def test_job_run_without_waiting(cli):
    following(cli, detail())
    result = cli.type("job", "run", "Nightly", "--no-wait", "--full")
    assert result.exit_code == 0 and len(cli.requests) == 1
    assert cli.body() == {"label": "", "full": True}
    assert f"holdfast runs show {UUID(int=103)} --follow" in result.stdout


def test_command_whose_answer_got_lost_is_repeated_with_its_key(cli):
    answers = iter([httpx.ReadError("lost"), httpx.Response(202, json=run(state="requested"))])

    def lose_the_first(_request):
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    cli.answers["POST /v1/jobs/Nightly/runs"] = lose_the_first
    assert cli.type("job", "run", "Nightly", "--no-wait").exit_code == 0
    keys = {request.headers["idempotency-key"] for request in cli.requests}
    assert len(cli.requests) == 2 and len(keys) == 1


def test_ctrl_c_ends_the_display_and_says_how_to_go_on(cli):
    def interrupt(_request):
        raise KeyboardInterrupt

    following(cli, detail())
    cli.answers[f"GET /v1/runs/{UUID(int=103)}"] = interrupt
    result = cli.type("job", "run", "Nightly")
    assert result.exit_code == 130
    assert result.stderr == f"The run goes on. Follow it with: holdfast runs show {UUID(int=103)} --follow\n"


def test_version_is_said(cli):
    assert cli.type("--version").stdout == f"holdfast {importlib.metadata.version('holdfast-launcher')}\n"


# runs


def test_runs_list_names_the_jobs(cli):
    cli.answers["GET /v1/runs"] = page(run(3), run(2, "failed"))
    cli.answers["GET /v1/jobs"] = page(job())
    lines = cli.type("runs", "list").stdout.splitlines()
    assert lines[0].split() == [
        "Run",
        "State",
        "Requested",
        "(UTC)",
        "Took",
        "Captured",
        "Created",
        "Updated",
        "Deleted",
        "Undeleted",
        "Proof",
        "Label",
    ]
    assert lines[1].split() == [
        "Nightly#3",
        "completed",
        "2026-03-01",
        "12:00:00",
        "1",
        "min",
        "15",
        "s",
        "0",
        "2",
        "1,500",
        "0",
        "0",
    ]
    assert lines[2].startswith("Nightly#2  failed")


@pytest.mark.parametrize(
    ("proven", "not_proven", "mismatch", "shown"),
    [(3, 0, 0, "proven"), (2, 1, 0, "2 of 3"), (1, 1, 1, "MISMATCH: 1 of 3"), (0, 0, 0, "")],
)
def test_runs_list_says_what_is_proven(cli, proven, not_proven, mismatch, shown):
    ended = run(3) | {"proof": {"proven": proven, "not_proven": not_proven, "mismatch": mismatch}}
    cli.answers["GET /v1/runs"] = page(ended)
    cli.answers["GET /v1/jobs"] = page(job())
    head, line = cli.type("runs", "list").stdout.splitlines()
    start = head.index("Proof")
    assert line[start:].rstrip() == shown


def test_runs_list_of_a_job_goes_on_to_the_next_page(cli):
    pages = {None: page(run(3), run(2), next_cursor="c"), "c": page(run(1))}
    cli.answers["GET /v1/jobs/Ni ghtly/runs"] = lambda request: httpx.Response(
        200, json=pages[request.url.params.get("cursor")]
    )
    found = json.loads(cli.type("runs", "list", "--job", "Ni ghtly", "--json").stdout)
    assert [each["number"] for each in found] == [3, 2, 1]


@pytest.mark.parametrize(
    "words", [["latest"], ["Nightly#3"], ["Nightly", "3"], ["Nightly"], ["Nightly#latest"], [str(UUID(int=103))]]
)
def test_a_run_is_named_in_every_documented_way(cli, words):
    cli.answers["GET /v1/runs"] = page(run(3))
    cli.answers["GET /v1/jobs/Nightly/runs"] = page(run(3), run(2))
    cli.answers[f"GET /v1/runs/{UUID(int=103)}"] = detail()
    result = cli.type("runs", "show", *words, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["number"] == 3


def test_run_that_does_not_exist(cli):
    cli.answers["GET /v1/jobs/Nightly/runs"] = page(run(3), run(2))
    cli.answers["GET /v1/runs"] = page()
    result = cli.type("runs", "show", "Nightly#9")
    assert (result.exit_code, result.stderr) == (
        4,
        "Error: The job 'Nightly' has no run 9. See 'holdfast runs list'.\n",
    )
    assert cli.type("runs", "show", "latest").exit_code == 4
    assert cli.type("runs", "show", "Nightly#x").exit_code == 2
    assert cli.type("runs", "show", "latest", "what").exit_code == 4


def test_a_run_on_its_way_is_one_line(cli):
    cli.answers[f"GET /v1/runs/{UUID(int=103)}"] = detail("running", 500)
    last = cli.type("runs", "show", str(UUID(int=103))).stdout.splitlines()[-1]
    assert last == "Run 3 running: 0/1 objects, 500 of 1,000 rows, 250 rows/s, 4 API calls, 3.0 s left"


def test_runs_are_paused_resumed_and_cancelled(cli):
    cli.answers["GET /v1/jobs/Nightly/runs"] = page(run(3, "running"))
    at = f"/v1/runs/{run(3)['id']}"
    for order, state, words in (("pause", "paused", "Run 3 paused."), ("resume", "running", "Run 3 goes on."),
                                ("cancel", "cancelled", "Run 3 is cancelled.")):  # fmt: skip
        cli.answers[f"POST {at}/{order}"] = run(3, state)
        result = cli.type("runs", order, "Nightly#3")
        assert result.exit_code == 0 and result.stdout.startswith(words), result.output


def test_job_edit_changes_the_api_limit(cli):
    cli.answers["PATCH /v1/jobs/Nightly"] = job(api_limit_percent=40)
    result = cli.type("job", "edit", "Nightly", "--api-limit", "40")
    assert result.exit_code == 0 and "waits at 40 %" in result.stdout
    assert cli.body() == {"api_limit_percent": 40}
    assert cli.type("job", "edit", "Nightly", "--api-limit", "101").exit_code == 2


def test_terminal_is_spared_columns_that_say_nothing(cli, monkeypatch):
    monkeypatch.setattr(output, "on_terminal", lambda: True)
    cli.answers["GET /v1/runs"] = page(run(3))
    cli.answers["GET /v1/jobs"] = page(job())
    shown_table = cli.type("runs", "list").stdout
    assert "Nightly#3" in shown_table and "1,500" in shown_table
    assert "Created" in shown_table and "Undeleted" not in shown_table and "Label" not in shown_table


def test_terminal_follows_a_run_in_place(cli, monkeypatch):
    monkeypatch.setattr(output, "on_terminal", lambda: True)
    following(cli, detail("requested", objects=[], progress=None), detail("running", 500), detail())
    result = cli.type("job", "run", "Nightly")
    assert result.exit_code == 0, result.output
    assert "Run 3 completed in 1 min 15 s" in result.stdout


def test_screen_of_a_large_run_shows_what_is_at_work_first():

    objects = [detail()["objects"][0] | {"object": f"O{number:02}", "state": "waiting"} for number in range(30)]
    objects.append(detail()["objects"][0] | {"object": "Busy", "state": "reading"})
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(progress.run_screen(detail("running", 500) | {"objects": objects}))
    lines = console.export_text().splitlines()
    assert lines[0].startswith("run 3 running: 0/1 objects")
    assert lines[2].startswith("Busy") and lines[-1].strip() == "and 16 more"


def proven(state: str = "proven", **differs) -> dict:
    ids = {
        f"{kind}{end}": value for kind in ("missing", "outdated", "unseen") for end, value in (("", 0), ("_ids", []))
    }
    body = {"state": state, "checked": "count", "reason": "", "org_records": 7, "backup_records": 7, "passes": 1}
    return body | {"at": None} | ids | differs


def test_a_run_that_is_proven_says_so(cli):
    shown = detail(proof={"proven": 1, "not_proven": 0, "mismatch": 0})
    shown["objects"][0]["proof"] = proven()
    cli.answers[f"GET /v1/runs/{UUID(int=103)}"] = shown
    result = cli.type("runs", "show", str(UUID(int=103)))
    lines = result.stdout.splitlines()
    assert lines[0].split()[-1] == "Proof" and lines[1].split()[-1] == "proven"
    assert lines[-1].startswith("Run 3 completed and proven in 1 min 15 s: ")


def test_a_mismatch_names_reason_and_ids(cli):
    shown = detail("partial", proof={"proven": 3, "not_proven": 0, "mismatch": 1})
    reason = "1 record is in the org and not in the backup"
    shown["objects"][0]["proof"] = proven("mismatch", reason=reason, missing=2, missing_ids=["001A"])
    cli.answers[f"GET /v1/runs/{UUID(int=103)}"] = shown
    lines = cli.type("runs", "show", str(UUID(int=103))).stdout.splitlines()
    assert lines[1].split()[-1] == "MISMATCH"
    assert any(line.startswith("Run 3 partial, 1 of 4 objects not proven, in ") for line in lines)
    assert lines[-2:] == [f"MISMATCH: Account: {reason}", "  in the org and not in the backup: 001A and 1 more"]
