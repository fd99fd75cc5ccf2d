"""No durable effect without a failpoint: raw durable calls occur only in wrappers that take a step.

What a raw call is, is a list; a new way to make something durable belongs on it. The launcher and the local
org keep nothing of a backup, and the sweep does not kill them: they are left out.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.common import failpoints

ROOT = Path(failpoints.__file__).parents[4]
CHECKED = ["libs/common", "libs/vault", "libs/salesforce", *(p.as_posix() for p in (ROOT / "services").glob("*"))]

ANY_OWNER = {
    "transaction",
    "fsync",
    "fdatasync",
    "create_write_transaction",
    "write_deltalake",
    "send_and_wait",
    "hardlink_to",
    "symlink_to",
    "create_topics",
}
BY_OWNER = {
    "obstore": {"put", "put_async", "copy", "copy_async", "rename", "rename_async", "delete", "delete_async"},
    "os": {"link", "rename", "replace", "renames", "sync"},
    "shutil": {"move"},
    "producer": {"send", "send_batch"},
    "_producer": {"send", "send_batch"},
}

# Wrapper, and which function of the same file stands before and after it with its step ("" = itself).
WRAPPERS = {
    "libs/common/holdfast/common/postgres.py:Database.unit": "",
    "libs/common/holdfast/common/migrate.py:migrate": "",
    "libs/common/holdfast/common/s3store.py:S3Store.put_new": "",
    "libs/common/holdfast/common/s3store.py:S3Store.put": "",
    "libs/common/holdfast/common/s3store.py:S3Store.delete": "",
    "libs/common/holdfast/common/durable.py:write_file": "",
    "libs/common/holdfast/common/durable.py:link_new": "",
    # Bytes under a scratch name, and empty folders, are nothing yet: the link or replace makes them count.
    "libs/common/holdfast/common/durable.py:sync_file": "link_new",
    "libs/common/holdfast/common/durable.py:sync_folder": "link_new",
    "libs/common/holdfast/common/relay.py:Relay._send_one": "Relay._send",
    "libs/common/holdfast/common/feed.py:_send_partition": "FeedProducer.send",
    # A topic that exists already is the same as one made twice; there is nothing to lose before or after.
    "libs/common/holdfast/common/kafka.py:ensure_topics": "ensure_topics",
    "libs/vault/holdfast/vault/commit.py:append_delta": "",
    "libs/vault/holdfast/vault/commit.py:compact_delta": "",
    "services/gateway/holdfast/gateway/tokens.py:_write_private": "",
    "libs/vault/holdfast/vault/location.py:VaultRoot._put_s3": "",
    # A cache file that is gone, or still there, is rebuilt or ignored alike.
    "libs/vault/holdfast/vault/location.py:VaultRoot.delete": "VaultRoot.delete",
}
NO_STEP_NEEDED = {
    "libs/common/holdfast/common/kafka.py:ensure_topics",
    "libs/vault/holdfast/vault/location.py:VaultRoot.delete",
}


def functions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, ast.AST]]:
    """Every function with its qualified name; calls of a nested one count for the outer one too."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield prefix + node.name, node
        elif isinstance(node, ast.ClassDef):
            yield from functions(node, f"{prefix}{node.name}.")


def owner(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def is_raw(node: ast.AST) -> bool:
    """Whether this is a call, or the handing-on, of something that makes bytes durable."""
    if isinstance(node, ast.Name):
        return node.id in {"write_deltalake", "fsync"}
    if not isinstance(node, ast.Attribute) or not isinstance(node.ctx, ast.Load):
        return False
    return node.attr in ANY_OWNER or node.attr in BY_OWNER.get(owner(node.value), set())


def raw_calls(source: str) -> set[str]:
    """Qualified names of the functions that contain a raw durable call; `<module>` for the top level."""
    tree = ast.parse(source)
    found = set()
    inside: set[int] = set()
    for name, function in functions(tree):
        nodes = list(ast.walk(function))
        inside |= {id(node) for node in nodes}
        if any(is_raw(node) for node in nodes):
            found.add(name)
    if any(is_raw(node) for node in ast.walk(tree) if id(node) not in inside):
        found.add("<module>")
    return found


def product_files() -> list[Path]:
    files = []
    for package in CHECKED:
        files += [p for p in (ROOT / package / "holdfast").rglob("*.py") if "_pb2" not in p.name]
    return files


def all_raw_calls() -> set[str]:
    return {
        f"{path.relative_to(ROOT).as_posix()}:{name}"
        for path in product_files()
        for name in raw_calls(path.read_text())
    }


def test_raw_durable_calls_are_only_in_the_wrappers() -> None:
    strays = all_raw_calls() - WRAPPERS.keys()
    assert not strays, f"these make something durable without a failpoint: {sorted(strays)}"


def test_the_list_of_wrappers_is_not_stale() -> None:
    assert WRAPPERS.keys() - all_raw_calls() == set()


@pytest.mark.parametrize("wrapper", sorted(WRAPPERS.keys() - NO_STEP_NEEDED))
def test_each_wrapper_passes_its_step_before_and_after(wrapper: str) -> None:
    path, _, name = wrapper.partition(":")
    known = dict(functions(ast.parse((ROOT / path).read_text())))
    guard = known[WRAPPERS[wrapper] or name]
    called = {
        node.func.attr
        for node in ast.walk(guard)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    assert {"before", "after"} <= called


@pytest.mark.parametrize(
    "source",
    [
        "async def f(c):\n    async with c.transaction():\n        pass",
        "import os\ndef f(h):\n    os.fsync(h)",
        "import os\nclass A:\n    def f(self):\n        os.replace('a', 'b')",
        "async def f(producer):\n    await producer.send_and_wait('t')",
        "async def f(self):\n    await self._producer.send('t')",
        "import asyncio, obstore\nasync def f(s):\n    await asyncio.to_thread(obstore.put, s, 'k', b'')",
        "from deltalake import write_deltalake\ndef f(t):\n    write_deltalake(t)",
        "def f(table):\n    table.create_write_transaction([])",
        "import os\nos.rename('a', 'b')",
    ],
)
def test_the_check_sees_a_raw_call(source: str) -> None:
    assert raw_calls(source)


@pytest.mark.parametrize("source", ["def f(t):\n    return t.replace('a', 'b')", "def f(d):\n    d.rename({})"])
def test_the_check_leaves_strings_and_frames_alone(source: str) -> None:
    assert not raw_calls(source)
