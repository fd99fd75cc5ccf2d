"""Bearer tokens: how they look, where their hashes are kept, and the admin token of the first start."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from uuid import UUID

import structlog

from holdfast.common.clock import Clock, Ids
from holdfast.common.failpoints import durable_step
from holdfast.common.postgres import Database, Queries, Unit

ADMIN = "admin"
ADMIN_FILE = "admin-token"
_SHAPE = re.compile(r"hf_[A-Za-z0-9_-]{43}")
_TOKEN_BYTES = 32
_ADMIN_TOKEN_WRITTEN = durable_step("gateway.admin_token_written")
_ADMIN_TOKEN_STORED = durable_step("gateway.admin_token_stored")
_SQL = Queries.load("holdfast.gateway")
_log = structlog.get_logger("holdfast.gateway")


@dataclass(frozen=True)
class Caller:
    """Who makes a request."""

    token_id: UUID
    name: str


class TokenCheck(Protocol):
    """Decides whether a token is good."""

    async def caller(self, token: str) -> Caller | None:
        """Whose token this is; None if it is nobody's."""


def new_token() -> str:
    """A fresh token: `hf_` and 256 random bits in base64url."""
    return "hf_" + secrets.token_urlsafe(_TOKEN_BYTES)


def well_formed(token: str) -> bool:
    """Whether a text can be a token at all."""
    return _SHAPE.fullmatch(token) is not None


def digest(token: str) -> bytes:
    """What is kept of a token."""
    return hashlib.sha256(token.encode()).digest()


class Tokens:
    """The tokens in Postgres."""

    def __init__(self, db: Database, clock: Clock, ids: Ids) -> None:
        self._db = db
        self._clock = clock
        self._ids = ids

    async def caller(self, token: str) -> Caller | None:
        """Whose token this is. Takes as long for a wrong hash as for a right one."""
        if not well_formed(token):
            return None
        sha256 = digest(token)
        row = await self._db.fetchrow(_SQL.valid_token, sha256)
        if row is None or not hmac.compare_digest(bytes(row["sha256"]), sha256):
            return None
        return Caller(row["id"], row["name"])

    async def ensure_admin(self, folder: Path) -> Path:
        """See that `folder/admin-token` holds a valid token, mode 0600, and return its path.

        A file without a valid token (first start, file deleted, data folder of another database) gets a new
        one, and the admin tokens before it end. The file is written first: a crash in between leaves a token
        that is not valid, and the next start repeats the step.
        """
        path = folder / ADMIN_FILE
        kept = _read(path)
        if kept is not None and await self.caller(kept) is not None:
            path.chmod(0o600)
            return path
        token = new_token()
        _write_private(path, token)

        async def store(unit: Unit) -> None:
            await unit.execute(_SQL.lock_tokens)
            await unit.execute(_SQL.revoke_tokens_named, ADMIN, self._clock.now())
            await unit.execute(_SQL.add_token, self._ids.new(), ADMIN, digest(token), self._clock.now())

        await self._db.run(_ADMIN_TOKEN_STORED, store)
        _log.info("made an admin token", file=str(path))
        return path


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii").strip()
    except (FileNotFoundError, UnicodeDecodeError):
        return None


def _write_private(path: Path, token: str) -> None:
    """Write atomically; no other user can read the file at any moment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    scratch.unlink(missing_ok=True)
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as out:
        out.write(token + "\n")
        out.flush()
        os.fsync(out.fileno())
    _ADMIN_TOKEN_WRITTEN.before()
    scratch.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    _ADMIN_TOKEN_WRITTEN.after()
