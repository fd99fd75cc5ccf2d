"""`holdfast org ledger diff`: a vault that holds what the ledger tells, and every way in which it may not."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
import typer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typer.testing import CliRunner

from holdfast.common.failpoints import DurableStep
from holdfast.launcher.commands.ledger_diff import diff
from holdfast.launcher.demo.proof import prove_object
from holdfast.orgsim.org import Org, OrgSettings
from holdfast.orgsim.saving.saver import Saver
from holdfast.vault.canonical import canonical
from holdfast.vault.location import VaultRoot
from holdfast.vault.page import PageMeta, page_key, write_page
from holdfast.vault.refs import StagedRef
from holdfast.vault.schema import FieldType, RecordSchema, schema_key
from holdfast.vault.table import RecordTable

JOB = "0a000000-0000-7000-8000-000000000001"
FIELDS = ("Id", "IsDeleted", "SystemModstamp", "Name", "AnnualRevenue", "Fax", "LastModifiedDate")
STEP = DurableStep("test.stage")


class Fixture:
    """An org with a ledger in a folder, and a vault that backs up its accounts."""

    def __init__(self, folder: Path) -> None:
        self.org = Org(OrgSettings(client_secret="secret", ledger_folder=folder / "ledger"))
        self.org.clock.set(datetime(2026, 1, 1, tzinfo=UTC), frozen=True)
        self.account = self.org.schema.objects["Account"]
        self.writer = Saver(self.org, self.org.admin, "test")
        self.folder = folder
        self.root = VaultRoot.local(folder / "vault")
        self.table = RecordTable.open_or_create(
            self.root, JOB, "Account", Ed25519PrivateKey.from_private_bytes(b"k" * 32)
        )
        self.run = 0
        self.ids = [self.writer.insert(self.account, {"Name": f"a{n}", "AnnualRevenue": 800 + n}) for n in range(5)]

    def tick(self) -> None:
        self.org.clock.advance(timedelta(seconds=5))

    def back_up(self, fields: Sequence[str] = FIELDS) -> None:
        """All accounts as a page of a further run."""
        self.run += 1
        types = tuple(FieldType(name, self.account.fields[name]["type"]) for name in fields)
        schema = RecordSchema("Account", types)
        rows = self.org.table(self.account).frame().select([f.name for f in schema.fields])
        columns = {name: pa.array(rows[name].to_list(), pa.string()) for name in rows.columns}
        out = self.folder / f"page-{self.run}.parquet"
        meta = PageMeta(
            JOB, "Account", self.run, 0, f"page-{self.run}", "incremental", schema, datetime(2026, 1, 2, tzinfo=UTC)
        )
        page = write_page(canonical(pa.table(columns), schema, "bulk"), meta, out)
        key = page_key(meta, page.sha256)
        self.root.put_new(key, out, STEP)
        if self.root.size(schema_key(JOB, schema.schema_id)) is None:
            self.root.put_new(schema_key(JOB, schema.schema_id), schema.to_json(), STEP)
        ref = StagedRef(key, meta.page_id, self.run, 0, page.rows, page.sha256, "incremental", schema)
        self.table.commit(self.table.apply([ref]), self.table.head.commit_seq + 1, self.table.head)

    def diff(self, *arguments: str) -> tuple[int, dict]:
        app = typer.Typer()
        app.command()(diff)
        line = [str(self.folder / "vault"), "--ledger", str(self.folder / "ledger"), "--json", *arguments]
        answer = CliRunner().invoke(app, line)
        assert answer.output, answer.exception
        return answer.exit_code, json.loads(answer.output)


@pytest.fixture
def fixture(tmp_path: Path) -> Fixture:
    made = Fixture(tmp_path)
    made.back_up()
    return made


def test_a_vault_that_holds_every_change_agrees(fixture: Fixture, tmp_path: Path) -> None:
    fixture.tick()
    fixture.writer.update(fixture.ids[0], {"Fax": "1", "AnnualRevenue": "12.50"})
    fixture.writer.delete(fixture.ids[1])
    fixture.back_up()
    code, found = fixture.diff()
    assert (code, found["agrees"]) == (0, True), found
    assert found["objects"] == [
        {"object": "Account", "records": 5, "missing": 0, "extra": 0, "different": 0, "examples": []}
    ]
    truth = fixture.org.ledger.state_at(fixture.org.clock.now(), "Account")
    types = {name: fixture.account.fields[name]["type"] for name in FIELDS}
    proof = prove_object("Account", types, truth, tmp_path / "vault" / JOB / "records" / "Account")
    assert (proof.holds, proof.cells) == (True, 5 * (len(FIELDS) - 1)), "the demo's proof says the same"
    fixture.writer.hard_delete(fixture.ids[2])
    code, found = fixture.diff()
    assert (code, found["objects"][0]["extra"]) == (1, 1), "the vault still calls it alive"


def test_a_field_that_the_newest_event_did_not_read_keeps_its_value(fixture: Fixture, tmp_path: Path) -> None:
    fixture.tick()
    fixture.writer.update(fixture.ids[0], {"Name": "renamed"})
    fixture.writer.delete(fixture.ids[1])
    fixture.back_up(["Id", "IsDeleted", "SystemModstamp", "Name", "LastModifiedDate"])
    assert fixture.diff()[0] == 0
    truth = fixture.org.ledger.state_at(fixture.org.clock.now(), "Account")
    types = {name: fixture.account.fields[name]["type"] for name in FIELDS}
    table = tmp_path / "vault" / JOB / "records" / "Account"
    proof = prove_object("Account", types, truth, table)
    assert proof.holds, proof.differences
    del truth[fixture.ids[1]]  # as after it has left the recycle bin
    assert prove_object("Account", types, truth, table, gone=frozenset({fixture.ids[1]})).holds
    assert not prove_object("Account", types, truth, table).holds


def test_every_difference_is_named(fixture: Fixture) -> None:
    fixture.tick()
    backed_up = fixture.org.clock.now().isoformat()
    fixture.tick()
    fixture.writer.update(fixture.ids[0], {"Name": "other"})
    fixture.writer.delete(fixture.ids[1])
    new = fixture.writer.insert(fixture.account, {"Name": "new"})
    code, found = fixture.diff()
    (account,) = found["objects"]
    assert (code, found["agrees"]) == (1, False)
    assert (account["records"], account["missing"], account["extra"], account["different"]) == (5, 1, 0, 2)
    assert account["examples"][0] == f"{new} is missing in the vault"
    assert f"{fixture.ids[0]}.Name: the org has 'other', the vault 'a0'" in account["examples"]
    assert f"{fixture.ids[1]} is deleted in the org, not so in the vault" in account["examples"]
    assert fixture.diff("--at", backed_up)[0] == 0, "as of the backup they agree"


def test_an_object_that_was_asked_for_and_is_not_there_is_missing(fixture: Fixture) -> None:
    fixture.writer.insert(fixture.org.schema.objects["Contact"], {"LastName": "c"})
    code, found = fixture.diff("--object", "Contact", "--object", "Account")
    assert (code, [(o["object"], o["missing"]) for o in found["objects"]]) == (1, [("Contact", 1), ("Account", 0)])


def test_a_table_for_people_and_words_for_what_cannot_be_compared(fixture: Fixture, tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(diff)
    run = CliRunner().invoke
    answer = run(app, [str(tmp_path / "vault"), "--ledger", str(tmp_path / "ledger")])
    assert (answer.exit_code, answer.output.split()) == (
        0, ["object", "records", "missing", "extra", "different", "Account", "5", "0", "0", "0"])  # fmt: skip
    for arguments in ([str(tmp_path / "vault")], [str(tmp_path / "nothing"), "--ledger", str(tmp_path / "ledger")]):
        assert run(app, arguments).exit_code == 2
    assert run(app, [str(tmp_path / "vault"), "--url", "nowhere"]).exit_code == 2  # 1 would say that they differ
