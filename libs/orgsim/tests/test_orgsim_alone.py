"""`pip install` of this folder alone gives a working org, and nothing of the rest of Holdfast."""

import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import httpx
import orjson
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

pytestmark = pytest.mark.integration
FOLDER = Path(__file__).parents[1]
UNWANTED = {"aiokafka", "faststream", "asyncpg", "deltalake", "fastapi", "grpcio", "obstore"}
COMMANDS = ("serve", "load", "generate", "reset", "ledger", "script", "state")


def closure() -> dict[str, str]:
    """What the package needs, and what that needs, at the versions that the project pins."""
    wanted = list(tomllib.loads((FOLDER / "pyproject.toml").read_text())["project"]["dependencies"])
    found: dict[str, str] = {}
    while wanted:
        requirement = Requirement(wanted.pop())
        name = canonicalize_name(requirement.name)
        extras = [{"extra": extra} for extra in requirement.extras] or [{"extra": ""}]
        if requirement.marker is not None and not any(requirement.marker.evaluate(extra) for extra in extras):
            continue
        if name not in found:
            found[name] = metadata.version(name)
            wanted += [text for text in metadata.requires(name) or [] if _applies(text, extras)]
    return found


def _applies(text: str, extras: list[dict[str, str]]) -> bool:
    marker = Requirement(text).marker
    return marker is None or any(marker.evaluate(extra) for extra in extras)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The `bin` of an environment that holds the built wheel and its own requirements."""
    folder = tmp_path_factory.mktemp("alone")
    uv, python = Path(sys.executable).parent / "uv", folder / "env" / "bin" / "python"
    run(
        [
            str(uv),
            "build",
            "--wheel",
            "--no-build-isolation",
            "--python",
            sys.executable,
            "-o",
            str(folder),
            str(FOLDER),
        ]
    )
    run([str(uv), "venv", "-q", "--python", sys.executable, str(folder / "env")])
    pins = [f"{name}=={version}" for name, version in closure().items()]
    wheel = next(folder.glob("*.whl"))
    run([str(uv), "pip", "install", "-q", "--no-deps", "--python", str(python), str(wheel), *pins])
    yield python.parent


def run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False, cwd="/")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_needs_none_of_the_platforms_parts(alone: Path) -> None:
    assert not UNWANTED & set(closure())
    missing = "import importlib.util as u; print([n for n in ('holdfast.common','holdfast.vault') if u.find_spec(n)])"
    assert run([str(alone / "python"), "-c", missing]).strip() == "[]"


def test_its_command_knows_all_its_words(alone: Path) -> None:
    assert run([str(alone / "orgsim"), "--version"]).startswith("orgsim 0.")
    usage = run([str(alone / "orgsim"), "--help"])
    assert [word for word in COMMANDS if word not in usage] == []


def test_it_serves(alone: Path) -> None:
    command = [str(alone / "orgsim"), "serve", "--json", "--parent-pid", str(os.getpid())]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd="/") as process:
        try:
            assert process.stdout is not None
            info = orjson.loads(process.stdout.readline())
            with httpx.Client(base_url=info["url"], trust_env=False) as http:
                form = {"grant_type": "client_credentials", "client_id": info["client_id"],
                        "client_secret": info["client_secret"]}  # fmt: skip
                token = http.post("/services/oauth2/token", data=form).json()["access_token"]
                auth = {"Authorization": f"Bearer {token}"}
                made = http.post("/services/data/v62.0/sobjects/Account", json={"Name": "Alone"}, headers=auth)
                assert made.status_code == 201
                soql = {"q": "SELECT COUNT() FROM Account"}
                assert http.get("/services/data/v62.0/query", params=soql, headers=auth).json()["totalSize"] == 1
        finally:
            process.terminate()
