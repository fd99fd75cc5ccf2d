"""Hands for the tests of files: uploads into the local org, and an extractor that fetches them."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import httpx
import pyarrow.parquet as pq

from holdfast.extractor.files.module import open_files
from holdfast.orgsim.testing import RunningOrg
from holdfast.vault.blobs import BlobRef, read_blob
from holdfast.vault.location import VaultRoot

API = "/services/data/v62.0"


class Uploads:
    """A user of the org who uploads files."""

    def __init__(self, org: RunningOrg) -> None:
        self.http = httpx.Client(
            base_url=org.url, headers={"Authorization": f"Bearer {org.token()}"}, timeout=120, trust_env=False
        )

    def close(self) -> None:
        self.http.close()

    def make(self, object_name: str, rows: Sequence[dict[str, Any]]) -> list[str]:
        """Insert records, 200 at a time; their ids."""
        ids: list[str] = []
        for at in range(0, len(rows), 200):
            records = [{"attributes": {"type": object_name}, **row} for row in rows[at : at + 200]]
            answer = self.http.post(f"{API}/composite/sobjects", json={"allOrNone": True, "records": records})
            results = answer.raise_for_status().json()
            assert all(result["success"] for result in results), results
            ids += [result["id"] for result in results]
        return ids

    def versions(self, contents: Sequence[bytes]) -> list[str]:
        """A first version of a document for each content."""
        return self.make("ContentVersion", [version(f"f{n}.bin", data) for n, data in enumerate(contents)])

    def attachments(self, contents: Sequence[bytes]) -> list[str]:
        """Attachments of a new account."""
        parent = self.make("Account", [{"Name": "Holder"}])[0]
        rows = [{"ParentId": parent, "Name": f"a{n}", "Body": text(data)} for n, data in enumerate(contents)]
        return self.make("Attachment", rows)

    def platform(self, object_name: str, values: dict[str, Any], contents: dict[str, bytes]) -> list[str]:
        """A record that only the platform makes."""
        content = {name: text(data) for name, data in contents.items()}
        answer = self.http.post("/_org/files", json={"object": object_name, "values": values, "content": content})
        return [answer.raise_for_status().json()["id"]]

    def change(self, object_name: str, record_id: str, values: dict[str, Any]) -> None:
        self.http.patch(f"{API}/sobjects/{object_name}/{record_id}", json=values).raise_for_status()

    def delete(self, object_name: str, record_id: str) -> None:
        self.http.delete(f"{API}/sobjects/{object_name}/{record_id}").raise_for_status()


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def version(path: str, data: bytes, **values: Any) -> dict[str, Any]:
    return {"Title": path, "PathOnClient": path, "VersionData": text(data), **values}


def cell(data: bytes) -> str:
    return BlobRef(hashlib.sha256(data).hexdigest(), len(data)).text


class Fetching:
    """The file queue of one extractor, and what it says."""

    def __init__(self, one: Any) -> None:
        self.one = one
        platform: Any = SimpleNamespace(store=one.objects, holder="test", clock=one.clock)
        self.rooms = open_files(platform, one.settings, one.db, one.orgs)
        self.rooms.worker.clean()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The loops of the queue, and those that read records."""
        tasks = [asyncio.create_task(loop.run()) for loop in self.rooms.loops]
        try:
            async with self.one.running():
                yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def settled(self, run_id: UUID, timeout_s: float = 40) -> dict[str, Any]:
        """What is said of the run's files once none is left to fetch."""
        async with asyncio.timeout(timeout_s):
            while not (said := await self.said(run_id)):
                await asyncio.sleep(0.05)
        return said[-1]

    async def said(self, run_id: UUID) -> list[dict[str, Any]]:
        return [body for kind, body in await self.one.events(run_id) if kind == "files.settled"]

    async def run(self, *objects: str, full: bool = False) -> dict[str, Any]:
        """A whole run with its files; what is said of them in the end."""
        async with self.running():
            run_id = await self.one.request(*objects, full=full)
            await self.one.finished(run_id)
            return await self.settled(run_id)

    async def cells(self, run_id: UUID | str | None = None) -> dict[str, list[str]]:
        """What the pages of bodies say, by record, in the order of their announcement."""
        found: dict[str, list[str]] = {}
        pages = await self.one.db.fetch("SELECT run_id FROM extraction ORDER BY received_at")
        for run in {row[0]: None for row in pages}:
            for kind, body in await self.one.events(run):
                if kind == "page.staged" and body["mode"] == "bodies" and str(run_id or run) == str(run):
                    table = pq.read_table(self.one.objects.local_path(body["path"]))
                    column = next(name for name in table.column_names if name[0] != "_")
                    for record, value in zip(table["_record_id"].to_pylist(), table[column].to_pylist(), strict=True):
                        found.setdefault(record, []).append(value)
        return found

    def content(self, value: str) -> bytes:
        """The bytes that a cell names, checked."""
        root = VaultRoot.local(self.one.objects.local_path(""))
        return b"".join(read_blob(root, str(self.one.job_id), BlobRef.of(value)))

    def blobs(self) -> list[str]:
        """Every stored body."""
        folder = self.one.objects.local_path(f"{self.one.job_id}/blobs")
        return sorted(path.name for path in folder.rglob("*") if path.is_file())


QUICK = {
    "extractor_retry_first": timedelta(milliseconds=20),
    "extractor_poll": timedelta(milliseconds=50),
    "extractor_bodies_after": timedelta(milliseconds=200),
}
