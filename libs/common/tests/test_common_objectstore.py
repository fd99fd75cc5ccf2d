"""One contract for every object store; the folder here, S3 as an integration test."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from holdfast.common import durable
from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.failpoints import DurableStep, durable_step
from holdfast.common.folderstore import FolderStore
from holdfast.common.objectstore import Entry, ObjectStore, open_store, probe
from holdfast.common.settings import Settings

PUT = durable_step("test.store_put")


class StoreContract:
    """What every store must do. Subclasses provide the fixture `store`."""

    async def test_put_new_is_readable(self, store: ObjectStore) -> None:
        await store.put_new("a/b.bin", b"hello world", PUT)
        assert await store.get("a/b.bin") == b"hello world"
        assert await store.get_range("a/b.bin", 6, 5) == b"world"
        assert await store.get_range("a/b.bin", 3, 0) == b""
        assert await store.size("a/b.bin") == 11
        assert await store.exists("a/b.bin")

    async def test_same_bytes_again_are_fine_other_bytes_are_not(self, store: ObjectStore) -> None:
        await store.put_new("k", b"one", PUT)
        await store.put_new("k", b"one", PUT)
        with pytest.raises(HoldfastError) as caught:
            await store.put_new("k", b"two", PUT)
        assert (caught.value.kind, caught.value.code) == (Kind.CONFLICT, "object-exists")
        assert await store.get("k") == b"one"

    async def test_an_empty_object_is_an_object(self, store: ObjectStore) -> None:
        await store.put_new("empty", b"", PUT)
        await store.put_new("empty", b"", PUT)
        assert await store.get("empty") == b""

    async def test_of_racing_creates_one_wins(self, store: ObjectStore) -> None:
        results = await asyncio.gather(
            *(store.put_new("race", b"%d" % n, PUT) for n in range(4)), return_exceptions=True
        )
        winners = [n for n, result in enumerate(results) if result is None]
        assert len(winners) == 1
        assert await store.get("race") == b"%d" % winners[0]

    async def test_move_new_takes_the_file(self, store: ObjectStore, tmp_path: Path) -> None:
        for _ in range(2):
            page = tmp_path / "page.parquet"
            page.write_bytes(b"x" * 100_000)
            await store.move_new(page, "r/1/page.parquet", PUT)
            assert not page.exists()
        assert await store.size("r/1/page.parquet") == 100_000

    async def test_move_new_of_other_bytes_conflicts(self, store: ObjectStore, tmp_path: Path) -> None:
        await store.put_new("p", b"old", PUT)
        page = tmp_path / "page"
        page.write_bytes(b"new")
        with pytest.raises(HoldfastError) as caught:
            await store.move_new(page, "p", PUT)
        assert caught.value.kind is Kind.CONFLICT
        assert await store.get("p") == b"old"

    async def test_put_new_from_a_file_leaves_it(self, store: ObjectStore, tmp_path: Path) -> None:
        page = tmp_path / "page"
        page.write_bytes(b"data")
        await store.put_new("f", page, PUT)
        assert page.exists()
        assert await store.get("f") == b"data"

    async def test_a_pointer_is_replaced(self, store: ObjectStore) -> None:
        await store.put("head", b"1", PUT)
        await store.put("head", b"2", PUT)
        assert await store.get("head") == b"2"

    async def test_list_is_below_a_folder_and_sorted(self, store: ObjectStore) -> None:
        for key in ("l/b", "l/a/c", "lx/a"):
            await store.put_new(key, key.encode(), PUT)
        assert await store.list("l") == [Entry("l/a/c", 5), Entry("l/b", 3)]
        assert await store.list("l/") == await store.list("l")
        assert await store.list("nothing") == []

    async def test_delete_is_repeatable(self, store: ObjectStore) -> None:
        await store.put_new("d", b"1", PUT)
        await store.delete(["d", "never"], PUT)
        await store.delete(["d"], PUT)
        assert not await store.exists("d")

    async def test_missing_objects_say_so(self, store: ObjectStore) -> None:
        calls: list[Callable[[], Any]] = [
            lambda: store.get("no/x"),
            lambda: store.size("no/x"),
            lambda: store.get_range("no/x", 0, 1),
        ]
        for call in calls:
            with pytest.raises(HoldfastError) as caught:
                await call()
            assert caught.value.kind is Kind.NOT_FOUND
        assert not await store.exists("no/x")

    async def test_the_probe_is_content_and_leaves_nothing(self, store: ObjectStore) -> None:
        await probe(store)
        assert await store.list("holdfast-probe") == []


class TestFolderStore(StoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> ObjectStore:
        return FolderStore(tmp_path / "store")

    @pytest.mark.parametrize("key", ["../x", "/etc/passwd", "a/../../x", ".scratch/x"])
    async def test_keys_stay_inside(self, store: ObjectStore, key: str) -> None:
        with pytest.raises(HoldfastError) as caught:
            await store.put_new(key, b"", PUT)
        assert caught.value.kind is Kind.INVALID

    async def test_file_and_folders_are_synced_before_it_counts(
        self, store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        order: list[str] = []
        real = os.fsync

        def fsync(handle: int) -> None:
            order.append(Path(f"/proc/self/fd/{handle}").readlink().name)
            real(handle)

        class Step(DurableStep):
            def before(self) -> None:
                order.append("BEFORE")

            def after(self) -> None:
                order.append("AFTER")

        monkeypatch.setattr(durable.os, "fsync", fsync)
        page = tmp_path / "page"
        page.write_bytes(b"1")
        await store.move_new(page, "new/deep/page", Step("x"))
        assert order == ["page", "new", "store", "BEFORE", "deep", "AFTER"]

    async def test_a_crash_between_link_and_sync_is_finished_by_the_repeat(
        self, store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await store.put_new("a/b", b"1", PUT)
        synced: list[Path] = []
        monkeypatch.setattr("holdfast.common.folderstore.sync_folder", synced.append)
        await store.put_new("a/b", b"1", PUT)
        assert [path.name for path in synced] == ["a"]

    async def test_nothing_is_left_in_scratch(self, store: ObjectStore, tmp_path: Path) -> None:
        await store.put_new("a", b"1", PUT)
        with pytest.raises(HoldfastError):
            await store.put_new("a", b"2", PUT)
        assert list((tmp_path / "store" / ".scratch").iterdir()) == []

    async def test_uri_and_path_are_the_file(self, store: ObjectStore, tmp_path: Path) -> None:
        assert store.uri("a/b") == str(tmp_path / "store" / "a" / "b")
        assert store.local_path("a") == tmp_path / "store" / "a"


@pytest.mark.integration
class TestS3Store(StoreContract):
    @pytest.fixture
    async def store(self, s3: Any, settings: Settings) -> ObjectStore:
        return await open_store(
            settings.model_copy(
                update={
                    "object_store": f"s3://{s3.bucket}/t-{uuid4().hex}",
                    "s3_endpoint": s3.endpoint,
                    "s3_access_key": s3.access_key,
                    "s3_secret_key": type(settings.s3_secret_key)(s3.secret_key),
                }
            )
        )

    async def test_a_wrong_secret_is_named(self, s3: Any, settings: Settings) -> None:
        store = await open_store(
            settings.model_copy(
                update={
                    "object_store": f"s3://{s3.bucket}/x",
                    "s3_endpoint": s3.endpoint,
                    "s3_access_key": s3.access_key,
                    "s3_secret_key": type(settings.s3_secret_key)("wrong"),
                }
            )
        )
        with pytest.raises(HoldfastError) as caught:
            await store.put("x", b"1", PUT)
        assert caught.value.kind is Kind.FORBIDDEN

    async def test_uri_holds_the_prefix(self, store: ObjectStore) -> None:
        assert store.uri("a/b").startswith("s3://")
        assert store.uri("a/b").endswith("/a/b")
        assert store.local_path("a") is None


class OverwritingStore(FolderStore):
    """A store that ignores create-if-absent, as some S3 servers do."""

    async def put_new(self, key: str, data: bytes | Path, step: DurableStep) -> None:
        assert isinstance(data, bytes)
        await self.put(key, data, step)


class LateOverwritingStore(FolderStore):
    """One winner in a race, but a later create replaces it."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.calls = 0

    async def put_new(self, key: str, data: bytes | Path, step: DurableStep) -> None:
        self.calls += 1
        if self.calls > 4 and isinstance(data, bytes):
            await self.put(key, data, step)
        else:
            await super().put_new(key, data, step)


@pytest.mark.parametrize("bad", [OverwritingStore, LateOverwritingStore])
async def test_a_store_that_ignores_create_if_absent_is_refused(bad: type[FolderStore], tmp_path: Path) -> None:
    with pytest.raises(HoldfastError, match="does not honour create-if-absent") as caught:
        await probe(bad(tmp_path / "s"))
    assert caught.value.kind is Kind.INVALID


@pytest.mark.parametrize("address", ["", "file://", "s3://", "http://x/y", "/just/a/path"])
async def test_an_unknown_address_is_refused(settings: Settings, address: str) -> None:
    with pytest.raises(HoldfastError, match="is not an object store"):
        await open_store(settings.model_copy(update={"object_store": address}))


def test_write_file_leaves_old_content_when_it_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "f"
    target.write_bytes(b"old")

    def broken(path: Path) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(durable, "sync_file", broken)
    with pytest.raises(OSError, match="disk full"):
        durable.write_file(target, b"new", PUT)
    assert target.read_bytes() == b"old"
