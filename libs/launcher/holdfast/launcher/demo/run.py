"""The demo, told as the commands a person would type. Exit code 0 only if backup and org agree."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from holdfast.common.errors import HoldfastError, Kind
from holdfast.launcher.demo import story
from holdfast.launcher.demo.data import demo_data
from holdfast.launcher.demo.org_session import OrgSession
from holdfast.launcher.demo.proof import ObjectProof, prove
from holdfast.launcher.up import Installation, installation
from holdfast.orgsim.testing import RunningOrg

JOB = "nightly"
MARKER = "demo-folder"
PIPE_WIDTH = 120


@dataclass
class Demo:
    """A running demo: the installation, and how to type commands at it."""

    console: Console
    running: Installation
    org: RunningOrg

    async def type(self, *words: str) -> None:
        """Show a command and run it; its output is the user's.

        Raises:
            HoldfastError: The command failed.
        """
        self.console.print(f"\n[bold]$ holdfast {shlex.join(words)}[/bold]")
        process = await asyncio.create_subprocess_exec(*self._command(words), env=self._environment())
        if await process.wait() != 0:
            raise HoldfastError(Kind.INTERNAL, f"`holdfast {words[0]} {words[1]}` failed; its words are above.")

    async def ask(self, *words: str) -> Any:
        """Run a command with --json and return what it printed."""
        process = await asyncio.create_subprocess_exec(
            *self._command((*words, "--json")), env=self._environment(), stdout=asyncio.subprocess.PIPE
        )
        printed, _ = await process.communicate()
        if process.returncode != 0:
            raise HoldfastError(Kind.INTERNAL, f"`holdfast {' '.join(words)}` failed.")
        return json.loads(printed)

    def _command(self, words: tuple[str, ...]) -> list[str]:
        return [sys.executable, "-m", "holdfast.launcher.main", *words]

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "HOLDFAST_DATA": str(self.running.data)}


async def run_demo(data: Path) -> bool:
    """Run the whole story in a folder of its own, made anew each time.

    Args:
        data: The demo's data folder; only a folder that an earlier demo made is emptied.

    Returns:
        Whether the proof holds.
    """
    began = time.monotonic()
    console = Console(highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    _fresh(data)
    loads = [demo_data() / "npsp-1k", demo_data() / "dotgov"]
    async with installation(data, loads=loads, tell=lambda line: console.print(f"[dim]{line}[/dim]")) as running:
        if running.org is None:
            raise HoldfastError(Kind.INTERNAL, "The demo's org did not start.")
        rows = sum(counts["rows"] for counts in running.org.objects().values())
        console.print(f"Kafka, Postgres and an org with {rows:,} records are up ({time.monotonic() - began:.1f} s).")
        held = await _tell(Demo(console, running, running.org))
    console.print(f"\nEverything is stopped. The demo took {time.monotonic() - began:.0f} s.")
    return held


async def _tell(demo: Demo) -> bool:
    org = demo.org
    secret = demo.running.data / "org-client-secret"
    secret.touch(mode=0o600)
    secret.write_text(org.client_secret)
    with OrgSession(org.url, org.client_id, org.client_secret) as session:
        deleted = await asyncio.to_thread(story.before_baseline, session)
        await demo.type(
            "connection", "add", "demo-org", "--login-url", org.url, "--client-id", org.client_id,
            "--client-secret-file", str(secret),
        )  # fmt: skip
        await demo.type("job", "create", JOB, "--connection", "demo-org", "--cron", "0 2 * * *")
        await demo.type("job", "run", JOB, "--label", "baseline")
        edits = await asyncio.to_thread(story.change_the_org, session, demo_data() / "dotgov", deleted)
        _show_edits(demo.console, edits)
        await demo.type("job", "run", JOB, "--label", "after the changes")
        await demo.type("runs", "list", "--job", JOB)
        await demo.type("changes", "latest")
        await demo.type("changes", "latest", "Contact", "--limit", "4")
        await demo.type("record", "history", "Contact", deleted, "--job", JOB)
        await demo.type("verify", JOB)
        return await _prove(demo, session)


async def _prove(demo: Demo, session: OrgSession) -> bool:
    job = await demo.ask("job", "show", JOB)
    run = await demo.ask("runs", "show", "latest")
    # Every object in which the org has a row must be in the backup, whatever the run says that it read; but for
    # those that are not worth one, with the reason that the list gives.
    offered = await demo.ask("job", "objects", JOB)
    left_out = {each["name"] for each in offered if not each["recommended"]}
    objects = sorted({each["object"] for each in run["objects"]} | set(demo.org.objects()) - left_out)
    vault = demo.running.data / "vault"
    proofs = await asyncio.to_thread(prove, vault, job["id"], session, objects)
    missing = [gap["object"] for gap in run["missing"]]
    _show_proofs(demo.console, proofs)
    _show_tables(demo.console, vault / job["id"] / "records")
    return not missing and bool(proofs) and all(proof.holds for proof in proofs)


def _show_edits(console: Console, edits: story.Edits) -> None:
    console.print(
        "\n[bold]Meanwhile in the org[/bold], through its own REST, collections and SOAP APIs, "
        f"with {edits.days} real days of the .gov register:"
    )
    for name in sorted({name for name, _ in edits.counts}):
        done = [f"{number:,} {verb}" for (each, verb), number in edits.counts.items() if each == name and number]
        console.print(f"  {name}: {', '.join(done)}")


def _show_proofs(console: Console, proofs: list[ObjectProof]) -> None:
    console.print("\n[bold]The proof[/bold]: every cell, read with DuckDB, against the org's own ledger")
    table = Table("Object", "Live", "In recycle bin", "Cells compared", "Differences", box=None)
    for column in table.columns[1:]:
        column.justify = "right"
    for proof in proofs:
        table.add_row(
            proof.object, f"{proof.live:,}", f"{proof.deleted:,}", f"{proof.cells:,}", f"{proof.difference_count:,}"
        )
    console.print(table)
    for proof in proofs:
        for difference in proof.differences:
            console.print(f"  [red]{proof.object}[/red] {difference}")
    cells, wrong = sum(p.cells for p in proofs), sum(p.difference_count for p in proofs)
    if wrong:
        console.print(f"[bold red]Backup and org differ in {wrong:,} places.[/bold red]")
    else:
        console.print(f"[bold green]Backup and org agree: {cells:,} cells, no difference.[/bold green]")


def _show_tables(console: Console, records: Path) -> None:
    contact = records / "Contact"
    query = f"FROM read_parquet('{contact}/*/*.parquet', union_by_name=true)"
    console.print(f"\nThe Delta tables are in {records}")
    console.print("Open one, in one line:")
    read = f'import duckdb; duckdb.sql(\\"{query} SELECT Name, _op, _run, Phone LIMIT 5\\").show()'
    console.print(f'  {shlex.quote(sys.executable)} -c "{read}"')
    console.print(f"  or, where DuckDB's delta extension is installed: FROM delta_scan('{contact}')")


def _fresh(data: Path) -> None:
    if data.exists() and any(data.iterdir()):
        if not (data / MARKER).exists():
            raise HoldfastError(
                Kind.CONFLICT, f"{data} is not empty and no earlier demo made it. Choose another folder with --data."
            )
        shutil.rmtree(data)
    data.mkdir(parents=True, exist_ok=True)
    (data / MARKER).touch()
