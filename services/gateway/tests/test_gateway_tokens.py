"""The admin token: who can read it, what is kept of it, and what happens when its file is gone."""

from __future__ import annotations

import asyncio
import re
import stat

import pytest

from holdfast.common.clock import SequenceIds, SystemClock
from holdfast.common.postgres import Database
from holdfast.gateway.tokens import Tokens, digest, new_token, well_formed


class MemoryDatabase:
    """Stands for the token table, by the statements' names."""

    def __init__(self) -> None:
        self.valid: dict[bytes, dict] = {}

    async def fetchrow(self, statement: str, sha256: bytes) -> dict | None:
        assert "FROM token" in statement
        return self.valid.get(sha256)

    async def run(self, step, work) -> None:
        await work(self)

    async def execute(self, statement: str, *args) -> None:
        if statement.startswith("INSERT"):
            self.valid[args[2]] = {"id": args[0], "name": args[1], "sha256": args[2]}
        elif "UPDATE" in statement:
            self.valid.clear()


@pytest.fixture
def database():
    return MemoryDatabase()


@pytest.fixture
def tokens(database):
    return Tokens(database, SystemClock(), SequenceIds())


async def test_first_start_writes_a_private_file_and_keeps_only_the_hash(tokens, database, tmp_path, caplog, capsys):
    path = await tokens.ensure_admin(tmp_path / "data")
    token = path.read_text().strip()
    assert re.fullmatch(r"hf_[A-Za-z0-9_-]{43}", token)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["admin-token"]
    assert list(database.valid) == [digest(token)] and token not in str(database.valid)
    assert token not in caplog.text + "".join(capsys.readouterr())
    caller = await tokens.caller(token)
    assert caller is not None and caller.name == "admin"


async def test_next_start_keeps_the_token_and_repairs_the_mode(tokens, tmp_path):
    path = await tokens.ensure_admin(tmp_path)
    token = path.read_text()
    path.chmod(0o644)
    await tokens.ensure_admin(tmp_path)
    assert path.read_text() == token
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_deleting_the_file_replaces_the_token(tokens, tmp_path):
    path = await tokens.ensure_admin(tmp_path)
    old = path.read_text().strip()
    path.unlink()
    await tokens.ensure_admin(tmp_path)
    assert await tokens.caller(old) is None
    assert await tokens.caller(path.read_text().strip()) is not None


async def test_crash_between_file_and_database_is_repaired(tokens, database, tmp_path):
    path = await tokens.ensure_admin(tmp_path)
    database.valid.clear()  # the file was written, the commit never came
    await tokens.ensure_admin(tmp_path)
    assert await tokens.caller(path.read_text().strip()) is not None


@pytest.mark.parametrize("token", ["", "hf_", "hf_short", "x" * 46, "hf_" + "é" * 43, "hf_" + "A" * 43 + "\n"])
async def test_what_is_no_token_never_reaches_the_database(tokens, database, token):
    database.fetchrow = None
    assert not well_formed(token)
    assert await tokens.caller(token) is None


def test_tokens_differ():
    assert len({new_token() for _ in range(100)}) == 100


@pytest.mark.integration
async def test_admin_token_in_postgres(postgres_dsn, tmp_path):
    db = await Database.open(postgres_dsn, "gateway")
    try:
        await db.migrate("holdfast.gateway")
        tokens = Tokens(db, SystemClock(), SequenceIds())
        paths = await asyncio.gather(tokens.ensure_admin(tmp_path), tokens.ensure_admin(tmp_path / "other"))
        good = [await tokens.caller(path.read_text().strip()) for path in paths]
        assert sum(each is not None for each in good) == 1, "one admin token is valid at a time"
        assert await tokens.caller(new_token()) is None
    finally:
        await db.close()
