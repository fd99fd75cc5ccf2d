"""The command line says in a sentence what it cannot use, and what it cannot reach."""

import signal
import socket
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from holdfast.orgsim.main import app

pytestmark = pytest.mark.integration  # they open real sockets
UNREACHABLE = "127.0.0.1:9"


def run(*arguments: str) -> Result:
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        result = CliRunner().invoke(app, list(arguments))
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.mark.parametrize(
    "arguments",
    [
        ["serve", "--port", "65536"],
        ["serve", "--api-limit", "-1"],
        ["serve", "--session-s", "-1"],
        ["serve", "--bulk-page-bytes", "0"],
        ["serve", "--client-secret-file", "nowhere"],
        ["serve", "--jwt-public-key", "nowhere"],
        ["serve", "--data-dir", "/dev/null/x"],
        ["script", "--url", UNREACHABLE],
        ["script", "--url", UNREACHABLE, "nowhere.json"],
        ["script", "--url", UNREACHABLE, "some.json", "--scenario", "read-only"],
    ],
)
def test_arguments_that_mean_nothing_are_refused(arguments: list[str]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert "Error" in result.output


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run("serve", "--port", str(port), "--data-dir", str(tmp_path))
    assert result.exit_code == 1
    assert result.output == f"orgsim cannot serve: port {port}: Address already in use\n"


def test_an_org_that_is_not_there_is_named() -> None:
    result = run("state", "--url", UNREACHABLE, "--object", "Account")
    assert result.exit_code == 1
    assert result.output.startswith(f"http://{UNREACHABLE}: ")
